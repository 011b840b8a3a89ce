"""Use the client of openapi-generator for everything that a client does."""

import json
import sys
from uuid import uuid4

import urllib3
from persist_generated import ApiClient, Configuration
from persist_generated.api import (
    ChangesApi,
    MigrationsApi,
    OpsTicketsApi,
    OrdersApi,
    TransactionsApi,
)
from persist_generated.exceptions import NotFoundException
from persist_generated.models import (
    OpsTicketCreate,
    OpsTicketEscalatePayload,
    OpsTicketMergePatch,
    OrderCreate,
    RestoreRequest,
    RestoreRequestOnConflict,
    SnapshotRequest,
    Transaction,
    TransactionOperations,
    TransactionOperationsCommand,
    TransactionOperationsCreate,
    TransactionOperationsCreateId,
)

client = ApiClient(Configuration(host=sys.argv[1]))
tickets = OpsTicketsApi(client)

created = tickets.ops_tickets_create(
    OpsTicketCreate(title="Database degraded", severity=30)
)
read = tickets.ops_tickets_get(created.id)
assert read.data.title == "Database degraded"

page = tickets.ops_tickets_list(
    id=created.id, severity__gte=30, title__contains="degraded", sort=["-severity"]
)
assert [item.id for item in page.items] == [created.id]

own_id = uuid4()
put = tickets.ops_tickets_replace_with_http_info(
    own_id, OpsTicketCreate(title="Disk full", severity=20)
)
assert put.status_code == 201

patched = tickets.ops_tickets_patch(
    created.id,
    OpsTicketMergePatch(severity=40),
    if_match=f'"{created.revision}"',
)
assert patched.data.severity == 40

# The generator leaves out all but the first media type of a body.
steps = [{"op": "replace", "path": "/title", "value": "Database down"}]
answer = urllib3.request(
    "PATCH",
    f"{sys.argv[1]}/api/ops-tickets/{created.id}",
    body=json.dumps(steps),
    headers={"Content-Type": "application/json-patch+json"},
)
assert answer.status == 200, answer.data

escalated = tickets.ops_tickets_invoke_escalate(
    created.id, ops_ticket_escalate_payload=OpsTicketEscalatePayload(steps=1)
)
assert escalated.result == escalated.record.data.severity == 50

invoked = tickets.ops_tickets_selective_invoke_ack(
    filter=f'record.id == "{created.id}"'
)
assert invoked.invoked == 1

create = TransactionOperationsCreate.from_dict(
    {
        "op": "create",
        "collection": "ops-tickets",
        "data": {"title": "Node pool overloaded", "severity": 40},
        "as": "ticket",
    }
)
command = TransactionOperationsCommand(
    op="command",
    collection="ops-tickets",
    id=TransactionOperationsCreateId({"$ref": "ticket.id"}),
    command="ack",
)
transaction = Transaction(
    operations=[TransactionOperations(create), TransactionOperations(command)]
)
done = TransactionsApi(client).transact(transaction)
assert len(done.results) == 2

lines = '{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n'
imported = tickets.ops_tickets_import_records(lines)
assert imported.created == 2

manifest = tickets.ops_tickets_take_snapshot(snapshot_request=SnapshotRequest())
report = MigrationsApi(client).restore(
    RestoreRequest(snapshot=str(manifest.id), on_conflict=RestoreRequestOnConflict.SKIP)
)
assert report.skipped == manifest.records

changes = ChangesApi(client).changes(collection="ops-tickets")
assert changes.last_seq >= 9

order_data = OrderCreate.from_dict(
    {
        "number": "AB-2",
        "customer": {"name": "Ada", "address": {"city": "Paris"}},
        "lines": [{"sku": "KB-01", "count": 2}],
    }
)
assert order_data is not None
order = OrdersApi(client).orders_create(order_data)
assert order.data.customer.name == "Ada"


def code_of_a_read() -> object:
    """Return the code of the problem that a read is answered with."""
    try:
        tickets.ops_tickets_get(own_id)
    except NotFoundException as error:
        return json.loads(error.body or "{}")["code"]
    return None


tickets.ops_tickets_delete(own_id)
assert code_of_a_read() == "record-not-found"
