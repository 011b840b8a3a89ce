// A list of records: what is read of them, and what can be done with them.
import { useEffect, useMemo, useState } from "preact/hooks";
import { type ApiRequest, type Query, ROOT, curl, read, target } from "../api.ts";
import { type Json, stringify } from "../json.ts";
import { useChanges } from "../live.ts";
import { type Where, apiPath, href, listAddress, setQuery } from "../router.ts";
import { type Column, columnsOf, usualColumns } from "../schema.ts";
import { collectionOf, may } from "../session.ts";
import { count, csvCell, visible } from "../text.tsx";
import type { Changes, Page, StoredRecord } from "../types.ts";
import { Menu, NoScreen, ProblemNote, copy, download, keepFocus, notify, useLoad, useTitle } from "../ui.tsx";
import { ActOnMany } from "./act.tsx";
import { Filters, filtersOf, isFilterError, useListState } from "./filters.tsx";
import { useRows } from "./rows.ts";
import { Table, cellOf } from "./table.tsx";
import { Moment, RestoreSelection } from "./time.tsx";

export function ListScreen({ where, trash }: { where: Where; trash?: boolean }) {
  const collection = collectionOf(where.collection);
  const state = useListState();
  useTitle(`${trash ? "Trash of " : ""}${where.collection}`);
  const columns = useMemo(
    () => (collection ? [...columnsOf(collection.schema), ...(trash ? TRASH : [])] : []),
    [collection, trash],
  );
  const filters = filtersOf(state);
  const parameters: Query = [...filters];
  if (state.sort) parameters.push(["sort", state.sort]);
  if (state.moment && !trash) parameters.push(["as_of", state.moment]);
  const path = apiPath(where) + (trash ? "/trash" : "");
  const isNow = !state.moment && !trash;
  // Known before the rows are read, so that no change is missed between them and the first that is followed.
  const head = useLoad(async (signal) => isNow ? (await read<Changes>("/changes", [["after", "now"], ["limit", "1"]], signal)).last_seq : null, [isNow]);
  const isFollowed = isNow && typeof head.data === "number";
  const rows = useRows(path, parameters, !isNow || !head.loading && (isFollowed || head.error !== undefined));
  const [changed, setChanged] = useState(new Set<string>());
  const [selected, setSelected] = useState(new Map<string, StoredRecord>());
  const watched: Query = [["collection", where.collection], ["workspace", where.workspace ?? ""]];
  const key = path + JSON.stringify(parameters);
  useChanges(isFollowed ? watched : null, (changes) => setChanged((old) => new Set([...old, ...changes.map(({ id }) => id)])), undefined, head.data ?? undefined);
  useEffect(() => { setChanged(new Set()); setSelected(new Map()); }, [key]);
  const names = state.columns.length ? state.columns : trash ? trashColumns(usualColumns(columns)) : [...usualColumns(columns), "_updated_at"];
  const chosen = useMemo(() => names.flatMap((name) => columns.find((column) => column.name === name) ?? []), [columns, names.join("\n")]);
  if (!collection) return <NoScreen>There is no collection <bdi>{visible(where.collection)}</bdi> that you may read.</NoScreen>;
  const request: ApiRequest = { method: "GET", path, query: parameters };
  // Rows are read again after the head: what was changed from here is none of what changed since.
  const reload = () => {
    setChanged(new Set());
    if (isNow) head.reload();
    else rows.reload();
  };
  const canWrite = may("write", where.collection, where.workspace);
  return (
    <section class="screen list">
      <header class="bar">
        <h1>
          <bdi>{where.collection}</bdi>
          {where.workspace && <span class="faint"> in {where.workspace}</span>}
          {trash && <span class="faint"> · trash</span>}
        </h1>
        <Total request={request} />
        <span class="spring" />
        {changed.size > 0 && (
          <button type="button" class="accent" onClick={reload}>{count(changed.size, "record")} changed since you looked</button>
        )}
        {selected.size === 0 && (state.moment || trash) && canWrite && rows.rows.length > 0 && (
          <span class="faint">Select records to bring them back.</span>
        )}
        {selected.size > 0 && (state.moment || trash) && canWrite && (
          <RestoreSelection where={where} records={[...selected.values()]} onDone={() => { setSelected(new Map()); reload(); }} />
        )}
        {canWrite && !state.moment && !trash && (
          <ActOnMany where={where} filters={filters} selected={selected} onDone={() => { setSelected(new Map()); reload(); }} />
        )}
        {!trash && !state.moment && (
          <button type="button" title="Show the records as they were at another time" onClick={() => setQuery({ as_of: new Date(Date.now() - 60_000).toISOString() })}>Look back</button>
        )}
        <ColumnMenu columns={columns} chosen={names} />
        <CopyMenu request={request} rows={rows.rows} columns={chosen} where={where} trash={trash} />
        <Menu label="⋯" title="More">
          {!trash && <a href={href(`${listAddress(where)}/trash`)}>Trash</a>}
          {trash && <a href={href(listAddress(where))}>Records</a>}
          <a href={href(`/types/${where.collection}`)}>Type and schema</a>
          <a href={`${ROOT}/docs?collection=${where.collection}`}>HTTP API</a>
          <a href={href(`/changes?collection=${where.collection}`)}>Changes</a>
          <button type="button" onClick={reload}>Reload</button>
        </Menu>
        {canWrite && !trash && !state.moment && <a class="button primary" href={href(`${listAddress(where)}/new`)}>New</a>}
      </header>
      {state.moment && !trash && <Moment where={where} moment={state.moment} />}
      <Filters columns={columns} state={state} error={rows.error} />
      {rows.error && !isFilterError(rows.error) ? <ProblemNote error={rows.error} retry={rows.reload} /> : null}
      {rows.erased > 0 && <p class="note">{count(rows.erased, "record")} of that moment are not shown: their data was erased.</p>}
      <Table key={key} list={key} where={where} columns={chosen} rows={rows} sort={state.sort} moment={state.moment} trash={trash} isFiltered={filters.length > 0}
        selected={selected} selectable={canWrite} onSelect={setSelected} changed={changed} />
    </section>
  );
}

const TRASH: Column[] = [
  { name: "_deleted_at", path: ["deleted_at"], shape: null, width: 130, isNumber: false },
  { name: "_deleted_by", path: ["deleted_by"], shape: null, width: 130, isNumber: false },
];

/** What names a record comes before when and by whom it was deleted. */
function trashColumns(usual: string[]): string[] {
  return [...usual.slice(0, 1), "_deleted_at", "_deleted_by", ...usual.slice(1)];
}

/** How many records match, when asked: counting reads all of them. */
function Total({ request }: { request: ApiRequest }) {
  const [total, setTotal] = useState<number | null>(null);
  const key = target(request);
  useEffect(() => setTotal(null), [key]);
  if (total !== null) return <span class="faint">{count(total, "record")}</span>;
  return (
    <button type="button" class="quiet" title="Count the records that match" onClick={() => {
      void read<Page<StoredRecord>>(request.path, [...(request.query ?? []), ["count", "true"], ["limit", "1"]])
        .then((page) => { setTotal(page.total ?? 0); keepFocus(); }, (error: Error) => notify(`They could not be counted: ${error.message}`));
    }}>count</button>
  );
}

function ColumnMenu({ columns, chosen }: { columns: Column[]; chosen: string[] }) {
  const toggle = (name: string) => {
    const next = chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name];
    setQuery({ cols: next.join(",") || null });
  };
  return (
    <Menu label="Columns">
      <div class="menu-stay">
        {columns.slice(0, 300).map(({ name }) => (
          <label key={name}><input type="checkbox" checked={chosen.includes(name)} onChange={() => toggle(name)} /> <bdi>{visible(name)}</bdi></label>
        ))}
        <button type="button" onClick={() => setQuery({ cols: null })}>Default columns</button>
      </div>
    </Menu>
  );
}

function CopyMenu({ request, rows, columns, where, trash }: {
  request: ApiRequest; rows: StoredRecord[]; columns: Column[]; where: Where; trash?: boolean | undefined;
}) {
  const loaded = `${count(rows.length, "loaded row")} copied.`;
  const csv = () => [
    ["id", ...columns.map(({ name }) => name)].map(csvCell).join(","),
    ...rows.map((row) => [row.id, ...columns.map((column) => cellOf(row, column))].map(csvCell).join(",")),
  ].join("\r\n");
  const parameters = new URLSearchParams(request.query);
  parameters.delete("sort");
  return (
    <Menu label="Copy">
      <button type="button" onClick={() => void copy(curl(request))}>Copy as curl</button>
      <button type="button" onClick={() => void copy(stringify(rows as unknown as Json, 2), loaded)}>Copy loaded rows as JSON</button>
      <button type="button" onClick={() => void copy(csv(), loaded)}>Copy loaded rows as CSV</button>
      <button type="button" onClick={() => download(`${where.collection}.csv`, csv(), "text/csv")}>Save loaded rows as CSV</button>
      {!trash && <a href={`${ROOT}${apiPath(where)}/export?${parameters}`} download={`${where.collection}.ndjson`}>Save all as NDJSON</a>}
    </Menu>
  );
}
