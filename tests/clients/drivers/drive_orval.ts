// Use the client of orval for everything that a client does.
import assert from "node:assert/strict";
import * as api from "./client";

// The client's addresses are relative, as in a page.
const send = globalThis.fetch;
globalThis.fetch = (address, options) => send(new URL(String(address), process.argv[2]), options);

const ticket: api.OpsTicketCreate = { title: "Database degraded", severity: 30 };
const created = await api.opsTicketsCreate(ticket);
assert(created.status === 201);
const id = created.data.id;

const read = await api.opsTicketsGet(id);
assert(read.status === 200);
assert.equal(read.data.data.title, "Database degraded");

const page = await api.opsTicketsList({
  severity__gte: 30,
  filter: `record.id == "${id}"`,
  sort: ["-severity"],
  count: true,
});
assert(page.status === 200);
assert.deepEqual(page.data.items.map((item) => item.id), [id]);
assert.equal(page.data.total, 1);

const own = crypto.randomUUID();
const put = await api.opsTicketsReplace(own, { title: "Disk full", severity: 20 });
assert.equal(put.status, 201);

const merged = await api.opsTicketsPatch(id, { severity: 40 }, undefined, {
  headers: { "If-Match": `"${created.data.revision}"`, "Content-Type": "application/merge-patch+json" },
});
assert(merged.status === 200);
assert.equal(merged.data.data.severity, 40);

const patched = await api.opsTicketsPatch(
  id,
  [{ op: "replace", path: "/title", value: "Database down" }],
  undefined,
  { headers: { "Content-Type": "application/json-patch+json" } },
);
assert(patched.status === 200);
assert.equal(patched.data.data.title, "Database down");

const escalated = await api.opsTicketsInvokeEscalate(id, { steps: 1 });
assert(escalated.status === 200);
const severity: number = escalated.data.result;
assert.equal(severity, 50);

const invoked = await api.opsTicketsSelectiveInvokeAck({}, { filter: `record.id == "${id}"` });
assert(invoked.status === 200);
assert.equal(invoked.data.invoked, 1);

const done = await api.transact({
  operations: [
    { op: "create", collection: "ops-tickets", data: { title: "Overloaded", severity: 40 }, as: "t" },
    { op: "command", collection: "ops-tickets", id: { $ref: "t.id" }, command: "ack" },
  ],
});
assert(done.status === 200);
assert.equal(done.data.results.length, 2);

// The generator writes every body as JSON, so NDJSON is sent without its function.
const imported = await fetch(api.getOpsTicketsImportRecordsUrl(), {
  method: "POST",
  body: '{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n',
  headers: { "Content-Type": "application/x-ndjson" },
});
const counted: api.Imported = await imported.json();
assert.equal(counted.created, 2);

const manifest = await api.opsTicketsTakeSnapshot({ note: "before" });
assert(manifest.status === 201);

const report = await api.restore({ snapshot: manifest.data.id, on_conflict: "skip" });
assert(report.status === 201);
assert.equal(report.data.skipped, manifest.data.records);

const changes = await api.changes({ collection: "ops-tickets", after: "0", limit: 500 });
assert(changes.status === 200);
assert(changes.data.last_seq > 8);

const deleted = await api.opsTicketsDelete(own);
assert.equal(deleted.status, 204);
const missing = await api.opsTicketsGet(own);
assert(missing.status === 404);
assert.equal(missing.data.code, "record-not-found");
