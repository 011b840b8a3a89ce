"""The OpenAPI 3.1 document: every collection's own paths, beside what FastAPI tells of
the other routers.

Routes of collections are generic and few; their documentation is made here from the
entity types.
"""

import json
from collections.abc import Iterable, Iterator

from persist.api.openapi.components import Json, ref
from persist.api.openapi.operations import Fragment, collection_fragment
from persist.api.openapi.parameters import CONTROLS
from persist.api.openapi.problems import (
    PROBLEM_JSON,
    PROBLEM_SCHEMA,
    problem_components,
)
from persist.api.openapi.responses import HEADERS, SHARED
from persist.api.openapi.schemas import SHARED_SCHEMAS
from persist.api.openapi.workspace_paths import inside_paths
from persist.api.routes import BY_METHOD_AND_PATH, COLLECTION, WORKSPACE
from persist.domain.access import OPEN, Access, Level
from persist.domain.entity_type import EntityType
from persist.domain.record import dumps

_DESCRIPTION = """\
Durable, versioned, audited collections. A record is an envelope around `data`; \
clients send `data`, the service keeps `id`, `revision`, `schema_version` and the \
times. The revision is the record's `ETag`.

Filters are `field=value` and `field__operator=value`, all ANDed; fields of the \
envelope carry an underscore. Every error is a problem of RFC 9457 with a stable \
`code`.
"""

_SECURITY: Json = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": (
            "A key that `persist keys create` made; none where none was ever made."
        ),
    }
}

_FRAMEWORK_ERRORS = {"HTTPValidationError", "ValidationError"}

PIECE = 262_144
"""Characters that are encoded and sent at once."""

_fragments: dict[str, tuple[EntityType, Fragment]] = {}


def document(
    types: Iterable[EntityType],
    *,
    version: str,
    base: Json | None = None,
    access: Access = OPEN,
) -> Json:
    """The document of what a caller may use. ``base`` is FastAPI's own, of the routers
    that are not collections."""
    made: Json = json.loads(
        b"".join(document_pieces(types, version=version, base=base, access=access))
    )
    return made


def document_pieces(
    types: Iterable[EntityType],
    *,
    version: str,
    title: str = "Persist",
    base: Json | None = None,
    access: Access = OPEN,
) -> Iterator[bytes]:
    """The same as JSON, in pieces: to handle a large one as a whole keeps other threads
    waiting."""
    seen = sorted((type for type in types if _workspaces(type.name, access)), key=_name)
    info = {"title": title, "description": _DESCRIPTION, "version": version}
    held, size = list[str](), 0
    for text in _texts(
        [collection_texts(type) for type in seen], info, base or {}, access
    ):
        held.append(text)
        size += len(text)
        if size >= PIECE:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()


def _name(type: EntityType) -> str:
    return type.name


def collection_texts(type: EntityType) -> Fragment:
    """What one collection adds to the document, each component as JSON text, made once
    for each value of its entity type. Text, because a garbage collector does not go
    through it."""
    known = _fragments.get(type.name)
    if known is None or known[0] is not type:
        made = collection_fragment(type)
        components = map(_each, (made.schemas, made.parameters, made.responses))
        known = _fragments[type.name] = (
            type,
            Fragment(made.tag, made.paths, *components),
        )
    return known[1]


def _each(members: Json) -> Json:
    return {name: dumps(member) for name, member in members.items()}


def _texts(
    fragments: list[Fragment], info: Json, base: Json, access: Access
) -> Iterator[str]:
    tags = [*(fragment.tag for fragment in fragments), *base.get("tags", ())]
    head = {
        "openapi": "3.1.0",
        "info": info,
        "tags": tags,
        "security": [{"key": []}, {}],
    }
    yield dumps(head)[:-1] + ',"paths":'
    paths: Json = {}
    components = {kind: _each(members) for kind, members in _components(base).items()}
    for fragment in fragments:
        name = fragment.tag["name"]
        for workspace in _workspaces(name, access):
            paths |= _usable(fragment.paths, access, name, workspace)
        components["schemas"] |= fragment.schemas
        components["parameters"] |= fragment.parameters
        components["responses"] |= fragment.responses
    general = base.get("paths", {}) | inside_paths() if base else {}
    if not access.allows(Level.ADMIN):
        general = {path: item for path, item in general.items() if path != "/metrics"}
    others = {path: _with_problems(item) for path, item in general.items()}
    yield from _objects(
        (path, _each(item)) for path, item in (paths | _usable(others, access)).items()
    )
    yield ',"components":'
    yield from _objects((components | {"securitySchemes": _each(_SECURITY)}).items())
    yield "}"


def _objects(members: Iterable[tuple[str, Json]]) -> Iterator[str]:
    """An object of objects whose members are texts; there is at least one."""
    before = "{"
    for name, inner in members:
        yield f"{before}{dumps(name)}:{{"
        for number, (key, text) in enumerate(inner.items()):
            yield f"{',' if number else ''}{dumps(key)}:{text}"
        yield "}"
        before = ","
    yield "}"


def _workspaces(collection: str, access: Access) -> list[str]:
    """Where a caller reads a collection: in the default workspace, or only in those
    their key names."""
    named = sorted({scope.workspace for scope in access.scopes if scope.workspace})
    readable = [
        workspace
        for workspace in ("", *named)
        if access.allows(Level.READ, collection, workspace)
    ]
    return readable[:1] if "" in readable else readable


def _usable(
    paths: Json, access: Access, collection: str | None = None, workspace: str = ""
) -> Json:
    """The operations a caller may use: on the collection in a workspace, or on anything
    at all."""

    def allowed(level: Level) -> bool:
        return (
            access.allows_some(level)
            if collection is None
            else access.allows(level, collection, workspace)
        )

    prefix = f"/workspaces/{workspace}" if workspace else ""
    found = {
        prefix + path: {
            method: (
                told
                | (
                    {"operationId": f"{workspace}_{told['operationId']}"}
                    if workspace
                    else {}
                )
            )
            for method, told in item.items()
            if allowed(_level(method, _template(path)))
        }
        for path, item in paths.items()
    }
    return {path: item for path, item in found.items() if item}


def _level(method: str, path: str) -> Level:
    """Return the level an operation takes; READ where any caller may ask."""
    route = BY_METHOD_AND_PATH.get((method.upper(), path))
    return (route.level if route else None) or Level.READ


def _template(path: str) -> str:
    """Return the path of the route behind a path of one collection."""
    _, inside, below = path.partition("/api/")
    if not inside or path.startswith(WORKSPACE):
        return path
    _, *segments = below.split("/")
    if segments[-2:-1] == ["commands"]:
        segments[-1] = "{command}"
    return "/".join([COLLECTION, *segments])


def _components(base: Json) -> Json:
    """The shared components, and FastAPI's without its own form of errors."""
    own: dict[str, Json] = {
        "schemas": {"Problem": PROBLEM_SCHEMA, **SHARED_SCHEMAS},
        "responses": SHARED | problem_components(),
        "parameters": dict(CONTROLS),
        "headers": dict(HEADERS),
    }
    for kind, components in base.get("components", {}).items():
        kept = {
            name: value
            for name, value in components.items()
            if name not in _FRAMEWORK_ERRORS
        }
        own[kind] = own.get(kind, {}) | kept
    return own


def _with_problems(item: Json) -> Json:
    """A path of FastAPI's with every error as a problem."""
    return {
        method: _operation(value) if isinstance(value, dict) else value
        for method, value in item.items()
    }


def _operation(operation: Json) -> Json:
    answers = operation.get("responses", {})
    told = {
        status: answer
        for status, answer in answers.items()
        if "HTTPValidationError" not in str(answer)
    }
    return operation | {"responses": {"default": _ANY_PROBLEM, **told}}


_ANY_PROBLEM: Json = {
    "description": "A problem.",
    "content": {PROBLEM_JSON: {"schema": ref("Problem")}},
}
