// Requests to the service: sent again while it is away, refused as problems, kept to be shown.
import { signal } from "@preact/signals";
import { type Json, parse, stringify } from "./json.ts";
import type { ProblemBody, Violation } from "./types.ts";

/** The address of the service, with the prefix that a proxy strips. */
export const ROOT = new URL("..", import.meta.url).href.replace(/\/$/, "");

export interface ApiRequest {
  method: string;
  path: string;
  query?: Query;
  body?: Json;
  /** A body that is no JSON, with its media type. */
  text?: { content: string | Blob; type: string };
  headers?: Record<string, string>;
}
export type Query = [name: string, value: string][];

export interface Answer<T> {
  status: number;
  headers: Headers;
  body: T;
}

/** A refusal (RFC 9457). */
export class Problem extends Error {
  readonly body: ProblemBody;

  constructor(body: ProblemBody) {
    super(body.detail || body.title);
    this.body = body;
  }

  get code(): string {
    return this.body.code;
  }

  get status(): number {
    return this.body.status;
  }

  get errors(): Violation[] {
    return this.body.errors ?? [];
  }
}

export interface Sent {
  request: ApiRequest;
  at: Date;
  status: number | null;
  milliseconds: number;
}

/** The last requests, newest first. */
export const sent = signal<Sent[]>([]);
const KEPT = 50;

/** What waits for the service, and when it is asked again; null while it answers. */
export const outage = signal<{ reason: string; retryAt: number } | null>(null);
/** Ends the waiting of an outage at once. */
export const retryNow = new EventTarget();
/** Whether the session ended while somebody was in. */
export const signedOut = signal(false);
/** How often somebody came in. */
export const entered = signal(0);

const LONGEST_WAIT = 15;

export function target(request: ApiRequest): string {
  const query = new URLSearchParams(request.query).toString();
  return request.path + (query ? `?${query}` : "");
}

export function isDryRun(request: ApiRequest): boolean {
  return request.query?.some(([name, value]) => name === "dry_run" && value === "true") ?? false;
}

/** The same request, which changes nothing. */
export function dryRun(request: ApiRequest): ApiRequest {
  return { ...request, query: [...(request.query ?? []), ["dry_run", "true"]] };
}

/** How many milliseconds the dry run of a request took, which does all that it does but store it; undefined where there was none. */
export function rehearsed(request: ApiRequest): number | undefined {
  const wanted = dryRun(request);
  const isDryRunOf = ({ request: other, status }: Sent) => status !== null && status < 400
    && other.method === wanted.method && target(other) === target(wanted)
    && stringify(other.body ?? null) === stringify(wanted.body ?? null);
  return sent.value.find(isDryRunOf)?.milliseconds;
}

/**
 * Send a request until the service answers. A write is sent again under the same idempotency key,
 * so that it is stored once. Throws `Problem`.
 */
export async function send<T = Json>(request: ApiRequest, signal?: AbortSignal): Promise<Answer<T>> {
  const headers = headersOf(request);
  for (let attempt = 0; ; attempt++) {
    const answer = await once(request, headers, signal);
    if (!(answer instanceof Away)) {
      outage.value = null;
      if (answer.status < 400) return answer as Answer<T>;
      throw problemOf(answer);
    }
    const seconds = answer.seconds ?? Math.min(2 ** attempt, LONGEST_WAIT);
    outage.value = { reason: answer.reason, retryAt: Date.now() + seconds * 1000 };
    await pause(seconds, signal);
  }
}

export async function read<T>(path: string, query: Query = [], signal?: AbortSignal): Promise<T> {
  return (await send<T>({ method: "GET", path, query }, signal)).body;
}

class Away {
  readonly reason: string;
  readonly seconds: number | undefined;

  constructor(reason: string, seconds?: number) {
    this.reason = reason;
    this.seconds = seconds;
  }
}

function headersOf(request: ApiRequest): Record<string, string> {
  const headers: Record<string, string> = { Accept: "application/json", ...request.headers };
  if (request.body !== undefined) headers["Content-Type"] ??= "application/json";
  if (request.text) headers["Content-Type"] = request.text.type;
  if (request.method !== "GET" && !isDryRun(request) && request.path !== "/sessions") {
    headers["Idempotency-Key"] = crypto.randomUUID?.() ?? randomKey();
  }
  return headers;
}

/** A page that is not served over HTTPS has no `randomUUID`. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function once(request: ApiRequest, headers: Record<string, string>, signal?: AbortSignal): Promise<Answer<Json> | Away> {
  const entry: Sent = { request, at: new Date(), status: null, milliseconds: 0 };
  const start = performance.now();
  let response: Response;
  let content: string;
  try {
    response = await fetch(ROOT + target(request), {
      method: request.method,
      headers,
      body: request.text?.content ?? (request.body === undefined ? null : stringify(request.body)),
      credentials: "same-origin",
      cache: "no-store",
      signal: signal ?? null,
    });
    content = await response.text();
    entry.status = response.status;
  } catch (error) {
    if (signal?.aborted) throw error;
    return new Away("The connection to the service is lost.");
  } finally {
    entry.milliseconds = performance.now() - start;
    sent.value = [entry, ...sent.value].slice(0, KEPT);
  }
  if ([502, 503, 504].includes(response.status)) {
    const after = Number(response.headers.get("Retry-After"));
    return new Away("The service is not available now.", after > 0 ? Math.min(after, LONGEST_WAIT) : undefined);
  }
  if (response.status === 401 && request.path !== "/sessions") signedOut.value = true;
  return { status: response.status, headers: response.headers, body: bodyOf(response, content) };
}

function bodyOf(response: Response, content: string): Json {
  const isJson = /[/+]json\b/.test(response.headers.get("Content-Type") ?? "");
  return content && isJson ? parse(content) : content;
}

function problemOf(answer: Answer<Json>): Problem {
  const body = answer.body;
  const known = typeof body === "object" && body !== null && "code" in body;
  return new Problem(known ? body as unknown as ProblemBody : {
    status: answer.status, code: "unknown", title: `HTTP ${answer.status}`, detail: String(body ?? "").slice(0, 500),
  });
}

function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, seconds * 1000);
    const abort = () => { done(); reject(signal?.reason); };

    function done(): void {
      clearTimeout(timer);
      retryNow.removeEventListener("now", done);
      signal?.removeEventListener("abort", abort);
      if (signal?.aborted) outage.value = null;
      resolve();
    }
    retryNow.addEventListener("now", done);
    signal?.addEventListener("abort", abort);
  });
}

/** A command line that makes the same request. */
export function curl(request: ApiRequest): string {
  const lines = [`curl -X ${request.method} ${quote(new URL(ROOT + target(request), location.href).href)}`];
  const headers = { ...request.headers };
  if (request.body !== undefined) headers["Content-Type"] ??= "application/json";
  if (request.text) headers["Content-Type"] = request.text.type;
  lines.push(...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`));
  if (needsKey.value) lines.push('-H "Authorization: Bearer $PERSIST_KEY"');
  if (request.body !== undefined) lines.push(`--data-raw ${quote(stringify(request.body))}`);
  if (typeof request.text?.content === "string") lines.push(`--data-raw ${quote(request.text.content)}`);
  return lines.join(" \\\n  ");
}

/** Whether the service asks for a key. */
export const needsKey = signal(false);

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
