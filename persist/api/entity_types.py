"""Entity types over HTTP: registering, evolving, reading and deleting them."""

import asyncio
from hashlib import sha256

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.query_params import dry_run_of
from persist.api.request_bodies import documented, json_object
from persist.api.requests import Request
from persist.api.responses import Response, deleted_response, json_response
from persist.api.write_requests import (
    Write,
    Writes,
    parse_nothing,
    retry_on_stale_schema,
)
from persist.domain.access import Level
from persist.domain.errors import (
    EntityTypeNotFound,
    InvalidSchema,
    PreconditionFailed,
)
from persist.domain.precondition import Precondition
from persist.domain.record import Json, dumps
from persist.entity_types.definition import DEFINITION, FILL
from persist.storage.database import Database
from persist.storage.entity_types.definitions import StoredDefinition, current_of
from persist.storage.entity_types.registration import Prepared, Registered, Registration
from persist.storage.entity_types.registration_plan import Action, Source
from persist.storage.writes.unit_of_work import UnitOfWork
from persist.storage.writes.writer import Isolation

BODY = documented(
    DEFINITION,
    {
        "schema": {
            "title": "Note",
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {
                "text": {"type": "string"},
                "pinned": {"type": "boolean", "default": False},
            },
        },
        "indexes": [["pinned"]],
        "commands": {"pin": {"when": "!data.pinned", "set": {"pinned": "true"}}},
    },
)


class EntityTypeRoutes:
    """The handlers of the routes of registered entity types."""

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes
        self._registration = Registration(database)

    async def list_entity_types(self, request: AuthorizedRequest) -> Json:
        """Return the current definitions that the caller administers."""
        current = await self._database.read(lambda reader: reader.definitions.current())
        items = [
            described(version)
            for version in current
            if request.access.allows(Level.ADMIN, version.name)
        ]
        return {"items": items}

    async def read_entity_type(self, name: str, request: AuthorizedRequest) -> Response:
        """Return the current definition, with its entity tag."""
        versions = await self._versions(name)
        current = next(version for version in versions if version.current)
        return json_response(described(current), headers=[_etag(current)])

    async def list_entity_type_versions(
        self, name: str, request: AuthorizedRequest
    ) -> Json:
        """Return the definitions of all schema versions."""
        return {"items": [described(version) for version in await self._versions(name)]}

    async def read_entity_type_version(
        self, name: str, number: str, request: AuthorizedRequest
    ) -> Json:
        """Return the definition of one schema version."""
        for version in await self._versions(name):
            if str(version.schema_version) == number:
                return described(version)
        raise EntityTypeNotFound(f"{name} never had a schema version {number[:80]}")

    async def _versions(self, name: str) -> list[StoredDefinition]:
        """Return all versions. Raises ``EntityTypeNotFound``."""
        versions = await self._database.read(
            lambda reader: reader.definitions.versions(name)
        )
        if not any(version.current for version in versions):
            raise EntityTypeNotFound(
                f"there is no registered entity type {name[:80]!r}; GET /entity-types"
                " lists them"
            )
        return versions

    async def register_entity_type(
        self, name: str, request: AuthorizedRequest
    ) -> Response:
        """Register an entity type, or evolve it."""
        dry_run = dry_run_of(request.query)
        precondition = request.precondition()
        body = await request.body()
        response = await retry_on_stale_schema(
            self._database,
            lambda: self._register(name, request, body, precondition, dry_run),
        )
        await self._database.refresh()
        return response

    async def _register(
        self,
        name: str,
        request: Request,
        body: bytes,
        precondition: Precondition,
        dry_run: bool,
    ) -> Response:
        async with self._registration.staging() as staging:

            async def parse() -> Prepared:
                definition = await asyncio.to_thread(
                    json_object, body, InvalidSchema, any_number=True
                )
                return await self._registration.prepare(
                    name, definition, Source.CLIENT, staging, request.origin
                )

            def run(work: UnitOfWork, prepared: Prepared) -> Registered:
                # It runs only if this is still the current definition.
                _check(precondition, name, prepared.plan.current)
                return prepared.run(work)

            location = request.url_path(f"/entity-types/{name}")
            write = Write(
                parse=parse,
                run=run,
                render=lambda registered: _registered_response(registered, location),
                body=body,
                isolation=Isolation.EXCLUSIVE,
                dry_run=dry_run,
                staging=staging,
            )
            return await self._writes.perform(request, write)

    async def delete_entity_type(
        self, name: str, request: AuthorizedRequest
    ) -> Response:
        """Delete an entity type whose collection is empty."""
        dry_run = dry_run_of(request.query)
        precondition = request.precondition()
        delete = self._registration.delete(name)

        def run(work: UnitOfWork, _: None) -> None:
            current = current_of(work.definitions.versions(name))
            if current is not None:
                _check(precondition, name, current)
            delete(work)

        write = Write(
            parse=parse_nothing,
            run=run,
            render=lambda _: deleted_response(dry_run=dry_run),
            isolation=Isolation.EXCLUSIVE,
            dry_run=dry_run,
        )
        return await self._writes.perform(request, write)


def _registered_response(registered: Registered, location: str) -> Response:
    plan = registered.plan
    value = described(plan.target)
    value["migrated"] = registered.migrated
    value["warnings"] = [
        {"pointer": pointer, "detail": detail} for pointer, detail in plan.warnings
    ]
    headers = [_etag(plan.target)]
    if plan.action is not Action.CREATE:
        return json_response(value, headers=headers)
    return json_response(value, 201, [*headers, (b"location", location.encode())])


def _etag(version: StoredDefinition) -> tuple[bytes, bytes]:
    """Return the header with the entity tag of a definition: its version and a hash,
    since commands and indexes change within a version."""
    digest = sha256(dumps(described(version)).encode()).hexdigest()
    return b"etag", f'"{version.schema_version}-{digest[:16]}"'.encode()


def _check(
    precondition: Precondition, name: str, current: StoredDefinition | None
) -> None:
    """Raise ``PreconditionFailed`` unless the current definition, None if there is
    none, is one that the request requires."""
    tag = None if current is None else _etag(current)[1].decode()
    if precondition.if_match and (tag is None or not precondition.if_match_names(tag)):
        header = "If-Match"
    elif tag and precondition.if_none_match and precondition.if_none_match_names(tag):
        header = "If-None-Match"
    else:
        return
    state = f"its definition is at {tag}" if tag else "there is no such entity type"
    raise PreconditionFailed(
        f"{header} does not hold for {name}: {state}; read it and try again",
        revision=None,
    )


def described(version: StoredDefinition) -> Json:
    """Return a version of a definition as clients see it: with ``source_schema`` if
    the schema that was sent had to be converted."""
    definition = version.definition
    source = {key: definition[key] for key in ("source_schema",) if key in definition}
    return {
        "name": version.name,
        "schema_version": version.schema_version,
        "current": version.current,
        "schema": definition["schema"],
        **source,
        "defaults": definition.get("defaults", FILL),
        "unique": definition["unique"],
        "indexes": definition["indexes"],
        "commands": definition["commands"],
        "migration": definition["steps"],
    }
