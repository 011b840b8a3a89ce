// The time machine: a list as it was, what changed since, and bringing records back.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, Problem, type Query, dryRun, read, send } from "../api.ts";
import { type Where, apiPath, href, recordAddress, setQuery } from "../router.ts";
import { Actor, RecordName, Time, ago, count, grouped, local, now, shortId, visible } from "../text.tsx";
import type { Change, Changes, StoredRecord } from "../types.ts";
import { DateTimeInput, Dialog, Pending, ProblemNote, RequestView, UnderWay, closeDialog, dialog, notify, useAction, useClose, useLoad } from "../ui.tsx";

const STEPS = 1000;
const PAGE = 500;
const MOST_CHANGES = 1000;
const MOST_PAGES = 20;

/** The time of the first change that is left. */
async function firstTime(signal: AbortSignal): Promise<number> {
  const first = (after: number) => read<Changes>("/changes", [["limit", "1"], ["after", String(after)]], signal);
  let answer: Changes;
  try {
    answer = await first(0);
  } catch (error) {
    const seq = error instanceof Problem ? error.body["first_seq"] : undefined;
    if (typeof seq !== "number") throw error;
    answer = await first(seq - 1);
  }
  return answer.items[0] ? Date.parse(answer.items[0].at) : Date.now();
}

const PRESETS: [string, number][] = [["an hour ago", 3_600], ["yesterday", 86_400], ["a week ago", 604_800]];

/** A slider over the time since the first change. */
export function Moment({ where, moment }: { where: Where; moment: string }) {
  const start = useLoad(firstTime, []);
  const [until] = useState(Date.now());
  const isSeq = /^\d+$/.test(moment);
  const [shown, show] = useState(moment);
  useEffect(() => show(moment), [moment]);
  const from = start.data ?? until - 86_400_000;
  const length = Math.max(1, until - from);
  const position = isSeq ? STEPS : Math.round(((Date.parse(shown) - from) / length) * STEPS);
  const at = (step: number) => new Date(from + (length * step) / STEPS).toISOString();
  const set = (time: string) => setQuery({ as_of: time });
  return (
    <div class="moment" role="group" aria-label="Moment">
      <strong>{isSeq ? `After change ${moment}` : <>As of {local(shown)} <span class="faint">· {ago(shown, now.value)}</span></>}</strong>
      <input type="range" aria-label="Moment" aria-valuetext={local(shown)} min={0} max={STEPS} value={Math.max(0, Math.min(STEPS, position))}
        onInput={(event) => show(at(Number(event.currentTarget.value)))}
        onChange={(event) => set(at(Number(event.currentTarget.value)))} />
      <DateTimeInput label="Date and time" value={isSeq ? "" : local(shown).replace(" ", "T")} onPick={(picked) => set(new Date(picked).toISOString())} />
      {PRESETS.filter(([, seconds]) => until - seconds * 1000 > from).map(([name, seconds]) => (
        <button type="button" key={name} onClick={() => set(new Date(Date.now() - seconds * 1000).toISOString())}>{name}</button>
      ))}
      <button type="button" onClick={() => { dialog.value = <Since filters={[["collection", where.collection], ["workspace", where.workspace ?? ""]]} moment={moment} />; }}>What changed since</button>
      <button type="button" class="primary" onClick={() => setQuery({ as_of: null })}>Back to now</button>
    </div>
  );
}

interface Between {
  items: Change[];
  complete: boolean;
}

/** The changes after a moment and not after another one ("": now), newest first, bounded. */
async function changesBetween(filters: Query, moment: string, until: string, signal: AbortSignal): Promise<Between> {
  const items: Change[] = [];
  let before = "now";
  const isAfter = (change: Change, time: string) =>
    /^\d+$/.test(time) ? change.seq > Number(time) : Date.parse(change.at) > Date.parse(time);
  for (let page = 0; page < MOST_PAGES && items.length < MOST_CHANGES; page++) {
    const { items: found } = await read<Changes>("/changes", [...filters, ["limit", String(PAGE)], ["before", before]], signal);
    const newer = found.filter((change) => isAfter(change, moment));
    items.push(...newer.filter((change) => !until || !isAfter(change, until)));
    if (newer.length < PAGE) return { items, complete: true };
    before = String(found.at(-1)!.seq);
  }
  return { items, complete: false };
}

/** What changed between a moment and another one, which is the present at first: a line for each record. */
export function Since({ filters, isOf, moment }: { filters: Query; isOf?: (change: Change) => boolean; moment: string }) {
  const [until, setUntil] = useState("");
  const loaded = useLoad((signal) => changesBetween(filters, moment, until && new Date(until).toISOString(), signal), [until]);
  const items = loaded.data?.items.filter((change) => !isOf || isOf(change)) ?? [];
  const records = new Map<string, Change[]>();
  for (const change of items) {
    const key = recordAddress(change, change.id);
    records.set(key, [...(records.get(key) ?? []), change]);
  }
  return (
    <Dialog title={isOf ? "What changed since the snapshot" : "What changed since"} wide>
      <p class="row">
        <span>After {/^\d+$/.test(moment) ? `change ${moment}` : local(moment)},</span>
        {until ? <button type="button" class="quiet" onClick={() => setUntil("")}>until now</button> : <span>until now</span>}
        <span>or until <DateTimeInput key={until && "picked"} label="Until" value={until} onPick={setUntil} /></span>
      </p>
      {!loaded.data ? <Pending loaded={loaded} /> : (
        <>
          <p role="status">{count(items.length, "change")} of {count(records.size, "record")}{!loaded.data.complete && ", and more before those"}.</p>
          {records.size > 0 && <table class="dense">
            <thead><tr><th>record</th><th>changes</th><th>last</th><th>last by</th></tr></thead>
            <tbody>
              {[...records.values()].slice(0, 300).map((changes) => {
                const last = changes[0]!;
                const name = isOf ? `${last.workspace ? `${last.workspace}/` : ""}${last.collection}` : "";
                return (
                  <tr key={last.seq}>
                    <td><a href={href(recordAddress(last, last.id, "history"))} onClick={closeDialog}><RecordName record={name} id={last.id} data={changes.find(({ data }) => data)?.data} /></a></td>
                    <td>{summary(changes)}</td>
                    <td><Time at={last.at} /></td>
                    <td><Actor name={last.actor} /></td>
                  </tr>
                );
              })}
            </tbody>
          </table>}
        </>
      )}
    </Dialog>
  );
}

/** How often which operation or command was used. */
function summary(changes: Change[]): string {
  const times = new Map<string, number>();
  for (const { command, operation } of changes) times.set(command ?? operation, (times.get(command ?? operation) ?? 0) + 1);
  return [...times].map(([name, number]) => (number === 1 ? name : `${name} × ${number}`)).join(", ");
}

interface Outcome {
  record: StoredRecord;
  /** What would do it, or did. */
  request: ApiRequest;
  problem: string | null;
}

const AT_ONCE = 8;

/** The results of an action for each item, a few at a time, in the order of the items. */
async function each<Item, Result>(items: Item[], action: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await action(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}

/** Give the selected records the data they have here. All have one request id: one undo takes it back. */
export function RestoreSelection({ where, records, onDone }: { where: Where; records: StoredRecord[]; onDone: () => void }) {
  return (
    <button type="button" class="accent" onClick={() => { dialog.value = <Restore where={where} records={records} onDone={onDone} />; }}>
      Bring back {count(records.length, "record")}
    </button>
  );
}

function Restore({ where, records, onDone }: { where: Where; records: StoredRecord[]; onDone: () => void }) {
  const requestId = useState(() => `console-${crypto.getRandomValues(new Uint32Array(2)).join("")}`)[0];
  const requestFor = (record: StoredRecord, isDeleted: boolean): ApiRequest => ({
    method: "POST", path: `${apiPath(where)}/${record.id}/revert`, body: { to_revision: record.revision },
    headers: { "X-Request-ID": requestId, [isDeleted ? "If-None-Match" : "If-Match"]: "*" },
  });
  const attempt = async (record: StoredRecord, signal: AbortSignal, isDeleted = record.deleted_at !== undefined): Promise<Outcome> => {
    const request = requestFor(record, isDeleted);
    try {
      await send(dryRun(request), signal);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 412 && !isDeleted) return attempt(record, signal, true);
      return { record, request, problem: error.message };
    }
    return { record, request, problem: null };
  };
  const tried = useLoad((signal) => each(records, (record) => attempt(record, signal)), []);
  const action = useAction();
  const close = useClose();
  const [done, setDone] = useState(0);
  const good = tried.data?.filter(({ problem }) => !problem) ?? [];
  const bad = tried.data?.filter(({ problem }) => problem) ?? [];
  const go = () => action.run(async () => {
    const refused = (await each(good, async ({ request }) => {
      try {
        await send(request);
        return 0;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return 1;
      } finally {
        setDone((number) => number + 1);
      }
    })).filter(Boolean).length;
    notify(`${count(good.length - refused, "record")} brought back${refused ? `, ${refused} changed meanwhile` : ""}.`, requestId);
    close();
    onDone();
  }, `Bringing back ${count(good.length, "record")}`);
  return (
    <Dialog title={`Bring back ${count(records.length, "record")}`}>
      {!tried.data ? <Pending loaded={tried} /> : (
        <>
          <p>{count(good.length, "record")} would get the data shown here again, as {good.length === 1 ? "a new revision" : "new revisions"}.</p>
          {bad.length > 0 && (
            <ul class="note">{bad.slice(0, 50).map(({ record, problem }) => <li key={record.id}><code>{shortId(record.id)}</code> {visible(problem!)}</li>)}</ul>
          )}
          <ProblemNote error={action.error} />
          <UnderWay action={action} />
          {good[0] && <RequestView request={good[0].request} />}
          <footer>
            <button type="button" class="primary" disabled={!good.length} aria-disabled={action.busy} onClick={() => void go()}>
              {action.busy ? `${grouped(done)} of ${grouped(good.length)}…` : "Bring back"}
            </button>
            <button type="button" onClick={closeDialog}>Cancel</button>
          </footer>
        </>
      )}
    </Dialog>
  );
}
