"""Document: a JSON Schema as JSON, and where its references lead (Core, sections 8 and 9).

References are followed within the document and nowhere else: nothing here could fetch anything.
"""

import json
from collections import defaultdict
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from referencing.jsonschema import DRAFT202012, DynamicAnchor

from app.domain.errors import Violation, pointer
from app.domain.record import to_text, whole

Scope = tuple[str, ...]
"""The resources entered on the way to a schema, outermost first, as far as they matter to a
``$dynamicRef``: those that bring a dynamic anchor of a new name."""

_BASE = "https://schema.invalid/"
_KEYWORDS = ("$ref", "$dynamicRef", "$id")


class Unresolvable(Exception):
    """Why a reference leads nowhere, in a sentence for people."""


class Document:
    """A schema with its own copy of the JSON, numbers as they are stored, and an index of it.

    ``problems`` names every ``$id`` that is no URI reference.
    """

    def __init__(self, schema: Any) -> None:
        self.root = json.loads(to_text(schema), parse_float=lambda text: whole(float(text)))
        self.problems: list[Violation] = []
        self._places: dict[int, str] = {}
        self._bases: dict[int, str] = {}
        self._resources: dict[str, Any] = {_BASE: self.root}
        self._anchors: dict[tuple[str, str], Any] = {}
        self._dynamic_anchors: dict[str, set[str]] = defaultdict(set)
        self._locate(self.root, "")
        self._index(self.root, _BASE)

    def place(self, schema: Any) -> str:
        """The JSON Pointer to a schema of this document."""
        return self._places.get(id(schema), "")

    def scope(self, schema: Any, outer: Scope = ()) -> Scope:
        """The scope within ``schema``, entered from ``outer``."""
        base = self._bases.get(id(schema), _BASE)
        known = {name for each in outer for name in self._dynamic_anchors[each]}
        return outer if self._dynamic_anchors.get(base, set()) <= known else (*outer, base)

    def resolve(self, reference: str, source: Any) -> Any:
        """The schema that ``reference``, in the schema ``source``, leads to; raises ``Unresolvable``."""
        uri, fragment = self._split(reference, source)
        if uri not in self._resources:
            raise Unresolvable(f"{reference} leads out of the schema; only references within it are followed")
        if fragment and not fragment.startswith("/"):
            target = self._anchors.get((uri, fragment))
        else:
            target = _at(self._resources[uri], fragment)
        if isinstance(target, bool) or id(target) in self._bases:
            return target
        raise Unresolvable(f"{reference} leads to no schema; put it under $defs")

    def resolve_dynamically(self, reference: str, source: Any, scope: Scope) -> Any:
        """As ``resolve``, for ``$dynamicRef``: the outermost of the dynamic anchors of that name."""
        target = self.resolve(reference, source)
        uri, name = self._split(reference, source)
        if name not in self._dynamic_anchors.get(uri, ()):
            return target
        outermost = next((each for each in scope if name in self._dynamic_anchors[each]), uri)
        return self._anchors[outermost, name]

    def _split(self, reference: str, source: Any) -> tuple[str, str]:
        base = self._bases[id(source)]
        if reference.startswith("#"):
            return base, unquote(reference[1:])
        try:
            uri, fragment = urldefrag(urljoin(base, reference))
        except ValueError:
            raise Unresolvable(f"{reference} is no URI reference") from None
        return uri, unquote(fragment)

    def _locate(self, value: Any, place: str) -> None:
        self._places[id(value)] = place
        if isinstance(value, dict | list):
            for step, member in value.items() if isinstance(value, dict) else enumerate(value):
                self._locate(member, place + pointer((step,)))

    def _index(self, schema: Any, base: str) -> None:
        if not isinstance(schema, dict):
            return
        try:
            base = urljoin(base, DRAFT202012.id_of(schema) or "")
        except ValueError:
            self.problems.append(Violation(self.place(schema) + "/$id", "must be a URI reference"))
        if "$id" in schema:
            self._resources[base] = schema
        self._bases[id(schema)] = base
        for anchor in DRAFT202012.anchors_in(schema):
            self._anchors[base, anchor.name] = schema
            if isinstance(anchor, DynamicAnchor):
                self._dynamic_anchors[base].add(anchor.name)
        for part in DRAFT202012.subresources_of(schema):
            self._index(part, base)


def _at(value: Any, fragment: str) -> Any:
    """What the JSON Pointer ``fragment`` (RFC 6901) leads to, or None."""
    for part in fragment.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.isdecimal() and name.isascii() and int(name[:9]) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict) and name in value:
            value = value[name]
        else:
            return None
    return value
