/** Records, changes and reports as the service answers them. */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An object of JSON values: a record's data, a command's payload. */
export type JsonObject = { [name: string]: unknown };

/** One stored record: the envelope around `data`. */
export interface PersistRecord<Data> {
  readonly id: string;
  readonly collection: string;
  readonly workspace: string | null;
  /** Counts the changes of the record; it is its entity tag. */
  readonly revision: number;
  readonly schema_version: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly data: Data;
}

/** A record that was read, which must not have changed since, or an id. */
export type Target = PersistRecord<unknown> | string;

export interface CommandResult<Data> {
  readonly result: unknown;
  readonly record: PersistRecord<Data>;
}

/** What a selective invoke did with one record. */
export interface Outcome {
  readonly collection: string;
  readonly id: string;
  readonly status: "invoked" | "skipped" | "failed";
  readonly reason: string | null;
  readonly result: unknown;
  readonly revision: number | null;
}

export interface InvokeReport {
  readonly invoked: number;
  readonly skipped: number;
  readonly failed: number;
  readonly outcomes: Outcome[];
}

/** One change of the journal; `data` is the data after it, null on a deletion. */
export interface Change {
  readonly seq: number;
  readonly at: string;
  readonly workspace: string | null;
  readonly collection: string;
  readonly id: string;
  readonly revision: number;
  readonly schema_version: number;
  readonly operation: string;
  readonly command: string | null;
  readonly payload: unknown;
  readonly actor: string | null;
  readonly request_id: string;
  readonly data: JsonObject | null;
}

/** What an undo did with one record; `reason` says why it could not go back. */
export interface UndoneRecord {
  readonly collection: string;
  readonly workspace: string | null;
  readonly id: string;
  readonly from_revision: number;
  readonly to_revision: number | null;
  readonly data_revision: number | null;
  readonly outcome: "reverted" | "recreated" | "deleted" | "unchanged" | "skipped" | "conflict";
  readonly reason: { conflict: string; at: string | null; actor: string | null } | null;
}

/** What an undo did; the first 1,000 records are listed. */
export interface UndoReport {
  readonly undone: number;
  readonly skipped: number;
  readonly records: UndoneRecord[];
}

/** Which changes to take back: those of a request, or those of a range. */
export type UndoSelection = ({ requestId: string } | { fromSeq: number; toSeq: number }) & {
  collection?: string;
  onConflict?: "fail" | "skip";
  dryRun?: boolean;
};

/** One operation of a JSON Patch (RFC 6902). */
export interface PatchOperation {
  op: "add" | "remove" | "replace" | "move" | "copy" | "test";
  path: string;
  from?: string;
  value?: unknown;
}

export type Scalar = string | number | boolean | Date;

/** Filters and options of a list: `{severity__gte: 30, sort: "-severity"}`. */
export type Filters = { [name: string]: Scalar | Scalar[] };

export function idOf(target: Target): string {
  return typeof target === "string" ? target : target.id;
}

/** The entity tag of a record that was read; undefined for an id. */
export function etagOf(target: Target): string | undefined {
  return typeof target === "string" ? undefined : `"${target.revision}"`;
}
