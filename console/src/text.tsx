// How values, times and differences are shown. Whatever is stored is text, never markup.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { type Json, type JsonObject, type Path, Num, get, isNumber, isObject, pointerOf, stringify } from "./json.ts";
import { NAMING } from "./schema.ts";

const CELL = 160;
const LONGEST = 20_000;

/** Signs that would change the order or the look of the text around them. */
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text with its control and direction marks made visible. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (sign) => `⟨${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** A value on one short line. */
export function brief(value: Json | undefined, length = CELL): string {
  if (value === undefined) return "";
  const text = typeof value === "string" ? value.slice(0, length + 1) : compact(value, length);
  const line = visible(text.replace(/\s+/g, " "));
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

/** JSON of the beginning of a value: a large one is not written to its end. */
function compact(value: Json, length: number): string {
  if (Array.isArray(value)) {
    return value.length > length ? `[${value.slice(0, 20).map((item) => compact(item, length)).join(",")},…` : stringify(value);
  }
  if (!isObject(value)) return stringify(value);
  const names = Object.keys(value);
  const inner = names.slice(0, 20).map((name) => `${JSON.stringify(name)}:${brief(value[name], length)}`);
  return names.length > 20 ? `{${inner.join(",")},…` : stringify(value);
}

export function Value({ value, length }: { value: Json | undefined; length?: number }) {
  if (value === undefined) return <span class="faint">not set</span>;
  if (value === null) return <span class="faint">null</span>;
  if (typeof value === "boolean") return <span class={value ? "" : "faint"}>{String(value)}</span>;
  if (isNumber(value)) return <span class="number">{String(value)}</span>;
  return <bdi class={typeof value === "string" ? "" : "mono"}>{brief(value, length)}</bdi>;
}

/** JSON on many lines; a long one is cut until somebody asks for all of it. */
export function JsonText({ value }: { value: Json | undefined }) {
  const text = stringify(value, 2);
  const [all, setAll] = useState(false);
  if (all || text.length <= LONGEST) return <pre class="json" tabIndex={0}>{visible(text)}</pre>;
  return (
    <>
      <pre class="json" tabIndex={0}>{visible(text.slice(0, LONGEST))}…</pre>
      <button type="button" onClick={() => setAll(true)}>Show all {size(text.length)}</button>
    </>
  );
}

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${grouped(number)} ${number === 1 ? one : many}`;
}

export function grouped(number: number): string {
  return number.toLocaleString("en");
}

// --- time

/** The present, for relative times. */
export const now = signal(Date.now());
setInterval(() => { now.value = Date.now(); }, 15_000);

const STEPS: [number, string][] = [[60, "s"], [60, "min"], [24, "h"], [30, "d"], [12.17, "mo"], [Infinity, "y"]];

export function ago(at: string, present = now.value): string {
  const seconds = (present - Date.parse(at)) / 1000;
  if (Number.isNaN(seconds)) return at;
  // Clocks differ, and the present here is up to 15 s old.
  if (seconds < 5 && seconds > -60) return "just now";
  let amount = Math.abs(seconds);
  for (const [step, unit] of STEPS) {
    if (amount < step) {
      const length = `${Math.floor(amount)} ${unit}`;
      return seconds < 0 ? `in ${length}` : `${length} ago`;
    }
    amount /= step;
  }
  return at;
}

/** A time in the time zone of the reader, to the second. */
export function local(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const pad = (number: number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} `
    + `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function Time({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="faint">never</span>;
  return <time dateTime={at} title={`${local(at)} (${at})`}>{ago(at)}</time>;
}

export function Actor({ name }: { name: string | null | undefined }) {
  return name ? <bdi class="actor">{visible(name)}</bdi> : <span class="faint" title="Without a key">somebody</span>;
}

export function shortId(id: string): string {
  return `${id.slice(0, 8)}…${id.slice(-4)}`;
}

const LABEL = 60;

/** What a reader knows a record by: the member that names it, or its first short text. */
export function labelOf(data: JsonObject | null | undefined): string {
  const texts = Object.entries(data ?? {}).filter(([, value]) => typeof value === "string" && value.trim() !== "");
  const found = NAMING.flatMap((name) => texts.filter(([other]) => other.toLowerCase() === name))[0] ?? texts[0];
  return found ? brief(found[1], LABEL) : "";
}

/** A record: its collection, its id and what it is known by; a brief one has its id only where it has nothing else. */
export function RecordName({ record, id, data, brief }: { record: string; id: string; data?: JsonObject | null | undefined; brief?: boolean | undefined }) {
  const label = labelOf(data);
  return <>{visible(record)}{(!brief || !label) && <> <span class="mono" title={id}>{shortId(id)}</span></>}{label && <> <bdi class="label">{label}</bdi></>}</>;
}

// --- differences

/** What differs between two values, a line for each member. */
export function Differences({ paths, from, to, labels = ["before", "after"] }: {
  paths: Path[];
  from: Json | undefined;
  to: Json | undefined;
  labels?: [string, string];
}) {
  if (!paths.length) return <p class="faint">No difference.</p>;
  return (
    <table class="differences">
      <thead><tr><th scope="col">member</th><th scope="col">{labels[0]}</th><th scope="col">{labels[1]}</th></tr></thead>
      <tbody>
        {paths.slice(0, 500).map((path) => (
          <tr key={pointerOf(path)}>
            <th scope="row" class="mono"><bdi>{visible(pointerOf(path) || "/")}</bdi></th>
            <td class="removed"><Value value={get(from, path)} length={400} /></td>
            <td class="added"><Value value={get(to, path)} length={400} /></td>
          </tr>
        ))}
        {paths.length > 500 && <tr><td colSpan={3} class="faint">and {grouped(paths.length - 500)} more</td></tr>}
      </tbody>
    </table>
  );
}

/** A member of the data as CSV. */
export function csvCell(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  const text = typeof value === "string" ? value : value instanceof Num ? value.text : stringify(value);
  return /[",\r\n]/.test(text) || /^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
