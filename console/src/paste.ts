// A type from pasted CSV or JSON: its rows, and a schema that all of them fit.
import { type Json, type JsonObject, emptyObject, isNumber, isObject, parse, readNumber } from "./json.ts";

export interface Pasted {
  rows: JsonObject[];
  schema: JsonObject;
}

/** The rows of a text and their schema. Throws `Error` that says what is wrong. */
export function readPasted(text: string): Pasted {
  const trimmed = text.replace(/^\ufeff/, "").trim();
  if (!trimmed) throw new Error("Nothing is pasted yet.");
  const rows = /^[[{]/.test(trimmed) ? jsonRows(trimmed) : csvRows(trimmed);
  if (!rows.length) throw new Error("There is no row below the heading.");
  return { rows, schema: schemaOf(rows) };
}

function jsonRows(text: string): JsonObject[] {
  let values: Json[];
  try {
    const whole = parse(text);
    values = Array.isArray(whole) ? whole : [whole];
  } catch (error) {
    // NDJSON has one value a line.
    if (!text.startsWith("{") || !text.includes("\n")) throw error;
    values = text.split("\n").filter((line) => line.trim()).map(parse);
  }
  values.forEach((value, index) => {
    if (!isObject(value)) throw new Error(`Item ${index + 1} is no object.`);
  });
  return values as JsonObject[];
}

function csvRows(text: string): JsonObject[] {
  const separator = [",", ";", "\t"].map((sign) => [text.split("\n", 1)[0]!.split(sign).length, sign] as const).sort((a, b) => b[0] - a[0])[0]![1];
  const [heading = [], ...lines] = cellsOf(text, separator);
  const names = heading.map((name, index) => name.trim() || `column_${index + 1}`);
  if (new Set(names).size < names.length) throw new Error("Two columns have the same name.");
  const columns = names.map((_, index) => columnKind(lines.map((line) => line[index]?.trim() ?? "")));
  return lines.map((line, number) => {
    if (line.length > names.length) throw new Error(`Row ${number + 1} has ${line.length} cells, the heading ${names.length}.`);
    const row = emptyObject();
    names.forEach((name, index) => {
      const cell = line[index] ?? "";
      if (cell.trim() !== "") row[name] = valueOf(cell, columns[index]!);
    });
    return row;
  });
}

/** The cells of a CSV text (RFC 4180). */
function cellsOf(text: string, separator: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  let cell = "";
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at]!;
    if (quoted) {
      if (sign !== '"') cell += sign;
      else if (text[at + 1] === '"') { cell += sign; at++; }
      else quoted = false;
    } else if (sign === '"' && cell === "") quoted = true;
    else if (sign === separator) { line.push(cell); cell = ""; }
    else if (sign === "\n") { line.push(cell); lines.push(line); line = []; cell = ""; }
    else if (sign !== "\r") cell += sign;
  }
  line.push(cell);
  lines.push(line);
  return lines.filter((cells) => cells.length > 1 || cells[0] !== "");
}

type ColumnKind = "number" | "boolean" | "string";

function columnKind(cells: string[]): ColumnKind {
  const filled = cells.filter((cell) => cell !== "");
  if (filled.length && filled.every((cell) => readNumber(cell) !== undefined)) return "number";
  if (filled.length && filled.every((cell) => /^(true|false)$/i.test(cell))) return "boolean";
  return "string";
}

function valueOf(cell: string, kind: ColumnKind): Json {
  if (kind === "number") return readNumber(cell.trim())!;
  return kind === "boolean" ? cell.trim().toLowerCase() === "true" : cell;
}

const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const DATE = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;

/** An object schema that every row fits. */
function schemaOf(rows: JsonObject[]): JsonObject {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const properties = emptyObject();
  for (const name of names) properties[name] = valueSchema(rows.filter((row) => name in row).map((row) => row[name]!));
  const result: JsonObject = Object.assign(emptyObject(), { type: "object", properties, additionalProperties: false });
  const required = names.filter((name) => rows.every((row) => name in row));
  if (required.length) result["required"] = required;
  return result;
}

function valueSchema(values: Json[]): JsonObject {
  const filled = values.filter((value) => value !== null);
  const kinds = new Set(filled.map(kindOf));
  if (kinds.has("integer") && kinds.has("number")) kinds.delete("integer");
  const [kind, ...others] = [...kinds];
  const result = emptyObject();
  if (kind === undefined || others.length) return result;
  result["type"] = filled.length < values.length ? [kind, "null"] : kind;
  if (kind === "string") {
    const texts = filled as string[];
    if (texts.every((text) => DATE_TIME.test(text))) result["format"] = "date-time";
    else if (texts.every((text) => DATE.test(text))) result["format"] = "date";
  } else if (kind === "object" && filled.length === values.length) {
    return schemaOf(filled as JsonObject[]);
  } else if (kind === "array") {
    const items = (filled as Json[][]).flat();
    if (items.length) result["items"] = valueSchema(items);
  }
  return result;
}

function kindOf(value: Json): string {
  if (isNumber(value)) return /^-?\d+$/.test(String(value)) ? "integer" : "number";
  if (Array.isArray(value)) return "array";
  return value === null ? "null" : typeof value;
}
