/** Transactions: several writes as one, later ones with values of earlier ones. */

import { etagOf, idOf, type JsonObject, type PatchOperation, type Target } from "./records.js";

/** A value that an earlier operation will have. */
export class Reference {
  constructor(readonly path: string) {}

  toJSON(): JsonObject {
    return { $ref: this.path };
  }
}

/**
 * One operation. `id`, `revision`, `result` and `field(…)` stand for values it will
 * have and may be used in later operations; `status`, `record` and `returned` are set
 * once the transaction is stored.
 */
export class Operation {
  readonly id: Reference;
  readonly revision: Reference;
  readonly result: Reference;
  status: number | undefined;
  record: JsonObject | null | undefined;
  returned: unknown;

  constructor(private readonly name: string) {
    this.id = new Reference(`${name}.id`);
    this.revision = new Reference(`${name}.revision`);
    this.result = new Reference(`${name}.result`);
  }

  /** A member of the record's data, as in `field("address.city")`. */
  field(path: string): Reference {
    return new Reference(`${this.name}.data.${path}`);
  }
}

export interface InWorkspace {
  workspace?: string;
}

/** Collects operations; `Client.transaction` sends them. */
export class Transaction {
  readonly operations: Operation[] = [];
  private readonly written: JsonObject[] = [];

  create(collection: string, data: object, options: InWorkspace & { id?: string } = {}): Operation {
    return this.add("create", collection, { ...options, data: encoded(data) });
  }

  replace(collection: string, target: Target | Reference, data: object, options: InWorkspace = {}): Operation {
    return this.add("replace", collection, { ...options, ...addressed(target), data: encoded(data) });
  }

  /** Change a record by a merge patch (an object) or a JSON Patch (an array). */
  patch(
    collection: string,
    target: Target | Reference,
    changes: object | PatchOperation[],
    options: InWorkspace = {},
  ): Operation {
    return this.add("patch", collection, { ...options, ...addressed(target), patch: encoded(changes) });
  }

  run(
    collection: string,
    target: Target | Reference,
    command: string,
    payload: object = {},
    options: InWorkspace = {},
  ): Operation {
    const members = { ...options, ...addressed(target), command, payload: encoded(payload) };
    return this.add("command", collection, members);
  }

  delete(collection: string, target: Target | Reference, options: InWorkspace = {}): Operation {
    return this.add("delete", collection, { ...options, ...addressed(target) });
  }

  /** The body of `POST /transactions`. */
  body(): JsonObject {
    return { operations: this.written };
  }

  /** Give each operation what the service answered. */
  settle(results: { status: number; record: JsonObject | null; result?: unknown }[]): void {
    results.forEach((result, index) => {
      const operation = this.operations[index];
      if (operation !== undefined) {
        operation.status = result.status;
        operation.record = result.record;
        operation.returned = result.result;
      }
    });
  }

  private add(op: string, collection: string, members: JsonObject): Operation {
    const name = `o${this.written.length}`;
    this.written.push({ op, collection, as: name, ...members });
    const operation = new Operation(name);
    this.operations.push(operation);
    return operation;
  }
}

function addressed(target: Target | Reference): JsonObject {
  if (target instanceof Reference) {
    return { id: target };
  }
  const etag = etagOf(target);
  return etag === undefined ? { id: idOf(target) } : { id: idOf(target), if_match: etag };
}

/** A value in which objects that look like a reference are escaped. */
function encoded(value: unknown): unknown {
  if (value instanceof Reference || value instanceof Date) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map(encoded);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const names = Object.keys(value);
  if (names.length === 1 && (names[0] === "$ref" || names[0] === "$value")) {
    return { $value: value };
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, encoded(each)]));
}
