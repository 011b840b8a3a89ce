// Snapshots: taken, checked, and restored step by step.
import { useEffect, useState } from "preact/hooks";
import { type ApiRequest, type Query, ROOT, dryRun, read, send } from "../api.ts";
import type { JsonObject } from "../json.ts";
import { collections, may, refresh, workspaces } from "../session.ts";
import { Time, count, grouped, shortId, size, visible } from "../text.tsx";
import type { Change, Manifest, Migration, Page, Seal } from "../types.ts";
import { Dialog, Menu, Pending, ProblemNote, RequestView, UnderWay, closeDialog, dialog, notify, useAction, useClose, useLoad, useTitle } from "../ui.tsx";
import { Since } from "./time.tsx";

export function SnapshotsScreen() {
  useTitle("Snapshots");
  const loaded = useLoad((signal) => read<Page<Manifest>>("/snapshots", [], signal), []);
  const [older, setOlder] = useState<Page<Manifest> | null>(null);
  useEffect(() => setOlder(null), [loaded.data]);
  const items = [...(loaded.data?.items ?? []), ...(older?.items ?? [])];
  const next = (older ?? loaded.data)?.next_cursor;
  const more = async () => {
    const page = await read<Page<Manifest>>("/snapshots", [["cursor", next!]]);
    setOlder({ ...page, items: [...(older?.items ?? []), ...page.items] });
  };
  return (
    <section class="screen">
      <header class="bar">
        <h1>Snapshots</h1>
        <span class="spring" />
        <button type="button" onClick={() => { dialog.value = <Upload onDone={loaded.reload} />; }}>Upload</button>
        <button type="button" class="primary" onClick={() => { dialog.value = <Take onDone={loaded.reload} />; }}>Take a snapshot</button>
      </header>
      {!loaded.data ? <Pending loaded={loaded} /> : !items.length ? <p class="note">There is no snapshot yet. One keeps what is here now, to be compared with and restored later.</p> : (
        <ol class="stream">
          {items.map((manifest) => <Row key={manifest.id} manifest={manifest} onChange={loaded.reload} />)}
        </ol>
      )}
      {next && <button type="button" onClick={() => void more()}>Older</button>}
    </section>
  );
}

function Row({ manifest, onChange }: { manifest: Manifest; onChange: () => void }) {
  const [verdict, setVerdict] = useState<{ ok: boolean; detail?: string } | null>(null);
  const action = useAction();
  const names = manifest.collections.map(({ workspace, name, count: number }) => `${workspace ? `${workspace}/` : ""}${name} ${grouped(number)}`);
  return (
    <li>
      <div class="lead">
        <strong><Time at={manifest.created_at} /></strong>
        <span>{manifest.mode === "schema_only" ? "schemas only" : count(manifest.records, "record")}</span>
        {manifest.automatic && <span class="faint">automatic</span>}
        {manifest.note && <bdi>{visible(manifest.note)}</bdi>}
        <span class="faint mono" title={manifest.id}>{shortId(manifest.id)}</span>
        {verdict && <span class={verdict.ok ? "good" : "bad"}>{verdict.ok ? "✓ verified" : visible(verdict.detail ?? "damaged")}</span>}
        <span class="spring" />
        <span class="faint contents">{names.slice(0, 8).join(" · ")}{names.length > 8 && ` and ${names.length - 8} more`}</span>
        <span class="actions">
          <button type="button" aria-disabled={action.busy} onClick={() => void action.run(async () => {
            setVerdict((await send<{ ok: boolean; detail?: string }>({ method: "POST", path: `/snapshots/${manifest.id}/verify` })).body);
          }, "Verifying a snapshot")}>Verify</button>
          <button type="button" onClick={() => { dialog.value = <Compare manifest={manifest} />; }}>Compare with now</button>
          <button type="button" onClick={() => { dialog.value = <Restore manifest={manifest} onDone={onChange} />; }}>Restore</button>
          <Menu label="⋯" title="More">
            <a href={`${ROOT}/snapshots/${manifest.id}/content`} download={`${manifest.id}.ndjson`}>Download</a>
            <button type="button" class="danger" onClick={() => { dialog.value = <Remove manifest={manifest} onDone={onChange} />; }}>Delete</button>
          </Menu>
        </span>
      </div>
      <ProblemNote error={action.error} />
    </li>
  );
}

/** What changed since the snapshot: its manifest names the moment of the journal. */
function Compare({ manifest }: { manifest: Manifest }) {
  const isHere = useLoad(async (signal) => {
    if (manifest.seq === 0) return true;
    const after: Query = [["after", String(manifest.seq - 1)], ["limit", "1"]];
    const { items } = await read<{ items: Seal[] }>("/changes/seals", after, signal);
    return items[0]?.hash === manifest.seal;
  }, []);
  if (!isHere.data) {
    return (
      <Dialog title="Compare with now">
        {isHere.data === undefined ? <Pending loaded={isHere} />
          : <p class="note">This snapshot comes from another service, whose journal is not here. <em>Restore</em> and <em>Try it</em> say what it would change.</p>}
      </Dialog>
    );
  }
  const names = new Set(manifest.collections.map(({ workspace, name }) => `${workspace ?? ""}/${name}`));
  const isOf = (change: Change) => names.has(`${change.workspace ?? ""}/${change.collection}`);
  return <Since filters={[]} isOf={isOf} moment={String(manifest.seq)} />;
}

function Take({ onDone }: { onDone: () => void }) {
  const offered = [
    ...(may("admin") ? [["everything", "/snapshots"] as const] : []),
    ...workspaces.value.filter(({ name }) => may("admin", "*", name)).map(({ name }) => [`workspace ${name}`, `/workspaces/${name}/snapshots`] as const),
    ...collections.value.filter(({ name }) => may("admin", name)).map(({ name }) => [name, `/api/${name}/snapshots`] as const),
  ];
  const [path, setPath] = useState<string>(offered[0]?.[1] ?? "");
  const [mode, setMode] = useState("with_data");
  const [note, setNote] = useState("");
  const action = useAction();
  const close = useClose();
  const body: JsonObject = { mode, note, ...(path === "/snapshots" ? { scope: "all" } : {}) };
  const request: ApiRequest = { method: "POST", path, body };
  return (
    <Dialog title="Take a snapshot">
      <form onSubmit={(event) => {
        event.preventDefault();
        void action.run(async () => {
          const { body: manifest } = await send<Manifest>(request);
          notify(`Taken: ${count(manifest.records, "record")}.`);
          close();
          onDone();
        }, "Taking a snapshot");
      }}>
        <label class="row">Of <select value={path} onChange={(event) => setPath(event.currentTarget.value)}>
          {offered.map(([name, value]) => <option key={value} value={value}>{name}</option>)}
        </select></label>
        <label class="row">With <select value={mode} onChange={(event) => setMode(event.currentTarget.value)}>
          <option value="with_data">data and schemas</option><option value="schema_only">schemas only</option>
        </select></label>
        <label class="row">Note <input value={note} onInput={(event) => setNote(event.currentTarget.value)} /></label>
        <ProblemNote error={action.error} />
        <UnderWay action={action} />
        <RequestView request={request} />
        <footer>
          <button type="submit" class="primary" disabled={!path} aria-disabled={action.busy}>Take it</button>
          <button type="button" onClick={closeDialog}>Cancel</button>
        </footer>
      </form>
    </Dialog>
  );
}

function Upload({ onDone }: { onDone: () => void }) {
  const [file, setFile] = useState<File | null>(null);
  const request: ApiRequest | null = file && { method: "POST", path: "/snapshots", text: { content: file, type: "application/x-ndjson" } };
  const action = useAction();
  const close = useClose();
  return (
    <Dialog title="Upload a snapshot">
      <form onSubmit={(event) => {
        event.preventDefault();
        void action.run(async () => {
          await send(request!);
          notify("Uploaded and checked.");
          close();
          onDone();
        }, `Uploading ${size(file!.size)}`);
      }}>
        <label>File <input type="file" accept=".ndjson" onChange={(event) => setFile(event.currentTarget.files?.[0] ?? null)} /></label>
        <p class="help">Its form and its hashes are checked; nothing is restored yet.</p>
        <ProblemNote error={action.error} />
        <UnderWay action={action} />
        {request && <RequestView request={request} />}
        <footer>
          <button type="submit" class="primary" disabled={!file} aria-disabled={action.busy}>Upload</button>
          <button type="button" onClick={closeDialog}>Cancel</button>
        </footer>
      </form>
    </Dialog>
  );
}

function restored({ created = 0, skipped = 0, overwritten = 0 }: Migration): string {
  return [created && `${grouped(created)} created`, overwritten && `${grouped(overwritten)} replaced`, skipped && `${grouped(skipped)} left as they were`]
    .filter(Boolean).join(", ");
}

/** What a restore would do, in a sentence. */
function effectOf({ created = 0, skipped = 0, overwritten = 0, migrated = 0 }: Migration): string {
  const parts = [
    created && `create ${count(created, "record")}`,
    overwritten && `replace ${count(overwritten, "record")}`,
    skipped && `leave ${count(skipped, "record")} as ${skipped === 1 ? "it is" : "they are"}`,
    migrated && `bring ${count(migrated, "record")} to the present schema`,
  ].filter(Boolean);
  if (!parts.length) return "It would change nothing.";
  return `It would ${parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0]}.`;
}

const CONFLICTS: [string, string][] = [
  ["overwrite", "go back to what the snapshot has of them"], ["skip", "stay as they are; only those that are missing come back"],
  ["fail", "stop the restore before it changes anything"],
];

function Restore({ manifest, onDone }: { manifest: Manifest; onDone: () => void }) {
  const [target, setTarget] = useState("as-taken");
  const [conflict, setConflict] = useState("overwrite");
  const [report, setReport] = useState<Migration | null>(null);
  const action = useAction();
  const close = useClose();
  const body: JsonObject = { snapshot: manifest.id, on_conflict: conflict };
  if (target !== "as-taken") body["workspace"] = target === "default" ? null : target.slice(2);
  const request: ApiRequest = { method: "POST", path: "/migrations", body };
  const change = (set: (value: string) => void) => (event: { currentTarget: { value: string } }) => {
    set(event.currentTarget.value);
    setReport(null);
    action.clear();
  };
  return (
    <Dialog title="Restore a snapshot">
      <p>{count(manifest.records, "record")}, taken <Time at={manifest.created_at} />.</p>
      <label class="row">To <select value={target} onChange={change(setTarget)}>
        <option value="as-taken">where it was taken</option>
        <option value="default">the default workspace</option>
        {workspaces.value.map(({ name }) => <option key={name} value={`w-${name}`}>workspace {name}</option>)}
      </select></label>
      <fieldset>
        <legend>Records that are here already</legend>
        {CONFLICTS.map(([value, name]) => <label key={value}><input type="radio" name="conflict" value={value} checked={conflict === value} onChange={change(setConflict)} /> {name}</label>)}
      </fieldset>
      <p class="help">Records created since the snapshot stay in any case. Replaced ones keep their histories.</p>
      {report && (
        <div class="note" role="status">
          {effectOf(report)}
          {!report.created && Boolean(report.skipped) && <> To take back what changed since, choose that records which are here already <em>{CONFLICTS[0]![1]}</em>.</>}
        </div>
      )}
      <ProblemNote error={action.error} />
      <UnderWay action={action} />
      <RequestView request={report ? request : dryRun(request)} />
      <footer>
        <button type="button" class={report ? "" : "primary"} aria-disabled={action.busy} onClick={() => void action.run(async () => setReport((await send<Migration>(dryRun(request))).body), "Trying the restore")}>{report ? "Try again" : "Try it"}</button>
        {report && <button type="button" class="primary" disabled={!report.created && !report.overwritten} aria-disabled={action.busy} onClick={() => void action.run(async () => {
          const answer = await send<Migration>(request);
          notify(`Restored: ${restored(answer.body)}.`, answer.headers.get("X-Request-ID"));
          close();
          onDone();
          await refresh();
        }, "Restoring a snapshot", request)}>Restore</button>}
        <button type="button" onClick={closeDialog}>Cancel</button>
        {!report && <span class="faint">Nothing is changed by trying.</span>}
      </footer>
    </Dialog>
  );
}

function Remove({ manifest, onDone }: { manifest: Manifest; onDone: () => void }) {
  const request: ApiRequest = { method: "DELETE", path: `/snapshots/${manifest.id}` };
  const action = useAction();
  const close = useClose();
  return (
    <Dialog title="Delete this snapshot">
      <p>It was taken <Time at={manifest.created_at} /> and holds {count(manifest.records, "record")}. It cannot be brought back.</p>
      <ProblemNote error={action.error} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="danger" aria-disabled={action.busy} onClick={() => void action.run(async () => {
          await send(request);
          notify("Snapshot deleted.");
          close();
          onDone();
        })}>Delete</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}
