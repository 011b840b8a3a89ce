// Changes as they are made, by server-sent events.
import { useEffect, useRef } from "preact/hooks";
import { Problem, ROOT, type Query, read, signedOut } from "./api.ts";
import { parse } from "./json.ts";
import { sawVersion } from "./session.ts";
import type { Change, Changes } from "./types.ts";
import { withdraw } from "./ui.tsx";

const RETRY_SECONDS = 5;
/** So long changes are gathered: a request may make a hundred thousand, and a page is drawn for each call. */
const GATHER_MILLISECONDS = 100;

/**
 * Call `onChanges` with the changes that are made after another one (from now on, where none is given) and match, the
 * oldest first; null: with none.
 */
export function useChanges(query: Query | null, onChanges: (changes: Change[]) => void, onState?: (isOpen: boolean) => void, after?: number): void {
  const handler = useRef({ onChanges, onState });
  handler.current = { onChanges, onState };
  const key = query && JSON.stringify([query, after]);
  useEffect(() => {
    if (!query) return undefined;
    return follow(query, String(after ?? "now"), (changes) => handler.current.onChanges(changes), (isOpen) => handler.current.onState?.(isOpen));
  }, [key]);
}

function isVisible(): boolean {
  return document.visibilityState === "visible";
}

function follow(query: Query, after: string, onChanges: (changes: Change[]) => void, onState: (isOpen: boolean) => void): () => void {
  let source: EventSource | null = null;
  let last = after;
  let timer = 0;
  let gathered: Change[] = [];
  let gathering = 0;

  function add(change: Change): void {
    gathered.push(change);
    gathering ||= window.setTimeout(flush, GATHER_MILLISECONDS);
  }

  function flush(): void {
    const changes = gathered;
    gathered = [];
    gathering = 0;
    onChanges(changes);
  }

  function open(): void {
    const opened = source = new EventSource(`${ROOT}/changes?${new URLSearchParams([["after", last], ...query])}`);
    source.onopen = () => onState(true);
    source.onmessage = (event: MessageEvent<string>) => {
      if (event.lastEventId) last = event.lastEventId;
      if (!event.data) return;
      const change = parse(event.data) as unknown as Change;
      sawVersion(change.collection, change.schema_version);
      withdraw(({ record, undo }) => record === change.id && undo !== change.request_id);
      add(change);
    };
    source.onerror = () => {
      onState(false);
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
  return () => {
    document.removeEventListener("visibilitychange", onVisibility);
    clearTimeout(gathering);
    close();
  };
}
