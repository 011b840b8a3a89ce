"""The OpenAPI 3.1 document of what a caller may use: the paths of every collection, and
those of the service."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from weakref import WeakKeyDictionary

from persist.api.openapi.bodies import request_schemas
from persist.api.openapi.collection import Fragment, collection_fragment
from persist.api.openapi.problems import problem_components
from persist.api.openapi.schemas import base_name
from persist.api.openapi.service import service_paths
from persist.api.openapi.shared import SHARED, response
from persist.api.openapi.type_unions import normalized
from persist.api.routes import (
    BY_METHOD_AND_PATH,
    COLLECTION,
    WORKSPACE,
    Reach,
    Route,
)
from persist.domain.access import OPEN, Access
from persist.domain.entity_type import EntityType
from persist.domain.record import Json, dumps
from persist.domain.workspace import Workspaces

CHUNK = 262_144
"""Characters that are encoded and sent at once."""

NO_WORKSPACES: Workspaces = {}
"""No workspace is declared."""

_REFERENCE = re.compile(r'"\$ref":"#/components/(\w+)/([^"]+)"')

_fragments: WeakKeyDictionary[EntityType, tuple[str, Fragment]] = WeakKeyDictionary()

ComponentName = tuple[str, str]
"""The kind of a component (``schemas``) and its name."""


def document(
    types: Iterable[EntityType],
    *,
    version: str,
    with_service: bool = False,
    access: Access = OPEN,
    workspaces: Workspaces = NO_WORKSPACES,
) -> Json:
    """Return the document; ``with_service`` adds what belongs to no collection."""
    chunks = document_chunks(
        types,
        version=version,
        with_service=with_service,
        access=access,
        workspaces=workspaces,
    )
    made: Json = json.loads(b"".join(chunks))
    return made


def document_chunks(
    types: Iterable[EntityType],
    *,
    version: str,
    title: str = "Persist",
    with_service: bool = False,
    access: Access = OPEN,
    workspaces: Workspaces = NO_WORKSPACES,
    server: str = "/",
) -> Iterator[bytes]:
    """Yield the document as JSON in chunks: other threads wait while a large text is
    encoded at once. ``server`` is the address that paths follow."""
    readable = [
        entity_type
        for entity_type in types
        if access.workspaces_of(entity_type.name, workspaces)
    ]
    readable.sort(key=attrgetter("name"))
    info = {"title": title, "version": version, **SHARED["info"]}
    head = {"openapi": "3.1.0", "info": info, "servers": [{"url": server}]}
    made = _Document(head, _named(readable), access, workspaces, with_service)
    buffered: list[str] = []
    size = 0
    for text in made.texts():
        buffered.append(text)
        size += len(text)
        if size >= CHUNK:
            yield "".join(buffered).encode()
            buffered = []
            size = 0
    yield "".join(buffered).encode()


def collection_texts(entity_type: EntityType, base: str, prefix: str) -> Fragment:
    """Return what one collection adds to the document, each component as JSON text.

    It is made once for each value of the entity type. Text, because a garbage
    collection does not go through it.
    """
    known = _fragments.get(entity_type)
    if known is None or known[0] != base:
        made = collection_fragment(entity_type, base, prefix)
        fragment = replace(
            made,
            schemas=_texts(made.schemas),
            parameters=_texts(made.parameters),
            responses=_texts(made.responses),
        )
        known = _fragments[entity_type] = base, fragment
    return known[1]


def _texts(members: Json) -> Json:
    return {name: dumps(member) for name, member in members.items()}


def _named(types: Iterable[EntityType]) -> list[Fragment]:
    """Return the fragments of types under names that generators keep apart. A number
    distinguishes collections whose names differ only in punctuation."""
    taken = {normalized(name) for name in (*SHARED["schemas"], *request_schemas())}
    fragments = []
    for entity_type in types:
        base = base_name(entity_type)
        prefix = entity_type.name.replace("-", "_")
        number = 1
        fragment = collection_texts(entity_type, base, prefix)
        while not taken.isdisjoint(names := set(_names(fragment))):
            number += 1
            fragment = collection_texts(
                entity_type, f"{base}{number}", f"{prefix}_{number}"
            )
        taken |= names
        fragments.append(fragment)
    return fragments


def _names(fragment: Fragment) -> Iterator[str]:
    yield from map(normalized, fragment.schemas)
    for item in fragment.paths.values():
        for operation in item.values():
            yield "operation " + normalized(operation["operationId"])


class _Document:
    """One document on its way to text."""

    def __init__(
        self,
        head: Json,
        fragments: list[Fragment],
        access: Access,
        workspaces: Workspaces,
        with_service: bool,
    ) -> None:
        self._head = head
        self._fragments = fragments
        self._access = access
        self._workspaces = workspaces
        self._with_service = with_service
        self._used: set[ComponentName] = set()

    def texts(self) -> Iterator[str]:
        """Yield the parts of the document in their order."""
        tags = [fragment.tag for fragment in self._fragments]
        groups = [_tag_group("Collections", tags)]
        if self._with_service:
            own = [
                {"name": name, "description": description}
                for name, description in SHARED["tags"].items()
            ]
            tags += own
            groups.append(_tag_group("Service", own))
        head = self._head | {
            "tags": tags,
            "x-tagGroups": groups,
            "security": SHARED["security"],
        }
        yield dumps(head)[:-1] + ',"paths":'
        yield from _objects(self._paths())
        yield ',"components":'
        yield from _objects(self._components().items())
        yield "}"

    def _paths(self) -> Iterator[tuple[str, Json]]:
        for fragment in self._fragments:
            name = fragment.tag["name"]
            for workspace in self._access.workspaces_of(name, self._workspaces):
                yield from self._usable(
                    _placed(fragment.paths, workspace), name, workspace
                )
        if self._with_service:
            yield from self._usable(service_paths())

    def _usable(
        self, paths: Json, collection: str = "", workspace: str = ""
    ) -> Iterator[tuple[str, Json]]:
        """Yield the paths with those operations, as text, that the caller may use: on
        a collection in a workspace, or on anything at all."""
        for path, item in paths.items():
            texts = {
                method: dumps(operation)
                for method, operation in item.items()
                if self._allows(method, path, collection, workspace)
            }
            for text in texts.values():
                self._used.update(_references(text))
            if texts:
                yield path, texts

    def _allows(self, method: str, path: str, collection: str, workspace: str) -> bool:
        route = _route_of(method, path)
        if route.level is None:
            return True
        if collection:
            return self._access.allows(route.level, collection, workspace)
        if route.reach is Reach.EVERYTHING:
            return self._access.allows(route.level)
        return self._access.allows_some(route.level)

    def _components(self) -> dict[str, Json]:
        """Return the texts of the components that the paths lead to, by kind."""
        known = _shared_components()
        known["schemas"].update(_texts(request_schemas()))
        for fragment in self._fragments:
            known["schemas"].update(fragment.schemas)
            known["parameters"].update(fragment.parameters)
            known["responses"].update(fragment.responses)
        used = _closure(self._used, known)
        found = {
            kind: {name: text for name, text in texts.items() if (kind, name) in used}
            for kind, texts in known.items()
        }
        found["securitySchemes"] = _texts(SHARED["securitySchemes"])
        return {kind: texts for kind, texts in found.items() if texts}


def _tag_group(name: str, tags: list[Json]) -> Json:
    names = [tag["name"] for tag in tags]
    return {
        "name": name,
        "tags": names,
    }


def _references(text: str) -> set[ComponentName]:
    """Return the components that a text refers to."""
    return set(_REFERENCE.findall(text))


def _closure(
    used: Iterable[ComponentName], known: Mapping[str, Json]
) -> set[ComponentName]:
    """Return the components that ``used`` leads to, themselves included."""
    reached: set[ComponentName] = set()
    waiting = set(used)
    while waiting:
        kind, name = waiting.pop()
        reached.add((kind, name))
        waiting |= _references(known[kind][name]) - reached
    return reached


def _shared_components() -> dict[str, Json]:
    own = {name: response(name) for name in SHARED["responses"]}
    return {
        "schemas": _texts(SHARED["schemas"]),
        "responses": _texts(own | problem_components()),
        "parameters": _texts(SHARED["parameters"]),
        "headers": _texts(SHARED["headers"]),
    }


def _objects(members: Iterable[tuple[str, Json]]) -> Iterator[str]:
    """Yield an object of objects whose members are texts."""
    separator = "{"
    for name, inner in members:
        yield f"{separator}{dumps(name)}:{{"
        for number, (key, text) in enumerate(inner.items()):
            yield f"{',' if number else ''}{dumps(key)}:{text}"
        yield "}"
        separator = ","
    yield "{}" if separator == "{" else "}"


def _placed(paths: Json, workspace: str) -> Json:
    """Return the paths of a collection as they are in a workspace."""
    if not workspace:
        return paths
    prefix = workspace.replace("-", "_")
    return {
        f"/workspaces/{workspace}{path}": {
            method: operation | {"operationId": f"{prefix}_{operation['operationId']}"}
            for method, operation in item.items()
        }
        for path, item in paths.items()
    }


def _route_of(method: str, path: str) -> Route:
    """Return the route behind a path, that of a collection too."""
    _, inside, below = path.partition("/api/")
    if inside and not path.startswith(WORKSPACE):
        _, *segments = below.split("/")
        if segments[-2:-1] == ["commands"]:
            segments[-1] = "{command}"
        path = "/".join([COLLECTION, *segments])
    return BY_METHOD_AND_PATH[method.upper(), path]
