/**
 * The mission of `app/showcase`, step by step, with this client:
 * `node showcase.js URL REPOSITORY [--restart]`.
 *
 * Prints the title of every step that came out as expected, and ends with an error
 * otherwise. With `--restart` it prints `restart` and waits for a line of input once the
 * service was started again. What it created is deleted.
 */

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";

import { Client, type Collection, isProblem, type JsonObject, type PersistRecord } from "../src/index.js";

interface Product {
  sku: string;
  title: string;
  price_cents: number;
  active: boolean;
  pricing_tier: string | null;
}

interface Ticket {
  title: string;
  severity: number;
  acknowledged: boolean;
  migration_note: string | null;
}

interface AuditEvent {
  event_name: string;
  duration_ms?: number;
  payload?: JsonObject;
  source?: string;
}

interface Stored {
  id: string;
  collection: string;
  data: JsonObject;
}

/** What an answer must have: dotted paths and their values. */
type Expected = { [path: string]: unknown };

const LONGEST_MS = 120_000;
const NDJSON = { "Content-Type": "application/x-ndjson" };
const TYPES = ["audit-events", "catalog-products", "ops-tickets"];
const MOUSE = { sku: "MOUSE-9", title: "Pro Mouse", price_cents: 4900 };
const OVERLOADED = { title: "Node pool overloaded", severity: 40 };
const SCALED: AuditEvent = {
  event_name: "service.scale",
  duration_ms: 12,
  payload: { service: "worker", replicas: 8 },
};
const WRONG_EVENTS: [string, JsonObject, string][] = [
  ["Without event_name", { duration_ms: 41 }, "/event_name"],
  ["A duration of “x”", { event_name: "user.login", duration_ms: "x" }, "/duration_ms"],
  ["An unknown field", { event_name: "user.login", hostname: "edge-1" }, "/hostname"],
  ["null for event_name", { event_name: null }, "/event_name"],
];

const [url = "", repository = "", option] = process.argv.slice(2);
const client = new Client(url);
const products = client.collection<Product>("catalog-products");
const tickets = client.collection<Ticket>("ops-tickets");
const events = client.collection<AuditEvent>("audit-events");
/** The paths of what was created, the first one first. */
const created: string[] = [];
const suffix = randomUUID().slice(0, 8);

async function main(): Promise<void> {
  setTimeout(() => process.exit(1), LONGEST_MS).unref();
  try {
    await sellKeyboard();
    await restoreTickets();
    const version = await recordLogin();
    await respond(version);
    await undoPriceList();
    await mergeEdits();
  } finally {
    await deleteAll();
  }
}

// Part one: a typed record is created, changed twice and read, also after a restart.

async function sellKeyboard(): Promise<void> {
  const data = { sku: unique("KB-01"), title: "Mechanical Keyboard", price_cents: 12900 };
  const first = await create(products, data);
  check("Create a product", first, { revision: 1, schema_version: 3, "data.active": true });
  const cheaper = await products.run(first, "set", { price_cents: 10900 });
  check("Lower its price with the command set", cheaper.record, { revision: 2, "data.price_cents": 10900 });
  const changes = { title: "Mechanical Keyboard Pro", active: false };
  const changed = await products.patch(cheaper.record, changes);
  check("Patch its title, take it off sale", changed, { revision: 3, "data.active": false });
  const read = await products.get(first.id);
  check("Read it back", read, { "data.title": changes.title, "data.price_cents": 10900 });
  if (option === "--restart") {
    await restart();
    assert.deepEqual(await products.get(first.id), read);
    report("Stop the service, start it, read the same");
  }
}

async function restart(): Promise<void> {
  process.stdout.write("restart\n");
  const input = createInterface({ input: process.stdin });
  await input.question("");
  input.close();
}

// Part two: a command runs on the records that allow it, and an old snapshot is restored.

async function restoreTickets(): Promise<void> {
  await escalate(
    await openTicket("Database degraded", 30),
    await openTicket("API latency spike", 20),
  );
  const content = snapshotContent("ops-tickets-v1");
  const [degraded = "", spike = ""] = stored(content).map((record) => record.id);
  const snapshot = await upload("Upload a snapshot that was taken at schema version 1", content);
  await inspect(snapshot);
  created.push(`/api/ops-tickets/${degraded}`, `/api/ops-tickets/${spike}`);
  await migrate(snapshot);
  await readTicket("Severity 4 became 40", degraded, 40, 3);
  await readTicket("Severity 2 became 20", spike, 20, 2);
  await migrateAgain(snapshot, degraded);
}

async function openTicket(title: string, severity: number): Promise<PersistRecord<Ticket>> {
  const ticket = await create(tickets, { title, severity });
  const unset = { "data.acknowledged": false, "data.migration_note": null };
  check(`Open “${title}”`, ticket, { revision: 1, schema_version: 2, "data.severity": severity, ...unset });
  return ticket;
}

async function escalate(major: PersistRecord<Ticket>, minor: PersistRecord<Ticket>): Promise<void> {
  const report = await tickets.invoke("escalate", {}, { _id__in: [major.id, minor.id].join() });
  check("Escalate both: only a major fault does", report, {
    invoked: 1,
    skipped: 1,
    failed: 0,
    "outcomes.0.id": major.id,
    "outcomes.0.result": 40,
    "outcomes.1.reason": "unavailable",
  });
  await readTicket("30 became 40", major.id, 40, 2);
  await readTicket("20 stayed 20", minor.id, 20, 1);
}

async function readTicket(title: string, id: string, severity: number, revision: number): Promise<void> {
  const expected = { revision, schema_version: 2, "data.severity": severity, "data.migration_note": null };
  check(title, await tickets.get(id), expected);
}

async function upload(title: string, content: string): Promise<string> {
  const manifest = await client.request("POST", "/snapshots", { body: content, headers: NDJSON });
  const { id, records } = manifest as { id: string; records: number };
  created.push(`/snapshots/${id}`);
  assert.equal(records, stored(content).length);
  report(title);
  return id;
}

async function inspect(snapshot: string): Promise<void> {
  const content = await client.send("GET", `/snapshots/${snapshot}/content`);
  const severities = stored(await content.text()).map((record) => record.data["severity"]);
  assert.deepEqual(severities, [4, 2]);
  report("Read its content");
  const verified = await client.request("POST", `/snapshots/${snapshot}/verify`);
  check("Verify it", verified, { ok: true, records: 2 });
}

async function migrate(snapshot: string): Promise<void> {
  const plan = await client.request("GET", "/migration-plans/ops-tickets");
  check("Ask for the plan", plan, { current_version: 2, "steps.0.from": 1, "steps.0.to": 2 });
  const expected = { created: 2, migrated: 2, "collections.0.from_versions": { "1": 2 }, failures: [] };
  check("Rehearse", await restore({ snapshot, dry_run: true }), expected);
  check("Restore it", await restore({ snapshot }), expected);
}

async function migrateAgain(snapshot: string, ticket: string): Promise<void> {
  await refused("fail: refused", restore({ snapshot, on_conflict: "fail" }), "restore-conflict");
  const raised = await tickets.patch(ticket, { severity: 50 });
  check("Raise a severity meanwhile", raised, { revision: 4, "data.severity": 50 });
  const skipped = await restore({ snapshot, on_conflict: "skip" });
  check("skip: existing tickets stay", skipped, { created: 0, skipped: 2 });
  await readTicket("Still at 50", ticket, 50, 4);
  const overwritten = await restore({ snapshot, on_conflict: "overwrite" });
  check("overwrite: the snapshot replaces them", overwritten, { skipped: 0, overwritten: 2 });
  await readTicket("At 40 again", ticket, 40, 5);
}

async function restore(body: JsonObject): Promise<unknown> {
  return client.request("POST", "/migrations", { body });
}

// Part three: a JSON Schema is registered as an entity type while the service runs.

async function recordLogin(): Promise<number> {
  const version = await register();
  const user = unique("u-42");
  const event = await create(events, { event_name: "user.login", duration_ms: 41, payload: { user_id: user } });
  check("Record a login", event, { revision: 1, schema_version: version, "data.payload.user_id": user });
  const longer = await events.patch(event, { duration_ms: 47 });
  check("It took longer", longer, { revision: 2, "data.event_name": "user.login", "data.duration_ms": 47 });
  const source = { source: "edge-proxy" };
  const done = await events.run(longer, "reattribute", source);
  check("A command names its source", done, { result: "user.login", "record.data.source": "edge-proxy" });
  await refused("It has one now", events.run(event.id, "reattribute", source), "command-unavailable");
  const found = await all(events.list({ "payload.user_id": user, event_name: "user.login" }));
  check("Find it by a nested member", found, { length: 1, "0.data.duration_ms": 47 });
  for (const [title, data, pointer] of WRONG_EVENTS) {
    await refused(title, events.create(data), "invalid-data", pointer);
  }
  return version;
}

async function register(): Promise<number> {
  const body = JSON.parse(readFileSync(`${repository}/schemas/audit-event.json`, "utf8"));
  const type = await client.request("PUT", "/entity-types/audit-events", { body });
  created.push("/entity-types/audit-events");
  check("Register AuditEvent", type, { name: "audit-events", "schema.title": "AuditEvent" });
  return (type as { schema_version: number }).schema_version;
}

// Part four: records of three types in one workspace, and a snapshot restored into another.

async function respond(eventVersion: number): Promise<void> {
  const workspace = unique("incident");
  await declare("Declare a workspace", workspace, TYPES);
  const [product, ticket] = await fill(workspace);
  const listed = await client.request("GET", `/workspaces/${workspace}/records`);
  const collections = (listed as { items: Stored[] }).items.map((record) => record.collection);
  assert.deepEqual(collections, ["catalog-products", "ops-tickets", "audit-events"]);
  report("List all of it");
  await refused("The default workspace has none of it", products.get(product), "record-not-found");
  await acknowledge(workspace, ticket);
  await clone(eventVersion);
}

async function declare(title: string, workspace: string, collections: string[]): Promise<void> {
  const body = { collections };
  const answer = await client.request("PUT", `/workspaces/${workspace}`, { body });
  if (!created.includes(`/workspaces/${workspace}`)) created.push(`/workspaces/${workspace}`);
  check(title, answer, body);
}

async function fill(workspace: string): Promise<[product: string, ticket: string]> {
  const product = await create(client.collection<Product>("catalog-products", { workspace }), MOUSE);
  check("A product", product, { workspace, schema_version: 3, "data.price_cents": 4900 });
  const ticket = await create(client.collection<Ticket>("ops-tickets", { workspace }), OVERLOADED);
  check("A ticket", ticket, { workspace, "data.severity": 40, "data.acknowledged": false });
  const event = await create(client.collection<AuditEvent>("audit-events", { workspace }), SCALED);
  check("An audit event", event, { workspace, "data.payload": SCALED.payload });
  return [product.id, ticket.id];
}

async function acknowledge(workspace: string, ticket: string): Promise<void> {
  const outcome = await client.request("POST", `/workspaces/${workspace}/commands/ack`);
  check("Acknowledge what can be acknowledged", outcome, {
    invoked: 1,
    skipped: 2,
    failed: 0,
    "outcomes.0.reason": "unsupported",
    "outcomes.1.id": ticket,
    "outcomes.1.status": "invoked",
    "outcomes.2.reason": "unsupported",
  });
  const acknowledged = await client.collection("ops-tickets", { workspace }).get(ticket);
  check("The ticket is acknowledged", acknowledged, { revision: 2, "data.acknowledged": true });
  const snapshot = await client.request("POST", `/workspaces/${workspace}/snapshots`);
  created.push(`/snapshots/${(snapshot as { id: string }).id}`);
  check("Take a snapshot of all of it", snapshot, { records: 3, "collections.0.workspace": workspace });
}

async function clone(eventVersion: number): Promise<void> {
  const content = snapshotContent("incident-v2");
  const snapshot = await upload("Upload it", content);
  const workspace = unique("drill");
  await declare("Declare a new workspace, for two of the types", workspace, TYPES.slice(1));
  const unknown = "collection-not-in-workspace";
  const elsewhere = client.collection<AuditEvent>("audit-events", { workspace });
  await refused("It has no audit events", elsewhere.create(SCALED), unknown);
  await refused("So they cannot be restored there", restore({ snapshot, workspace }), unknown);
  await declare("Declare all three types", workspace, TYPES);
  const ids = new Map<string, string>();
  for (const { collection, id } of stored(content)) {
    created.push(`/workspaces/${workspace}/api/${collection}/${id}`);
    ids.set(collection, id);
  }
  const migrated = eventVersion > 1 ? 2 : 1;
  const restored = await restore({ snapshot, workspace });
  check("Restore it there", restored, { created: 3, migrated, "collections.1.from_versions": { "2": 1 } });
  await checkClone(workspace, ids);
  await refused("A second restore: refused", restore({ snapshot, workspace }), "restore-conflict");
  const skipped = await restore({ snapshot, workspace, on_conflict: "skip" });
  check("Three are skipped", skipped, { created: 0, skipped: 3 });
  const overwritten = await restore({ snapshot, workspace, on_conflict: "overwrite" });
  check("Three are overwritten", overwritten, { created: 0, overwritten: 3 });
}

async function checkClone(workspace: string, ids: Map<string, string>): Promise<void> {
  const read = async (name: string) => client.collection(name, { workspace }).get(ids.get(name) ?? "");
  const product = await read("catalog-products");
  check("4900 became 5400", product, { revision: 2, schema_version: 3, "data.price_cents": 5400 });
  const ticket = await read("ops-tickets");
  check("The ticket is unchanged", ticket, { revision: 1, "data.severity": 40, "data.acknowledged": false });
  check("The event is unchanged", await read("audit-events"), { revision: 1, data: SCALED });
}

// Part five: an import is taken back, and two people edit one ticket.

async function undoPriceList(): Promise<void> {
  const desk = await price("Desk", 24900);
  const lamp = await price("Lamp", 3900);
  const before = await lastSeq("Note the last change");
  await importPrices(desk, lamp);
  const after = await lastSeq("Note the last change of the import");
  const requestId = await lastRequest(desk.id);
  await checkPrices("The prices are euros", {}, [249, 119, 39]);
  await checkPrices("Before the import", { as_of: before }, [24900, 3900]);
  const undone = { undone: 3, skipped: 0 };
  check("Rehearse the undo", await client.undo({ requestId, dryRun: true }), undone);
  check("Undo the import", await client.undo({ requestId }), undone);
  await checkPrices("The prices are cents again", {}, [24900, 3900]);
  await checkPrices("The mistake can be seen", { as_of: after }, [249, 119, 39]);
}

async function price(title: string, cents: number): Promise<PersistRecord<Product>> {
  const product = await create(products, { sku: unique(title), title, price_cents: cents });
  check(`${title} in the catalogue`, product, { revision: 1, "data.price_cents": cents });
  return product;
}

/** Import prices in euros over those in cents, with a product that is new. */
async function importPrices(desk: PersistRecord<Product>, lamp: PersistRecord<Product>): Promise<void> {
  const chair = { ...desk.data, sku: unique("Chair"), title: "Chair", price_cents: 119 };
  const id = randomUUID();
  created.push(`/api/catalog-products/${id}`);
  const list = [
    { ...desk, revision: 2, data: { ...desk.data, price_cents: 249 } },
    { ...lamp, revision: 2, data: { ...lamp.data, price_cents: 39 } },
    { ...desk, id, data: chair },
  ];
  const imported = await products.importRecords(list, "overwrite");
  check("Import a price list over them", imported, { created: 1, overwritten: 2 });
}

async function lastSeq(title: string): Promise<number> {
  const head = (await client.request("GET", "/changes/head")) as { seq: number };
  report(title);
  return head.seq;
}

async function lastRequest(id: string): Promise<string> {
  for await (const change of products.history(id)) return change.request_id ?? "";
  throw new Error("there is no change");
}

async function checkPrices(title: string, moment: { as_of?: number }, prices: number[]): Promise<void> {
  const skus = ["Desk", "Lamp", "Chair"].map(unique).join();
  const found = await all(products.list({ sku__in: skus, sort: "-price_cents", ...moment }));
  const listed = found.map((record) => record.data.price_cents);
  assert.deepEqual(listed, prices, title);
  report(title);
}

async function mergeEdits(): Promise<void> {
  const ticket = await create(tickets, { title: "Disk full", severity: 20 });
  check("Both read a ticket", ticket, { revision: 1 });
  const title = "Disk of db-1 full";
  const raised = await tickets.patch(ticket, { severity: 40 });
  check("One raises its severity", raised, { revision: 2, "data.severity": 40 });
  const late = await refused("The other renames it: late", tickets.patch(ticket, { title }), "precondition-failed");
  assert.deepEqual([late.changed, late.conflicts], [["/severity"], []]);
  const merged = await tickets.patch(ticket, { title }, { merge: true });
  check("Merged: both edits hold", merged, { revision: 3, "data.severity": 40, "data.title": title });
  const again = tickets.patch(ticket, { severity: 10 }, { merge: true });
  const conflict = await refused("The same member twice is a conflict", again, "precondition-failed");
  assert.deepEqual([conflict.changed, conflict.conflicts], [["/title", "/severity"], ["/severity"]]);
}

// What all parts do

/** A name that nobody has used in this database. */
function unique(name: string): string {
  return `${name}-${suffix}`;
}

async function create<Data>(collection: Collection<Data>, data: object): Promise<PersistRecord<Data>> {
  const record = await collection.create(data);
  const workspace = record.workspace === null ? "" : `/workspaces/${record.workspace}`;
  created.push(`${workspace}/api/${record.collection}/${record.id}`);
  return record;
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function report(title: string): void {
  process.stdout.write(`✓ ${title}\n`);
}

function check(title: string, answer: unknown, expected: Expected): void {
  for (const [path, value] of Object.entries(expected)) {
    const names = path.split(".");
    const found = names.reduce<unknown>((inner, name) => (inner as JsonObject | undefined)?.[name], answer);
    assert.deepEqual(found, value, `${title}: ${path} is ${JSON.stringify(found)}`);
  }
  report(title);
}

/** Wait for the problem of a request; `pointer` is that of its first violation. */
async function refused(title: string, request: Promise<unknown>, code: string, pointer?: string) {
  const problem: unknown = await request.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(isProblem(problem, code), `${title}: ${String(problem)} instead of ${code}`);
  assert.equal(problem.errors[0]?.pointer, pointer, title);
  report(title);
  return problem;
}

async function deleteAll(): Promise<void> {
  for (const path of created.reverse()) {
    try {
      await client.request("DELETE", path);
    } catch (error) {
      if (!isProblem(error, "record-not-found")) throw error;
    }
  }
  report("Delete what was created");
}

// Snapshots, under ids that nobody has used

function stored(content: string): Stored[] {
  const lines = content.trimEnd().split("\n").slice(1, -1);
  return lines.map((line) => JSON.parse(line) as Stored);
}

/** A committed snapshot under other ids, with its hashes. Records are ordered by id. */
function snapshotContent(name: string): string {
  const content = readFileSync(`${repository}/app/showcase/fixtures/${name}.ndjson`, "utf8");
  const [head = "", ...lines] = content.trimEnd().split("\n");
  const { manifest } = JSON.parse(head) as { manifest: JsonObject };
  const records = stored(content);
  const ids = records.map(() => randomUUID()).sort();
  const body = records.map(({ id }, index) => `${lines[index]}\n`.replace(id, ids[index] ?? "")).join("");
  const named = { ...manifest, id: randomUUID(), sha256: sha256(body) };
  const text = `${JSON.stringify({ manifest: named })}\n${body}`;
  const end = { records: records.length, sha256: sha256(text) };
  return `${text}${JSON.stringify({ end })}\n`;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

await main();
