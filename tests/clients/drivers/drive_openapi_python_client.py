"""Use the client of openapi-python-client for everything that a client does."""

import io
import sys
from uuid import uuid4

from persist_client import Client
from persist_client.api.changes import changes
from persist_client.api.migrations import restore
from persist_client.api.ops_tickets import (
    ops_tickets_create,
    ops_tickets_delete,
    ops_tickets_get,
    ops_tickets_import_records,
    ops_tickets_invoke_escalate,
    ops_tickets_list,
    ops_tickets_patch,
    ops_tickets_replace,
    ops_tickets_selective_invoke_ack,
    ops_tickets_take_snapshot,
)
from persist_client.api.orders import orders_create, orders_get
from persist_client.api.transactions import transact
from persist_client.models import Changes as ChangesPage
from persist_client.models import (
    Imported,
    Invocations,
    Manifest,
    Migration,
    OpsTicketAckPayload,
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
    RestoreRequestOnConflict,
    SnapshotRequest,
    Transaction,
    TransactionResults,
)
from persist_client.types import File

client = Client(base_url=sys.argv[1])

created = ops_tickets_create.sync(
    client=client, body=OpsTicketCreate(title="Database degraded", severity=30)
)
assert isinstance(created, OpsTicketRecord), created
assert created.data.acknowledged is False

read = ops_tickets_get.sync(created.id, client=client)
assert isinstance(read, OpsTicketRecord)
assert read.data.title == "Database degraded"

page = ops_tickets_list.sync(
    client=client, severity_gte=30, title_contains="degraded", sort=["-severity"]
)
assert isinstance(page, OpsTicketPage)
assert [item.id for item in page.items] == [created.id]

own_id = uuid4()
put = ops_tickets_replace.sync_detailed(
    own_id, client=client, body=OpsTicketCreate(title="Disk full", severity=20)
)
assert put.status_code == 201

patched = ops_tickets_patch.sync(
    created.id,
    client=client,
    body=OpsTicketMergePatch(severity=40),
    if_match=f'"{created.revision}"',
)
assert isinstance(patched, OpsTicketRecord)
assert patched.data.severity == 40

steps = [{"op": "replace", "path": "/title", "value": "Database down"}]
answer = client.get_httpx_client().patch(
    f"/api/ops-tickets/{created.id}",
    json=steps,
    headers={"Content-Type": "application/json-patch+json"},
)
assert answer.status_code == 200, answer.text

escalated = ops_tickets_invoke_escalate.sync(
    created.id, client=client, body=OpsTicketEscalatePayload(steps=1)
)
assert isinstance(escalated, OpsTicketEscalateResult)
result: int = escalated.result
assert result == escalated.record.data.severity == 50

invoked = ops_tickets_selective_invoke_ack.sync(
    client=client, body=OpsTicketAckPayload(), filter_="data.severity >= 30"
)
assert isinstance(invoked, Invocations)
assert invoked.invoked == 1

done = transact.sync(
    client=client,
    body=Transaction.from_dict(
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
    ),
)
assert isinstance(done, TransactionResults), done
assert len(done.results) == 2

lines = b'{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n'
imported = ops_tickets_import_records.sync(
    client=client, body=File(payload=io.BytesIO(lines))
)
assert isinstance(imported, Imported), imported
assert imported.created == 2

manifest = ops_tickets_take_snapshot.sync(client=client, body=SnapshotRequest())
assert isinstance(manifest, Manifest)

report = restore.sync(
    client=client,
    body=RestoreRequest(
        snapshot=str(manifest.id), on_conflict=RestoreRequestOnConflict.SKIP
    ),
)
assert isinstance(report, Migration), report
assert report.skipped == manifest.records

followed = changes.sync(client=client, collection="ops-tickets")
assert isinstance(followed, ChangesPage)
assert followed.last_seq >= 9

order = orders_create.sync(
    client=client,
    body=OrderCreate.from_dict(
        {
            "number": "AB-1",
            "customer": {"name": "Ada", "address": {"city": "Paris"}},
            "lines": [{"sku": "KB-01", "count": 2}],
        }
    ),
)
assert isinstance(order, OrderRecord), order
assert order.data.customer.name == "Ada"
same = orders_get.sync(order.id, client=client)
assert isinstance(same, OrderRecord)
assert same.data.lines[0].sku == "KB-01"

assert ops_tickets_delete.sync_detailed(own_id, client=client).status_code == 204
missing = ops_tickets_get.sync(own_id, client=client)
assert isinstance(missing, Problem)
assert missing.code == "record-not-found"
