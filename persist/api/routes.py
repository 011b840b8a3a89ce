"""The route table: every route of the service, once.

Dispatch, the labels of metrics, access, OpenAPI and the paths below a workspace are all
made from it. CONTRIBUTING.md says how to add one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from persist.domain.access import EVERY, Access, Level

COLLECTION = "/api/{collection}"
WORKSPACE = "/workspaces/{workspace}"
CONSOLE = "/console"
DOCS = "/docs"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

Problems = tuple[str, ...]


class Reach(Enum):
    """What a caller needs the level of a route for."""

    ANYTHING = "anything"
    """At least one collection; the handler shows only what the caller may see."""

    NAMED = "named"
    """The collection and the workspace that the path names."""

    EVERYTHING = "everything"
    """Every collection in every workspace."""


@dataclass(frozen=True)
class Route:
    """One method of one path.

    ``operation`` is the name of its handler and of its operation in OpenAPI. ``level``
    is None if any caller may ask; ``open_to_all`` is set if no key is needed.
    ``is_page``: it answers with HTML, or leads a browser to a page.
    ``problems`` are the codes it answers with in addition to those of every route.
    """

    method: str
    path: str
    operation: str
    summary: str
    level: Level | None = None
    reach: Reach = Reach.NAMED
    tags: tuple[str, ...] = ()
    problems: Problems = ()
    status: int = 200
    open_to_all: bool = False
    is_page: bool = False
    documented: bool = True

    def authorize(self, access: Access, parameters: Mapping[str, str]) -> None:
        """Raise ``Forbidden`` unless the caller has the level, whether or not what the
        path names exists."""
        if self.level is None:
            return
        workspace = parameters.get("workspace")
        if self.reach is Reach.EVERYTHING:
            access.require(self.level)
        elif self.reach is Reach.ANYTHING:
            access.require_some(self.level, workspace)
        else:
            collection = parameters.get("collection") or parameters.get("name", EVERY)
            access.require(self.level, collection, workspace)


EVERY_ROUTE: Problems = (
    "invalid-query",
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "internal-error",
    "too-many-requests",
    "unavailable",
)
_READ: Problems = ("collection-not-found",)
_KEYED: Problems = ("idempotency-in-progress", "idempotency-mismatch")
_WRITE: Problems = (*_READ, *_KEYED)
_JSON_BODY: Problems = (
    "invalid-json",
    "request-timeout",
    "too-large",
    "unsupported-media-type",
)
_DATA: Problems = (*_JSON_BODY, "unique-violation", "invalid-data")
_CONDITIONAL: Problems = (
    "record-not-found",
    "precondition-failed",
    "precondition-required",
)
_CHANGE: Problems = (*_WRITE, *_CONDITIONAL)
_ADMIN_BODY: Problems = (*_KEYED, *_JSON_BODY, "invalid-payload")


def _tagged(tag: str, *routes: Route) -> tuple[Route, ...]:
    return tuple(replace(route, tags=(tag,)) for route in routes)


COLLECTION_ROUTES = (
    Route(
        "GET",
        COLLECTION,
        "list",
        "List records",
        Level.READ,
        problems=(*_READ, "changes-gone"),
    ),
    Route(
        "POST",
        COLLECTION,
        "create",
        "Create a record",
        Level.WRITE,
        problems=(*_WRITE, *_DATA),
        status=201,
    ),
    Route(
        "DELETE",
        COLLECTION,
        "delete_matching",
        "Delete the records that match",
        Level.WRITE,
        problems=(*_WRITE, "too-many-affected"),
    ),
    Route(
        "GET",
        f"{COLLECTION}/commands",
        "commands",
        "List the commands",
        Level.READ,
        problems=_READ,
    ),
    Route(
        "POST",
        f"{COLLECTION}/commands/{{command}}",
        "invoke_all",
        "Run a command on every record that matches",
        Level.WRITE,
        problems=(
            *_WRITE,
            *_JSON_BODY,
            "command-not-found",
            "command-failed",
            "invalid-data",
            "invalid-payload",
            "too-many-affected",
        ),
    ),
    Route(
        "POST",
        f"{COLLECTION}/import",
        "import_records",
        "Import records",
        Level.WRITE,
        problems=(*_WRITE, *_DATA, "migration-failed", "restore-conflict"),
    ),
    Route(
        "GET",
        f"{COLLECTION}/export",
        "export",
        "Export records",
        Level.READ,
        problems=(*_READ, "changes-gone"),
    ),
    Route(
        "GET",
        f"{COLLECTION}/trash",
        "trash",
        "List the deleted records",
        Level.READ,
        problems=_READ,
    ),
    Route(
        "GET",
        f"{COLLECTION}/snapshots",
        "list_snapshots",
        "List the snapshots of the collection",
        Level.ADMIN,
        problems=_READ,
    ),
    Route(
        "POST",
        f"{COLLECTION}/snapshots",
        "take_snapshot",
        "Take a snapshot of the collection",
        Level.ADMIN,
        problems=(*_WRITE, *_JSON_BODY, "invalid-payload"),
        status=201,
    ),
    Route(
        "GET",
        f"{COLLECTION}/{{id}}",
        "get",
        "Read a record",
        Level.READ,
        problems=(
            *_READ,
            "record-not-found",
            "revision-not-found",
            "changes-gone",
            "precondition-failed",
        ),
    ),
    Route(
        "PUT",
        f"{COLLECTION}/{{id}}",
        "replace",
        "Replace or create a record",
        Level.WRITE,
        problems=(*_CHANGE, *_DATA),
    ),
    Route(
        "PATCH",
        f"{COLLECTION}/{{id}}",
        "patch",
        "Change a part of a record",
        Level.WRITE,
        problems=(*_CHANGE, *_DATA, "invalid-patch", "patch-test-failed"),
    ),
    Route(
        "DELETE",
        f"{COLLECTION}/{{id}}",
        "delete",
        "Delete a record",
        Level.WRITE,
        problems=_CHANGE,
        status=204,
    ),
    Route(
        "GET",
        f"{COLLECTION}/{{id}}/history",
        "history",
        "List the changes of a record",
        Level.READ,
        problems=(*_READ, "record-not-found"),
    ),
    Route(
        "GET",
        f"{COLLECTION}/{{id}}/history/diff",
        "diff",
        "Compare two revisions of a record",
        Level.READ,
        problems=(*_READ, "record-not-found", "revision-not-found"),
    ),
    Route(
        "POST",
        f"{COLLECTION}/{{id}}/revert",
        "revert",
        "Give a record the data of an earlier revision",
        Level.WRITE,
        problems=(
            *_CHANGE,
            *_JSON_BODY,
            "invalid-payload",
            "migration-failed",
            "revision-not-found",
            "unique-violation",
        ),
    ),
    Route(
        "DELETE",
        f"{COLLECTION}/{{id}}/history",
        "erase_history",
        "Erase the data and payloads of a record's changes",
        Level.ADMIN,
        problems=(*_WRITE, "record-not-found", "precondition-failed"),
        status=204,
    ),
    Route(
        "POST",
        f"{COLLECTION}/{{id}}/commands/{{command}}",
        "invoke",
        "Run a command on a record",
        Level.WRITE,
        problems=(
            *_CHANGE,
            *_DATA,
            "command-not-found",
            "command-unavailable",
            "invalid-payload",
        ),
    ),
)
"""The routes of a collection; each has a twin below a workspace."""


def in_workspace(route: Route) -> Route:
    """Return the twin of a collection's route for the records of a workspace."""
    missing = ("workspace-not-found", "collection-not-in-workspace")
    return replace(
        route,
        path=WORKSPACE + route.path,
        summary=f"{route.summary}, in a workspace",
        tags=("workspaces",),
        problems=(*route.problems, *missing),
    )


WORKSPACE_COLLECTION_ROUTES = tuple(map(in_workspace, COLLECTION_ROUTES))

WORKSPACE_ROUTES = _tagged(
    "workspaces",
    Route("GET", "/workspaces", "list_workspaces", "List the workspaces"),
    Route(
        "GET",
        WORKSPACE,
        "read_workspace",
        "Read a workspace",
        Level.READ,
        Reach.ANYTHING,
        problems=("workspace-not-found",),
    ),
    Route(
        "PUT",
        WORKSPACE,
        "declare_workspace",
        "Declare a workspace, or what it holds",
        Level.ADMIN,
        problems=(*_ADMIN_BODY, "collection-not-found", "workspace-not-empty"),
        status=201,
    ),
    Route(
        "DELETE",
        WORKSPACE,
        "delete_workspace",
        "Delete a workspace",
        Level.ADMIN,
        problems=(*_KEYED, "workspace-not-found", "workspace-not-empty"),
        status=204,
    ),
    Route(
        "GET",
        f"{WORKSPACE}/records",
        "list_workspace_records",
        "List the records of all its collections",
        Level.READ,
        Reach.ANYTHING,
        problems=("workspace-not-found", "changes-gone"),
    ),
    Route(
        "POST",
        f"{WORKSPACE}/commands/{{command}}",
        "invoke_in_workspace",
        "Run a command on every record that matches, of all its collections",
        Level.WRITE,
        Reach.ANYTHING,
        problems=(
            *_KEYED,
            *_JSON_BODY,
            "workspace-not-found",
            "command-not-found",
            "command-failed",
            "invalid-payload",
            "too-many-affected",
        ),
    ),
    Route(
        "GET",
        f"{WORKSPACE}/snapshots",
        "list_workspace_snapshots",
        "List the snapshots that hold something of a workspace",
        Level.ADMIN,
        problems=("workspace-not-found",),
    ),
    Route(
        "POST",
        f"{WORKSPACE}/snapshots",
        "take_workspace_snapshot",
        "Take a snapshot of a workspace",
        Level.ADMIN,
        problems=(*_ADMIN_BODY, "workspace-not-found"),
        status=201,
    ),
)

_TYPE = "/entity-types/{name}"
ENTITY_TYPE_ROUTES = _tagged(
    "entity types",
    Route(
        "GET",
        "/entity-types",
        "list_entity_types",
        "List the registered entity types",
        Level.ADMIN,
        Reach.ANYTHING,
    ),
    Route(
        "GET",
        _TYPE,
        "read_entity_type",
        "Read the current definition of an entity type",
        Level.ADMIN,
        problems=("entity-type-not-found",),
    ),
    Route(
        "PUT",
        _TYPE,
        "register_entity_type",
        "Register an entity type, or evolve it",
        Level.ADMIN,
        problems=(
            *_KEYED,
            *_JSON_BODY,
            "invalid-schema",
            "collection-is-typed",
            "migration-required",
            "precondition-failed",
            "unique-violation",
        ),
        status=201,
    ),
    Route(
        "DELETE",
        _TYPE,
        "delete_entity_type",
        "Delete an entity type whose collection is empty",
        Level.ADMIN,
        problems=(
            *_KEYED,
            "entity-type-not-found",
            "collection-not-empty",
            "precondition-failed",
        ),
        status=204,
    ),
    Route(
        "GET",
        f"{_TYPE}/versions",
        "list_entity_type_versions",
        "List the versions of an entity type",
        Level.ADMIN,
        problems=("entity-type-not-found",),
    ),
    Route(
        "GET",
        f"{_TYPE}/versions/{{number}}",
        "read_entity_type_version",
        "Read one version of an entity type",
        Level.ADMIN,
        problems=("entity-type-not-found",),
    ),
)

SNAPSHOT_ROUTES = _tagged(
    "snapshots",
    Route(
        "GET",
        "/snapshots",
        "list_all_snapshots",
        "List all snapshots",
        Level.ADMIN,
        Reach.ANYTHING,
    ),
    Route(
        "POST",
        "/snapshots",
        "create_snapshot",
        "Take a snapshot of everything, or upload one",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=(*_ADMIN_BODY, "invalid-snapshot"),
        status=201,
    ),
    Route(
        "GET",
        "/snapshots/{id}",
        "read_snapshot",
        "Read the manifest of a snapshot",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=("snapshot-not-found",),
    ),
    Route(
        "DELETE",
        "/snapshots/{id}",
        "delete_snapshot",
        "Delete a snapshot",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=(*_KEYED, "snapshot-not-found"),
        status=204,
    ),
    Route(
        "GET",
        "/snapshots/{id}/content",
        "read_snapshot_content",
        "Download a snapshot",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=("snapshot-not-found",),
    ),
    Route(
        "POST",
        "/snapshots/{id}/verify",
        "verify_snapshot",
        "Verify that a snapshot is complete and unaltered",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=("snapshot-not-found",),
    ),
)

MIGRATION_ROUTES = _tagged(
    "migrations",
    Route(
        "GET",
        "/migration-plans",
        "list_migration_plans",
        "List the migration plans",
        Level.ADMIN,
        Reach.ANYTHING,
    ),
    Route(
        "GET",
        "/migration-plans/{collection}",
        "read_migration_plan",
        "Read the migration plan of a collection",
        Level.ADMIN,
        problems=("collection-not-found",),
    ),
    Route(
        "GET",
        "/migrations",
        "list_migrations",
        "List the completed migrations",
        Level.ADMIN,
        Reach.ANYTHING,
    ),
    Route(
        "GET",
        "/migrations/{id}",
        "read_migration",
        "Read the report of a migration",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=("migration-not-found",),
    ),
    Route(
        "POST",
        "/migrations",
        "restore",
        "Restore a snapshot through the migration plans",
        Level.ADMIN,
        Reach.ANYTHING,
        problems=(
            *_ADMIN_BODY,
            "snapshot-not-found",
            "workspace-not-found",
            "collection-not-in-workspace",
            "restore-conflict",
            "unique-violation",
            "migration-failed",
        ),
        status=201,
    ),
)

TRANSACTION_ROUTES = _tagged(
    "transactions",
    Route(
        "POST",
        "/transactions",
        "transact",
        "Store several writes, all or none",
        Level.WRITE,
        Reach.ANYTHING,
        problems=(
            *_CHANGE,
            *_DATA,
            "collection-not-in-workspace",
            "command-not-found",
            "command-unavailable",
            "invalid-patch",
            "invalid-payload",
            "patch-test-failed",
            "record-exists",
            "workspace-not-found",
        ),
    ),
)

CHANGE_ROUTES = _tagged(
    "changes",
    Route(
        "GET",
        "/changes",
        "changes",
        "Follow the changes",
        Level.READ,
        Reach.ANYTHING,
        problems=("changes-gone", "collection-not-found", "workspace-not-found"),
    ),
)

UNDO_ROUTES = _tagged(
    "changes",
    Route(
        "POST",
        "/changes/undo",
        "undo",
        "Take back the changes of a request or of a range",
        Level.WRITE,
        Reach.ANYTHING,
        problems=(
            *_WRITE,
            *_JSON_BODY,
            "changes-gone",
            "collection-not-in-workspace",
            "invalid-payload",
            "migration-failed",
            "not-found",
            "too-many-affected",
            "undo-conflict",
            "unique-violation",
            "workspace-not-found",
        ),
    ),
)

SEAL_ROUTES = _tagged(
    "changes",
    Route(
        "GET",
        "/changes/seals",
        "list_seals",
        "List the seals of the journal",
        Level.READ,
        Reach.ANYTHING,
    ),
    Route(
        "GET",
        "/changes/head",
        "read_head",
        "Read the last seal of the journal",
        Level.READ,
        Reach.ANYTHING,
        problems=("not-found",),
    ),
    Route(
        "GET",
        "/changes/{seq}/proof",
        "read_proof",
        "Prove that a change is sealed as it is",
        Level.READ,
        Reach.ANYTHING,
        problems=("not-found",),
    ),
)

SERVICE_ROUTES = _tagged(
    "service",
    Route("GET", "/", "describe_service", "Describe the service", is_page=True),
    Route(
        "GET",
        "/health/live",
        "live",
        "Check that the process answers",
        open_to_all=True,
    ),
    Route(
        "GET",
        "/health/ready",
        "ready",
        "Check that the service can store and answer",
        open_to_all=True,
    ),
    Route(
        "GET",
        "/problems/{code}",
        "read_problem",
        "Explain a problem",
        problems=("not-found",),
        open_to_all=True,
    ),
    Route("GET", "/collections", "list_collections", "List the collections"),
    Route(
        "GET",
        "/collections/{collection}",
        "read_collection",
        "Read a collection",
        Level.READ,
        problems=("collection-not-found",),
    ),
    Route(
        "GET",
        "/collections/{collection}/openapi.json",
        "read_collection_openapi",
        "Read the OpenAPI document of a collection",
        Level.READ,
        problems=("collection-not-found",),
    ),
    Route(
        "GET",
        "/openapi.json",
        "read_openapi",
        "Read the OpenAPI document",
        documented=False,
    ),
)

SESSIONS = "/sessions"

SESSION_ROUTES = _tagged(
    "service",
    Route(
        "POST",
        SESSIONS,
        "begin_session",
        "Begin the session of a browser",
        problems=(*_JSON_BODY, "invalid-payload"),
        status=204,
    ),
    Route(
        "GET",
        SESSIONS,
        "read_session",
        "Read who the caller is, and what they may do",
    ),
    Route(
        "DELETE",
        SESSIONS,
        "end_session",
        "End the session of a browser",
        status=204,
    ),
)

METRICS_ROUTES = _tagged(
    "service",
    Route(
        "GET",
        "/metrics",
        "metrics",
        "Read the metrics for Prometheus",
        Level.ADMIN,
        Reach.EVERYTHING,
    ),
)

PAGE_ROUTES = _tagged(
    "pages",
    Route(
        "GET",
        DOCS,
        "docs",
        "The documentation, for browsers",
        open_to_all=True,
        is_page=True,
        documented=False,
    ),
    Route(
        "GET",
        "/docs/assets/{version}/{name}",
        "docs_asset",
        "A file of the documentation",
        open_to_all=True,
        documented=False,
    ),
)

CONSOLE_ROUTES = _tagged(
    "pages",
    Route(
        "GET",
        CONSOLE,
        "console",
        "The console, for browsers",
        open_to_all=True,
        is_page=True,
        documented=False,
    ),
    Route(
        "GET",
        f"{CONSOLE}/{{path:path}}",
        "console_file",
        "A screen of the console, or a file that it needs",
        open_to_all=True,
        is_page=True,
        documented=False,
    ),
)


FASTAPI_ROUTES = (
    *WORKSPACE_ROUTES,
    *ENTITY_TYPE_ROUTES,
    *SNAPSHOT_ROUTES,
    *MIGRATION_ROUTES,
    *SERVICE_ROUTES,
    *SESSION_ROUTES,
    *METRICS_ROUTES,
    *CHANGE_ROUTES,
    *UNDO_ROUTES,
    *SEAL_ROUTES,
    *TRANSACTION_ROUTES,
    *PAGE_ROUTES,
    *CONSOLE_ROUTES,
)
"""What FastAPI's routes answer: everything that is not below a collection, but for the
records of a workspace."""

ROUTES = (*COLLECTION_ROUTES, *WORKSPACE_COLLECTION_ROUTES, *FASTAPI_ROUTES)

BY_METHOD_AND_PATH: Mapping[tuple[str, str], Route] = {
    (route.method, route.path): route for route in ROUTES
}

WORKSPACE_RECORDS = BY_METHOD_AND_PATH["GET", f"{WORKSPACE}/records"]
"""The list of the records of a workspace."""


def _folders(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders of paths, each with its slash at the end."""
    return tuple(
        path.partition("{")[0].rpartition("/")[0] + "/"
        for path in paths
        if path.count("/") > 1
    )


_OPEN_PATHS = frozenset(route.path for route in ROUTES if route.open_to_all)
_OPEN_FOLDERS = _folders(_OPEN_PATHS)
_PAGES = frozenset(route.path for route in ROUTES if route.is_page)
_PAGE_FOLDERS = _folders(_PAGES)


def is_page(path: str) -> bool:
    """Return whether a path is answered with HTML, or leads a browser to a page."""
    return path in _PAGES or path.startswith(_PAGE_FOLDERS)


def is_open_to_all(path: str) -> bool:
    """Return whether a path is answered without a key: an open route has this path, or
    one in the same folder (``/health/…``)."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS)


def is_sign_in(method: str, path: str) -> bool:
    """Return whether a request may come without a key because its body may have a code
    that counts as one."""
    return path == SESSIONS and method == "POST"


def level_of(method: str) -> Level:
    """Return the level of a request that no route answers, by its method."""
    return Level.READ if method in SAFE_METHODS else Level.WRITE
