// The commands of a record: what a guard says, what a command would change, and running it.
import { useState } from "preact/hooks";
import { type ApiRequest, Problem, dryRun, read, send } from "../api.ts";
import { SchemaForm } from "../form.tsx";
import { type Json, type JsonObject, differences, stringify } from "../json.ts";
import { type Where, apiPath } from "../router.ts";
import { initial, members, shapeOf } from "../schema.ts";
import { Differences, visible } from "../text.tsx";
import type { Command, StoredRecord } from "../types.ts";
import { Dialog, Menu, ProblemNote, RequestView, closeDialog, dialog, notify, useAction, useClose, useLoad, useSettled } from "../ui.tsx";

export const ANY_REVISION = { "If-Match": "*" };

/** Commands as buttons; what a guard refuses is disabled, with its words. */
export function Commands({ where, record, blocked, onDone }: { where: Where; record: StoredRecord; blocked: boolean; onDone: (record: StoredRecord) => void }) {
  const path = `${apiPath(where)}/${record.id}/commands`;
  const loaded = useLoad((signal) => read<{ items: Command[] }>(`${apiPath(where)}/commands`, [], signal), [apiPath(where)]);
  const commands = loaded.data?.items.filter((command) => command.name !== "set") ?? [];
  const guards = useLoad(async (signal) => new Map(await Promise.all(commands.slice(0, 12).map(async ({ name }): Promise<[string, string]> => {
    try {
      await send(dryRun({ method: "POST", path: `${path}/${name}`, headers: ANY_REVISION }), signal);
    } catch (error) {
      if (error instanceof Problem && error.status === 409) return [name, error.message];
      if (!(error instanceof Problem)) throw error;
    }
    return [name, ""];
  }))), [record.id, record.revision, commands.length]);
  const button = (command: Command) => {
    const refusal = blocked ? "Save or discard what you typed first" : guards.data?.get(command.name) ?? "";
    return (
      <button type="button" key={command.name} disabled={Boolean(refusal)} title={refusal || command.description}
        aria-label={refusal ? `${command.name}: ${refusal}` : undefined}
        onClick={() => { dialog.value = <Invoke path={`${path}/${command.name}`} command={command} record={record} onDone={onDone} />; }}>
        {command.name}{refusal && !blocked && <span class="reason"> {visible(refusal)}</span>}
      </button>
    );
  };
  if (!commands.length) return null;
  if (commands.length > 2) return <Menu label="Commands">{commands.map(button)}</Menu>;
  return <span class="commands">{commands.map(button)}</span>;
}

interface Invoked {
  result: Json;
  record: StoredRecord;
}

function Invoke({ path, command, record, onDone }: { path: string; command: Command; record: StoredRecord; onDone: (record: StoredRecord) => void }) {
  const schema = command.payload_schema;
  const [payload, setPayload] = useState<JsonObject>(() => initial(schema, schema) as JsonObject);
  const request: ApiRequest = { method: "POST", path, body: payload, headers: { "If-Match": `"${record.revision}"` } };
  const tried = useLoad((signal) => send<Invoked>(dryRun(request), signal).then((answer) => answer.body), [useSettled(stringify(payload), 250)]);
  const action = useAction();
  const close = useClose();
  const faults = tried.error instanceof Problem ? tried.error.errors : [];
  const run = () => action.run(async () => {
    const answer = await send<Invoked>(request);
    const result = answer.body.result;
    notify(<>{command.name}: revision {answer.body.record.revision}{result !== null && <>, result <code>{visible(stringify(result).slice(0, 80))}</code></>}.</>, answer.headers.get("X-Request-ID"), record.id);
    onDone(answer.body.record);
    close();
  });
  return (
    <Dialog title={command.name}>
      <p class="help">{visible(command.description)}</p>
      {members(shapeOf(schema, schema)).length > 0 && <SchemaForm schema={schema} value={payload} faults={faults} onChange={setPayload} />}
      {tried.error ? <ProblemNote error={tried.error} /> : tried.data && (
        <div class="note">
          <p>It would change:</p>
          <Changed before={record.data} after={tried.data.record.data} />
        </div>
      )}
      <ProblemNote error={action.error} />
      <RequestView request={request} />
      <footer>
        <button type="button" class="primary" disabled={tried.loading || Boolean(tried.error)} aria-disabled={action.busy} onClick={() => void run()}>{command.name}</button>
        <button type="button" onClick={closeDialog}>Cancel</button>
      </footer>
    </Dialog>
  );
}

function Changed({ before, after }: { before: Json; after: Json }) {
  return <Differences paths={differences(before, after)} from={before} to={after} />;
}
