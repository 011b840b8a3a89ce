// A command or a deletion for many records: tried first, undone afterwards.
import { useMemo, useState } from "preact/hooks";
import { type ApiRequest, type Query, dryRun, read, send } from "../api.ts";
import { type JsonObject, emptyObject } from "../json.ts";
import { SchemaForm } from "../form.tsx";
import { type Where, apiPath, href, recordAddress } from "../router.ts";
import { initial, members, shapeOf } from "../schema.ts";
import { count, shortId } from "../text.tsx";
import type { Command, Invocations, StoredRecord } from "../types.ts";
import { Dialog, Menu, Pending, ProblemNote, RequestView, closeDialog, dialog, notify, useAction, useLoad } from "../ui.tsx";

const MOST = 10_000;

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
        <button type="button" onClick={() => { dialog.value = <DeleteMany target={target} name={name} />; }}>Delete {name}</button>
      )}
    </>
  );
}

/** What a filter that selects many records may touch at most. */
function limited(filters: Query): Query {
  return [...filters, ["max_affected", String(MOST)]];
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
  const request: ApiRequest = useMemo(() => ({
    method: "POST",
    path: `${apiPath(target.where)}/commands/${command.name}`,
    query: [...limited(target.filters), ...(atomic ? [["atomic", "true"] as [string, string]] : [])],
    body: payload,
  }), [payload, atomic]);
  const attempt = () => action.run(async () => setReport((await send<Invocations>(dryRun(request))).body));
  const go = () => action.run(async () => {
    const answer = await send<Invocations>(request);
    notify(`${command.name}: ${summary(answer.body)}.`, answer.headers.get("X-Request-ID"));
    closeDialog();
    target.onDone();
  });
  return (
    <>
      <p class="help">{command.description}</p>
      {members(shapeOf(schema, schema)).length > 0 && (
        <SchemaForm schema={schema} value={payload} faults={[]} onChange={(value) => { setPayload(value); setReport(null); }} />
      )}
      <label class="row"><input type="checkbox" checked={atomic} onChange={(event) => { setAtomic(event.currentTarget.checked); setReport(null); }} /> all or none: the first failure undoes everything</label>
      <ProblemNote error={action.error} />
      {report && <Report where={target.where} report={report} />}
      <RequestView request={report ? request : dryRun(request)} />
      <footer>
        <button type="button" class={report ? "" : "primary"} disabled={action.busy} onClick={() => void attempt()}>{report ? "Try again" : "Try it"}</button>
        {report && <button type="button" class="primary" disabled={action.busy || !report.invoked} onClick={() => void go()}>Run on {count(report.invoked, "record")}</button>}
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
      <p>It would change {count(report.invoked, "record")}, skip {report.skipped}, and fail on {report.failed}.</p>
      {others.length > 0 && (
        <table class="dense">
          <thead><tr><th>record</th><th>outcome</th><th>reason</th></tr></thead>
          <tbody>
            {others.slice(0, 100).map((outcome) => (
              <tr key={outcome.id}>
                <td class="mono"><a href={href(recordAddress(where, outcome.id))} target="_blank">{shortId(outcome.id)}</a></td>
                <td>{outcome.status}</td>
                <td>{REASONS[outcome.reason ?? ""] ?? outcome.reason}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function DeleteMany({ target, name }: { target: Target; name: string }) {
  const request: ApiRequest = { method: "DELETE", path: apiPath(target.where), query: limited(target.filters) };
  const report = useLoad(async (signal) => (await send<{ deleted: number }>(dryRun(request), signal)).body, []);
  const action = useAction();
  const go = () => action.run(async () => {
    const answer = await send<{ deleted: number }>(request);
    notify(`${count(answer.body.deleted, "record")} deleted.`, answer.headers.get("X-Request-ID"));
    closeDialog();
    target.onDone();
  });
  return (
    <Dialog title={`Delete ${name}`}>
      {!report.data ? <Pending loaded={report} /> : (
        <>
          <p>This deletes {count(report.data.deleted, "record")}. Their histories stay, and they can be brought back.</p>
          <ProblemNote error={action.error} />
          <RequestView request={request} />
          <footer>
            <button type="button" class="danger" disabled={action.busy || !report.data.deleted} onClick={() => void go()}>Delete {count(report.data.deleted, "record")}</button>
            <button type="button" onClick={closeDialog}>Cancel</button>
          </footer>
        </>
      )}
    </Dialog>
  );
}
