"""Graph: every schema of a document as a node that knows what it leads to, and what is
wrong with it.

References are followed within the document and nowhere else: nothing here could fetch
anything.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from jsonschema_rs import Draft202012
from jsonschema_rs import Registry as Compiled
from referencing import Registry
from referencing.exceptions import NoSuchAnchor, PointerToNowhere, Unresolvable
from referencing.jsonschema import DRAFT202012

from persist.domain.errors import Violation, pointer
from persist.domain.record import INT64, dumps, normalize_number
from persist.entity_types.json_schema.engine import PatternRefused, judge, weight

BASE = "https://schema.invalid/"
_ONE = (
    *(
        "not",
        "if",
        "then",
        "else",
        "additionalProperties",
        "propertyNames",
        "items",
        "contains",
    ),
    *("unevaluatedProperties", "unevaluatedItems", "contentSchema"),
)
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_BESIDE = (
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
)
_REFUSED = "is not allowed here"
_DETAILS = {
    **dict.fromkeys(
        ("additionalProperties", "unevaluatedProperties"),
        "is not a member this object may have",
    ),
    **dict.fromkeys(("items", "unevaluatedItems"), "is one item too many"),
}
WHOLE = {"minimum": INT64.start, "maximum": INT64.stop - 1}


class Node:
    """A schema: ``leads`` holds the nodes under each keyword that leads to some,
    ``beside`` those of them for the same value, ``parts`` those that always hold too
    (``$ref`` and ``allOf``).

    ``place`` points into the document, ``detail`` says why nothing fits where the
    schema is ``false``; ``recursive`` schemas lead back to themselves.
    """

    def __init__(self, schema: Any, place: str, detail: str = _REFUSED) -> None:
        self.schema = schema
        self.place = place
        self.detail = detail
        self.leads: dict[str, Any] = {}
        self.price = 1
        self.plain = False
        self.recursive = False
        self.checks: dict[str, Callable[[Any], bool]] = {}
        self.defaulted = False
        self.fillable: dict[str, Any] = {}
        self.fits: Callable[[Any], bool] = lambda _: bool(schema)

    @cached_property
    def beside(self) -> list["Node"]:
        return [node for keyword in _BESIDE for node in self.under(keyword)]

    @cached_property
    def turns(self) -> int:
        """How often the engine looks at what stands beside: again for what it leaves
        unevaluated."""
        return (
            3
            if "unevaluatedProperties" in self.leads or "unevaluatedItems" in self.leads
            else 1
        )

    @property
    def parts(self) -> list["Node"]:
        return [*self.under("$ref"), *self.under("allOf")]

    @property
    def patterns(self) -> list[str]:
        own = (
            [self.schema["pattern"]]
            if isinstance(self.schema, dict) and "pattern" in self.schema
            else []
        )
        return [*own, *self.leads.get("patternProperties", ())]

    @property
    def members(self) -> dict[str, "Node"]:
        members: dict[str, Node] = self.leads.get("properties", {})
        return members

    @property
    def items(self) -> "Node | None":
        return self.leads.get("items")

    @property
    def onward(self) -> list["Node"]:
        return [node for keyword in self.leads for node in self.under(keyword)]

    def under(self, keyword: str) -> Iterable["Node"]:
        """The nodes under a keyword."""
        found = self.leads.get(keyword, ())
        return (
            (found,)
            if isinstance(found, Node)
            else found.values()
            if isinstance(found, dict)
            else found
        )


class Graph:
    """The nodes of a schema that fits the meta-schema of draft 2020-12.

    ``problems`` names references that lead nowhere or in circles: with any, the graph
    is not fit for use. ``refused_patterns`` names patterns beyond the linear engine,
    which assert nothing. ``nodes`` come each after those beside it, ``order`` each
    after all it leads to, loops aside.
    """

    def __init__(self, schema: Any) -> None:
        self.problems: list[Violation] = []
        self.refused_patterns: list[Violation] = []
        self._nodes: dict[int, Node] = {}
        self._anchors: dict[str, list[Node]] = defaultdict(list)
        self._document = json.loads(
            dumps(schema), parse_float=lambda text: normalize_number(float(text))
        )
        self.root = self._node(self._document, "")
        self.base = BASE
        if not self.problems and isinstance(self._document, dict):
            self.base = self._document["$id"] = urljoin(
                BASE, self._document.get("$id", "")
            )
            resource = DRAFT202012.create_resource(self._document)
            self._link(
                self.root,
                Registry()
                .with_resource(self.base, resource)
                .crawl()
                .resolver(self.base),
            )
        every = [self.root, *self._nodes.values()]
        self.nodes, looping = in_order(every, lambda node: node.beside)
        self.problems += [
            Violation(node.place, "refers to itself without end") for node in looping
        ]
        self.order, recursive = in_order(every, lambda node: node.onward)
        for node in recursive:
            node.recursive = True

    def _node(self, schema: Any, place: str, detail: str = _REFUSED) -> Node:
        node = Node(schema, place, detail)
        if isinstance(schema, bool):
            return node
        self._nodes[id(schema)] = node
        self._anchors[schema.get("$dynamicAnchor", "")].append(node)
        try:
            urlsplit(schema.get("$id", ""))
        except ValueError:
            self.problems.append(Violation(f"{place}/$id", "must be a URI reference"))
        for keyword, part in schema.items():
            at = f"{place}/{keyword}"
            if keyword in _ONE:
                node.leads[keyword] = self._node(
                    part, at, _DETAILS.get(keyword, _REFUSED)
                )
            elif keyword in _SEVERAL:
                node.leads[keyword] = [
                    self._node(each, f"{at}/{index}") for index, each in enumerate(part)
                ]
            elif keyword in _NAMED:
                node.leads[keyword] = {
                    name: self._node(each, at + pointer((name,)))
                    for name, each in part.items()
                }
        self._make_strict(node)
        node.fits = self._compiling(node)
        return node

    def _make_strict(self, node: Node) -> None:
        """Write into the schema what else it asserts here: integers within 64 bits,
        patterns linear."""
        schema, types = node.schema, node.schema.get("type", ())
        if (
            "integer" in ([types] if isinstance(types, str) else types)
            and "number" not in types
        ):
            schema["allOf"] = [*schema.get("allOf", ()), WHOLE]
        schema.pop("dependencies", None)  # the draft knows it no more, the engine does
        if "pattern" in schema and not self._weigh(
            schema["pattern"], f"{node.place}/pattern"
        ):
            del schema["pattern"]
        named = "patternProperties"
        for text in list(schema.get(named, ())):
            if not self._weigh(text, node.place + pointer((named, text))):
                del schema[named][text], node.leads[named][text]

    def _weigh(self, text: str, place: str) -> int:
        try:
            return weight(text)
        except PatternRefused as why:
            self.refused_patterns.append(Violation(place, str(why)))
            return 0

    def _link(self, node: Node, resolver: Any) -> None:
        if isinstance(node.schema, bool):
            return
        resolver = resolver.in_subresource(DRAFT202012.create_resource(node.schema))
        for below in node.onward:
            self._link(below, resolver)
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in node.schema:
                node.leads[keyword] = self._referred(keyword, node, resolver)

    def _referred(self, keyword: str, node: Node, resolver: Any) -> list[Node]:
        reference = node.schema[keyword]
        why = "leads to no schema; put it under $defs"
        try:
            found = resolver.lookup(reference).contents
            if isinstance(found, bool):
                return [Node(found, node.place, node.detail)]
            target = self._nodes[id(found)]
        except (NoSuchAnchor, PointerToNowhere, KeyError, ValueError, TypeError):
            pass
        except Unresolvable:
            why = "leads out of the schema; only references within it are followed"
        else:
            anchor = target.schema.get("$dynamicAnchor")
            dynamic = (
                keyword == "$dynamicRef"
                and anchor
                and urldefrag(reference).fragment == anchor
            )
            return self._anchors[anchor] if dynamic else [target]
        self.problems.append(Violation(f"{node.place}/{keyword}", f"{reference} {why}"))
        return []

    def _compiling(self, node: Node) -> Callable[[Any], bool]:
        """Whether a value fits a node; it is compiled when it is first asked."""

        def fits(value: Any) -> bool:
            node.fits = judge(
                {"$ref": f"{self.base}#{quote(node.place)}"}, self._registry
            )
            return node.fits(value)

        return fits

    @cached_property
    def _registry(self) -> Compiled:
        return Compiled([(self.base, self._document)], draft=Draft202012)


def in_order(
    nodes: Iterable[Node], onward: Callable[[Node], Iterable[Node]]
) -> tuple[list[Node], dict[Node, None]]:
    """The nodes, each after those it leads to; and nodes that lead back to
    themselves."""
    order: dict[Node, None] = {}
    looping: dict[Node, None] = {}
    for start in nodes:
        path: dict[Node, Iterator[Node]] = (
            {} if start in order else {start: iter(onward(start))}
        )
        while path:
            following = next(next(reversed(path.values())), None)
            if following is None:
                order[path.popitem()[0]] = None
            elif following in path:
                looping[following] = None
            elif following not in order:
                path[following] = iter(onward(following))
    return list(order), looping
