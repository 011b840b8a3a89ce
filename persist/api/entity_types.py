"""Entity types over HTTP: registering, evolving, looking at and deleting them."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from persist.api.documented_bodies import documented
from persist.api.fastapi_errors import Asked
from persist.api.query_params import controls, flag, pairs_of
from persist.api.requests import Request, json_object
from persist.api.responses import Answer, json_answer
from persist.api.write_requests import Writes
from persist.domain.access import Level
from persist.domain.errors import EntityTypeNotFound, InvalidSchema, Unavailable
from persist.entity_types.definition import DEFINITION
from persist.storage.catalog import Stale
from persist.storage.database import Database
from persist.storage.definitions import StoredDefinition
from persist.storage.registration import Prepared, Registration
from persist.storage.registration_plan import Action, Source
from persist.storage.unit_of_work import UnitOfWork
from persist.storage.writer import Isolation

ATTEMPTS = 10
"""How often a registration is prepared anew because another one came first."""

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


def entity_type_router(database: Database, writes: Writes) -> APIRouter:  # noqa: C901 - a list of routes
    """The routes of registered entity types."""
    router = APIRouter(tags=["entity types"], prefix="/entity-types")
    registration = Registration(database)

    async def versions_of(name: str, request: Request) -> list[StoredDefinition]:
        request.access.require(Level.ADMIN, name)
        found = await database.read(lambda reader: reader.definitions.versions(name))
        if not any(version.current for version in found):
            raise EntityTypeNotFound(
                f"there is no registered entity type {name[:80]!r}; GET /entity-types"
                " lists them"
            )
        return found

    @router.get("", summary="All registered entity types")
    async def index(request: Asked) -> dict[str, Any]:
        request.access.require_some(Level.ADMIN)
        current = await database.read(lambda reader: reader.definitions.current())
        seen = [
            version
            for version in current
            if request.access.allows(Level.ADMIN, version.name)
        ]
        return {"items": [shown(version) for version in seen]}

    @router.get("/{name}", summary="The current definition")
    async def read(name: str, request: Asked) -> dict[str, Any]:
        return shown(
            next(
                version
                for version in await versions_of(name, request)
                if version.current
            )
        )

    @router.get("/{name}/versions", summary="Every schema version it ever had")
    async def versions(name: str, request: Asked) -> dict[str, Any]:
        return {
            "items": [shown(version) for version in await versions_of(name, request)]
        }

    @router.get(
        "/{name}/versions/{number}", summary="The definition of one schema version"
    )
    async def version(name: str, number: str, request: Asked) -> dict[str, Any]:
        for found in await versions_of(name, request):
            if str(found.schema_version) == number:
                return shown(found)
        raise EntityTypeNotFound(f"{name} never had a schema version {number[:80]}")

    @router.put(
        "/{name}",
        summary="Register an entity type, or evolve it",
        openapi_extra=BODY,
        status_code=201,
    )
    async def put(name: str, request: Asked) -> Response:
        request.access.require(Level.ADMIN, name)
        dry_run = _dry_run(request)
        body = await request.body()
        definition = json_object(body, InvalidSchema)
        for _ in range(ATTEMPTS):
            try:
                with closing(
                    await registration.prepare(name, definition, Source.CLIENT)
                ) as prepared:
                    operation = _registering(prepared, request)
                    answer = await writes.perform(
                        request,
                        operation,
                        body=body,
                        isolation=Isolation.EXCLUSIVE,
                        dry_run=dry_run,
                    )
                await database.refresh()
                return sent(answer)
            except Stale:
                continue
        raise Unavailable("others keep changing this entity type; try again")

    @router.delete(
        "/{name}",
        summary="Delete an entity type whose collection is empty",
        status_code=204,
    )
    async def delete(name: str, request: Asked) -> Response:
        request.access.require(Level.ADMIN, name)
        dry_run = _dry_run(request)
        operation = registration.delete(name)

        def gone(work: UnitOfWork) -> Answer:
            operation(work)
            return Answer(204, b"", [])

        return sent(
            await writes.perform(
                request, gone, isolation=Isolation.EXCLUSIVE, dry_run=dry_run
            )
        )

    return router


def _registering(
    prepared: Prepared, request: Request
) -> Callable[[UnitOfWork], Answer]:
    def operation(work: UnitOfWork) -> Answer:
        done = prepared.run(work, request.origin)
        body = shown(prepared.plan.target) | {"migrated": done.migrated}
        if done.action is Action.CREATE:
            return json_answer(body, 201, [(b"location", request.path.encode())])
        return json_answer(body)

    return operation


def shown(version: StoredDefinition) -> dict[str, Any]:
    """A version of a definition as clients see it."""
    definition = version.definition
    return {
        "name": version.name,
        "schema_version": version.schema_version,
        "current": version.current,
        "schema": definition["schema"],
        "unique": definition["unique"],
        "indexes": definition["indexes"],
        "commands": definition["commands"],
        "migration": definition["steps"],
    }


def sent(answer: Answer) -> Response:
    """An answer through FastAPI."""
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body or None, answer.status, headers)


def _dry_run(request: Request) -> bool:
    return flag(controls(pairs_of(request.query), ("dry_run",)), "dry_run")
