"""Entity types over HTTP: registering, evolving, reading and deleting them."""

import asyncio
from contextlib import closing
from typing import Any

from persist.api.query_params import dry_run_of
from persist.api.request_bodies import documented
from persist.api.requests import Request, json_object
from persist.api.responses import Response, deleted_response, json_response
from persist.api.routers import Asked
from persist.api.write_requests import Write, Writes, nothing, retry_on_stale_schema
from persist.domain.access import Level
from persist.domain.errors import EntityTypeNotFound, InvalidSchema
from persist.entity_types.definition import DEFINITION, FILL
from persist.storage.database import Database
from persist.storage.definitions import StoredDefinition
from persist.storage.registration import Prepared, Registered, Registration
from persist.storage.registration_plan import Action, Source
from persist.storage.staging import Staging
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

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

    async def list_entity_types(self, request: Asked) -> dict[str, Any]:
        """Return the current definitions that the caller administers."""
        current = await self._database.read(lambda reader: reader.definitions.current())
        items = [
            described(version)
            for version in current
            if request.access.allows(Level.ADMIN, version.name)
        ]
        return {"items": items}

    async def read_entity_type(self, name: str, request: Asked) -> dict[str, Any]:
        """Return the current definition."""
        versions = await self._versions(name)
        return described(next(version for version in versions if version.current))

    async def list_entity_type_versions(
        self, name: str, request: Asked
    ) -> dict[str, Any]:
        """Return the definitions of all schema versions."""
        return {"items": [described(version) for version in await self._versions(name)]}

    async def read_entity_type_version(
        self, name: str, number: str, request: Asked
    ) -> dict[str, Any]:
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

    async def register_entity_type(self, name: str, request: Asked) -> Response:
        """Register an entity type, or evolve it."""
        dry_run = dry_run_of(request.query)
        body = await request.body()
        response = await retry_on_stale_schema(
            self._database, lambda: self._register(name, request, body, dry_run)
        )
        await self._database.refresh()
        return response

    async def _register(
        self, name: str, request: Request, body: bytes, dry_run: bool
    ) -> Response:
        with closing(Staging(self._database.dialect)) as staging:

            async def parse() -> Prepared:
                definition = await asyncio.to_thread(
                    json_object, body, InvalidSchema, any_number=True
                )
                return await self._registration.prepare(
                    name, definition, Source.CLIENT, staging, request.origin
                )

            def run(work: UnitOfWork, prepared: Prepared) -> Registered:
                return prepared.run(work)

            location = request.address(f"/entity-types/{name}")
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

    async def delete_entity_type(self, name: str, request: Asked) -> Response:
        """Delete an entity type whose collection is empty."""
        dry_run = dry_run_of(request.query)
        delete = self._registration.delete(name)

        def run(work: UnitOfWork, _: None) -> None:
            delete(work)

        write = Write(
            parse=nothing,
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
    if plan.action is not Action.CREATE:
        return json_response(value)
    return json_response(value, 201, [(b"location", location.encode())])


def described(version: StoredDefinition) -> dict[str, Any]:
    """Return a version of a definition as clients see it: with ``source_schema`` where
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
