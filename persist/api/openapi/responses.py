"""Answers in OpenAPI: their headers, those all collections share, and those of one
collection."""

from persist.api.openapi.components import Json, ref
from persist.api.openapi.schemas import TEXT, past_record
from persist.domain.entity_type import EntityType

JSON = "application/json"
NDJSON = "application/x-ndjson"

HEADERS: Json = {
    "ETag": {
        "description": "The record's revision.",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Location": {
        "description": "The record's address.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {"description": 'The next page, `rel="next"` (RFC 8288).', "schema": TEXT},
    "Idempotency-Replayed": {
        "description": (
            "This is the stored answer to an earlier request under the same key."
        ),
        "schema": {"type": "string", "const": "true"},
    },
    "Preference-Applied": {
        "description": "What was done of `Prefer` (RFC 7240).",
        "schema": {"type": "string", "const": "return=minimal"},
    },
    "X-Request-ID": {
        "description": "The request's id.",
        "required": True,
        "schema": TEXT,
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Accept-Patch": {
        "description": "The media types a patch may have (RFC 5789).",
        "schema": TEXT,
    },
}


def headers(*names: str) -> Json:
    """References to headers of the document, the request's id always among them."""
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name in (*names, "X-Request-ID")
    }


def answer(description: str, content: Json, *names: str) -> Json:
    """An answer with a body, and the headers it may have."""
    return {"description": description, "headers": headers(*names), "content": content}


def response(name: str) -> Json:
    """A reference to a response of the document."""
    return {"$ref": f"#/components/responses/{name}"}


def sequence(line: Json) -> Json:
    """The schema of NDJSON: OpenAPI 3.2 has sequential media types described as the
    array of their items."""
    return {"type": "array", "items": line}


def _json(schema: Json) -> Json:
    return {JSON: {"schema": schema}}


def _counted(name: str) -> Json:
    whole = {"type": "integer", "minimum": 0}
    return _json({"type": "object", "required": [name], "properties": {name: whole}})


SHARED: Json = {
    "commands": answer("The commands.", _json(ref("Commands"))),
    "deleted": answer(
        "How many records were deleted.", _counted("deleted"), "Idempotency-Replayed"
    ),
    "erased": answer(
        "With `dry_run`: of how many changes.",
        _counted("erased"),
        "Idempotency-Replayed",
    ),
    "imported": answer(
        "How many records were created.", _counted("created"), "Idempotency-Replayed"
    ),
    "invoked": answer(
        "What became of each record.", _json(ref("Outcomes")), "Idempotency-Replayed"
    ),
    "no-content": {
        "description": "Done; no body.",
        "headers": headers("ETag", "Idempotency-Replayed", "Preference-Applied"),
    },
    "not-modified": {
        "description": "`If-None-Match` names the present revision.",
        "headers": headers("ETag"),
    },
}
"""By component name."""


def collection_responses(type: EntityType) -> Json:
    """The answers of one collection, by component name."""
    name = type.name
    record = ref(f"{name}.Record")
    past = past_record(type)
    changed = ("ETag", "Idempotency-Replayed")
    return {
        f"{name}.page": answer(
            "A page of records.", _json(ref(f"{name}.Page")), "Link"
        ),
        f"{name}.read": answer(
            "The record.",
            _json(record if past is None else {"anyOf": [record, past]}),
            "ETag",
        ),
        f"{name}.record": answer(
            "The record, or with `dry_run` what it would be.", _json(record), *changed
        ),
        f"{name}.created": answer(
            "The record, created.", _json(record), "Location", *changed
        ),
        f"{name}.exported": answer(
            "One record a line.",
            {NDJSON: {"schema": sequence(ref(f"{name}.Selection"))}},
        ),
        f"{name}.history": answer(
            "Changes, newest first.", _json(ref(f"{name}.History")), "Link"
        ),
        f"{name}.invocation": answer(
            "The result, and the record after the command.",
            _json(ref(f"{name}.Invocation")),
            *changed,
        ),
    }
