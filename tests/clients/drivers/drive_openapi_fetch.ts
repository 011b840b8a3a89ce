// Use openapi-fetch, with the types of openapi-typescript, for everything that a client does.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Ticket = components["schemas"]["OpsTicketCreate"];

const client = createClient<paths>({ baseUrl: process.argv[2] });

const ticket: Ticket = { title: "Database degraded", severity: 30 };
const created = await client.POST("/api/ops-tickets", { body: ticket });
assert.equal(created.response.status, 201);
assert(created.data);
const id: string = created.data.id;
const path = { id };

const read = await client.GET("/api/ops-tickets/{id}", { params: { path } });
assert.equal(read.data?.data.title, "Database degraded");

const page = await client.GET("/api/ops-tickets", {
  params: { query: { severity__gte: 30, filter: `record.id == "${id}"`, sort: ["-severity"], count: true } },
});
assert.deepEqual(page.data?.items.map((item) => item.id), [id]);
assert.equal(page.data?.total, 1);

const own = { id: crypto.randomUUID() };
const put = await client.PUT("/api/ops-tickets/{id}", {
  params: { path: own },
  body: { title: "Disk full", severity: 20 },
});
assert.equal(put.response.status, 201);

const merged = await client.PATCH("/api/ops-tickets/{id}", {
  params: { path, header: { "If-Match": `"${created.data.revision}"` } },
  body: { severity: 40 },
  headers: { "Content-Type": "application/merge-patch+json" },
});
assert.equal(merged.data?.data.severity, 40);

const patched = await client.PATCH("/api/ops-tickets/{id}", {
  params: { path },
  body: [{ op: "replace", path: "/title", value: "Database down" }],
  headers: { "Content-Type": "application/json-patch+json" },
});
assert.equal(patched.data?.data.title, "Database down");

const escalated = await client.POST("/api/ops-tickets/{id}/commands/escalate", {
  params: { path },
  body: { steps: 1 },
});
const severity: number | undefined = escalated.data?.result;
assert.equal(severity, 50);

const invoked = await client.POST("/api/ops-tickets/commands/ack", {
  params: { query: { filter: `record.id == "${id}"` } },
});
assert.equal(invoked.data?.invoked, 1);

const done = await client.POST("/transactions", {
  body: {
    operations: [
      { op: "create", collection: "ops-tickets", data: { title: "Overloaded", severity: 40 }, as: "t" },
      { op: "command", collection: "ops-tickets", id: { $ref: "t.id" }, command: "ack" },
    ],
  },
});
assert.equal(done.data?.results.length, 2);

const imported = await client.POST("/api/ops-tickets/import", {
  body: '{"title": "One", "severity": 10}\n{"title": "Two", "severity": 10}\n',
  bodySerializer: (body) => body,
  headers: { "Content-Type": "application/x-ndjson" },
});
assert.equal(imported.data?.created, 2);

const manifest = await client.POST("/api/ops-tickets/snapshots", { body: { note: "before" } });
assert(manifest.data);

const report = await client.POST("/migrations", {
  body: { snapshot: manifest.data.id, on_conflict: "skip", dry_run: false },
});
assert.equal(report.data?.skipped, manifest.data.records);

const changes = await client.GET("/changes", {
  params: { query: { collection: "ops-tickets", after: "0", limit: 500 } },
});
assert(changes.data && changes.data.last_seq > 8);

const shape = await client.POST("/api/shapes", {
  body: { shape: { kind: "circle", radius: 1.5 }, weight: null, labels: { colour: "red" } },
});
assert.equal(shape.data?.data.shape.kind, "circle");

const odd = await client.POST("/api/odd-names", { body: { "first.name": "Ada", "last name": "Lovelace" } });
assert.equal(odd.data?.data["first.name"], "Ada");

const deleted = await client.DELETE("/api/ops-tickets/{id}", { params: { path: own } });
assert.equal(deleted.response.status, 204);
const missing = await client.GET("/api/ops-tickets/{id}", { params: { path: own } });
assert.equal(missing.error?.code, "record-not-found");
