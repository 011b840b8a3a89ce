"""Target: the collection, record and command that a request addresses."""

from dataclasses import dataclass

from persist.api.requests import Request
from persist.domain.collection import Collection
from persist.domain.entity_type import EntityType
from persist.storage.layout import Layout
from persist.storage.writes.unit_of_work import RecordKey, UnitOfWork


@dataclass(slots=True)
class Target:
    """The target of a request: a collection in a workspace, ``""`` the default one; the
    id of a record and the name of a command if the path has them."""

    layout: Layout
    type: EntityType
    workspace: str
    id: str
    command: str

    @property
    def path(self) -> str:
        """The path of the collection."""
        workspace = f"/workspaces/{self.workspace}" if self.workspace else ""
        return f"{workspace}/api/{self.type.name}"

    @property
    def record_path(self) -> str:
        """The path of the record."""
        return f"{self.path}/{self.id}"

    @property
    def key(self) -> RecordKey:
        """The record the path names."""
        return RecordKey(self.type.name, self.workspace, self.id)

    def collection(self, work: UnitOfWork, request: Request) -> Collection:
        """Return the collection inside a transaction."""
        return work.collection(self.type, self.workspace, request.origin)
