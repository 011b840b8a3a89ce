// Changes as they are made, by server-sent events.
import { useEffect, useRef } from "preact/hooks";
import { Problem, ROOT, type Query, read, signedOut } from "./api.ts";
import { parse } from "./json.ts";
import { sawVersion } from "./session.ts";
import type { Change } from "./types.ts";

const RETRY_SECONDS = 5;

/** Call `onChange` with each change that is made from now on and matches; null: with none. */
export function useChanges(query: Query | null, onChange: (change: Change) => void, onState?: (isOpen: boolean) => void): void {
  const handler = useRef(onChange);
  handler.current = onChange;
  const key = query && JSON.stringify(query);
  useEffect(() => (query ? follow(query, (change) => handler.current(change), onState) : undefined), [key]);
}

function follow(query: Query, onChange: (change: Change) => void, onState?: (isOpen: boolean) => void): () => void {
  let source: EventSource;
  let last = "now";
  let timer = 0;

  function open(): void {
    source = new EventSource(`${ROOT}/changes?${new URLSearchParams([["after", last], ...query])}`);
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
      if (source.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(open, RETRY_SECONDS * 1000);
      // It does not say why it ended.
      read("/sessions").catch((error: unknown) => {
        if (error instanceof Problem && error.status === 401) signedOut.value = true;
      });
    };
  }

  open();
  return () => { clearTimeout(timer); source.close(); };
}
