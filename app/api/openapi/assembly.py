"""The OpenAPI 3.1 document: every collection's own paths, beside what FastAPI tells of the other routers.

Routes of collections are generic and few; their documentation is made here from the entity types.
"""

from collections.abc import Iterable

from app.api.access import level_of
from app.api.openapi.lifting import Json, ref
from app.api.openapi.operations import Fragment, collection_fragment
from app.api.openapi.parameters import CONTROLS
from app.api.openapi.problems import PROBLEM_JSON, PROBLEM_SCHEMA, problem_components
from app.api.openapi.responses import HEADERS, SHARED
from app.api.openapi.schemas import SHARED_SCHEMAS
from app.domain.access import OPEN, Access, Level
from app.domain.entity_type import EntityType

_DESCRIPTION = """\
Durable, versioned, audited collections. A record is an envelope around `data`; clients send `data`, \
the service keeps `id`, `revision`, `schema_version` and the times. The revision is the record's `ETag`.

Filters are `field=value` and `field__operator=value`, all ANDed; fields of the envelope carry an \
underscore. Every error is a problem of RFC 9457 with a stable `code`.
"""

_ADMIN = {"entity types", "snapshots", "migrations"}
"""The tags of what only administrators use."""

_SECURITY: Json = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key that `persist keys create` made; none where none was ever made.",
    }
}

_FRAMEWORK_ERRORS = {"HTTPValidationError", "ValidationError"}

_fragments: dict[str, tuple[EntityType, Fragment]] = {}


def collection_paths(type: EntityType) -> Fragment:
    """What one collection adds to the document, made once for each value of its entity type."""
    known = _fragments.get(type.name)
    if known is not None and known[0] is type:
        return known[1]
    fragment = collection_fragment(type)
    _fragments[type.name] = (type, fragment)
    return fragment


def document(
    types: Iterable[EntityType],
    *,
    version: str,
    title: str = "Persist",
    base: Json | None = None,
    access: Access = OPEN,
) -> Json:
    """The document of what a caller may use. ``base`` is FastAPI's own, of the routers that are not
    collections."""
    seen = [type for type in types if _workspaces(type.name, access)]
    fragments = [collection_paths(type) for type in sorted(seen, key=lambda type: type.name)]
    return _document(fragments, version, title, base or {}, access)


def collection_document(
    type: EntityType, *, version: str, title: str = "Persist", access: Access = OPEN
) -> Json:
    """The document of one collection, as far as a caller may use it."""
    return _document([collection_paths(type)], version, f"{title}: {type.name}", {}, access)


def _document(fragments: list[Fragment], version: str, title: str, base: Json, access: Access) -> Json:
    paths: Json = {}
    components = _components(base)
    for fragment in fragments:
        name = fragment.tag["name"]
        for workspace in _workspaces(name, access):
            paths |= _usable(fragment.paths, access, name, workspace)
        components["schemas"] |= fragment.schemas
        components["parameters"] |= fragment.parameters
        components["responses"] |= fragment.responses
    others = {path: _with_problems(item) for path, item in base.get("paths", {}).items()}
    paths |= _usable(others, access)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "description": _DESCRIPTION, "version": version},
        "tags": [*(fragment.tag for fragment in fragments), *base.get("tags", ())],
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": components | {"securitySchemes": _SECURITY},
    }


def _workspaces(collection: str, access: Access) -> list[str]:
    """Where a caller reads a collection: in the default workspace, or only in those their key names."""
    named = sorted({scope.workspace for scope in access.scopes if scope.workspace})
    readable = [workspace for workspace in ("", *named) if access.allows(Level.READ, collection, workspace)]
    return readable[:1] if "" in readable else readable


def _usable(paths: Json, access: Access, collection: str | None = None, workspace: str = "") -> Json:
    """The operations a caller may use: on the collection in a workspace, or on anything at all."""

    def allowed(level: Level) -> bool:
        return (
            access.allows_some(level) if collection is None else access.allows(level, collection, workspace)
        )

    prefix = f"/workspaces/{workspace}" if workspace else ""
    found = {
        prefix + path: {
            method: told | ({"operationId": f"{workspace}_{told['operationId']}"} if workspace else {})
            for method, told in item.items()
            if allowed(_level(method, path, told))
        }
        for path, item in paths.items()
    }
    return {path: item for path, item in found.items() if item}


def _level(method: str, path: str, operation: Json) -> Level:
    tags = operation.get("tags", ())
    if _ADMIN.intersection(tags) or ("workspaces" in tags and method in ("put", "delete")):
        return Level.ADMIN
    return level_of(method.upper(), path.split("/")[3:])


def _components(base: Json) -> Json:
    """The shared components, and FastAPI's without its own form of errors."""
    own: dict[str, Json] = {
        "schemas": {"Problem": PROBLEM_SCHEMA, **SHARED_SCHEMAS},
        "responses": SHARED | problem_components(),
        "parameters": dict(CONTROLS),
        "headers": dict(HEADERS),
    }
    for kind, components in base.get("components", {}).items():
        kept = {name: value for name, value in components.items() if name not in _FRAMEWORK_ERRORS}
        own[kind] = own.get(kind, {}) | kept
    return own


def _with_problems(item: Json) -> Json:
    """A path of FastAPI's with every error as a problem."""
    return {method: _operation(value) if isinstance(value, dict) else value for method, value in item.items()}


def _operation(operation: Json) -> Json:
    answers = operation.get("responses", {})
    told = {status: answer for status, answer in answers.items() if "HTTPValidationError" not in str(answer)}
    return operation | {"responses": {"default": _ANY_PROBLEM, **told}}


_ANY_PROBLEM: Json = {
    "description": "A problem.",
    "content": {PROBLEM_JSON: {"schema": ref("Problem")}},
}
