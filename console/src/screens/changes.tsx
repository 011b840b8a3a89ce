// The changes of everybody: live, by request, and taken back.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, type Query, dryRun, read, send } from "../api.ts";
import { useChanges } from "../live.ts";
import { href, query, recordAddress, setQuery } from "../router.ts";
import { collections, maySomething } from "../session.ts";
import { Actor, RecordName, Time, count, shortId, visible } from "../text.tsx";
import type { Change, Changes, UndoReport } from "../types.ts";
import { proofDialog } from "./proof.tsx";
import { Dialog, Pending, ProblemNote, RequestView, UnderWay, closeDialog, dialog, notify, useAction, useClose, useLoad, useTitle } from "../ui.tsx";

const PAGE = 200;
const KEPT = 2000;

/** The newest changes that match, and the change after which more are to be followed. */
export async function latestChanges(filters: Query, limit: number, signal: AbortSignal): Promise<{ items: Change[]; since: number }> {
  const { last_seq: since } = await read<Changes>("/changes", [["after", "now"], ["limit", "1"]], signal);
  const { items } = await read<Changes>("/changes", [...filters, ["before", "now"], ["limit", String(limit)]], signal);
  return { items, since };
}

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
  const loaded = useLoad(async (signal) => ({ key, ...await latestChanges(filters, PAGE, signal) }), [key]);
  const items = loaded.data?.items;
  const [live, setLive] = useState<Change[]>([]);
  const [older, setOlder] = useState<Change[]>([]);
  const [exhausted, setExhausted] = useState(false);
  const [paused, setPaused] = useState(false);
  const [isOpen, setIsOpen] = useState(false);
  useEffect(() => { setLive([]); setOlder([]); setExhausted(false); }, [key]);
  const since = loaded.data?.key === key ? loaded.data.since : undefined;
  useChanges(paused || request || since === undefined ? null : filters, (changes) => setLive((old) => [...changes.slice(-KEPT).reverse(), ...old].slice(0, KEPT)), setIsOpen, since);
  const newest = items?.[0]?.seq ?? 0;
  const all = [...live.filter((change) => change.seq > newest), ...(items ?? []), ...older];
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
        {!request && <button type="button" onClick={() => { setPaused(!paused); if (paused) loaded.reload(); }}>{paused ? "Resume" : "Pause"}</button>}
        {request && maySomething("write") && <button type="button" class="accent" onClick={() => undoDialog({ request_id: request }, loaded.reload)}>Undo this request</button>}
      </header>
      <Condition value={condition} />
      {loaded.error ? <ProblemNote error={loaded.error} retry={loaded.reload} /> : !loaded.data ? <Pending loaded={loaded} /> : <ChangeList changes={all} />}
      {loaded.data && !all.length && <p class="faint">{filters.length ? "No change matches." : "Nothing was changed yet."}</p>}
      {items && items.length === PAGE && !exhausted && <button type="button" onClick={() => void more()}>Older</button>}
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
          placeholder='CEL condition over data, previous and change, such as change.actor == "ada"' onInput={(event) => setText(event.currentTarget.value)} />
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
const LISTED = 100;

export function ChangeList({ changes, brief }: { changes: Change[]; brief?: boolean }) {
  const groups = grouped(changes);
  const [unfolded, unfold] = useState(new Set<number>());
  const shownOf = ({ first, changes: items }: Group) => (unfolded.has(first.seq) ? items.length : brief ? 1 : SHOWN);
  return (
    <ol class={brief ? "stream brief" : "stream"}>
      {groups.map((group) => ({ ...group, shown: shownOf(group) })).map(({ first, changes: items, shown }) => (
        <li key={first.seq}>
          {items.slice(0, shown).map((change, index) => (
            <div class="change" key={change.seq}>
              <span class={`operation ${change.operation}`}>{change.command ?? change.operation}</span>
              <a class="subject" href={href(recordAddress(change, change.id, "history"))}>
                <RecordName record={`${change.workspace ? `${change.workspace}/` : ""}${change.collection}`} id={change.id} data={change.data} brief={brief} />
              </a>
              <span class="by">{index === 0 && <><Actor name={change.actor} /> <Time at={change.at} /></>}</span>
              {!brief && <span class="more faint">revision {change.revision} · #{change.seq} <button type="button" class="quiet" onClick={() => proofDialog(change.seq)}>proof</button></span>}
              {!brief && <span class="of-request">{index === 0 && <OfRequest id={change.request_id} />}</span>}
            </div>
          ))}
          {items.length > shown && (brief
            ? <a class="faint" href={href(`/changes?request_id=${encodeURIComponent(first.request_id!)}`)}>and more of the same request</a>
            : <button type="button" class="quiet rest" onClick={() => unfold(new Set(unfolded).add(first.seq))}>Show {count(items.length - shown, "more change")} of the same request</button>)}
        </li>
      ))}
    </ol>
  );
}

/** The request of a change: all of it, and taking it back. */
function OfRequest({ id }: { id: string | null | undefined }) {
  if (!id) return null;
  return (
    <>
      <a href={href(`/changes?request_id=${encodeURIComponent(id)}`)} title={`Request ${visible(id.slice(0, 36))}`}>request</a>
      {maySomething("write") && <button type="button" class="quiet" onClick={() => undoDialog({ request_id: id })}>undo</button>}
    </>
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
  const close = useClose();
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
              {report.records.slice(0, LISTED).map((record) => (
                <tr key={record.collection + record.workspace + record.id}>
                  <td><a href={href(recordAddress(record, record.id, "history"))} target="_blank">{record.workspace && `${record.workspace}/`}{record.collection} <span class="mono">{shortId(record.id)}</span></a></td>
                  <td>{record.outcome}</td>
                  <td>{record.data_revision === null ? <span class="faint">nothing</span> : `revision ${record.data_revision}`}</td>
                  {hasReasons && <td>{record.reason}{record.at && <> by <Actor name={record.actor} /> <Time at={record.at} /></>}</td>}
                </tr>
              ))}
              {report.records.length > LISTED && <tr><td colSpan={4} class="faint">and {count(report.records.length - LISTED, "more record")}</td></tr>}
            </tbody>
          </table>
        </>
      )}
      <label class="row"><input type="checkbox" checked={skip} onChange={(event) => setSkip(event.currentTarget.checked)} /> Leave records that changed since as they are</label>
      <ProblemNote error={action.error} />
      <UnderWay action={action} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="primary" disabled={!report?.undone || tried.loading} aria-disabled={action.busy} onClick={() => void action.run(async () => {
          const answer = await send<UndoReport>(request);
          notify(`${count(answer.body.undone, "record")} taken back.`, answer.headers.get("X-Request-ID"));
          close();
          onDone?.();
        }, `Taking back ${count(report!.undone, "record")}`, request)}>Undo</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}
