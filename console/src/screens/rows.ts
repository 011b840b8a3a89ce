// The rows of a list, read a page at a time.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Query, read } from "../api.ts";
import type { Page, StoredRecord } from "../types.ts";

/** Records that are read at once. */
export const PAGE = 200;

export interface Rows {
  rows: StoredRecord[];
  done: boolean;
  loading: boolean;
  error: unknown;
  erased: number;
  more: () => void;
  reload: () => void;
}

/** Read rows as they are asked for; `isReady` says from when on. */
export function useRows(path: string, parameters: Query, isReady: boolean): Rows {
  const key = path + JSON.stringify(parameters);
  const [round, setRound] = useState(0);
  const [state, setState] = useState({ key: "", rows: [] as StoredRecord[], cursor: "" as string | null, error: null as unknown, erased: 0 });
  const loading = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(true);

  const load = (rows: StoredRecord[], cursor: string, erased: number) => {
    loading.current?.abort();
    const abort = loading.current = new AbortController();
    setBusy(true);
    const page: Query = [...parameters, ["limit", String(PAGE)], ...(cursor ? [["cursor", cursor] as [string, string]] : [])];
    read<Page<StoredRecord>>(path, page, abort.signal).then(
      (answer) => {
        setState({ key, rows: rows.concat(answer.items), cursor: answer.next_cursor, error: null, erased: erased + (answer.erased ?? 0) });
        setBusy(false);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((old) => ({ ...old, key, error, rows }));
        setBusy(false);
      },
    );
  };
  useEffect(() => {
    if (isReady) load([], "", 0);
    return () => loading.current?.abort();
  }, [key, round, isReady]);
  return {
    rows: state.rows,
    done: state.key === key && state.cursor === null,
    loading: busy,
    error: state.key === key ? state.error : null,
    erased: state.erased,
    more: () => { if (!busy && state.key === key && state.cursor && !state.error) load(state.rows, state.cursor, state.erased); },
    reload: () => setRound((number) => number + 1),
  };
}
