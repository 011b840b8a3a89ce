/** Records, changes and reports as the service answers them. */

import type { components } from "./schemas.js";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An object of JSON values: a record's data, a command's payload. */
export type JsonObject = { [name: string]: unknown };

type Schemas = components["schemas"];

/** One stored record: the envelope around `data`; `revision` is its entity tag. */
export interface PersistRecord<Data> extends Omit<Schemas["Record"], "data"> {
  readonly data: Data;
}

/** A record as it was before its deletion. */
export interface DeletedRecord<Data> extends PersistRecord<Data> {
  readonly deleted_at: string;
  /** The name of the key that deleted it; null where access is open. */
  readonly deleted_by: string | null;
}

/** A record that was read, which must not have changed since, or an id. */
export type Target = PersistRecord<unknown> | string;

export interface CommandResult<Data> {
  readonly result: unknown;
  readonly record: PersistRecord<Data>;
}

/** What a selective invoke did with one record. */
export type Outcome = Schemas["Outcome"];

/** What an import of exported records did. */
export interface ImportReport {
  readonly created: number;
  readonly skipped: number;
  readonly overwritten: number;
  readonly migrated: number;
}

export type InvokeReport = Schemas["Invocations"];

/** One change of the journal; `data` is the data after it, null on a deletion. */
export type Change = Schemas["Change"];

/** What an undo did with one record; `reason` says why it could not go back. */
export type UndoneRecord = Schemas["UndoneRecord"];

/** What an undo did; the first 1,000 records are listed. */
export type UndoReport = Schemas["Undo"];

/** Which changes to take back: those of a request, or those of a range. */
export type UndoSelection = ({ requestId: string } | { fromSeq: number; toSeq: number }) & {
  collection?: string;
  /** A workspace; null is the default one. All if absent. */
  workspace?: string | null;
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

/** The headers by which a write fails if the record has changed meanwhile. */
export function precondition(target: Target): Record<string, string> {
  if (typeof target !== "string" && "deleted_at" in target) {
    return { "If-None-Match": "*" };
  }
  const etag = etagOf(target);
  return etag === undefined ? {} : { "If-Match": etag };
}
