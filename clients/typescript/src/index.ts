export { Client, Collection } from "./client.js";
export type { ChangesOptions, ClientOptions, RequestOptions } from "./client.js";
export { isProblem, Problem } from "./problems.js";
export type { Violation } from "./problems.js";
export type {
  Change,
  CommandResult,
  Filters,
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
