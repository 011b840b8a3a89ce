// Who uses the console, and what they may do and see.
import { computed, signal } from "@preact/signals";
import { Problem, entered, needsKey, read, send, signedOut } from "./api.ts";
import { type Json, equal } from "./json.ts";
import type { Collection, Session, Workspace } from "./types.ts";

export const session = signal<Session | null>(null);
export const collections = signal<Collection[]>([]);
export const workspaces = signal<Workspace[]>([]);
/** Whether the first request about the session was answered. */
export const asked = signal(false);

const LEVELS = ["read", "write", "admin"];
export type Level = "read" | "write" | "admin";

const scopes = computed(() => (session.value?.scopes ?? []).map((text) => {
  const [, collection, level, workspace] = /^(.+):(\w+)(?:@(.+))?$/.exec(text) ?? [];
  return { collection, level: LEVELS.indexOf(level ?? ""), workspace };
}));

/** Whether the caller has a level on a collection ("*": on all) in a workspace (null: the default one). */
export function may(level: Level, collection = "*", workspace?: string | null): boolean {
  if (session.value?.open) return true;
  return scopes.value.some((scope) =>
    scope.level >= LEVELS.indexOf(level)
    && (scope.collection === "*" || scope.collection === collection)
    && (scope.workspace === undefined || scope.workspace === (workspace ?? "")));
}

/** Whether the caller has a level on anything at all. */
export function maySomething(level: Level): boolean {
  return session.value?.open || scopes.value.some((scope) => scope.level >= LEVELS.indexOf(level));
}

/** Whether the caller may register a type of some name. */
export function mayRegister(): boolean {
  return session.value?.open || scopes.value.some((scope) => scope.level === LEVELS.indexOf("admin") && scope.workspace === undefined);
}

/** Ask who the caller is, and what there is for them. */
export async function enter(): Promise<void> {
  try {
    session.value = (await send<Session>({ method: "GET", path: "/sessions" })).body;
    needsKey.value = !session.value.open;
    signedOut.value = false;
    await refresh();
    entered.value += 1;
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) throw error;
    needsKey.value = true;
    session.value = null;
  } finally {
    asked.value = true;
  }
}

/** Begin a session with a key, or with the code of a link. */
export async function signIn(key: string | null, code: string | null): Promise<void> {
  await send(key
    ? { method: "POST", path: "/sessions", headers: { Authorization: `Bearer ${key}` } }
    : { method: "POST", path: "/sessions", body: { code: code ?? "" } });
  await enter();
}

export async function signOut(): Promise<void> {
  await send({ method: "DELETE", path: "/sessions" });
  session.value = null;
}

/** Read the collections and workspaces again. */
export async function refresh(): Promise<void> {
  const [known, named] = await Promise.all([
    read<{ items: Collection[] }>("/collections"),
    read<{ items: Workspace[] }>("/workspaces"),
  ]);
  collections.value = known.items;
  workspaces.value = named.items;
}

/** Read one collection again: its type may have a new version. */
export async function refreshCollection(name: string): Promise<void> {
  const known = collectionOf(name);
  if (!known) return;
  // One collection is answered to those who read it in every workspace.
  if (!may("read", name)) return refresh();
  const latest = await read<Collection>(`/collections/${name}`);
  if (equal(latest as unknown as Json, known as unknown as Json)) return;
  collections.value = collections.value.map((collection) => (collection.name === name ? latest : collection));
}

/** Read a collection again where a record has a later schema version. */
export function sawVersion(name: string, version: number): void {
  if (version > (collectionOf(name)?.schema_version ?? Infinity)) void refreshCollection(name);
}

export function collectionOf(name: string): Collection | undefined {
  return collections.value.find((collection) => collection.name === name);
}
