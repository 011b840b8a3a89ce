/** The client against a live service, whose address is in `PERSIST_URL`. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { Client, isProblem, type PersistRecord } from "../src/index.js";

interface Counter {
  value: number;
  name: string | null;
}

const url = process.env["PERSIST_URL"] ?? "http://127.0.0.1:8000";
const client = new Client(url);
const counters = client.collection<Counter>("counters");

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function lastSeq(): Promise<number> {
  return ((await client.request("GET", "/changes/head")) as { seq: number }).seq;
}

function withCode(code: string): (error: unknown) => boolean {
  return (error) => isProblem(error, code);
}

test("a record that was read is written only as it was", async () => {
  const name = randomUUID();
  const first: PersistRecord<Counter> = await counters.create({ name });
  const second = await counters.patch(first, { value: 2 });
  await assert.rejects(counters.replace(first, { value: 3 }), (error) => {
    return isProblem(error, "precondition-failed") && error.revision === 2;
  });
  const third = await counters.patch(second.id, [{ op: "replace", path: "/value", value: 4 }]);
  assert.equal(third.data.value, 4);
  assert.equal((await counters.get(first.id, { revision: 2 })).data.value, 2);
  await counters.delete(third);
  await assert.rejects(counters.get(first.id), withCode("record-not-found"));
  const changes = await all(counters.history(first.id));
  assert.deepEqual(
    changes.map((change) => change.operation),
    ["delete", "patch", "patch", "create"],
  );
});

test("lists go on over pages, imports and exports are whole", async () => {
  const name = randomUUID();
  const wanted = [0, 1, 2, 3, 4].map((value) => ({ value, name }));
  assert.equal(await counters.importAll(wanted), 5);
  const found = await all(counters.list({ name, sort: "-value", limit: 2, value__gte: 1 }));
  assert.deepEqual(
    found.map((record) => record.data.value),
    [4, 3, 2, 1],
  );
  assert.equal(await counters.count({ name, value__in: [1, 2, 99] }), 2);
  const exported = await all(counters.export({ name, sort: "value" }));
  assert.deepEqual(
    exported.map((record) => record.data),
    wanted,
  );
  assert.equal(await counters.deleteMatching(10, { name }), 5);
});

test("the past is read, and deleted records come back", async () => {
  const name = randomUUID();
  const record = await counters.create({ name, value: 1 });
  const seq = await lastSeq();
  const later = await counters.patch(record, { value: 2 });
  assert.deepEqual(await counters.get(record.id, { asOf: seq }), record);
  assert.deepEqual(await counters.get(record.id, { asOf: later.updated_at }), later);
  assert.deepEqual(await all(counters.list({ name, as_of: seq })), [record]);
  await counters.delete(later);
  const [deleted] = await all(counters.trash({ name }));
  assert.ok(deleted !== undefined);
  assert.deepEqual([deleted.data, deleted.revision, deleted.deleted_by], [later.data, 2, null]);
  const back = await counters.revert(deleted, deleted.revision);
  assert.deepEqual([back.data, back.revision], [later.data, 4]);
  await assert.rejects(counters.revert(deleted, 1), withCode("precondition-failed"));
});

test("edits of several people are merged", async () => {
  const name = randomUUID();
  const first = await counters.create({ name, value: 1 });
  await counters.patch(first, { value: 2 });
  const merged = await counters.patch(first, { name: `${name}-b` }, { merge: true });
  assert.deepEqual(merged.data, { name: `${name}-b`, value: 2 });
  await assert.rejects(counters.replace(first, { name, value: 3 }, { merge: true }), (error) => {
    return isProblem(error) && error.conflicts.join() === "/value" && error.changed.length === 2;
  });
});

test("exported records are imported again", async () => {
  const name = randomUUID();
  const first = await counters.create({ name });
  await counters.create({ name, value: 1 });
  const exported = await all(counters.export({ name }));
  await counters.delete(first);
  await assert.rejects(counters.importRecords(exported), withCode("restore-conflict"));
  const report = await counters.importRecords(exported, "overwrite");
  assert.deepEqual([report.created, report.overwritten], [1, 1]);
  assert.equal((await counters.get(first.id)).created_at, first.created_at);
});

test("commands run on one record and on many", async () => {
  const name = randomUUID();
  const counter = await counters.create({ name });
  const done = await counters.run(counter, "increment", { by: 5 });
  assert.deepEqual([done.result, done.record.data.value], [5, 5]);
  const report = await counters.invoke("increment", { by: 2 }, { name });
  assert.deepEqual([report.invoked, report.outcomes[0]?.result], [1, 7]);
});

test("a refusal names its code and the members at fault", async () => {
  const accounts = client.collection("accounts");
  const account = await accounts.create({ owner: randomUUID() });
  await assert.rejects(accounts.create({ owner: "", balance: -1 }), (error) => {
    const pointers = isProblem(error, "invalid-data") ? error.errors.map((each) => each.pointer) : [];
    return pointers.includes("/owner") && pointers.includes("/balance");
  });
  await assert.rejects(accounts.run(account, "withdraw", { amount: 1 }), withCode("insufficient-funds"));
});

test("a transaction is stored as one, with values of earlier operations", async () => {
  const name = randomUUID();
  const { operations } = await client.transaction((transaction) => {
    const first = transaction.create("counters", { value: 3, name });
    const raised = transaction.run("counters", first.id, "increment", { by: 4 });
    transaction.create("counters", { value: raised.result, name: first.field("name") });
  });
  assert.deepEqual([operations[0]?.status, operations[1]?.returned], [201, 7]);
  const values = (await all(counters.list({ name }))).map((record) => record.data.value);
  assert.deepEqual(values, [7, 7]);
  const failing = client.transaction((transaction) => {
    transaction.create("counters", { name });
    transaction.create("counters", { value: "no number" });
  });
  await assert.rejects(failing, withCode("invalid-data"));
  assert.equal(await counters.count({ name }), 2);
  const { operations: escaped } = await client.transaction((transaction) => {
    transaction.create("samples", { payload: { $ref: "o0.id" } });
  });
  assert.deepEqual((escaped[0]?.record?.["data"] as { payload: unknown }).payload, { $ref: "o0.id" });
});

test("changes end with the journal, or go on until they are aborted", async () => {
  const first = await counters.create({ name: randomUUID() });
  const counter = await counters.create({ name: randomUUID() });
  const after = await lastSeq();
  const known = await all(client.changes({ after: after - 2, follow: false }));
  assert.deepEqual(
    known.map((change) => change.id),
    [first.id, counter.id],
  );
  const controller = new AbortController();
  const following = client.changes({ after, collection: "counters", signal: controller.signal });
  const next = following.next();
  await counters.run(counter, "increment");
  const change = (await next).value;
  assert.deepEqual([change?.id, change?.command], [counter.id, "increment"]);
  const waiting = following.next();
  controller.abort();
  await assert.rejects(waiting);
});

test("changes of a request are followed and taken back", async () => {
  const counter = await counters.create({ name: randomUUID(), value: 1 });
  await counters.patch(counter.id, { value: 2 });
  const [last] = await all(counters.history(counter.id));
  const requestId = last?.request_id ?? "";
  const found = client.changes({ requestId, workspace: null, filter: "previous.value == 1", follow: false });
  assert.deepEqual(
    (await all(found)).map((change) => change.id),
    [counter.id],
  );
  await assert.rejects(client.undo({ requestId, workspace: "elsewhere" }), withCode("not-found"));
  const report = await client.undo({ requestId, workspace: null });
  assert.deepEqual([report.undone, report.records[0]?.outcome], [1, "reverted"]);
});

test("a write whose answer was lost is stored once", async () => {
  const name = randomUUID();
  const keys: (string | null)[] = [];
  const losing: typeof fetch = async (input, init) => {
    keys.push(new Headers(init?.headers).get("Idempotency-Key"));
    const response = await fetch(input, init);
    if (keys.length < 3) throw new TypeError("the connection was lost");
    return response;
  };
  const flaky = new Client(url, { fetch: losing });
  const created = await flaky.collection<Counter>("counters").create({ name });
  assert.equal(new Set(keys).size, 1);
  const found = await all(counters.list({ name }));
  assert.deepEqual(
    found.map((record) => record.id),
    [created.id],
  );
});
