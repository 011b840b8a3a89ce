"""Resources: the routes as a tree of path segments, in which requests are looked up."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from persist.api.routes import FASTAPI_ROUTES, Route


@dataclass
class Resource:
    """The routes of one path by method, and the resources below it. With
    ``covers_below`` they serve every path below it, too."""

    path: str
    routes: dict[str, Route] = field(default_factory=dict)
    children: dict[str, "Resource"] = field(default_factory=dict)
    parameter: "Resource | None" = None
    parameter_name: str = ""
    covers_below: bool = False

    @property
    def methods(self) -> list[str]:
        """The methods that are allowed."""
        return sorted({*self.routes, "OPTIONS"})

    def match(self, segments: Iterable[str]) -> "Match | None":
        """Return the resource that the segments of a path lead to, with the values of
        its parameters; None if there is none. A literal segment comes first."""
        resource: Resource = self
        values: dict[str, str] = {}
        for segment in segments:
            if resource.covers_below:
                break
            child = resource.children.get(segment)
            if child is None:
                child = resource.parameter
                if child is None:
                    return None
                values[resource.parameter_name] = segment
            resource = child
        return resource, values


Match = tuple[Resource, dict[str, str]]
"""A resource, and the values of the parameters of its path."""


def tree_of(routes: Iterable[Route], root: str) -> Resource:
    """Return the resources below the path ``root``. HEAD works wherever GET does."""
    top = Resource(root)
    for route in routes:
        resource = top
        for segment in route.path.removeprefix(root).split("/")[1:]:
            resource = _child(resource, segment)
        resource.routes[route.method] = route
        if route.method == "GET":
            resource.routes["HEAD"] = route
    return top


def _child(parent: Resource, segment: str) -> Resource:
    path = f"{parent.path}/{segment}"
    if not segment.startswith("{"):
        return parent.children.setdefault(segment, Resource(path))
    if parent.parameter is None:
        name, _, kind = segment.strip("{}").partition(":")
        parent.parameter = Resource(path, covers_below=kind == "path")
        parent.parameter_name = name
    return parent.parameter


FASTAPI_TREE = tree_of(FASTAPI_ROUTES, "")
"""The resources that FastAPI's routes answer for."""
