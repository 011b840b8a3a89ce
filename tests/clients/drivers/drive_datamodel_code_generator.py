"""Use the models of datamodel-code-generator over httpx for everything that a client
does."""

import sys
from typing import Any
from uuid import UUID, uuid4

import httpx
from persist_models import (
    Changes,
    Imported,
    Invocations,
    Manifest,
    Migration,
    OpsTicketCreate,
    OpsTicketEscalatePayload,
    OpsTicketEscalateResult,
    OpsTicketMergePatch,
    OpsTicketPage,
    OpsTicketRecord,
    OrderCreate,
    OrderRecord,
    Problem,
    RestoreRequest,
    SnapshotRequest,
    Transaction,
    TransactionResults,
)
from pydantic import BaseModel

client = httpx.Client(base_url=sys.argv[1])


def body(model: BaseModel) -> dict[str, Any]:
    """Return the members that were given, as JSON."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def sent(method: str, path: str, model: BaseModel, **headers: str) -> bytes:
    """Send a model, and return the body of an answer that says it worked."""
    answer = client.request(method, path, json=body(model), headers=headers)
    assert answer.is_success, answer.text
    return answer.content


def read(path: str, **query: str) -> bytes:
    """Return the body of a resource."""
    answer = client.get(path, params=query)
    assert answer.is_success, answer.text
    return answer.content


tickets = "/api/ops-tickets"
created = OpsTicketRecord.model_validate_json(
    sent("POST", tickets, OpsTicketCreate(title="Database degraded", severity=30))
)
path = f"{tickets}/{created.id}"
assert isinstance(created.id, UUID)
assert OpsTicketRecord.model_validate_json(read(path)) == created

page = OpsTicketPage.model_validate_json(
    read(tickets, _id=str(created.id), severity__gte="30", sort="-severity")
)
assert [item.id for item in page.items] == [created.id]

own_id = uuid4()
own = OpsTicketCreate(title="Disk full", severity=20)
put = OpsTicketRecord.model_validate_json(sent("PUT", f"{tickets}/{own_id}", own))
assert put.id == own_id

patch = OpsTicketMergePatch(severity=40)
patched = OpsTicketRecord.model_validate_json(
    sent("PATCH", path, patch, **{"If-Match": f'"{created.revision}"'})
)
assert patched.data.severity == 40

steps = [{"op": "replace", "path": "/title", "value": "Database down"}]
media_type = {"Content-Type": "application/json-patch+json"}
answer = client.patch(path, json=steps, headers=media_type)
assert OpsTicketRecord.model_validate_json(answer.content).data.title == "Database down"

escalated = OpsTicketEscalateResult.model_validate_json(
    sent("POST", f"{path}/commands/escalate", OpsTicketEscalatePayload(steps=1))
)
assert escalated.result == escalated.record.data.severity == 50

answer = client.post(f"{tickets}/commands/ack", params={"_id": str(created.id)})
assert Invocations.model_validate_json(answer.content).invoked == 1

transaction = Transaction.model_validate(
    {
        "operations": [
            {
                "op": "create",
                "collection": "ops-tickets",
                "data": {"title": "Node pool overloaded", "severity": 40},
                "as": "ticket",
            },
            {
                "op": "command",
                "collection": "ops-tickets",
                "id": {"$ref": "ticket.id"},
                "command": "ack",
            },
        ]
    }
)
done = TransactionResults.model_validate_json(
    sent("POST", "/transactions", transaction)
)
assert len(done.results) == 2

lines = '{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n'
answer = client.post(
    f"{tickets}/import",
    content=lines,
    headers={"Content-Type": "application/x-ndjson"},
)
assert Imported.model_validate_json(answer.content).created == 2

manifest = Manifest.model_validate_json(
    sent("POST", f"{tickets}/snapshots", SnapshotRequest())
)
request = RestoreRequest.model_validate(
    {"snapshot": str(manifest.id), "on_conflict": "skip"}
)
report = Migration.model_validate_json(sent("POST", "/migrations", request))
assert report.skipped == manifest.records

changes = Changes.model_validate_json(read("/changes", collection="ops-tickets"))
assert changes.last_seq >= 9

order = OrderRecord.model_validate_json(
    sent(
        "POST",
        "/api/orders",
        OrderCreate.model_validate(
            {
                "number": "AB-3",
                "customer": {"name": "Ada", "address": {"city": "Paris"}},
                "lines": [{"sku": "KB-01", "count": 2}],
            }
        ),
    )
)
assert order.data.customer.name == "Ada"

assert client.delete(f"{tickets}/{own_id}").status_code == 204
missing = Problem.model_validate_json(client.get(f"{tickets}/{own_id}").content)
assert missing.code == "record-not-found"
