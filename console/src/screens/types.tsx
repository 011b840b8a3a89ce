// Types: what they are, one from pasted data, and the next version before it is stored.
import { useMemo, useState } from "preact/hooks";
import { type ApiRequest, Problem, ROOT, dryRun, read, send } from "../api.ts";
import { type Json, type JsonObject, JsonError, differences, isObject, parse, stringify } from "../json.ts";
import { readPasted } from "../paste.ts";
import { go, href, listAddress, recordAddress } from "../router.ts";
import { members, shapeOf } from "../schema.ts";
import { collectionOf, collections, may, refresh } from "../session.ts";
import { Differences, JsonText, Value, brief, count, shortId, visible } from "../text.tsx";
import type { EntityType, MigrationPlan } from "../types.ts";
import { NoScreen, ProblemNote, RequestView, notify, useAction, useLoad, useSettled, useTitle } from "../ui.tsx";

const SHOWN = 5;
const MOST_COLUMNS = 50;
const MOST_MEMBERS = 200;
const NAME = /^[a-z][a-z0-9-]{0,62}$/;

export function NewType() {
  useTitle("New type");
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const action = useAction();
  const pasted = useMemo(() => {
    try {
      return { data: text.trim() ? readPasted(text) : null, error: "" };
    } catch (error) {
      return { data: null, error: (error as Error).message };
    }
  }, [text]);
  const taken = collections.value.some((collection) => collection.name === name);
  const data = pasted.data;
  const columns = data ? members(shapeOf(data.schema, data.schema)) : [];
  const put: ApiRequest | null = data && { method: "PUT", path: `/entity-types/${name}`, body: { schema: data.schema }, headers: { "If-None-Match": "*" } };
  const { headers: _, ...plain } = put ?? { method: "PUT", path: "" };
  const create = () => action.run(async () => {
    await send(plain);
    try {
      await send({ method: "POST", path: `/api/${name}/import`, text: { content: data!.rows.map((row) => stringify(row)).join("\n"), type: "application/x-ndjson" } });
    } catch (error) {
      // A type without its records would be in the way of another attempt.
      await send({ method: "DELETE", path: `/entity-types/${name}` });
      throw error;
    }
    await refresh();
    notify(`${name} has ${count(data!.rows.length, "record")}.`);
    go(listAddress({ workspace: null, collection: name }));
  });
  return (
    <section class="screen">
      <header class="bar"><h1>New type</h1><span class="faint">from data that you have</span></header>
      <form onSubmit={(event) => { event.preventDefault(); void create(); }}>
        <label for="paste">CSV with a heading, a JSON array of objects, or NDJSON</label>
        <textarea id="paste" class="mono paste" rows={data ? 6 : 14} spellcheck={false} value={text} autofocus
          placeholder={"name,born,active\nAda,1815-12-10,true\nGrace,1906-12-09,true"}
          onInput={(event) => setText(event.currentTarget.value)} />
        <p class="row">
          <label>or a file <input type="file" accept=".csv,.json,.ndjson,.txt" onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            if (!file) return;
            void file.text().then(setText);
            setName(file.name.toLowerCase().replace(/\.[a-z]+$/, "").replace(/[^a-z0-9]+/g, "-").replace(/^[^a-z]+|-+$/g, ""));
          }} /></label>
        </p>
        {pasted.error && <p class="fault" role="alert">{visible(pasted.error)}</p>}
        {data && (
          <>
            <p class="row">
              <label>Name{" "}
                <input value={name} placeholder="people" autocomplete="off" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
              </label>
              <button type="submit" class="primary" disabled={!NAME.test(name) || taken || !may("admin", name) || action.busy}>
                {action.busy ? "Making…" : `Make it with ${count(data.rows.length, "record")}`}
              </button>
              {taken && <span class="fault">There is a collection of this name.</span>}
              {!may("admin", name || "*") && <span class="faint">Your key allows certain names only.</span>}
              {name && !NAME.test(name) && <span class="fault">Small letters, digits and hyphens, a letter first.</span>}
            </p>
            <ProblemNote error={action.error} />
            <div class="wide-table">
              <table class="dense">
                <thead>
                  <tr>{columns.slice(0, MOST_COLUMNS).map(({ name: member, schema, required }) => (
                    <th key={member}><bdi>{visible(member)}</bdi> <span class="faint">{typeName(schema)}{required ? "" : "?"}</span></th>
                  ))}</tr>
                </thead>
                <tbody>
                  {data.rows.slice(0, SHOWN).map((row, index) => (
                    <tr key={index}>{columns.slice(0, MOST_COLUMNS).map(({ name: member }) => <td key={member}><Value value={row[member]} length={60} /></td>)}</tr>
                  ))}
                </tbody>
              </table>
            </div>
            {data.rows.length > SHOWN && <p class="faint">and {count(data.rows.length - SHOWN, "more row")}</p>}
            {columns.length > MOST_COLUMNS && <p class="faint">and {count(columns.length - MOST_COLUMNS, "more column")}</p>}
            {NAME.test(name) && <RequestView request={plain} />}
          </>
        )}
      </form>
    </section>
  );
}

function typeName(schema: Json): string {
  if (!isObject(schema)) return "any";
  return String(schema["format"] ?? [schema["type"] ?? "any"].flat().join(" or "));
}

export function TypeScreen({ name }: { name: string }) {
  useTitle(`Type ${name}`);
  const collection = collectionOf(name);
  const isRegistered = collection?.kind === "registered";
  const canEdit = isRegistered && may("admin", name);
  const type = useLoad(async (signal) => canEdit ? read<EntityType>(`/entity-types/${name}`, [], signal) : null, [name, canEdit]);
  const versions = useLoad(async (signal) => canEdit ? (await read<{ items: EntityType[] }>(`/entity-types/${name}/versions`, [], signal)).items : [], [name, canEdit]);
  const plan = useLoad(async (signal) => may("admin", name) ? read<MigrationPlan>(`/migration-plans/${name}`, [], signal) : null, [name]);
  if (!collection) return <NoScreen>There is no collection <bdi>{visible(name)}</bdi> that you may read.</NoScreen>;
  const reload = () => { type.reload(); versions.reload(); plan.reload(); };
  return (
    <section class="screen">
      <header class="bar">
        <h1><a href={href(listAddress({ workspace: null, collection: name }))}><bdi>{name}</bdi></a> <span class="faint">· type, schema version {collection.schema_version}</span></h1>
        <span class="spring" />
        <a class="button" href={`${ROOT}/docs?collection=${name}`}>HTTP API</a>
      </header>
      {collection.description && <p>{visible(collection.description)}</p>}
      {!isRegistered && <p class="faint">This type is a class in the code of the service: it is changed there.</p>}
      {plan.data && (
        <p class="faint">
          {Object.entries(plan.data.records).map(([version, number]) => `${count(Number(number), "record")} at version ${version}`).join(", ") || "No records."}
        </p>
      )}
      <Members schema={collection.schema} />
      {canEdit && type.data
        ? <NextVersion key={type.data.schema_version} name={name} type={type.data} onStored={reload} />
        : <><h2>Schema</h2><JsonText value={collection.schema} /></>}
      {versions.data && versions.data.length > 1 && <Versions versions={versions.data} />}
    </section>
  );
}

/** The declared members, one a line. */
function Members({ schema }: { schema: JsonObject }) {
  const all = members(shapeOf(schema, schema));
  if (!all.length) return null;
  const isDescribed = all.some(({ schema: member }) => shapeOf(member, schema).description);
  return (
    <div class="wide-table">
      <table class="dense">
        <thead><tr><th>member</th><th>type</th><th>rules</th>{isDescribed && <th>description</th>}</tr></thead>
        <tbody>
          {all.slice(0, MOST_MEMBERS).map(({ name, schema: member, required }) => {
            const shape = shapeOf(member, schema);
            return (
              <tr key={name}>
                <td><bdi>{visible(name)}</bdi></td>
                <td>{typeName(shape.schema)}{shape.nullable && <span class="faint"> or null</span>}</td>
                <td class="faint">{[required && "required", ...rulesOf(shape.schema)].filter(Boolean).join(" · ")}</td>
                {isDescribed && <td class="faint">{visible(shape.description.slice(0, 300))}</td>}
              </tr>
            );
          })}
        </tbody>
      </table>
      {all.length > MOST_MEMBERS && <p class="faint">and {count(all.length - MOST_MEMBERS, "more member")}</p>}
    </div>
  );
}

/** Keywords that another column says, or that are long. */
const UNLISTED = ["type", "format", "title", "description", "examples", "properties", "required", "items", "anyOf", "oneOf", "$comment"];

function rulesOf(schema: JsonObject): string[] {
  return Object.keys(schema).filter((name) => !UNLISTED.includes(name)).map((name) => `${visible(name)} ${brief(schema[name], 60)}`);
}

function definitionOf(type: EntityType): JsonObject {
  const { schema, unique, indexes, commands } = type as unknown as Record<string, Json>;
  return { schema: schema!, unique: unique ?? [], indexes: indexes ?? [], commands: commands ?? {} };
}

interface Failure {
  id?: string;
  pointer?: string;
  detail?: string;
  errors?: { pointer: string; detail: string }[];
}

/** The definition as text; what the service would do with it is asked while somebody types. */
function NextVersion({ name, type, onStored }: { name: string; type: EntityType; onStored: () => void }) {
  const stored = useMemo(() => stringify(definitionOf(type), 2), []);
  const [text, setText] = useState(stored);
  const settled = useSettled(text, 400);
  const action = useAction();
  const { body, mistake } = useMemo(() => {
    try {
      return { body: parse(text), mistake: "" };
    } catch (error) {
      const at = error instanceof JsonError ? `line ${text.slice(0, error.offset).split("\n").length}: ` : "";
      return { body: null, mistake: at + (error as Error).message };
    }
  }, [text]);
  const request: ApiRequest = { method: "PUT", path: `/entity-types/${name}`, body };
  const dirty = text !== stored;
  const tried = useLoad(async (signal) => dirty && body !== null && settled === text ? (await send<EntityType>(dryRun(request), signal)).body : null, [settled, text]);
  const answer = tried.error ? null : tried.data;
  return (
    <>
      <header class="bar">
        <h2 id="definition">Definition</h2>
        <span class="spring" />
        {dirty && <button type="button" onClick={() => setText(stored)}>As it is stored</button>}
        <button type="button" class="primary" disabled={!dirty || !answer || action.busy || settled !== text} onClick={() => void action.run(async () => {
          const made = await send<EntityType>(request);
          await refresh();
          notify(`${name} is at schema version ${made.body.schema_version}.`);
          onStored();
        })}>Store it</button>
      </header>
      <div class="panes">
        <textarea class="mono paste" aria-labelledby="definition" spellcheck={false} rows={Math.min(44, text.split("\n").length + 2)} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <div>
          {mistake ? <p class="fault">not JSON: {visible(mistake)}</p>
            : !dirty ? <p class="faint">Edit the definition: what it would do with the stored records is shown here before anything is stored. A <code>migration</code> with <code>rename</code>, <code>drop</code>, <code>set</code> and <code>default</code> brings them along.</p>
              : tried.error ? <Refused name={name} error={tried.error} />
                : answer ? (
                  <div class="note" role="status">
                    {answer.schema_version === type.schema_version
                      ? "The schema stays the same: no record is touched."
                      : `It would become version ${answer.schema_version}; ${count(Number(answer.migrated ?? 0), "record")} would be brought to it. None fails.`}
                  </div>
                ) : <p class="faint" role="status">Asking…</p>}
          <ProblemNote error={action.error} />
          {dirty && body !== null && (
            <>
              <h2>What you changed</h2>
              <Differences paths={differences(definitionOf(type), body)} from={definitionOf(type)} to={body} labels={["stored", "new"]} />
              <RequestView request={request} />
            </>
          )}
        </div>
      </div>
    </>
  );
}

/** Which records the next version would break. */
function Refused({ name, error }: { name: string; error: unknown }) {
  const failures = error instanceof Problem && Array.isArray(error.body["failures"]) ? error.body["failures"] as Failure[] : [];
  return (
    <>
      <ProblemNote error={error} />
      {failures.length > 0 && (
        <table class="dense">
          <thead><tr><th>record</th><th>where</th><th>why</th></tr></thead>
          <tbody>
            {failures.flatMap((failure, index) => (failure.errors ?? [failure]).map((fault, at) => (
              <tr key={`${index}-${at}`}>
                <td class="mono">{failure.id && <a href={href(recordAddress({ workspace: null, collection: name }, failure.id))}>{shortId(failure.id)}</a>}</td>
                <td class="mono">{visible(fault.pointer ?? "")}</td>
                <td>{visible(fault.detail ?? "")}</td>
              </tr>
            )))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Versions({ versions }: { versions: EntityType[] }) {
  const numbers = versions.map((version) => version.schema_version).sort((a, b) => b - a);
  const [pair, setPair] = useState<[number, number]>([numbers[1]!, numbers[0]!]);
  const of = (number: number) => versions.find((version) => version.schema_version === number)?.schema as unknown as Json;
  const choice = (at: 0 | 1, label: string) => (
    <select aria-label={label} value={String(pair[at])} onChange={(event) => {
      const next: [number, number] = [...pair];
      next[at] = Number(event.currentTarget.value);
      setPair(next);
    }}>
      {numbers.map((number) => <option key={number} value={String(number)}>version {number}</option>)}
    </select>
  );
  return (
    <>
      <h2>Versions</h2>
      <p class="row">{choice(0, "From version")} → {choice(1, "To version")}</p>
      <Differences paths={differences(of(pair[0]), of(pair[1]))} from={of(pair[0])} to={of(pair[1])} labels={[`version ${pair[0]}`, `version ${pair[1]}`]} />
    </>
  );
}
