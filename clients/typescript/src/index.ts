export { Client, Collection } from "./client.js";
export type { ChangesOptions, ClientOptions, ReadOptions, RequestOptions, WriteOptions } from "./client.js";
export { isProblem, Problem } from "./problems.js";
export type { Violation } from "./problems.js";
export type {
  Change,
  CommandResult,
  DeletedRecord,
  Filters,
  ImportReport,
  InvokeReport,
  JsonObject,
  Outcome,
  PatchOperation,
  PersistRecord,
  Target,
  UndoneRecord,
  UndoReport,
  UndoSelection,
} from "./records.js";
export { Operation, Reference, Transaction } from "./transaction.js";
