// One record: its form, its JSON, and what others do to it meanwhile.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type ApiRequest, Problem, dryRun, entered, read, send } from "../api.ts";
import { type Json, type JsonObject, type Path, JsonError, differences, emptyObject, equal, isObject, parse, pointerOf, stringify } from "../json.ts";
import { LARGE_JSON, SchemaForm, focusField } from "../form.tsx";
import { useChanges } from "../live.ts";
import { type Where, apiPath, go, href, listAddress, query, recordAddress, setQuery } from "../router.ts";
import { initial } from "../schema.ts";
import { collectionOf, may, refreshCollection } from "../session.ts";
import { Actor, JsonText, Time, count, labelOf, local, shortId, size, visible } from "../text.tsx";
import type { Change, StoredRecord, Violation } from "../types.ts";
import { CopyButton, Dialog, Menu, NoScreen, Pending, ProblemNote, RequestView, closeDialog, dialog, notify, useAction, useClose, useLoad, useSettled, useTitle } from "../ui.tsx";
import { ANY_REVISION, Commands } from "./commands.tsx";
import { Conflict } from "./conflict.tsx";

/** What somebody typed and did not save, kept in the tab. */
interface Draft {
  revision: number | null;
  base: Json;
  data: Json;
  at: string;
}

function draftKey(where: Where, id: string): string {
  return `draft:${recordAddress(where, id || "new")}`;
}

function readDraft(key: string): Draft | null {
  const text = sessionStorage.getItem(key);
  try {
    return text ? parse(text) as unknown as Draft : null;
  } catch {
    return null;
  }
}

function keepDraft(key: string, draft: Draft | null): void {
  try {
    if (draft) sessionStorage.setItem(key, stringify(draft as unknown as Json));
    else sessionStorage.removeItem(key);
  } catch {
    // The tab keeps at most some megabytes.
  }
}

export function RecordScreen({ where, id }: { where: Where; id: string }) {
  const moment = query.value.get("as_of");
  const path = `${apiPath(where)}/${id}`;
  const loaded = useLoad((signal) => read<StoredRecord>(path, moment ? [["as_of", moment]] : [], signal), [path, moment]);
  useTitle(`${where.collection} ${shortId(id)}`);
  if (!loaded.data || loaded.data.id !== id) {
    const isGone = loaded.error instanceof Problem && loaded.error.status === 404;
    return (
      <section class="screen">
        <h1>{where.collection} <span class="mono">{shortId(id)}</span></h1>
        <Pending loaded={loaded} />
        {isGone && <p>It may have been deleted: see its <a href={href(recordAddress(where, id, "history"))}>history</a>.</p>}
      </section>
    );
  }
  if (moment) return <PastRecord where={where} record={loaded.data} moment={moment} />;
  return <Editor key={path} where={where} stored={loaded.data} />;
}

/** A record as it was: to look at only. */
function PastRecord({ where, record, moment }: { where: Where; record: StoredRecord; moment: string }) {
  const schema = collectionOf(where.collection)?.schema ?? emptyObject();
  return (
    <section class="screen record">
      <header class="bar">
        <h1>{where.collection} <span class="mono">{shortId(record.id)}</span></h1>
        <span class="spring" />
        <a class="button" href={href(recordAddress(where, record.id, "history"))}>History</a>
        <a class="button primary" href={href(recordAddress(where, record.id))}>Back to now</a>
      </header>
      <p class="note">This is revision {record.revision}, as of {/^\d+$/.test(moment) ? `change ${moment}` : local(moment)}. It cannot be edited here; its history can bring it back.</p>
      <div class="panes">
        <SchemaForm schema={schema} value={record.data} faults={[]} readOnly onChange={() => undefined} />
        <div class="pane"><h2>JSON</h2><JsonText value={record.data} /></div>
      </div>
    </section>
  );
}

export function NewRecord({ where }: { where: Where }) {
  const collection = collectionOf(where.collection);
  useTitle(`New record of ${where.collection}`);
  if (!collection) return <NoScreen>There is no collection <bdi>{visible(where.collection)}</bdi> that you may read.</NoScreen>;
  return <Editor where={where} stored={null} />;
}

function Editor({ where, stored }: { where: Where; stored: StoredRecord | null }) {
  const schema = collectionOf(where.collection)?.schema ?? emptyObject();
  const canWrite = may("write", where.collection, where.workspace);
  const empty = useMemo(() => initial(schema, schema), []);
  const [base, setBase] = useState<StoredRecord | null>(stored);
  const [data, setData] = useState<JsonObject>((stored?.data ?? (isObject(empty) ? empty : emptyObject())));
  const [theirs, setTheirs] = useState<StoredRecord | null>(null);
  const [conflict, setConflict] = useState<StoredRecord | null>(null);
  const [unread, setUnread] = useState(new Set<string>());
  const id = stored?.id ?? "";
  const key = draftKey(where, id);
  const [offered, setOffered] = useState(() => readDraft(key));
  const start: Json = base?.data ?? empty;
  const dirty = !equal(start, data);
  const action = useAction();
  const request = saveRequest(where, base, data);
  const check = useFaults(canWrite && dirty ? request : null, where.collection);

  const change = (value: JsonObject) => {
    setData(value);
    setOffered(null);
  };
  useEffect(() => {
    if (offered) return;
    keepDraft(key, dirty ? { revision: base?.revision ?? null, base: start, data, at: new Date().toISOString() } : null);
  }, [data, base]);

  const latest = useRef({ dirty, revision: base?.revision ?? 0 });
  latest.current = { dirty, revision: base?.revision ?? 0 };
  const take = (record: StoredRecord) => {
    setBase(record);
    setData(record.data);
    setTheirs(null);
    setConflict(null);
    keepDraft(key, null);
  };
  const look = async () => {
    const record = await read<StoredRecord>(`${apiPath(where)}/${id}`);
    if (record.revision <= latest.current.revision) return;
    if (latest.current.dirty) setTheirs(record);
    else take(record);
  };
  useChanges(base ? [["collection", where.collection], ["workspace", where.workspace ?? ""]] : null, (changes: Change[]) => {
    const made = changes.findLast((change) => change.id === id);
    if (!made || made.revision <= latest.current.revision) return;
    look().catch(() => setTheirs({ ...base!, revision: made.revision, data: emptyObject(), deleted_at: made.at, deleted_by: made.actor }));
  }, (isOpen) => {
    // It may have changed between its reading and the first change that is followed.
    if (isOpen) look().catch(() => undefined);
  });

  const save = () => action.run(async () => {
    try {
      const answer = await send<StoredRecord>(request);
      notify(base ? `Saved as revision ${answer.body.revision}.` : "Created.", answer.headers.get("X-Request-ID"), answer.body.id);
      take(answer.body);
      if (!base) go(recordAddress(where, answer.body.id), true);
    } catch (error) {
      if (!(error instanceof Problem && error.status === 412 && base)) throw error;
      setConflict(await read<StoredRecord>(`${apiPath(where)}/${id}`));
    }
  });
  useSaveKey(() => { if (canWrite && dirty && !unread.size && !action.busy) void save(); });
  useLeaveGuard(dirty);

  if (conflict && base) {
    return (
      <Conflict where={where} base={base} theirs={conflict} mine={data} onSaved={take} onCancel={() => setConflict(null)} />
    );
  }
  const faults = check.faults;
  return (
    <section class="screen record">
      <header class="bar">
        <h1>
          <a href={href(listAddress(where))}><bdi>{where.collection}</bdi></a>{" "}
          {base ? <span class="mono" title={base.id}>{shortId(base.id)}</span> : "new record"}
        </h1>
        {base && <bdi class="label">{labelOf(base.data)}</bdi>}
        {base && <Envelope record={base} />}
        <span class="spring" />
        {base && canWrite && <Commands where={where} record={base} blocked={dirty} onDone={take} />}
        {base && <a class="button" href={href(recordAddress(where, base.id, "history"))}>History</a>}
        {base && <RecordMenu where={where} record={base} canWrite={canWrite} onDeleted={() => { keepDraft(key, null); latest.current.dirty = false; }} />}
        {canWrite && (
          <button type="button" class="primary" title="Ctrl+S" disabled={unread.size > 0 || (Boolean(base) && !dirty)} aria-disabled={action.busy} onClick={() => void save()}>
            {action.busy ? "Saving…" : base ? "Save" : "Create"}
          </button>
        )}
      </header>
      {offered && !equal(offered.data, start) && (
        <p class="note" role="status">
          You typed something here <Time at={offered.at} /> and did not save it{offered.revision !== (base?.revision ?? null) && ` (since then it changed to revision ${base?.revision})`}.{" "}
          <button type="button" class="accent" onClick={() => {
            // What was typed belongs to the revision it was typed on: saving then merges.
            if (base && offered.revision !== null && isObject(offered.base)) setBase({ ...base, revision: offered.revision, data: offered.base });
            if (base && offered.revision !== base.revision) setTheirs(base);
            if (isObject(offered.data)) setData(offered.data);
            setOffered(null);
          }}>Continue with it</button>{" "}
          <button type="button" onClick={() => { keepDraft(key, null); setOffered(null); }}>Discard it</button>
        </p>
      )}
      {theirs && base && <Theirs where={where} base={base} theirs={theirs} onTake={() => take(theirs)} onMerge={() => setConflict(theirs)} />}
      {/* Faults of the data are named below. */}
      {check.state !== "bad" && <ProblemNote error={action.error} />}
      {canWrite && <Verdict check={check} unread={unread.size > 0} isDirty={dirty} isNew={!base} />}
      <div class="panes">
        <SchemaForm schema={schema} value={data} faults={faults} readOnly={!canWrite} onChange={change} onUnread={(pointer, isUnread) => {
          setUnread((old) => {
            if (old.has(pointer) === isUnread) return old;
            const next = new Set(old);
            if (isUnread) next.add(pointer);
            else next.delete(pointer);
            return next;
          });
        }} />
        <RawJson data={data} readOnly={!canWrite} onChange={change} onUnread={(isUnread) => {
          setUnread((old) => (old.has("raw") === isUnread ? old : isUnread ? new Set(old).add("raw") : new Set([...old].filter((name) => name !== "raw"))));
        }} />
      </div>
      {canWrite && <RequestView request={request} />}
    </section>
  );
}

function saveRequest(where: Where, base: StoredRecord | null, data: JsonObject): ApiRequest {
  return base
    ? { method: "PUT", path: `${apiPath(where)}/${base.id}`, body: data, headers: { "If-Match": `"${base.revision}"` } }
    : { method: "POST", path: apiPath(where), body: data };
}

function Envelope({ record }: { record: StoredRecord }) {
  return (
    <span class="faint envelope">
      revision <span class="number">{record.revision}</span> · schema {record.schema_version} · changed <Time at={record.updated_at} /> · created <Time at={record.created_at} />
    </span>
  );
}

interface Check {
  faults: Violation[];
  state: "idle" | "asking" | "good" | "bad";
  message: string;
}

/** What the service would say, asked as somebody types. */
function useFaults(request: ApiRequest | null, collection: string): Check {
  const text = request ? stringify(request.body ?? null) : "";
  const settled = useSettled(text, 300);
  const [check, setCheck] = useState<Check>({ faults: [], state: "idle", message: "" });
  useEffect(() => {
    if (!request) {
      setCheck({ faults: [], state: "idle", message: "" });
      return undefined;
    }
    const abort = new AbortController();
    // Whether the revision is the newest is asked when it is saved.
    const asked = request.method === "PUT" ? { ...request, headers: ANY_REVISION } : request;
    setCheck((old) => ({ ...old, state: "asking" }));
    send(dryRun(asked), abort.signal).then(
      () => setCheck({ faults: [], state: "good", message: "" }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const problem = error instanceof Problem ? error : null;
        if (problem?.status === 422) void refreshCollection(collection);
        // The banner says that a session has ended.
        const isFault = problem !== null && problem.status !== 412 && problem.status !== 401;
        setCheck(isFault ? { faults: problem.errors, state: "bad", message: problem.message } : { faults: [], state: "idle", message: "" });
      },
    );
    return () => abort.abort();
  }, [settled, request === null, entered.value]);
  return check;
}

/** What the service says of what was typed; there is always a line for it, so that nothing moves while somebody types. */
function Verdict({ check, unread, isDirty, isNew }: { check: Check; unread: boolean; isDirty: boolean; isNew: boolean }) {
  if (!isDirty) return <p class="verdict faint">{isNew ? "Nothing is stored before you create it." : "No unsaved changes."}</p>;
  if (unread) return <p class="verdict bad" role="status">Something is not JSON yet.</p>;
  if (check.state === "good") return <p class="verdict good" role="status">✓ Valid, not saved yet.</p>;
  if (check.state !== "bad") return <p class="verdict" role="status">&nbsp;</p>;
  return (
    <div class="verdict bad" role="status">
      {check.faults.length ? count(check.faults.length, "fault") : <bdi>{visible(check.message)}</bdi>}
      {check.faults.slice(0, 20).map((fault, index) => (
        <button type="button" class="quiet fault-link" key={index} onClick={() => focusField(fault.pointer)}><code>{visible(fault.pointer || "/")}</code> {visible(fault.detail)}</button>
      ))}
    </div>
  );
}

function RawJson({ data, readOnly, onChange, onUnread }: {
  data: JsonObject; readOnly: boolean; onChange: (value: JsonObject) => void; onUnread: (isUnread: boolean) => void;
}) {
  const [text, setText] = useState(() => stringify(data, 2));
  const [mistake, setMistake] = useState("");
  const [unfolded, unfold] = useState(false);
  const own = useRef<Json>(data);
  useEffect(() => {
    if (own.current === data) return;
    own.current = data;
    setText(stringify(data, 2));
    setMistake("");
    onUnread(false);
  }, [data]);
  if (text.length > LARGE_JSON && !unfolded) {
    return (
      <div class="pane">
        <h2>JSON</h2>
        <JsonText value={data} />
        {!readOnly && <button type="button" onClick={() => unfold(true)}>Edit {size(text.length)} of JSON</button>}
      </div>
    );
  }
  return (
    <div class="pane">
      <h2 id="raw-title">JSON</h2>
      <textarea class="mono raw" aria-labelledby="raw-title" spellcheck={false} readOnly={readOnly} value={text} rows={Math.min(40, Math.max(8, text.split("\n", 41).length + 1))}
        onInput={(event) => {
          const entered = event.currentTarget.value;
          setText(entered);
          try {
            const value = parse(entered);
            if (!isObject(value)) throw new JsonError("the data of a record is an object", 0);
            own.current = value;
            setMistake("");
            onUnread(false);
            onChange(value);
          } catch (error) {
            const line = entered.slice(0, (error as JsonError).offset).split("\n").length;
            setMistake(`line ${line}: ${(error as Error).message}`);
            onUnread(true);
          }
        }} />
      {mistake && <p class="fault" role="alert">{visible(mistake)}</p>}
      <CopyButton label="Copy" text={() => text} />
    </div>
  );
}

/** Somebody else changed the record while it is edited here. */
function Theirs({ where, base, theirs, onTake, onMerge }: {
  where: Where; base: StoredRecord; theirs: StoredRecord; onTake: () => void; onMerge: () => void;
}) {
  const history = useLoad((signal) => read<{ items: Change[] }>(`${apiPath(where)}/${base.id}/history`, [["limit", "1"]], signal), [theirs.revision]);
  const actor = theirs.deleted_at ? theirs.deleted_by : history.data?.items[0]?.actor;
  const paths: Path[] = differences(base.data, theirs.data);
  if (theirs.deleted_at) {
    return <p class="note" role="alert"><Actor name={actor} /> deleted this record <Time at={theirs.deleted_at} />. What you typed is still here; saving it is refused until it is <a href={href(recordAddress(where, base.id, "history"))}>brought back</a>.</p>;
  }
  return (
    <p class="note" role="alert">
      {history.data?.items[0]?.operation === "migrate" ? "A new version of the schema" : <Actor name={actor} />} changed this record <Time at={theirs.updated_at} /> (revision {theirs.revision}):{" "}
      <code>{paths.slice(0, 6).map((path) => visible(pointerOf(path))).join(", ")}</code>{paths.length > 6 && "…"}{" "}
      <button type="button" class="accent" onClick={onMerge}>Merge with mine</button>{" "}
      <button type="button" onClick={onTake}>Discard mine</button>
    </p>
  );
}

function useSaveKey(save: () => void): void {
  const latest = useRef(save);
  latest.current = save;
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        latest.current();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** What was typed is kept as a draft, so that leaving needs no question; closing the tab does. */
function useLeaveGuard(dirty: boolean): void {
  useEffect(() => {
    if (!dirty) return undefined;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [dirty]);
}

function RecordMenu({ where, record, canWrite, onDeleted }: { where: Where; record: StoredRecord; canWrite: boolean; onDeleted: () => void }) {
  const request: ApiRequest = { method: "DELETE", path: `${apiPath(where)}/${record.id}`, headers: { "If-Match": `"${record.revision}"` } };
  return (
    <Menu label="⋯" title="More">
      <CopyButton label="Copy the id" text={() => record.id} />
      <CopyButton label="Copy as JSON" text={() => stringify(record as unknown as Json, 2)} />
      <button type="button" onClick={() => setQuery({ as_of: new Date(Date.now() - 3_600_000).toISOString() })}>As it was an hour ago</button>
      {canWrite && <button type="button" class="danger" onClick={() => { dialog.value = <DeleteRecord where={where} id={record.id} request={request} onDeleted={onDeleted} />; }}>Delete</button>}
    </Menu>
  );
}

function DeleteRecord({ where, id, request, onDeleted }: { where: Where; id: string; request: ApiRequest; onDeleted: () => void }) {
  const action = useAction();
  const close = useClose();
  const remove = () => action.run(async () => {
    const answer = await send(request);
    notify("Deleted. It is in the trash.", answer.headers.get("X-Request-ID"), id);
    close();
    onDeleted();
    go(listAddress(where));
  });
  return (
    <Dialog title="Delete this record">
      <p>Its history stays, and it can be brought back from the trash.</p>
      <ProblemNote error={action.error} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="danger" aria-disabled={action.busy} onClick={() => void remove()}>Delete</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}
