// Use the client of @hey-api/openapi-ts for everything that a client does.
import assert from "node:assert/strict";
import { client } from "./client.gen";
import * as api from "./sdk.gen";
import type { OpsTicketCreate, OpsTicketRecord } from "./types.gen";

client.setConfig({ baseUrl: process.argv[2] });

const ticket: OpsTicketCreate = { title: "Database degraded", severity: 30 };
const created = await api.opsTicketsCreate({ body: ticket, throwOnError: true });
assert(created.data);
const path = { id: created.data.id };

const read = await api.opsTicketsGet({ path });
assert.equal(read.data?.data.title, "Database degraded");

const page = await api.opsTicketsList({
  query: { severity__gte: 30, filter: `record.id == "${path.id}"`, sort: ["-severity"], count: true },
});
assert.deepEqual(page.data?.items.map((item) => item.id), [path.id]);
assert.equal(page.data?.total, 1);

const own = { id: crypto.randomUUID() };
const put = await api.opsTicketsReplace({ path: own, body: { title: "Disk full", severity: 20 } });
assert.equal(put.response?.status, 201);

const merged = await api.opsTicketsPatch({
  path,
  body: { severity: 40 },
  headers: { "If-Match": `"${created.data.revision}"`, "Content-Type": "application/merge-patch+json" },
});
assert.equal(merged.data?.data.severity, 40);

// The generator leaves out all but the first media type of a body.
const patched = await client.patch<{ 200: OpsTicketRecord }>({
  url: "/api/ops-tickets/{id}",
  path,
  body: [{ op: "replace", path: "/title", value: "Database down" }],
  headers: { "Content-Type": "application/json-patch+json" },
});
assert.equal(patched.data?.data.title, "Database down");

const escalated = await api.opsTicketsInvokeEscalate({ path, body: { steps: 1 } });
const severity: number | undefined = escalated.data?.result;
assert.equal(severity, 50);

const invoked = await api.opsTicketsSelectiveInvokeAck({ query: { filter: `record.id == "${path.id}"` } });
assert.equal(invoked.data?.invoked, 1);

const done = await api.transact({
  body: {
    operations: [
      { op: "create", collection: "ops-tickets", data: { title: "Overloaded", severity: 40 }, as: "t" },
      { op: "command", collection: "ops-tickets", id: { $ref: "t.id" }, command: "ack" },
    ],
  },
});
assert.equal(done.data?.results.length, 2);

// Without a serializer of its own, the client writes every body as JSON.
const imported = await api.opsTicketsImportRecords({
  bodySerializer: String,
  body: '{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n',
});
assert.equal(imported.data?.created, 2);

const manifest = await api.opsTicketsTakeSnapshot({ body: { note: "before" } });
assert(manifest.data);

const report = await api.restore({ body: { snapshot: manifest.data.id, on_conflict: "skip" } });
assert.equal(report.data?.skipped, manifest.data.records);

const changes = await api.changes({ query: { collection: "ops-tickets", after: "0", limit: 500 } });
assert(changes.data && changes.data.last_seq > 8);

const shape = await api.shapesCreate({
  body: { shape: { kind: "circle", radius: 1.5 }, weight: null, labels: { colour: "red" } },
});
assert.equal(shape.data?.data.shape.kind, "circle");

const odd = await api.oddNamesCreate({ body: { "first.name": "Ada", "last name": "Lovelace" } });
assert.equal(odd.data?.data["first.name"], "Ada");

const deleted = await api.opsTicketsDelete({ path: own });
assert.equal(deleted.response?.status, 204);
const missing = await api.opsTicketsGet({ path: own });
assert.equal(missing.error?.code, "record-not-found");
