// What the service answers with, from its OpenAPI document; any JSON in it without loss.
import type { Json, JsonObject } from "./json.ts";
import type { components } from "./openapi.d.ts";

type Schemas = components["schemas"];
type Known<T> = { [Name in keyof T as string extends Name ? never : Name]: T[Name] };
type With<T, Changed> = Omit<Known<T>, keyof Changed> & Changed;

export type Collection = With<Schemas["Collection"], { schema: JsonObject; commands: string[] }>;
export type Change = With<Schemas["Change"], { data: JsonObject | null; payload: Json; previous?: JsonObject | null }>;
export type StoredRecord = With<Schemas["Record"], {
  data: JsonObject;
  workspace: string | null;
  deleted_at?: string;
  deleted_by?: string | null;
}>;
export type Command = With<Schemas["Command"], { payload_schema: JsonObject }>;
export type Manifest = Known<Schemas["Manifest"]>;
export type MigrationPlan = Known<Schemas["MigrationPlan"]>;
export type Migration = Known<Schemas["Migration"]>;
export type Invocations = Known<Schemas["Invocations"]>;
export type EntityType = Known<Schemas["EntityType"]>;
export type Seal = Known<Schemas["Seal"]>;
export type Workspace = Known<Schemas["Workspace"]>;
export type Proof = With<Schemas["Proof"], { change: Change; seal: Seal }>;

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
  total?: number;
  erased?: number;
}

export interface Changes {
  items: Change[];
  last_seq: number;
}

export interface Violation {
  pointer: string;
  detail: string;
}

export interface ProblemBody {
  status: number;
  code: string;
  title: string;
  detail: string;
  errors?: Violation[];
  revision?: number;
  changes?: Pick<Change, "revision" | "at" | "actor" | "operation" | "command">[];
  changed?: string[];
  conflicts?: string[];
  [name: string]: unknown;
}

export interface Session {
  open: boolean;
  name: string | null;
  scopes: string[];
  expires_at: string | null;
  environment: { name: string | null; color: string | null };
}

export interface UndoReport {
  undone: number;
  skipped: number;
  records: {
    collection: string;
    workspace: string | null;
    id: string;
    from_revision: number | null;
    to_revision: number | null;
    data_revision: number | null;
    outcome: "reverted" | "recreated" | "deleted" | "unchanged" | "skipped" | "conflict";
    reason: string | null;
    at?: string | null;
    actor?: string | null;
  }[];
}
