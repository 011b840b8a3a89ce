// The changes of everybody: live, by request, and taken back.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, type Query, dryRun, read, send } from "../api.ts";
import { useChanges } from "../live.ts";
import { href, query, recordAddress, setQuery } from "../router.ts";
import { collections, maySomething } from "../session.ts";
import { Actor, RecordName, Time, count, shortId, visible } from "../text.tsx";
import type { Change, Changes, UndoReport } from "../types.ts";
import { proofDialog } from "./proof.tsx";
import { Dialog, Pending, ProblemNote, RequestView, closeDialog, dialog, notify, useAction, useLoad, useTitle } from "../ui.tsx";

const PAGE = 200;
const KEPT = 2000;

export function ChangesScreen() {
  useTitle("Changes");
  const collection = query.value.get("collection") ?? "";
  const request = query.value.get("request_id") ?? "";
  const condition = query.value.get("q") ?? "";
  const filters: Query = [];
  if (collection) filters.push(["collection", collection]);
  if (request) filters.push(["request_id", request]);
  if (condition) filters.push(["filter", condition]);
  const key = JSON.stringify(filters);
  const loaded = useLoad(async (signal) => (await read<Changes>("/changes", [...filters, ["before", "now"], ["limit", String(PAGE)]], signal)).items, [key]);
  const [live, setLive] = useState<Change[]>([]);
  const [older, setOlder] = useState<Change[]>([]);
  const [exhausted, setExhausted] = useState(false);
  const [paused, setPaused] = useState(false);
  const [isOpen, setIsOpen] = useState(true);
  useEffect(() => { setLive([]); setOlder([]); setExhausted(false); }, [key]);
  useChanges(paused || request ? null : filters, (change) => setLive((old) => [change, ...old].slice(0, KEPT)), setIsOpen);
  const newest = loaded.data?.[0]?.seq ?? 0;
  const all = [...live.filter((change) => change.seq > newest), ...(loaded.data ?? []), ...older];
  const more = async () => {
    const items = (await read<Changes>("/changes", [...filters, ["before", String(all.at(-1)!.seq)], ["limit", String(PAGE)]])).items;
    setOlder([...older, ...items]);
    setExhausted(items.length < PAGE);
  };
  return (
    <section class="screen">
      <header class="bar">
        <h1>Changes</h1>
        {!request && <span class="faint" role="status">{paused ? "paused" : isOpen ? "live" : "connecting…"}</span>}
        {request && (
          <span class="chip">request <bdi class="mono">&nbsp;{visible(request.slice(0, 36))}</bdi>
            <button type="button" class="quiet" aria-label="All requests" onClick={() => setQuery({ request_id: null })}>×</button>
          </span>
        )}
        <span class="spring" />
        <select aria-label="Collection" value={collection} onChange={(event) => setQuery({ collection: event.currentTarget.value || null })}>
          <option value="">all collections</option>
          {collections.value.map(({ name }) => <option key={name}>{name}</option>)}
        </select>
        {!request && <button type="button" onClick={() => { setPaused(!paused); if (paused) loaded.reload(); }}>{paused ? "Go on" : "Pause"}</button>}
        {request && maySomething("write") && <button type="button" class="accent" onClick={() => undoDialog({ request_id: request }, loaded.reload)}>Undo this request</button>}
      </header>
      <Condition value={condition} />
      {loaded.error ? <ProblemNote error={loaded.error} retry={loaded.reload} /> : !loaded.data ? <Pending loaded={loaded} /> : <ChangeList changes={all} />}
      {loaded.data && !all.length && <p class="faint">No changes yet.</p>}
      {loaded.data && loaded.data.length === PAGE && !exhausted && <button type="button" onClick={() => void more()}>Older</button>}
    </section>
  );
}

/** One line of CEL over a change, its data and the data before. */
function Condition({ value }: { value: string }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <form class="filters" role="search" onSubmit={(event) => { event.preventDefault(); setQuery({ q: text.trim() || null }, false); }}>
      <span class="condition">
        <input class="mono" aria-label="Condition in CEL" autocomplete="off" spellcheck={false} value={text}
          placeholder='data.severity > previous.severity && change.actor == "ada"' onInput={(event) => setText(event.currentTarget.value)} />
        {text !== value && <button type="submit">Filter</button>}
        {value && <button type="button" class="quiet" onClick={() => setQuery({ q: null }, false)}>Clear</button>}
      </span>
    </form>
  );
}

interface Group {
  first: Change;
  changes: Change[];
}

/** Changes that follow one another and belong to one request. */
function grouped(changes: Change[]): Group[] {
  const result: Group[] = [];
  for (const change of changes) {
    const last = result.at(-1);
    if (last && change.request_id && last.first.request_id === change.request_id) last.changes.push(change);
    else result.push({ first: change, changes: [change] });
  }
  return result;
}

const SHOWN = 5;

export function ChangeList({ changes, brief }: { changes: Change[]; brief?: boolean }) {
  const groups = grouped(changes);
  return (
    <ol class={brief ? "stream brief" : "stream"}>
      {groups.map(({ first, changes: items }) => (
        <li key={first.seq}>
          {items.slice(0, brief ? 1 : SHOWN).map((change, index) => (
            <div class="change" key={change.seq}>
              <span class={`operation ${change.operation}`}>{change.command ?? change.operation}</span>
              <a class="subject" href={href(recordAddress(change, change.id, "history"))}>
                <RecordName record={`${change.workspace ? `${change.workspace}/` : ""}${change.collection}`} id={change.id} data={change.data} brief={brief} />
              </a>
              <span class="by">{index === 0 && <><Actor name={change.actor} /> <Time at={change.at} /></>}</span>
              {!brief && <span class="more faint">revision {change.revision} · #{change.seq} <button type="button" class="quiet" onClick={() => proofDialog(change.seq)}>proof</button></span>}
            </div>
          ))}
          {items.length > (brief ? 1 : SHOWN) && <div class="faint">and {count(items.length - (brief ? 1 : SHOWN), "more change")} of the same request</div>}
          {!brief && first.request_id && (
            <div class="lead faint">
              request <a class="mono" href={href(`/changes?request_id=${encodeURIComponent(first.request_id)}`)}>{visible(first.request_id.slice(0, 36))}</a>
              {maySomething("write") && <button type="button" class="quiet" onClick={() => undoDialog({ request_id: first.request_id! })}>undo</button>}
            </div>
          )}
        </li>
      ))}
    </ol>
  );
}

/** Show what an undo would do, then do it. */
export function undoDialog(what: { request_id: string }, onDone?: () => void): void {
  dialog.value = <Undo what={what} onDone={onDone} />;
}

function Undo({ what, onDone }: { what: { request_id: string }; onDone?: (() => void) | undefined }) {
  const [skip, setSkip] = useState(false);
  const request: ApiRequest = { method: "POST", path: "/changes/undo", body: { ...what, on_conflict: skip ? "skip" : "fail" } };
  const tried = useLoad(async (signal) => (await send<UndoReport>(dryRun(request), signal)).body, [skip]);
  const action = useAction();
  const report = tried.error ? undefined : tried.data;
  const hasReasons = report?.records.some(({ reason }) => reason) ?? false;
  return (
    <Dialog title="Take back what a request changed" wide>
      {tried.error ? <ProblemNote error={tried.error} /> : !report && <Pending loaded={tried} />}
      {report && (
        <>
          <p role="status">{count(report.undone, "record")} would go back to what {report.undone === 1 ? "it was" : "they were"} before{report.skipped > 0 && `; ${report.skipped} would stay`}. Undoing the undo brings it all back.</p>
          <table class="dense">
            <thead><tr><th>record</th><th>outcome</th><th>back to</th>{hasReasons && <th>reason</th>}</tr></thead>
            <tbody>
              {report.records.slice(0, 100).map((record) => (
                <tr key={record.collection + record.workspace + record.id}>
                  <td>{record.workspace && `${record.workspace}/`}{record.collection} <span class="mono">{shortId(record.id)}</span></td>
                  <td>{record.outcome}</td>
                  <td>{record.data_revision === null ? <span class="faint">nothing</span> : `revision ${record.data_revision}`}</td>
                  {hasReasons && <td>{record.reason}{record.at && <> by <Actor name={record.actor} /> <Time at={record.at} /></>}</td>}
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
      <label class="row"><input type="checkbox" checked={skip} onChange={(event) => setSkip(event.currentTarget.checked)} /> leave records that changed since as they are</label>
      <ProblemNote error={action.error} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="primary" disabled={!report?.undone || action.busy || tried.loading} onClick={() => void action.run(async () => {
          const answer = await send<UndoReport>(request);
          notify(`${count(answer.body.undone, "record")} taken back.`, answer.headers.get("X-Request-ID"));
          closeDialog();
          onDone?.();
        })}>Undo</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}
