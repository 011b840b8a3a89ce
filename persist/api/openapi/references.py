"""Where the references of a JSON Schema lead: by pointer, anchor or ``$id``, within the
schema and nowhere else (JSON Schema Core, sections 8.2 and 9)."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

_BASE = "https://schema.invalid/"


class References:
    """The references of one schema."""

    def __init__(self, root: Any) -> None:
        self._resources: dict[str, Any] = {_BASE: root}
        self._bases: dict[int, str] = {}
        self._index(root, _BASE)

    def target(self, source: Mapping[str, Any], reference: str) -> Any:
        """Return the schema that a reference in ``source`` leads to, None where there
        is none."""
        base = self._bases.get(id(source), _BASE)
        address, fragment = urldefrag(urljoin(base, reference))
        if fragment and not fragment.startswith("/"):
            return self._resources.get(f"{address}#{unquote(fragment)}")
        return _at(self._resources.get(address), unquote(fragment))

    def _index(self, root: Any, base: str) -> None:
        waiting = [(root, base)]
        while waiting:
            value, base = waiting.pop()
            if isinstance(value, Mapping):
                base = self._register(value, base)
            waiting += [(inner, base) for inner in _inside(value)]

    def _register(self, schema: Mapping[str, Any], base: str) -> str:
        """Note where a schema can be found; return the base of what is inside it."""
        identifier = schema.get("$id")
        if isinstance(identifier, str):
            base = urldefrag(urljoin(base, identifier)).url
            self._resources.setdefault(base, schema)
        self._bases[id(schema)] = base
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(keyword), str):
                self._resources.setdefault(f"{base}#{schema[keyword]}", schema)
        return base


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _at(resource: Any, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) leads to, None where there is nothing."""
    target = resource
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list):
            position = int(name) if name.isdigit() else len(target)
            target = target[position] if position < len(target) else None
        else:
            target = target.get(name) if isinstance(target, Mapping) else None
    return target
