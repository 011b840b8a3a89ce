// JSON without loss: a number that JavaScript would write differently stays text.

/** A number as it was written, where `String(Number(text))` is something else. */
export class Num {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

export type Json = null | boolean | string | number | Num | Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

export class JsonError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES: Record<string, string> = {
  '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t",
};

/** The value of a JSON text. Throws `JsonError` with the offset of the mistake. */
export function parse(text: string): Json {
  let at = 0;

  function fail(message: string): never {
    throw new JsonError(message, at);
  }

  function take(pattern: RegExp): string {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? "";
    at += found.length;
    return found;
  }

  function expect(sign: string): void {
    take(SPACE);
    if (!text.startsWith(sign, at)) fail(`expected ${sign}`);
    at += sign.length;
  }

  function next(sign: string): boolean {
    take(SPACE);
    if (text[at] !== sign) return false;
    at += 1;
    return true;
  }

  function string(): string {
    expect('"');
    let result = "";
    for (;;) {
      result += take(PLAIN);
      const sign = text[at];
      if (sign === '"') {
        at += 1;
        return result;
      }
      if (sign !== "\\") fail("a text that does not end");
      result += escape();
    }
  }

  function escape(): string {
    const sign = text[at + 1] ?? "";
    if (sign === "u") {
      const digits = text.slice(at + 2, at + 6);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) fail("\\u takes four hexadecimal digits");
      at += 6;
      return String.fromCharCode(parseInt(digits, 16));
    }
    const meant = ESCAPES[sign];
    if (meant === undefined) fail(`\\${sign} is no escape`);
    at += 2;
    return meant;
  }

  function object(): JsonObject {
    const result = emptyObject();
    expect("{");
    if (next("}")) return result;
    do {
      take(SPACE);
      const start = at;
      const name = string();
      if (name in result) {
        at = start;
        fail(`the member ${JSON.stringify(name)} is there twice`);
      }
      expect(":");
      result[name] = value();
    } while (next(","));
    expect("}");
    return result;
  }

  function array(): Json[] {
    const result: Json[] = [];
    expect("[");
    if (next("]")) return result;
    do {
      result.push(value());
    } while (next(","));
    expect("]");
    return result;
  }

  function word<T>(written: string, meant: T): T {
    expect(written);
    return meant;
  }

  function value(): Json {
    take(SPACE);
    switch (text[at]) {
      case "{": return object();
      case "[": return array();
      case '"': return string();
      case "t": return word("true", true);
      case "f": return word("false", false);
      case "n": return word("null", null);
      default: {
        const written = take(NUMBER);
        if (!written) fail(at < text.length ? "no JSON value" : "a value is missing");
        return numberOf(written);
      }
    }
  }

  const result = value();
  take(SPACE);
  if (at < text.length) fail("the text goes on after the value");
  return result;
}

/** A number of JSON, which keeps the digits it was written with. */
export function numberOf(written: string): number | Num {
  const near = Number(written);
  return String(near) === written ? near : new Num(written);
}

/** The number that a text is, or undefined. */
export function readNumber(written: string): number | Num | undefined {
  NUMBER.lastIndex = 0;
  return NUMBER.exec(written)?.[0] === written ? numberOf(written) : undefined;
}

/** An object that a member named `__proto__` cannot change. */
export function emptyObject(): JsonObject {
  return Object.create(null) as JsonObject;
}

/** JSON text of a value; `indent` is the number of spaces of a level. */
export function stringify(value: Json | undefined, indent = 0): string {
  return write(value ?? null, indent, "\n");
}

function write(value: Json, indent: number, line: string): string {
  if (value instanceof Num) return value.text;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = indent ? line + " ".repeat(indent) : "";
  const end = indent ? line : "";
  const colon = indent ? ": " : ":";
  const items = Array.isArray(value)
    ? value.map((item) => inner + write(item, indent, inner || line))
    : Object.keys(value)
      .filter((name) => value[name] !== undefined)
      .map((name) => inner + JSON.stringify(name) + colon + write(value[name]!, indent, inner || line));
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return items.length ? open + items.join(",") + end + close : open! + close;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Num);
}

export function isNumber(value: Json | undefined): value is number | Num {
  return typeof value === "number" || value instanceof Num;
}

/** Whether two values are equal; numbers by their digits (30.0 and 30 are equal). */
export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (isNumber(a) && isNumber(b)) return canonical(String(a)) === canonical(String(b));
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => equal(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length
    && names.every((name) => name in b && equal(a[name], b[name]));
}

/** A number as sign, digits without zeros at the ends, and exponent. */
function canonical(written: string): string {
  const [, sign, whole, part = "", power = "0"] =
    /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(written) ?? [];
  const digits = ((whole ?? "") + part).replace(/^0+/, "");
  const short = digits.replace(/0+$/, "");
  if (!short) return "0";
  return `${sign}${short}e${Number(power) - part.length + digits.length - short.length}`;
}

// --- JSON Pointer (RFC 6901)

export type Path = readonly string[];

export function pointerOf(path: Path): string {
  return path.map((name) => "/" + name.replaceAll("~", "~0").replaceAll("/", "~1")).join("");
}

export function pathOf(pointer: string): string[] {
  return pointer.split("/").slice(1).map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
}

export function get(value: Json | undefined, path: Path): Json | undefined {
  let found = value;
  for (const name of path) {
    if (Array.isArray(found)) found = found[Number(name)];
    else if (isObject(found) && name in found) found = found[name];
    else return undefined;
  }
  return found;
}

/** A copy with another value at a path; undefined removes it. */
export function put(value: Json | undefined, path: Path, changed: Json | undefined): Json | undefined {
  const [name, ...rest] = path;
  if (name === undefined) return changed;
  if (Array.isArray(value)) {
    const copy = [...value];
    const inner = put(copy[Number(name)], rest, changed);
    if (inner === undefined) copy.splice(Number(name), 1);
    else copy[Number(name)] = inner;
    return copy;
  }
  const copy = Object.assign(emptyObject(), isObject(value) ? value : {});
  const inner = put(copy[name], rest, changed);
  if (inner === undefined) delete copy[name];
  else copy[name] = inner;
  return copy;
}

/** The paths at which two values differ, each as deep as possible; arrays are one value. */
export function differences(a: Json | undefined, b: Json | undefined, path: Path = []): Path[] {
  if (equal(a, b)) return [];
  if (!isObject(a) || !isObject(b)) return [path];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].flatMap((name) => differences(a[name], b[name], [...path, name]));
}

export interface Merge {
  merged: Json;
  /** The paths that both sides changed to different results. */
  conflicts: Path[];
}

/** Mine on top of theirs; where both changed the same, theirs stays and is a conflict. */
export function merge(base: Json, theirs: Json, mine: Json): Merge {
  const changed = differences(base, theirs);
  let merged = theirs;
  const conflicts: Path[] = [];
  for (const path of differences(base, mine)) {
    const near = changed.find((other) => overlap(path, other));
    if (!near) {
      merged = put(merged, path, get(mine, path)) as Json;
    } else {
      const upper = near.length < path.length ? near : path;
      if (equal(get(theirs, upper), get(mine, upper))) continue;
      if (!conflicts.some((other) => overlap(other, upper))) conflicts.push(upper);
    }
  }
  return { merged, conflicts };
}

export function overlap(a: Path, b: Path): boolean {
  const length = Math.min(a.length, b.length);
  return a.slice(0, length).every((name, index) => name === b[index]);
}
