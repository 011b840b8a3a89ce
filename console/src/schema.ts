// What a form and a list need to know of a JSON Schema. Nothing here validates: the service does.
import { type Json, type JsonObject, emptyObject, equal, get, isNumber, isObject, pathOf, stringify } from "./json.ts";

export type Kind = "object" | "array" | "string" | "number" | "boolean" | "enum" | "const" | "choice" | "any" | "null";

/** One schema, its references followed. */
export interface Shape {
  kind: Kind;
  nullable: boolean;
  schema: JsonObject;
  /** Where references lead to. */
  root: JsonObject;
  options: Json[];
  branches: JsonObject[];
  description: string;
  format: string;
}

const DEEPEST = 24;

/** A schema with its `$ref` and `allOf` put together. */
function resolved(schema: Json | undefined, root: JsonObject, depth = 0): JsonObject {
  if (!isObject(schema) || depth > DEEPEST) return emptyObject();
  let result = schema;
  if (typeof schema["$ref"] === "string") {
    const { $ref: reference, ...rest } = schema;
    result = joined(resolved(find(reference as string, root), root, depth + 1), rest);
  }
  if (Array.isArray(result["allOf"])) {
    const { allOf, ...rest } = result;
    result = (allOf as Json[]).map((part) => resolved(part, root, depth + 1)).reduce(joined, rest);
  }
  return result;
}

function find(reference: string, root: JsonObject): Json | undefined {
  if (!reference.startsWith("#")) return undefined;
  if (reference === "#") return root;
  if (reference.startsWith("#/")) return get(root, pathOf(decodeURIComponent(reference.slice(1))));
  const anchor = reference.slice(1);
  const definitions = root["$defs"];
  return isObject(definitions)
    ? Object.values(definitions).find((item) => isObject(item) && item["$anchor"] === anchor)
    : undefined;
}

function joined(first: JsonObject, second: JsonObject): JsonObject {
  const properties = [first["properties"], second["properties"]].filter(isObject);
  const required = [first["required"], second["required"]].filter(Array.isArray).flat();
  const result = Object.assign(emptyObject(), first, second);
  if (properties.length) result["properties"] = Object.assign(emptyObject(), ...properties);
  if (required.length) result["required"] = required;
  return result;
}

export function shapeOf(schema: Json | undefined, root: JsonObject): Shape {
  const whole = resolved(schema, root);
  const union = whole["oneOf"] ?? whole["anyOf"];
  const all = Array.isArray(union) ? union.map((branch) => resolved(branch, root)) : [];
  const branches = all.filter((branch) => branch["type"] !== "null");
  const nullable = branches.length < all.length;
  if (branches.length === 1) {
    const { oneOf: _, anyOf: __, ...rest } = whole;
    const inner = shapeOf(joined(branches[0]!, rest), root);
    return { ...inner, nullable: nullable || inner.nullable };
  }
  const types = typesOf(whole);
  const options = Array.isArray(whole["enum"]) ? whole["enum"] : [];
  return {
    kind: kindOf(whole, branches, types.filter((type) => type !== "null")),
    nullable: nullable || types.includes("null"),
    schema: whole, root, options, branches,
    description: text(whole["description"]),
    format: text(whole["format"]),
  };
}

function kindOf(schema: JsonObject, branches: JsonObject[], types: string[]): Kind {
  if ("const" in schema) return "const";
  if (Array.isArray(schema["enum"])) return "enum";
  if (branches.length && !schema["properties"]) return "choice";
  if (types.length > 1) return "any";
  switch (types[0] ?? (schema["properties"] ? "object" : schema["items"] ? "array" : "")) {
    case "object": return "object";
    case "array": return "array";
    case "string": return "string";
    case "integer": case "number": return "number";
    case "boolean": return "boolean";
    default: return "any";
  }
}

function typesOf(schema: JsonObject): string[] {
  const type = schema["type"];
  return Array.isArray(type) ? type.map(String) : typeof type === "string" ? [type] : [];
}

function text(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

/** The declared members of an object, in the order of the schema. */
export function members(shape: Shape): { name: string; schema: Json; required: boolean }[] {
  const properties = shape.schema["properties"];
  const required = Array.isArray(shape.schema["required"]) ? shape.schema["required"] : [];
  return isObject(properties)
    ? Object.keys(properties).map((name) => ({ name, schema: properties[name]!, required: required.includes(name) }))
    : [];
}

/** The schema of a member that is not declared; undefined where there may be none. */
export function openMember(shape: Shape): Json | undefined {
  const rest = shape.schema["additionalProperties"] ?? shape.schema["unevaluatedProperties"];
  return rest === false ? undefined : rest ?? true;
}

/** The schema of an item of an array. */
export function itemSchema(shape: Shape, index: number): Json {
  const prefix = shape.schema["prefixItems"];
  if (Array.isArray(prefix) && index < prefix.length) return prefix[index]!;
  return shape.schema["items"] ?? true;
}

/** What a new value begins as: its default, or what the form can show as empty. */
export function initial(schema: Json | undefined, root: JsonObject, depth = 0): Json {
  const shape = shapeOf(schema, root);
  if ("default" in shape.schema) return shape.schema["default"]!;
  switch (shape.kind) {
    case "const": return shape.schema["const"]!;
    case "enum": return shape.options[0] ?? null;
    case "object": return depth > DEEPEST ? emptyObject() : initialObject(shape, depth);
    case "array": return [];
    case "boolean": return false;
    case "choice": return shape.nullable ? null : initial(shape.branches[0], root, depth + 1);
    default: return shape.nullable ? null : "";
  }
}

function initialObject(shape: Shape, depth: number): JsonObject {
  const result = emptyObject();
  for (const { name, schema, required } of members(shape)) {
    const inner = shapeOf(schema, shape.root);
    if ("default" in inner.schema) result[name] = inner.schema["default"]!;
    else if (required && !isBlank(inner)) result[name] = initial(schema, shape.root, depth + 1);
  }
  return result;
}

/** Whether somebody has to fill in a value: nothing stands for it. */
function isBlank(shape: Shape): boolean {
  return shape.kind === "string" || shape.kind === "number" || shape.kind === "any";
}

/** The branch that a value seems to be of. */
export function branchOf(shape: Shape, value: Json | undefined): number {
  const ranked = shape.branches.map((branch) => likeness(branch, value, shape.root));
  return Math.max(0, ranked.indexOf(Math.max(...ranked)));
}

function likeness(branch: JsonObject, value: Json | undefined, root: JsonObject): number {
  const shape = shapeOf(branch, root);
  if (shape.kind === "const") return equal(shape.schema["const"], value) ? 9 : -1;
  if (shape.kind === "enum") return shape.options.some((option) => equal(option, value)) ? 9 : -1;
  if (shape.kind === "object" && isObject(value)) {
    return members(shape).reduce((sum, { name, schema, required }) => {
      if (!(name in value)) return sum - (required ? 2 : 0);
      const inner = shapeOf(schema, root);
      return sum + (inner.kind === "const" ? (equal(inner.schema["const"], value[name]) ? 9 : -9) : 1);
    }, 1);
  }
  return shape.kind === typeName(value) ? 1 : -1;
}

export function typeName(value: Json | undefined): Kind {
  if (value === undefined || value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (isNumber(value)) return "number";
  return typeof value as "string" | "boolean" | "object";
}

/** How a branch is called in a list of choices. */
export function branchName(branch: JsonObject, index: number): string {
  const properties = branch["properties"];
  if (typeof branch["title"] === "string") return branch["title"];
  if (isObject(properties)) {
    const fixed = Object.entries(properties).find(([, schema]) => isObject(schema) && "const" in schema);
    if (fixed) return `${fixed[0]}: ${stringify((fixed[1] as JsonObject)["const"])}`;
  }
  if ("const" in branch) return stringify(branch["const"]);
  return typesOf(branch).join(" or ") || `choice ${index + 1}`;
}

// --- columns and filters

export interface Column {
  /** How `sort` and filters name it: `severity`, `payload.user_id`, `_created_at`. */
  name: string;
  path: string[];
  shape: Shape | null;
  width: number;
  isNumber: boolean;
}

export const ENVELOPE = ["_id", "_revision", "_schema_version", "_created_at", "_updated_at"];
/** Members that name a record, the best first. */
export const NAMING = ["name", "title", "label", "subject"];
const DECLARED = /^[^._][^.]*$/;

/** The members a list can show: those of the first two levels, and the envelope. */
export function columnsOf(schema: JsonObject): Column[] {
  const root = shapeOf(schema, schema);
  const first = members(root).map(({ name, schema: inner }) => column([name], inner, schema));
  const second = first.flatMap((upper) => upper.shape?.kind === "object"
    ? members(upper.shape).map(({ name, schema: inner }) => column([...upper.path, name], inner, schema))
    : []);
  return [...first, ...second, ...ENVELOPE.map(envelopeColumn)];
}

function column(path: string[], schema: Json, root: JsonObject): Column {
  const shape = shapeOf(schema, root);
  const widths: Partial<Record<Kind, number>> = { boolean: 124, number: 110, enum: 140, string: 200 };
  const times: Record<string, number> = { "date-time": 190, date: 120, time: 120, duration: 120 };
  const isNaming = path.length === 1 && shape.kind === "string" && NAMING.includes(path[0]!.toLowerCase());
  return { name: path.join("."), path, shape, width: times[shape.format] ?? (isNaming ? 280 : widths[shape.kind] ?? 200), isNumber: shape.kind === "number" };
}

function envelopeColumn(name: string): Column {
  const isNumber = /revision|version/.test(name);
  return { name, path: [name.slice(1)], shape: null, width: name === "_id" ? 130 : isNumber ? 90 : 130, isNumber };
}

/** The members that a list shows at first. */
export function usualColumns(columns: Column[]): string[] {
  const scalars = columns.filter(({ shape, path }) => shape && path.length === 1 && shape.kind !== "object" && shape.kind !== "array");
  const others = columns.filter(({ shape, path }) => shape && path.length === 1 && (shape.kind === "object" || shape.kind === "array"));
  return [...scalars, ...others].slice(0, 7).map(({ name }) => name);
}

/** Whether filters of the query string can name a member; `filter=` reaches the others. */
export function isPlain(path: string[]): boolean {
  return path.every((name) => DECLARED.test(name) && !name.includes("__"));
}

const ORDER = ["eq", "ne", "gt", "gte", "lt", "lte", "in", "isnull"];
const TEXT = ["eq", "ne", "contains", "icontains", "startswith", "endswith", "in", "gt", "lt", "isnull"];

/** The operators that a member offers. */
export function operatorsOf(column: Column): string[] {
  if (!column.shape) return column.name === "_id" ? ["eq", "ne", "in", "gt", "lt"] : ORDER.filter((name) => name !== "isnull");
  const { kind, format } = column.shape;
  switch (kind) {
    case "boolean": return ["eq", "ne", "isnull"];
    case "number": return ORDER;
    case "object": return ["isnull"];
    case "array": return ["has", "len", "isnull"];
    case "string": return /^(date-time|date|time|duration|decimal)$/.test(format) ? ORDER : TEXT;
    case "enum": return ["eq", "ne", "in", "isnull"];
    default: return TEXT;
  }
}

export const SIGNS: Record<string, string> = {
  eq: "=", ne: "≠", gt: ">", gte: "≥", lt: "<", lte: "≤", in: "in", contains: "contains", icontains: "contains (any case)",
  startswith: "starts with", endswith: "ends with", isnull: "is null", has: "has", len: "length",
};
