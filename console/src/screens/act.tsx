// A command or a deletion for many records: tried first, undone afterwards.
import { useMemo, useState } from "preact/hooks";
import { type ApiRequest, Problem, type Query, dryRun, read, send } from "../api.ts";
import { type JsonObject, emptyObject } from "../json.ts";
import { SchemaForm } from "../form.tsx";
import { type Where, apiPath, href, recordAddress } from "../router.ts";
import { initial, members, shapeOf } from "../schema.ts";
import { count, grouped, shortId } from "../text.tsx";
import type { Command, Invocations, StoredRecord } from "../types.ts";
import { Dialog, Menu, Pending, ProblemNote, RequestView, UnderWay, closeDialog, dialog, notify, useAction, useClose, useLoad } from "../ui.tsx";

/** Records that one command may run on: the limit of the service. */
const MOST_INVOKED = 10_000;
/** Records that one deletion takes here: what an undo can take back. */
const MOST_DELETED = 100_000;
const SHOWN = 100;

interface Target {
  where: Where;
  filters: Query;
  number: number | null;
  onDone: () => void;
}

export function ActOnMany({ where, filters, selected, onDone }: {
  where: Where; filters: Query; selected: Map<string, StoredRecord>; onDone: () => void;
}) {
  const ids = [...selected.keys()];
  const chosen: Target | null = ids.length ? { where, filters: [["_id__in", ids.join(",")]], number: ids.length, onDone } : null;
  const matching: Target = { where, filters, number: null, onDone };
  return (
    <Menu label={ids.length ? `Act on ${ids.length}` : "Act"} title="Run a command on many records, or delete them">
      {chosen && <Actions target={chosen} name={count(ids.length, "selected record")} />}
      <Actions target={matching} name={filters.length ? "all that match" : "all records"} />
    </Menu>
  );
}

function Actions({ target, name }: { target: Target; name: string }) {
  return (
    <>
      <button type="button" onClick={() => { dialog.value = <RunMany target={target} name={name} />; }}>Run a command on {name}</button>
      {target.filters.length > 0 && (
        <button type="button" class="danger" onClick={() => { dialog.value = <DeleteMany target={target} name={name} />; }}>Delete {name}</button>
      )}
    </>
  );
}

function limited(filters: Query, most: number): Query {
  return [...filters, ["max_affected", String(most)]];
}

/** A refusal, of which that of too many records says what can be done here. */
function Refusal({ error, most }: { error: unknown; most: number }) {
  if (!(error instanceof Problem) || error.code !== "too-many-affected") return <ProblemNote error={error} />;
  return <p class="note problem" role="alert">More than {grouped(most)} records match, the most for one request. Nothing was changed. Narrow the filter, and go in parts.</p>;
}

function RunMany({ target, name }: { target: Target; name: string }) {
  const { where } = target;
  const commands = useLoad((signal) => read<{ items: Command[] }>(`${apiPath(where)}/commands`, [], signal), []);
  const [chosen, choose] = useState("");
  const command = commands.data?.items.find((other) => other.name === chosen) ?? commands.data?.items[0];
  return (
    <Dialog title={`Run a command on ${name}`} wide>
      {!commands.data ? <Pending loaded={commands} /> : (
        <>
          <label class="row">Command{" "}
            <select value={command?.name} onChange={(event) => choose(event.currentTarget.value)}>
              {commands.data.items.map((other) => <option key={other.name}>{other.name}</option>)}
            </select>
          </label>
          {command && <Payload key={command.name} target={target} command={command} />}
        </>
      )}
    </Dialog>
  );
}

function Payload({ target, command }: { target: Target; command: Command }) {
  const schema = command.payload_schema;
  const [payload, setPayload] = useState<JsonObject>(() => command.name === "set" ? emptyObject() : initial(schema, schema) as JsonObject);
  const [atomic, setAtomic] = useState(false);
  const [report, setReport] = useState<Invocations | null>(null);
  const action = useAction();
  const close = useClose();
  const request: ApiRequest = useMemo(() => ({
    method: "POST",
    path: `${apiPath(target.where)}/commands/${command.name}`,
    query: [...limited(target.filters, MOST_INVOKED), ...(atomic ? [["atomic", "true"] as [string, string]] : [])],
    body: payload,
  }), [payload, atomic]);
  const attempt = () => action.run(async () => setReport((await send<Invocations>(dryRun(request))).body), `Trying ${command.name}`);
  const go = () => action.run(async () => {
    const answer = await send<Invocations>(request);
    notify(`${command.name}: ${summary(answer.body)}.`, answer.headers.get("X-Request-ID"));
    close();
    target.onDone();
  }, `Running ${command.name} on ${count(report!.invoked, "record")}`, request);
  return (
    <>
      <p class="help">{command.description}</p>
      {members(shapeOf(schema, schema)).length > 0 && (
        <SchemaForm schema={schema} value={payload} faults={[]} onChange={(value) => { setPayload(value); setReport(null); }} />
      )}
      <label class="row"><input type="checkbox" checked={atomic} onChange={(event) => { setAtomic(event.currentTarget.checked); setReport(null); }} /> All or none: the first failure undoes everything</label>
      <Refusal error={action.error} most={MOST_INVOKED} />
      <UnderWay action={action} />
      {report && <Report where={target.where} report={report} />}
      <RequestView request={report ? request : dryRun(request)} />
      <footer>
        <button type="button" class={report ? "" : "primary"} aria-disabled={action.busy} onClick={() => void attempt()}>{report ? "Try again" : "Try it"}</button>
        {report && <button type="button" class="primary" disabled={!report.invoked} aria-disabled={action.busy} onClick={() => void go()}>Run on {count(report.invoked, "record")}</button>}
        {!report && <span class="faint">Nothing is changed by trying.</span>}
      </footer>
    </>
  );
}

function summary(report: Invocations): string {
  return [
    `${count(report.invoked, "record")} changed`,
    report.skipped && `${report.skipped} skipped`,
    report.failed && `${report.failed} failed`,
  ].filter(Boolean).join(", ");
}

const REASONS: Record<string, string> = { unavailable: "its condition does not hold", unsupported: "there is no such command" };

function Report({ where, report }: { where: Where; report: Invocations }) {
  const others = report.outcomes.filter((outcome) => outcome.status !== "invoked");
  return (
    <div class="note" role="status">
      <p>It would change {count(report.invoked, "record")}{report.skipped > 0 && `, skip ${grouped(report.skipped)}`}{report.failed > 0 && `, and fail on ${grouped(report.failed)}`}.</p>
      {others.length > 0 && (
        <table class="dense">
          <thead><tr><th>record</th><th>outcome</th><th>reason</th></tr></thead>
          <tbody>
            {others.slice(0, SHOWN).map((outcome) => (
              <tr key={outcome.id}>
                <td class="mono"><a href={href(recordAddress(where, outcome.id))} target="_blank">{shortId(outcome.id)}</a></td>
                <td>{outcome.status}</td>
                <td>{REASONS[outcome.reason ?? ""] ?? outcome.reason}</td>
              </tr>
            ))}
            {others.length > SHOWN && <tr><td colSpan={3} class="faint">and {count(others.length - SHOWN, "more record")}</td></tr>}
          </tbody>
        </table>
      )}
    </div>
  );
}

function DeleteMany({ target, name }: { target: Target; name: string }) {
  const deletion = (most: number): ApiRequest => ({ method: "DELETE", path: apiPath(target.where), query: limited(target.filters, most) });
  const tried = deletion(MOST_DELETED);
  const report = useLoad(async (signal) => (await send<{ deleted: number }>(dryRun(tried), signal)).body, []);
  // No more than somebody saw: others may match by now.
  const request = deletion(report.data?.deleted ?? MOST_DELETED);
  const action = useAction();
  const close = useClose();
  const go = () => action.run(async () => {
    const answer = await send<{ deleted: number }>(request);
    notify(`${count(answer.body.deleted, "record")} deleted.`, answer.headers.get("X-Request-ID"));
    close();
    target.onDone();
  }, `Deleting ${count(report.data!.deleted, "record")}`, tried);
  return (
    <Dialog title={`Delete ${name}`}>
      {report.error ? <Refusal error={report.error} most={MOST_DELETED} /> : !report.data ? <Pending loaded={report} label="Counting what matches…" /> : (
        <>
          <p>This deletes {count(report.data.deleted, "record")}. Their histories stay, and they can be brought back.</p>
          <Refusal error={action.error} most={report.data.deleted} />
          <UnderWay action={action} />
          <RequestView request={request} />
          <footer>
            <button type="button" class="danger" disabled={!report.data.deleted} aria-disabled={action.busy} onClick={() => void go()}>Delete {count(report.data.deleted, "record")}</button>
            <button type="button" onClick={closeDialog}>Cancel</button>
          </footer>
        </>
      )}
    </Dialog>
  );
}
