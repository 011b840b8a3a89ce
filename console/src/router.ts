// The address of the page says what is on the screen.
import { computed, signal } from "@preact/signals";
import { ROOT } from "./api.ts";

const BASE = new URL(`${ROOT}/console`, location.href).pathname;

function current(): string {
  return location.pathname.slice(BASE.length) + location.search;
}

/** The path below the console, with its query. */
export const address = signal(current());
export const path = computed(() => address.value.split("?")[0]!.split("/").slice(1).map(decoded));
export const query = computed(() => new URLSearchParams(address.value.split("?")[1] ?? ""));

/** A part of the path; one that is not well encoded is taken as it stands. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

addEventListener("popstate", () => { address.value = current(); });

export function go(to: string, replace = false): void {
  if (to === address.value) return;
  history[replace ? "replaceState" : "pushState"](null, "", BASE + to);
  address.value = to;
  if (!replace) scrollTo(0, 0);
}

/** The address of a place for `href`. */
export function href(to: string): string {
  return BASE + to;
}

/** Change parameters of the address; null removes one. */
export function setQuery(changed: Record<string, string | string[] | null>, replace = true): void {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changed)) {
    next.delete(name);
    for (const item of value === null ? [] : [value].flat()) next.append(name, item);
  }
  const text = next.toString();
  go(address.value.split("?")[0] + (text ? `?${text}` : ""), replace);
}

/** Follow links within the console without loading the page again. */
export function followLinks(event: MouseEvent): void {
  const link = (event.target as Element).closest?.("a[href]") as HTMLAnchorElement | null;
  if (!link || link.target || link.hasAttribute("download") || event.defaultPrevented) return;
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || !(link.pathname === BASE || link.pathname.startsWith(`${BASE}/`))) return;
  event.preventDefault();
  go(link.pathname.slice(BASE.length) + link.search);
}

// --- addresses of screens

/** Where records are: a workspace (null is the default one) and a collection. */
export interface Where {
  workspace: string | null;
  collection: string;
}

export function listAddress({ workspace, collection }: Where): string {
  return `${workspace ? `/w/${workspace}` : ""}/c/${collection}`;
}

export function recordAddress(where: Where, id: string, tab = ""): string {
  return `${listAddress(where)}/${id}${tab ? `/${tab}` : ""}`;
}

/** The path of a collection in the API. */
export function apiPath({ workspace, collection }: Where): string {
  return `${workspace ? `/workspaces/${workspace}` : ""}/api/${collection}`;
}
