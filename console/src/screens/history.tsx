// The history of a record: who did what, what differs, and going back.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, dryRun, read, send } from "../api.ts";
import { type Json, differences, equal } from "../json.ts";
import { type Where, apiPath, href, listAddress, recordAddress } from "../router.ts";
import { may } from "../session.ts";
import { Actor, Differences, JsonText, Time, brief, labelOf, shortId, visible } from "../text.tsx";
import type { Change, StoredRecord } from "../types.ts";
import { Dialog, Pending, ProblemNote, RequestView, closeDialog, dialog, notify, useAction, useClose, useLoad, useTitle } from "../ui.tsx";
import { undoDialog } from "./changes.tsx";

interface HistoryPage {
  items: Change[];
  next_cursor: string | null;
}

const PAGE = "100";

export function HistoryScreen({ where, id }: { where: Where; id: string }) {
  useTitle(`History of ${where.collection} ${shortId(id)}`);
  const path = `${apiPath(where)}/${id}`;
  const loaded = useLoad((signal) => read<HistoryPage>(`${path}/history`, [["limit", PAGE]], signal), [path]);
  const [older, setOlder] = useState<HistoryPage | null>(null);
  useEffect(() => setOlder(null), [loaded.data]);
  const next = (older ?? loaded.data)?.next_cursor;
  const more = async () => {
    const page = await read<HistoryPage>(`${path}/history`, [["limit", PAGE], ["cursor", next!]]);
    setOlder({ ...page, items: [...(older?.items ?? []), ...page.items] });
  };
  const [pair, setPair] = useState<[from: number, to: number] | null>(null);
  const items = [...(loaded.data?.items ?? []), ...(older?.items ?? [])];
  const newest = items[0];
  const of = (revision: number) => items.find((change) => change.revision === revision);
  const to = pair?.[1] ?? newest?.revision ?? 0;
  const from = pair?.[0] ?? items[1]?.revision ?? to;
  const canWrite = may("write", where.collection, where.workspace);
  const choice = (label: string, revision: number, choose: (revision: number) => void) => (
    <select aria-label={label} value={String(revision)} onChange={(event) => choose(Number(event.currentTarget.value))}>
      {items.map((change) => <option key={change.seq} value={String(change.revision)}>{change.revision} · {change.command ?? change.operation}</option>)}
    </select>
  );
  return (
    <section class="screen">
      <header class="bar">
        <h1>
          <a href={href(listAddress(where))}><bdi>{where.collection}</bdi></a> <span class="mono" title={id}>{shortId(id)}</span> <span class="faint">· history</span>
        </h1>
        <bdi class="label">{labelOf(items.find(({ data }) => data)?.data)}</bdi>
        <span class="spring" />
        {newest && newest.operation !== "delete" && <a class="button" href={href(recordAddress(where, id))}>Record</a>}
        {may("admin", where.collection, where.workspace) && items.length > 0 && (
          <button type="button" class="danger" onClick={() => { dialog.value = <Erase path={path} onDone={loaded.reload} />; }}>Erase</button>
        )}
      </header>
      {!loaded.data ? <Pending loaded={loaded} /> : (
        <div class="columns">
          <ol class="stream" aria-label="Revisions">
            {items.map((change) => (
              <li key={change.seq}>
                <div class="lead">
                  <strong class="number">{change.revision}</strong>
                  <span class={`operation ${change.operation}`}>{change.command ?? change.operation}</span>
                  <Actor name={change.actor} /> <Time at={change.at} />
                  {isErased(change) && <span class="bad">data erased</span>}
                  <span class="spring" />
                  <span class="actions">
                    {change !== newest && (
                      <button type="button" class="quiet" aria-pressed={pair !== null && from === change.revision} onClick={() => setPair([change.revision, newest!.revision])}>compare with {newest!.revision}</button>
                    )}
                    {previous(items, change) && (
                      <button type="button" class="quiet" onClick={() => setPair([previous(items, change)!.revision, change.revision])}>what changed</button>
                    )}
                    {canWrite && change !== newest && change.data && (
                      <button type="button" onClick={() => { dialog.value = <Revert path={path} change={change} newest={newest!} onDone={loaded.reload} />; }}>Go back to {change.revision}</button>
                    )}
                  </span>
                </div>
                {change.command && !equal(change.payload ?? {}, {}) && <code class="faint">{brief(change.payload, 200)}</code>}
                {change.request_id && (
                  <div class="faint">request <a class="mono" href={href(`/changes?request_id=${encodeURIComponent(change.request_id)}`)}>{visible(change.request_id.slice(0, 36))}</a>
                    {canWrite && <button type="button" class="quiet" onClick={() => undoDialog({ request_id: change.request_id! }, loaded.reload)}>undo</button>}
                  </div>
                )}
              </li>
            ))}
          </ol>
          <div>
            {items.length > 1 && (
              <>
                <h2>Revision {from} → {to}</h2>
                <p class="row">{choice("From revision", from, (revision) => setPair([revision, to]))} → {choice("To revision", to, (revision) => setPair([from, revision]))}</p>
                <Differences paths={differences(of(from)?.data ?? {}, of(to)?.data ?? {})} from={of(from)?.data ?? {}} to={of(to)?.data ?? {}} labels={[`revision ${from}`, `revision ${to}`]} />
              </>
            )}
            {newest && <><h2>Revision {to}</h2>{of(to)?.data ? <JsonText value={of(to)!.data as Json} /> : <p class="faint">{of(to) && isErased(of(to)!) ? "Its data was erased." : "Deleted."}</p>}</>}
          </div>
        </div>
      )}
      {next && <button type="button" onClick={() => void more()}>Older</button>}
    </section>
  );
}

function previous(items: Change[], change: Change): Change | undefined {
  return items[items.indexOf(change) + 1];
}

function isErased(change: Change): boolean {
  return (change as unknown as { erased?: boolean }).erased === true || change.data === null && change.operation !== "delete";
}

function Revert({ path, change, newest, onDone }: { path: string; change: Change; newest: Change; onDone: () => void }) {
  const request: ApiRequest = {
    method: "POST", path: `${path}/revert`, body: { to_revision: change.revision },
    headers: newest.operation === "delete" ? { "If-None-Match": "*" } : { "If-Match": `"${newest.revision}"` },
  };
  const tried = useLoad(async (signal) => (await send<StoredRecord>(dryRun(request), signal)).body, []);
  const action = useAction();
  const close = useClose();
  const now: Json = newest.data ?? {};
  const go = () => action.run(async () => {
    const answer = await send<StoredRecord>(request);
    notify(`Back to the data of revision ${change.revision}, as revision ${answer.body.revision}.`, answer.headers.get("X-Request-ID"), answer.body.id);
    close();
    onDone();
  });
  return (
    <Dialog title={`Go back to revision ${change.revision}`}>
      {!tried.data ? <Pending loaded={tried} /> : (
        <>
          <p>It would become revision {tried.data.revision}; nothing of the history is lost. It would change:</p>
          <Differences paths={differences(now, tried.data.data)} from={now} to={tried.data.data} labels={["now", "then"]} />
          <ProblemNote error={action.error} />
          <RequestView request={request} />
        </>
      )}
      <footer>
        <button type="button" class="primary" disabled={!tried.data} aria-disabled={action.busy} onClick={() => void go()}>Go back</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}

function Erase({ path, onDone }: { path: string; onDone: () => void }) {
  const request: ApiRequest = { method: "DELETE", path: `${path}/history` };
  const action = useAction();
  const close = useClose();
  return (
    <Dialog title="Erase the past of this record">
      <p>The data and payloads of its past changes are removed for ever. What stays: who changed it when and by what, hashes, and the record as it is now, if there is one. This cannot be undone.</p>
      <ProblemNote error={action.error} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="danger" aria-disabled={action.busy} onClick={() => void action.run(async () => {
          await send(request);
          notify("Erased.", null);
          close();
          onDone();
        })}>Erase for ever</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}
