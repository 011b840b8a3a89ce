"""The operations of one collection in OpenAPI: sections 3 to 5 of the contract, spelled
out for its type."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from persist.api.openapi.components import Json, ref
from persist.api.openapi.examples import example_data, example_lines, example_payload
from persist.api.openapi.filters import filter_parameters, selection_parameters
from persist.api.openapi.parameters import parameter
from persist.api.openapi.problems import problem_responses
from persist.api.openapi.responses import (
    JSON,
    NDJSON,
    collection_responses,
    response,
    sequence,
)
from persist.api.openapi.schemas import collection_schemas
from persist.domain.command import Command
from persist.domain.entity_type import EntityType
from persist.domain.errors import pointer
from persist.domain.record import Data

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_ID, _REQUEST_ID = parameter("id"), parameter("X-Request-ID")
_WRITE = [parameter(name) for name in ("dry_run", "Idempotency-Key", "Prefer")]
_CHANGE = [_ID, *_WRITE, parameter("If-Match"), parameter("If-None-Match")]
_NO_CONTENT = {"204": response("no-content")}


@dataclass(frozen=True)
class Fragment:
    """What one collection adds to the document; shared values, not to be changed."""

    tag: Json
    paths: Json
    schemas: Json
    parameters: Json
    responses: Json


def collection_fragment(type: EntityType) -> Fragment:
    """The paths of a collection, and the components of its own."""
    example = example_data(type)
    filters = filter_parameters(type)
    return Fragment(
        tag={"name": type.name, "description": type.description},
        paths=_Operations(type, example, [parameter(name) for name in filters]).paths(),
        schemas=collection_schemas(type, example),
        parameters=selection_parameters(type) | filters,
        responses=collection_responses(type),
    )


@dataclass(frozen=True)
class _Operations:
    type: EntityType
    example: Data | None
    filters: list[Json]

    def paths(self) -> Json:
        root = f"/api/{self.type.name}"
        return {
            root: {
                "get": self.list(),
                "post": self.create(),
                "delete": self.delete_matching(),
            },
            f"{root}/commands": {"get": self.commands()},
            **{
                f"{root}/commands/{command.name}": {
                    "post": self.invoke_matching(command)
                }
                for command in self.type.commands.values()
            },
            f"{root}/export": {"get": self.export()},
            f"{root}/import": {"post": self.import_lines()},
            f"{root}/{{id}}": {
                "get": self.get(),
                "put": self.replace(),
                "patch": self.patch(),
                "delete": self.delete(),
            },
            f"{root}/{{id}}/history": {
                "get": self.history(),
                "delete": self.erase_history(),
            },
            **{
                f"{root}/{{id}}/commands/{command.name}": {"post": self.invoke(command)}
                for command in self.type.commands.values()
            },
        }

    def list(self) -> Json:
        controls = [parameter(name) for name in ("limit", "cursor", "count", "filter")]
        return self._operation(
            "list",
            "List records",
            {"200": self._own("page")},
            [*self._selection(), *controls, *self.filters],
        )

    def create(self) -> Json:
        answers = {"200": self._own("record"), "201": self._own("created")}
        return self._operation(
            "create", "Create a record", answers, _WRITE, self._data()
        )

    def delete_matching(self) -> Json:
        controls = [parameter("max_affected"), parameter("filter.example")]
        return self._operation(
            "deleteMatching",
            "Delete the records that match",
            {"200": response("deleted"), **_NO_CONTENT},
            [*controls, *_WRITE, *self.filters],
            description="At least one filter is required.",
            kind="delete_matching",
        )

    def get(self) -> Json:
        answers = {"200": self._own("read"), "304": response("not-modified")}
        return self._operation(
            "get",
            "Read a record",
            answers,
            [_ID, parameter("revision"), parameter("If-None-Match")],
        )

    def replace(self) -> Json:
        answers = {
            "200": self._own("record"),
            "201": self._own("created"),
            **_NO_CONTENT,
        }
        summary = "Replace a record, or create it under an id of your own"
        return self._operation("replace", summary, answers, _CHANGE, self._data())

    def patch(self) -> Json:
        part = self._part()
        merge = (self._ref("MergePatch"), part)
        steps = [
            {"op": "add", "path": pointer([name]), "value": value}
            for name, value in part.items()
        ]
        return self._operation(
            "patch",
            "Change a part of a record",
            {"200": self._own("record"), **_NO_CONTENT},
            _CHANGE,
            _body(
                {MERGE_PATCH: merge, JSON: merge, JSON_PATCH: (ref("JsonPatch"), steps)}
            ),
            description="By RFC 7396 (JSON Merge Patch) or RFC 6902 (JSON Patch).",
        )

    def delete(self) -> Json:
        answers = {"200": response("deleted"), **_NO_CONTENT}
        description = "Its history stays readable."
        return self._operation(
            "delete", "Delete a record", answers, _CHANGE, description=description
        )

    def history(self) -> Json:
        return self._operation(
            "history",
            "List the changes of a record, newest first",
            {"200": self._own("history")},
            [_ID, parameter("limit"), parameter("cursor")],
            description="Deleted records have theirs, too.",
        )

    def erase_history(self) -> Json:
        return self._operation(
            "eraseHistory",
            "Erase the data and payloads of a record's changes",
            {"200": response("erased"), **_NO_CONTENT},
            _CHANGE,
            description=(
                "Their envelopes stay, and the record as it is; snapshots keep what"
                " they hold. Deleted records have a history, too."
            ),
            kind="erase_history",
        )

    def import_lines(self) -> Json:
        lines = None if self.example is None else example_lines(self.type, self.example)
        return self._operation(
            "import",
            "Create many records",
            {"200": response("imported"), **_NO_CONTENT},
            _WRITE,
            _body({NDJSON: (sequence(self._ref("Data")), lines)}, required=False),
            description=f"One `{self.type.name}.Data` a line; all of them or none.",
            kind="import_records",
        )

    def export(self) -> Json:
        taken = [*self._selection(), parameter("filter"), *self.filters]
        return self._operation(
            "export", "Export records", {"200": self._own("exported")}, taken
        )

    def commands(self) -> Json:
        return self._operation(
            "commands", "List the commands", {"200": response("commands")}
        )

    def invoke(self, command: Command) -> Json:
        return self._operation(
            f"invoke{command.name[0].upper()}{command.name[1:]}",
            _summary(command),
            {"200": self._own("invocation"), **_NO_CONTENT},
            _CHANGE,
            self._payload(command),
            description=command.description,
            kind="invoke",
        )

    def invoke_matching(self, command: Command) -> Json:
        controls = [
            parameter(name)
            for name in ("filter.example", "max_affected.invoke", "atomic")
        ]
        return self._operation(
            f"invokeAll{command.name[0].upper()}{command.name[1:]}",
            f"{_summary(command)}: all records that match",
            {"200": response("invoked"), **_NO_CONTENT},
            [*controls, *_WRITE, *self.filters],
            self._payload(command),
            description=(
                "Each record by itself, in one transaction; the answer tells what"
                " became of each."
            ),
            kind="invoke_all",
        )

    def _payload(self, command: Command) -> Json:
        schema = command.payload_schema
        payload = (
            self._ref(f"{command.name}.Payload"),
            example_payload(command, self._part()),
        )
        return _body(
            {JSON: payload},
            required=bool(schema.get("required") or schema.get("minProperties")),
        )

    def _operation(
        self,
        name: str,
        summary: str,
        answers: Json,
        parameters: Iterable[Json] = (),
        body: Json | None = None,
        *,
        description: str = "",
        kind: str = "",
    ) -> Json:
        problems = problem_responses(kind or name)
        return {
            "tags": [self.type.name],
            "operationId": f"{self.type.name.replace('-', '_')}_{name}",
            "summary": summary,
            "description": description,
            "parameters": [*parameters, _REQUEST_ID],
            **({} if body is None else {"requestBody": body}),
            "responses": answers | problems,
        }

    def _part(self) -> Data:
        """One member of the example, not a unique one where there is a choice."""
        unique = {path for group in self.type.unique for path in group}
        members = sorted(
            (self.example or {}).items(), key=lambda member: member[0] in unique
        )
        return dict(members[:1])

    def _data(self) -> Json:
        return _body({JSON: (self._ref("Data"), self.example)})

    def _ref(self, schema: str) -> Json:
        return ref(f"{self.type.name}.{schema}")

    def _own(self, answer: str) -> Json:
        return response(f"{self.type.name}.{answer}")

    def _selection(self) -> Iterable[Json]:
        return (parameter(f"{self.type.name}.{name}") for name in ("sort", "fields"))


def _summary(command: Command) -> str:
    return command.description.partition("\n")[0].rstrip(".") or command.name


def _body(contents: dict[str, tuple[Json, Any]], *, required: bool = True) -> Json:
    content = {
        type: (
            {"schema": schema}
            if example is None
            else {"schema": schema, "example": example}
        )
        for type, (schema, example) in contents.items()
    }
    return {"required": required, "content": content}
