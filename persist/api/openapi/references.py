"""Where the references of a JSON Schema lead: by pointer, anchor or ``$id``, within the
schema and nowhere else (JSON Schema Core, sections 8.2 and 9)."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from persist.domain.errors import steps_of

Schema = Mapping[str, Any]

_BASE = "https://schema.invalid/"


class References:
    """The references of one schema."""

    def __init__(self, root: object) -> None:
        self._resources: dict[str, object] = {}
        self._bases: dict[int, str] = {}
        self._resources[_BASE] = root
        self._index(root)

    def target(self, source: Schema, reference: str) -> Any:
        """Return the schema that a reference in ``source`` leads to, or None."""
        key = id(source)
        base = self._bases.get(key, _BASE)
        absolute = urljoin(base, reference)
        address, encoded = urldefrag(absolute)
        fragment = unquote(encoded)
        if _is_pointer(encoded):
            resource = self._resources.get(address)
            return _at(resource, fragment)
        anchor = f"{address}#{fragment}"
        return self._resources.get(anchor)

    def _index(self, root: object) -> None:
        waiting = [(root, _BASE)]
        while waiting:
            value, base = waiting.pop()
            if isinstance(value, Mapping):
                base = self._register(value, base)
            inside = _inside(value)
            waiting.extend((inner, base) for inner in inside)

    def _register(self, schema: Schema, base: str) -> str:
        """Note where a schema can be found; return the base of what is inside it."""
        identifier = schema.get("$id")
        if isinstance(identifier, str):
            absolute = urljoin(base, identifier)
            base = urldefrag(absolute).url
            self._resources.setdefault(base, schema)
        key = id(schema)
        self._bases[key] = base
        self._register_anchors(schema, base)
        return base

    def _register_anchors(self, schema: Schema, base: str) -> None:
        for keyword in ("$anchor", "$dynamicAnchor"):
            anchor = schema.get(keyword)
            if isinstance(anchor, str):
                address = f"{base}#{anchor}"
                self._resources.setdefault(address, schema)


def _is_pointer(fragment: str) -> bool:
    return not fragment or fragment.startswith("/")


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list):
        return value
    return ()


def _at(resource: object, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) leads to, None where there is nothing."""
    target = resource
    for step in steps_of(pointer):
        target = _member(target, step)
    return target


def _member(value: object, name: str) -> object:
    """Return a member of an object, or an item of a list by its index."""
    if isinstance(value, Mapping):
        return value.get(name)
    is_index = name.isdigit()
    if not isinstance(value, list) or not is_index:
        return None
    index = int(name)
    length = len(value)
    if index < length:
        return value[index]
    return None
