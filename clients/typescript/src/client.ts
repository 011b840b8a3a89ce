/** The client: a service at a URL and its collections. */

import { problemOf } from "./problems.js";
import {
  type Change,
  type CommandResult,
  type DeletedRecord,
  type Filters,
  idOf,
  type ImportReport,
  type InvokeReport,
  type JsonObject,
  type PatchOperation,
  type PersistRecord,
  precondition,
  type Target,
  type UndoReport,
  type UndoSelection,
} from "./records.js";
import { delayAfter, sleep } from "./retry.js";
import { Transaction } from "./transaction.js";

const LONG_POLL_SECONDS = 20;
const PAGE_RECORDS = 500;

export interface ClientOptions {
  /** An API key. */
  key?: string;
  /** How often a request is tried again after a lost connection, a 429 or a 503. */
  retries?: number;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

export interface RequestOptions {
  query?: Filters;
  headers?: Record<string, string>;
  /** A JSON value; text is sent as it is, under the `Content-Type` of `headers`. */
  body?: unknown;
  signal?: AbortSignal;
}

export interface ReadOptions {
  revision?: number;
  /** A seq of the journal, or a time. */
  asOf?: number | string | Date;
}

export interface WriteOptions {
  /**
   * Keep what others changed since the record was read, unless both changed the same
   * (`precondition-failed` with `conflicts`).
   */
  merge?: boolean;
}

export interface ChangesOptions {
  /** A seq, or "now". */
  after?: number | "now";
  collection?: string;
  /** A workspace; null is the default one. All if absent. */
  workspace?: string | null;
  requestId?: string;
  /** A condition in CEL over `data`, `previous` and `change`. */
  filter?: string;
  /** Go on for ever (the default), or end with the journal. */
  follow?: boolean;
  signal?: AbortSignal;
}

/**
 * A service at a URL. A refusal is thrown as a `Problem`, a lost connection as the
 * `TypeError` of `fetch`. A write carries an `Idempotency-Key`, so that another attempt
 * cannot store it twice.
 */
export class Client {
  private readonly url: string;
  private readonly retries: number;
  private readonly headers: Record<string, string>;
  private readonly fetch: typeof fetch;

  constructor(url: string, options: ClientOptions = {}) {
    this.url = url.replace(/\/+$/, "");
    this.retries = options.retries ?? 3;
    this.headers = options.key === undefined ? {} : { Authorization: `Bearer ${options.key}` };
    this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  }

  collection<Data = JsonObject>(name: string, options: { workspace?: string } = {}): Collection<Data> {
    return new Collection<Data>(this, name, options.workspace);
  }

  /** Store the operations that `build` adds, all or none; return them with their results. */
  async transaction(
    build: (transaction: Transaction) => void | Promise<void>,
    options: { dryRun?: boolean } = {},
  ): Promise<Transaction> {
    const transaction = new Transaction();
    await build(transaction);
    if (transaction.operations.length > 0) {
      const query: Filters = options.dryRun === true ? { dry_run: true } : {};
      const answer = await this.request("POST", "/transactions", { body: transaction.body(), query });
      transaction.settle((answer as { results: [] }).results);
    }
    return transaction;
  }

  /** Yield the changes after a seq; it resumes by itself after a lost connection. */
  async *changes(options: ChangesOptions = {}): AsyncGenerator<Change, void> {
    const follow = options.follow ?? true;
    let after: number | string = options.after ?? 0;
    for (;;) {
      const query: Filters = { after, wait: follow ? LONG_POLL_SECONDS : 0 };
      if (options.collection !== undefined) query["collection"] = options.collection;
      if (options.workspace !== undefined) query["workspace"] = options.workspace ?? "";
      if (options.requestId !== undefined) query["request_id"] = options.requestId;
      if (options.filter !== undefined) query["filter"] = options.filter;
      const request = options.signal === undefined ? { query } : { query, signal: options.signal };
      const page = (await this.request("GET", "/changes", request)) as { items: Change[]; last_seq: number };
      yield* page.items;
      if (!follow && page.items.length === 0 && page.last_seq === after) return;
      after = page.last_seq;
    }
  }

  /** Take back the changes of a request or of a range, all or none. */
  async undo(selection: UndoSelection): Promise<UndoReport> {
    const selected =
      "requestId" in selection
        ? { request_id: selection.requestId }
        : { from_seq: selection.fromSeq, to_seq: selection.toSeq };
    const body: JsonObject = { ...selected, on_conflict: selection.onConflict ?? "fail" };
    if (selection.collection !== undefined) body["collection"] = selection.collection;
    if (selection.workspace !== undefined) body["workspace"] = selection.workspace;
    const query: Filters = selection.dryRun === true ? { dry_run: true } : {};
    return (await this.request("POST", "/changes/undo", { body, query })) as UndoReport;
  }

  /** Send any request of the HTTP reference; return the JSON answer, or undefined. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const response = await this.send(method, path, options);
    const text = await response.text();
    return text === "" ? undefined : JSON.parse(text);
  }

  /** Send a request, again where that may help. Throws the problem of an error. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const request = this.prepared(method, options);
    const url = this.url + path + queryString(options.query ?? {});
    for (let attempt = 0; ; attempt += 1) {
      let response: Response | undefined;
      let failure: unknown;
      try {
        response = await this.fetch(url, request);
      } catch (error) {
        failure = error;
      }
      const isAborted = options.signal?.aborted ?? false;
      const delay = isAborted ? undefined : await delayAfter(attempt, this.retries, response);
      if (delay !== undefined && (response === undefined || !response.ok)) {
        await sleep(delay, options.signal);
      } else if (response === undefined) {
        throw failure;
      } else if (!response.ok) {
        throw await problemOf(response);
      } else {
        return response;
      }
    }
  }

  private prepared(method: string, options: RequestOptions): RequestInit {
    const headers = { ...this.headers, ...options.headers };
    const request: RequestInit = { method, headers };
    if (options.body !== undefined) {
      const isText = typeof options.body === "string";
      request.body = isText ? (options.body as string) : JSON.stringify(options.body);
      headers["Content-Type"] ??= "application/json";
    }
    if (method !== "GET" && this.retries > 0) {
      headers["Idempotency-Key"] ??= crypto.randomUUID();
    }
    if (options.signal !== undefined) request.signal = options.signal;
    return request;
  }
}

/**
 * A collection. A target that is a record must not have changed since it was read
 * (otherwise the problem is `precondition-failed`); an id is written whatever its revision.
 */
export class Collection<Data> {
  private readonly path: string;

  constructor(
    private readonly client: Client,
    readonly name: string,
    workspace?: string,
  ) {
    const prefix = workspace === undefined ? "" : `/workspaces/${encodeURIComponent(workspace)}`;
    this.path = `${prefix}/api/${encodeURIComponent(name)}`;
  }

  async create(data: object): Promise<PersistRecord<Data>> {
    return this.record("POST", this.path, { body: data });
  }

  /** The record with an id, as it is, or as it was at a revision or a moment: a seq or a time. */
  async get(id: string, options: ReadOptions = {}): Promise<PersistRecord<Data>> {
    const query: Filters = {};
    if (options.revision !== undefined) query["revision"] = options.revision;
    if (options.asOf !== undefined) query["as_of"] = options.asOf;
    return this.record("GET", this.at(id), { query });
  }

  /** Yield the records that match, page by page; `as_of` in filters is a moment. */
  async *list(filters: Filters = {}): AsyncGenerator<PersistRecord<Data>, void> {
    yield* this.pages<PersistRecord<Data>>(this.path, { limit: PAGE_RECORDS, ...filters });
  }

  /**
   * Yield the deleted records that match, the newest deletion first.
   * `revert(record, record.revision)` brings one back.
   */
  async *trash(filters: Filters = {}): AsyncGenerator<DeletedRecord<Data>, void> {
    yield* this.pages<DeletedRecord<Data>>(`${this.path}/trash`, { limit: PAGE_RECORDS, ...filters });
  }

  async count(filters: Filters = {}): Promise<number> {
    const query = { ...filters, limit: 1, count: true };
    return ((await this.client.request("GET", this.path, { query })) as { total: number }).total;
  }

  /** Replace the data of a record, or create it under an id of the caller's. */
  async replace(target: Target, data: object, options: WriteOptions = {}): Promise<PersistRecord<Data>> {
    return this.record("PUT", this.at(idOf(target)), { body: data, headers: headersOf(target, options) });
  }

  /** Change a record by a merge patch (an object) or a JSON Patch (an array). */
  async patch(
    target: Target,
    changes: object | PatchOperation[],
    options: WriteOptions = {},
  ): Promise<PersistRecord<Data>> {
    const kind = Array.isArray(changes) ? "json-patch" : "merge-patch";
    const headers = { ...headersOf(target, options), "Content-Type": `application/${kind}+json` };
    return this.record("PATCH", this.at(idOf(target)), { body: changes, headers });
  }

  /** Delete a record; its history stays. */
  async delete(target: Target): Promise<void> {
    await this.client.request("DELETE", this.at(idOf(target)), { headers: precondition(target) });
  }

  /** Run a command on a record. */
  async run(target: Target, command: string, payload: object = {}): Promise<CommandResult<Data>> {
    const path = `${this.at(idOf(target))}/commands/${encodeURIComponent(command)}`;
    const answer = await this.client.request("POST", path, { body: payload, headers: precondition(target) });
    return answer as CommandResult<Data>;
  }

  /** Run a command on every record that matches and supports it. */
  async invoke(command: string, payload: object = {}, filters: Filters = {}): Promise<InvokeReport> {
    const path = `${this.path}/commands/${encodeURIComponent(command)}`;
    return (await this.client.request("POST", path, { body: payload, query: filters })) as InvokeReport;
  }

  /** Delete the records that match, unless they are more; return how many. */
  async deleteMatching(maxAffected: number, filters: Filters): Promise<number> {
    const query = { ...filters, max_affected: maxAffected };
    return ((await this.client.request("DELETE", this.path, { query })) as { deleted: number }).deleted;
  }

  /** Yield the changes of a record, newest first; also after its deletion. */
  async *history(id: string): AsyncGenerator<Change, void> {
    yield* this.pages<Change>(`${this.at(id)}/history`, {});
  }

  /** The JSON Patch that turns one revision into another. */
  async diff(id: string, from: number, to: number): Promise<PatchOperation[]> {
    const answer = await this.client.request("GET", `${this.at(id)}/history/diff`, { query: { from, to } });
    return (answer as { patch: PatchOperation[] }).patch;
  }

  /** Give a record the data of an earlier revision; a deleted one comes back. */
  async revert(target: Target, toRevision: number): Promise<PersistRecord<Data>> {
    const body = { to_revision: toRevision };
    return this.record("POST", `${this.at(idOf(target))}/revert`, { body, headers: precondition(target) });
  }

  /** Create a record of each item, or none; return how many. */
  async importAll(data: Iterable<object>): Promise<number> {
    return ((await this.importLines(data, {})) as { created: number }).created;
  }

  /** Store records as they were exported, with their ids and times, all or none. */
  async importRecords(
    records: Iterable<PersistRecord<unknown>>,
    onConflict: "fail" | "skip" | "overwrite" = "fail",
  ): Promise<ImportReport> {
    const query = { envelope: true, on_conflict: onConflict };
    return (await this.importLines(records, query)) as ImportReport;
  }

  /** Yield the records that match, all as of one moment. */
  async *export(filters: Filters = {}): AsyncGenerator<PersistRecord<Data>, void> {
    const response = await this.client.send("GET", `${this.path}/export`, { query: filters });
    for await (const line of lines(response)) {
      yield JSON.parse(line) as PersistRecord<Data>;
    }
  }

  private async importLines(items: Iterable<object>, query: Filters): Promise<unknown> {
    const body = Array.from(items, (each) => `${JSON.stringify(each)}\n`).join("");
    const headers = { "Content-Type": "application/x-ndjson" };
    return this.client.request("POST", `${this.path}/import`, { body, headers, query });
  }

  private at(id: string): string {
    return `${this.path}/${encodeURIComponent(id)}`;
  }

  private async record(method: string, path: string, options: RequestOptions): Promise<PersistRecord<Data>> {
    return (await this.client.request(method, path, options)) as PersistRecord<Data>;
  }

  private async *pages<Item>(path: string, filters: Filters): AsyncGenerator<Item, void> {
    const query: Filters = { ...filters };
    for (;;) {
      const page = (await this.client.request("GET", path, { query })) as {
        items: Item[];
        next_cursor: string | null;
      };
      yield* page.items;
      if (page.next_cursor === null) return;
      query["cursor"] = page.next_cursor;
    }
  }
}

function headersOf(target: Target, options: WriteOptions): Record<string, string> {
  const headers = precondition(target);
  return options.merge === true ? { ...headers, Prefer: "merge" } : headers;
}

function queryString(filters: Filters): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      pairs.append(name, each instanceof Date ? each.toISOString() : String(each));
    }
  }
  const text = pairs.toString();
  return text === "" ? "" : `?${text}`;
}

async function* lines(response: Response): AsyncGenerator<string, void> {
  if (response.body === null) return;
  let rest = "";
  const decoder = new TextDecoder();
  for await (const piece of response.body) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}
