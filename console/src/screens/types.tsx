// Types: what they are, one from pasted data, and the next version before it is stored.
import { useMemo, useState } from "preact/hooks";
import { type ApiRequest, Problem, ROOT, dryRun, read, send } from "../api.ts";
import { type Json, type JsonObject, JsonError, differences, equal, merge, parse, stringify } from "../json.ts";
import { readPasted } from "../paste.ts";
import { go, href, listAddress, recordAddress } from "../router.ts";
import { type Shape, members, shapeOf } from "../schema.ts";
import { collectionOf, collections, may, refresh } from "../session.ts";
import { Differences, JsonText, Value, brief, count, shortId, visible } from "../text.tsx";
import type { EntityType, MigrationPlan } from "../types.ts";
import { NoScreen, Pending, ProblemNote, RequestView, UnderWay, notify, useAction, useIsHere, useLoad, useSettled, useTitle } from "../ui.tsx";

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
  const put = (): ApiRequest => ({ method: "PUT", path: `/entity-types/${name}`, body: { schema: data!.schema }, headers: { "If-None-Match": "*" } });
  const rows = (): ApiRequest => ({
    method: "POST", path: `/api/${name}/import`,
    text: { content: data!.rows.map((row) => stringify(row)).join("\n"), type: "application/x-ndjson" },
  });
  const isHere = useIsHere();
  const create = () => action.run(async () => {
    await send(put());
    try {
      await send(rows());
    } catch (error) {
      // A type without its records would be in the way of another attempt.
      await send({ method: "DELETE", path: `/entity-types/${name}` });
      throw error;
    }
    await refresh();
    const address = listAddress({ workspace: null, collection: name });
    notify(<><a href={href(address)}>{name}</a> has {count(data!.rows.length, "record")}.</>, null);
    if (isHere()) go(address);
  }, `Importing ${count(data!.rows.length, "record")}`);
  return (
    <section class="screen">
      <header class="bar"><h1>New type</h1><span class="faint">from your data</span></header>
      <form onSubmit={(event) => { event.preventDefault(); void create(); }}>
        <label for="paste">Paste CSV with a heading, a JSON array of objects, or NDJSON</label>
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
              <button type="submit" class="primary" disabled={!NAME.test(name) || taken || !may("admin", name)} aria-disabled={action.busy}>
                Create it with {count(data.rows.length, "record")}
              </button>
              {taken && <span class="fault">There is a collection of this name already.</span>}
              {!may("admin", name || "*") && <span class="faint">Your key allows only certain names.</span>}
              {name && !NAME.test(name) && <span class="fault">A name has small letters, digits and hyphens, a letter first.</span>}
              {!name && <span class="faint">Give it a name, such as people.</span>}
            </p>
            <ProblemNote error={action.error} />
            <UnderWay action={action} />
            <div class="wide-table" role="region" aria-label="First rows" tabIndex={0}>
              <table class="dense">
                <thead>
                  <tr>{columns.slice(0, MOST_COLUMNS).map(({ name: member, schema, required }) => (
                    <th key={member}><bdi>{visible(member)}</bdi> <span class="faint">{typeName(shapeOf(schema, data.schema))}{required ? "" : ", optional"}</span></th>
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
            {NAME.test(name) && <><RequestView request={put} title="HTTP request for the type" /><RequestView request={rows} title="HTTP request for the records" /></>}
          </>
        )}
      </form>
    </section>
  );
}

/** What a value may be, in a word or two. */
function typeName(shape: Shape): string {
  const { kind, schema, root } = shape;
  if (shape.format) return shape.format;
  if (kind === "enum" || kind === "const") return `one of ${shape.options.length || 1}`;
  if (kind === "choice") return shape.branches.map((branch) => typeName(shapeOf(branch, root))).filter((name, index, all) => all.indexOf(name) === index).join(" or ");
  if (kind === "array") return schema["items"] === undefined ? "array" : `array of ${typeName(shapeOf(schema["items"], root))}`;
  return [schema["type"] ?? kind].flat().filter((name) => name !== "null").join(" or ");
}

export function TypeScreen({ name }: { name: string }) {
  useTitle(`Type ${name}`);
  const collection = collectionOf(name);
  const isRegistered = collection?.kind === "registered";
  const canEdit = isRegistered && may("admin", name);
  const type = useLoad(async (signal) => canEdit ? readType(name, signal) : null, [name, canEdit]);
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
        ? <NextVersion key={type.data.tag} name={name} stored={type.data} onStored={reload} />
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
    <div class="members">
      <table class="dense">
        <thead><tr><th>member</th><th>type</th><th>rules</th>{isDescribed && <th>description</th>}</tr></thead>
        <tbody>
          {all.slice(0, MOST_MEMBERS).map(({ name, schema: member, required }) => {
            const shape = shapeOf(member, schema);
            return (
              <tr key={name}>
                <th scope="row"><bdi>{visible(name)}</bdi></th>
                <td>{typeName(shape)}{shape.nullable && <span class="faint"> or null</span>}</td>
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
  return Object.keys(schema).filter((name) => !UNLISTED.includes(name)).map((name) => name === "enum" && Array.isArray(schema[name])
    ? brief(schema[name].map((option) => (typeof option === "string" ? option : stringify(option))).join(", "), 200)
    : `${visible(name)} ${brief(schema[name], 60)}`);
}

function definitionOf(type: EntityType): JsonObject {
  const { schema, defaults, unique, indexes, commands } = type as unknown as Record<string, Json>;
  return { schema: schema!, defaults: defaults!, unique: unique!, indexes: indexes!, commands: commands! };
}

interface StoredType {
  version: number;
  definition: JsonObject;
  /** The entity tag of the definition. */
  tag: string;
}

async function readType(name: string, signal?: AbortSignal): Promise<StoredType> {
  const { body, headers } = await send<EntityType>({ method: "GET", path: `/entity-types/${name}` }, signal);
  return { version: body.schema_version, definition: definitionOf(body), tag: headers.get("ETag") ?? "*" };
}

interface Failure {
  id?: string;
  pointer?: string;
  detail?: string;
  errors?: { pointer: string; detail: string }[];
}

/** The definition as text; what the service would do with it is asked while somebody types. */
function NextVersion({ name, stored, onStored }: { name: string; stored: StoredType; onStored: () => void }) {
  const [base, setBase] = useState(stored);
  const [text, setText] = useState(() => stringify(stored.definition, 2));
  const [isOvertaken, setOvertaken] = useState(false);
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
  const request: ApiRequest = { method: "PUT", path: `/entity-types/${name}`, body, headers: { "If-Match": base.tag } };
  const dirty = body === null || !equal(body, base.definition);
  const take = (theirs: StoredType, definition: Json) => {
    setBase(theirs);
    setText(stringify(definition, 2));
  };
  const save = () => action.run(async () => {
    try {
      const made = await send<EntityType>(request);
      await refresh();
      notify(`${name} is at schema version ${made.body.schema_version}.`, null);
      onStored();
    } catch (error) {
      if (!(error instanceof Problem && error.status === 412)) throw error;
      // Somebody stored another definition meanwhile: what does not overlap is in the text, the rest is shown.
      const theirs = await readType(name);
      const { merged, conflicts } = merge(base.definition, theirs.definition, body!);
      take(theirs, conflicts.length ? body! : merged);
      setOvertaken(true);
    }
  }, `Saving ${name}`);
  const tried = useLoad(async (signal) => dirty && body !== null && settled === text ? (await send<EntityType>(dryRun({ ...request, headers: {} }), signal)).body : null, [settled, text]);
  const answer = tried.error ? null : tried.data;
  return (
    <>
      <header class="bar">
        <h2 id="definition">Definition</h2>
        <span class="spring" />
        {dirty && <button type="button" onClick={() => { take(base, base.definition); setOvertaken(false); }}>Discard mine</button>}
        <button type="button" class="primary" disabled={!dirty || !answer || settled !== text} aria-disabled={action.busy} onClick={() => void save()}>Save</button>
      </header>
      {isOvertaken && <p class="note" role="alert">Somebody saved another definition meanwhile. “What you changed” compares yours with theirs now: look at it, and save again.</p>}
      <div class="panes">
        <textarea class="mono paste" aria-labelledby="definition" spellcheck={false} rows={Math.min(44, text.split("\n").length + 2)} value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <div class="beside">
          {mistake ? <p class="fault">Not JSON: {visible(mistake)}</p>
            : !dirty ? <p class="faint">Edit the definition: what it would do with the stored records is shown here before anything is stored. A <code>migration</code> with <code>rename</code>, <code>drop</code>, <code>set</code> and <code>default</code> brings them along.</p>
              : tried.error ? <Refused name={name} error={tried.error} />
                : answer ? (
                  <div class="note" role="status">
                    {answer.schema_version === base.version
                      ? "The schema stays the same: no record is touched."
                      : `It would become version ${answer.schema_version}; ${count(Number(answer.migrated ?? 0), "record")} would be brought to it. None fails.`}
                  </div>
                ) : <Pending loaded={tried} label="Checking…" />}
          <ProblemNote error={action.error} />
          <UnderWay action={action} />
          {dirty && body !== null && (
            <>
              <h2>What you changed</h2>
              <Differences paths={differences(base.definition, body)} from={base.definition} to={body} labels={["stored", "new"]} />
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
