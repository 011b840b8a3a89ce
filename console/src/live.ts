// Changes as they are made, by server-sent events.
import { useEffect, useRef } from "preact/hooks";
import { Problem, ROOT, type Query, read, signedOut } from "./api.ts";
import { parse } from "./json.ts";
import { sawVersion } from "./session.ts";
import type { Change, Changes } from "./types.ts";

const RETRY_SECONDS = 5;

/** Call `onChange` with each change that is made from now on and matches; null: with none. */
export function useChanges(query: Query | null, onChange: (change: Change) => void, onState?: (isOpen: boolean) => void): void {
  const handler = useRef(onChange);
  handler.current = onChange;
  const key = query && JSON.stringify(query);
  useEffect(() => (query ? follow(query, (change) => handler.current(change), onState) : undefined), [key]);
}

function isVisible(): boolean {
  return document.visibilityState === "visible";
}

function follow(query: Query, onChange: (change: Change) => void, onState?: (isOpen: boolean) => void): () => void {
  let source: EventSource | null = null;
  let last = "now";
  let timer = 0;

  function open(): void {
    const opened = source = new EventSource(`${ROOT}/changes?${new URLSearchParams([["after", last], ...query])}`);
    source.onopen = () => onState?.(true);
    source.onmessage = (event: MessageEvent<string>) => {
      if (event.lastEventId) last = event.lastEventId;
      if (!event.data) return;
      const change = parse(event.data) as unknown as Change;
      sawVersion(change.collection, change.schema_version);
      onChange(change);
    };
    source.onerror = () => {
      onState?.(false);
      // The browser connects again by itself, unless the answer was no stream.
      if (opened.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(open, RETRY_SECONDS * 1000);
      // It does not say why it ended.
      read("/sessions").catch((error: unknown) => {
        if (error instanceof Problem && error.status === 401) signedOut.value = true;
      });
    };
  }

  function close(): void {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  /** A browser has six connections to a service: a tab that nobody sees takes none. */
  async function onVisibility(): Promise<void> {
    if (isVisible()) {
      if (!source) open();
      return;
    }
    if (last === "now") {
      last = await read<Changes>("/changes", [["after", "now"], ["limit", "1"]]).then((answer) => String(answer.last_seq), () => "now");
    }
    if (!isVisible()) close();
  }

  open();
  document.addEventListener("visibilitychange", onVisibility);
  return () => { document.removeEventListener("visibilitychange", onVisibility); close(); };
}
