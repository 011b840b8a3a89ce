// A list of records: filters, columns, sorting, and as many rows as there are.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { ApiRequest, Query } from "../api.ts";
import { Problem, ROOT, curl, read, target } from "../api.ts";
import { type Json, get, stringify } from "../json.ts";
import { useChanges } from "../live.ts";
import { type Where, apiPath, go, href, listAddress, query, recordAddress, setQuery } from "../router.ts";
import {
  type Column, ENVELOPE, SIGNS, columnsOf, isPlain, operatorsOf, usualColumns,
} from "../schema.ts";
import { collectionOf, may } from "../session.ts";
import { Actor, Time, Value, brief, count, csvCell, grouped, shortId, visible } from "../text.tsx";
import type { Page, StoredRecord } from "../types.ts";
import { Menu, NoScreen, ProblemNote, copy, download, notify, useTitle } from "../ui.tsx";
import { ActOnMany } from "./act.tsx";
import { Moment, RestoreSelection } from "./time.tsx";

const PAGE = 200;
const ROW = 29;
const AROUND = 12;

/** What the address says of a list. */
export interface ListState {
  chips: string[];
  condition: string;
  sort: string;
  columns: string[];
  moment: string;
}

export function useListState(): ListState {
  const parameters = query.value;
  return {
    chips: parameters.getAll("f"),
    condition: parameters.get("q") ?? "",
    sort: parameters.get("sort") ?? "",
    columns: parameters.get("cols")?.split(",").filter(Boolean) ?? [],
    moment: parameters.get("as_of") ?? "",
  };
}

/** The filters of a list as parameters of the API. */
export function filtersOf(state: ListState): Query {
  const pairs: Query = state.chips.map((chip) => {
    const at = chip.indexOf("=");
    return [chip.slice(0, at), chip.slice(at + 1)];
  });
  if (state.condition) pairs.push(["filter", state.condition]);
  return pairs;
}

interface Rows {
  rows: StoredRecord[];
  done: boolean;
  loading: boolean;
  error: unknown;
  erased: number;
  more: () => void;
  reload: () => void;
}

/** The rows of a list, a page at a time. */
function useRows(path: string, parameters: Query): Rows {
  const key = path + JSON.stringify(parameters);
  const [round, setRound] = useState(0);
  const [state, setState] = useState({ key: "", rows: [] as StoredRecord[], cursor: "" as string | null, error: null as unknown, erased: 0 });
  const loading = useRef<AbortController | null>(null);
  const [busy, setBusy] = useState(true);

  const load = (rows: StoredRecord[], cursor: string, erased: number) => {
    loading.current?.abort();
    const abort = loading.current = new AbortController();
    setBusy(true);
    const page: Query = [...parameters, ["limit", String(PAGE)], ...(cursor ? [["cursor", cursor] as [string, string]] : [])];
    read<Page<StoredRecord>>(path, page, abort.signal).then(
      (answer) => {
        setState({ key, rows: rows.concat(answer.items), cursor: answer.next_cursor, error: null, erased: erased + (answer.erased ?? 0) });
        setBusy(false);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((old) => ({ ...old, key, error, rows }));
        setBusy(false);
      },
    );
  };
  useEffect(() => {
    load([], "", 0);
    return () => loading.current?.abort();
  }, [key, round]);
  return {
    rows: state.rows,
    done: state.key === key && state.cursor === null,
    loading: busy,
    error: state.key === key ? state.error : null,
    erased: state.erased,
    more: () => { if (!busy && state.cursor && !state.error) load(state.rows, state.cursor, state.erased); },
    reload: () => setRound((number) => number + 1),
  };
}

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
  const rows = useRows(path, parameters);
  const [changed, setChanged] = useState(new Set<string>());
  const [selected, setSelected] = useState(new Map<string, StoredRecord>());
  const watched: Query = [["collection", where.collection], ["workspace", where.workspace ?? ""]];
  const key = path + JSON.stringify(parameters);
  useChanges(state.moment || trash ? null : watched, (change) => setChanged((old) => new Set(old).add(change.id)));
  useEffect(() => { setChanged(new Set()); setSelected(new Map()); }, [key]);
  if (!collection) return <NoScreen>There is no collection <bdi>{visible(where.collection)}</bdi> that you may read.</NoScreen>;
  const names = state.columns.length ? state.columns : [...usualColumns(columns), ...(trash ? ["_deleted_at", "_deleted_by"] : [])];
  const chosen = names.flatMap((name) => columns.find((column) => column.name === name) ?? []);
  const request: ApiRequest = { method: "GET", path, query: parameters };
  const reload = () => { setChanged(new Set()); rows.reload(); };
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
          <button type="button" onClick={reload}>Load again</button>
        </Menu>
        {canWrite && !trash && !state.moment && <a class="button primary" href={href(`${listAddress(where)}/new`)}>New</a>}
      </header>
      {state.moment && !trash && <Moment where={where} moment={state.moment} />}
      <Filters columns={columns} state={state} error={rows.error} />
      {rows.error && !isFilterError(rows.error) ? <ProblemNote error={rows.error} retry={rows.reload} /> : null}
      {rows.erased > 0 && <p class="note">{count(rows.erased, "record")} of that moment are not shown: their data was erased.</p>}
      <Table key={key} list={key} where={where} columns={chosen} rows={rows} sort={state.sort} moment={state.moment} trash={trash}
        selected={selected} selectable={canWrite} onSelect={setSelected} changed={changed} />
    </section>
  );
}

const TRASH: Column[] = [
  { name: "_deleted_at", path: ["deleted_at"], shape: null, width: 130, isNumber: false },
  { name: "_deleted_by", path: ["deleted_by"], shape: null, width: 130, isNumber: false },
];

/** How many records match, when asked: counting reads all of them. */
function Total({ request }: { request: ApiRequest }) {
  const [total, setTotal] = useState<number | null>(null);
  const key = target(request);
  useEffect(() => setTotal(null), [key]);
  if (total !== null) return <span class="faint">{count(total, "record")}</span>;
  return (
    <button type="button" class="quiet" title="Count the records that match" onClick={() => {
      void read<Page<StoredRecord>>(request.path, [...(request.query ?? []), ["count", "true"], ["limit", "1"]])
        .then((page) => setTotal(page.total ?? 0), () => notify("They could not be counted."));
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
        <button type="button" onClick={() => setQuery({ cols: null })}>As at first</button>
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
      <button type="button" onClick={() => void copy(curl(request))}>as curl</button>
      <button type="button" onClick={() => void copy(stringify(rows as unknown as Json, 2), loaded)}>loaded rows as JSON</button>
      <button type="button" onClick={() => void copy(csv(), loaded)}>loaded rows as CSV</button>
      <button type="button" onClick={() => download(`${where.collection}.csv`, csv(), "text/csv")}>Save loaded rows as CSV</button>
      {!trash && <a href={`${ROOT}${apiPath(where)}/export?${parameters}`} download={`${where.collection}.ndjson`}>Save all as NDJSON</a>}
    </Menu>
  );
}

export function cellOf(row: StoredRecord, column: Column): Json | undefined {
  if (column.shape) return get(row.data, column.path);
  return (row as unknown as Record<string, Json>)[column.path[0]!];
}

// --- filters

function isFilterError(error: unknown): boolean {
  return error instanceof Problem && error.code === "invalid-query";
}

function Filters({ columns, state, error }: { columns: Column[]; state: ListState; error: unknown }) {
  const [adding, setAdding] = useState(false);
  const remove = (chip: string) => setQuery({ f: state.chips.filter((other) => other !== chip) });
  return (
    <div class="filters">
      {state.chips.map((chip) => (
        <span class="chip" key={chip}>
          <bdi>{chipText(chip)}</bdi>
          <button type="button" class="quiet" aria-label={`Remove the filter ${chipText(chip)}`} onClick={() => remove(chip)}>×</button>
        </span>
      ))}
      {adding
        ? <NewFilter columns={columns} onDone={(chip) => {
          setAdding(false);
          if (chip) setQuery({ f: [...new Set([...state.chips, chip])] }, false);
        }} />
        : <button type="button" class="quiet" onClick={() => setAdding(true)}>+ filter</button>}
      <Condition columns={columns} value={state.condition} />
      {isFilterError(error) && <FilterFault problem={error as Problem} condition={state.condition} />}
    </div>
  );
}

/** The problem of a filter, and the character of the condition at which it is. */
function FilterFault({ problem, condition }: { problem: Problem; condition: string }) {
  const found = /^filter: (.*) \(at character (\d+)\)$/s.exec(problem.message);
  const at = found && condition ? Number(found[2]) - 1 : -1;
  return (
    <p class="fault" role="alert">
      {at >= 0 && <code class="pointed">{visible(condition.slice(0, at))}<mark>{visible(condition.slice(at, at + 1)) || " "}</mark>{visible(condition.slice(at + 1))}</code>}
      {visible(found ? found[1]! : problem.message)}
    </p>
  );
}

function chipText(chip: string): string {
  const [, field = "", operator = "eq", value = ""] = /^(.+?)(?:__([a-z]+))?=(.*)$/s.exec(chip) ?? [];
  return brief(`${field} ${SIGNS[operator] ?? operator} ${value}`, 80);
}

function NewFilter({ columns, onDone }: { columns: Column[]; onDone: (chip: string | null) => void }) {
  const offered = columns.filter(({ path, shape }) => !shape || isPlain(path));
  const [name, setName] = useState(offered[0]?.name ?? "");
  const column = offered.find((other) => other.name === name);
  const operators = column ? operatorsOf(column) : ["eq"];
  const [operator, setOperator] = useState("eq");
  const chosen = operators.includes(operator) ? operator : operators[0]!;
  const options = chosen === "isnull" || column?.shape?.kind === "boolean" ? [true, false] : column?.shape?.options ?? [];
  const [value, setValue] = useState("");
  const entered = options.length && chosen !== "in" && !options.some((option) => String(option) === value) ? String(options[0]) : value;
  const first = useRef<HTMLSelectElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <form class="new-filter" onSubmit={(event) => {
      event.preventDefault();
      onDone(`${name}${chosen === "eq" ? "" : `__${chosen}`}=${entered}`);
    }} onKeyDown={(event) => { if (event.key === "Escape") { event.stopPropagation(); onDone(null); } }}>
      <select ref={first} aria-label="Member" value={name} onChange={(event) => setName(event.currentTarget.value)}>
        {offered.map((other) => <option key={other.name} value={other.name}>{visible(other.name)}</option>)}
      </select>
      <select aria-label="Operator" value={chosen} onChange={(event) => setOperator(event.currentTarget.value)}>
        {operators.map((other) => <option key={other} value={other}>{SIGNS[other] ?? other}</option>)}
      </select>
      {options.length && chosen !== "in"
        ? (
          <select aria-label="Value" value={entered} onChange={(event) => setValue(event.currentTarget.value)}>
            {options.map((option) => <option key={String(option)} value={String(option)}>{visible(String(option))}</option>)}
          </select>
        )
        : <input aria-label="Value" value={value} onInput={(event) => setValue(event.currentTarget.value)} placeholder={chosen === "in" ? "a,b,c" : "value"} />}
      <button type="submit">Add</button>
      <button type="button" class="quiet" onClick={() => onDone(null)}>Cancel</button>
    </form>
  );
}

/** One line of CEL, with completion of members. */
function Condition({ columns, value }: { columns: Column[]; value: string }) {
  const [text, setText] = useState(value);
  const [marked, setMarked] = useState(0);
  const [open, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);
  const caret = input.current?.selectionStart ?? text.length;
  const word = /[\w.]*$/.exec(text.slice(0, caret))?.[0] ?? "";
  const words = columns
    .filter(({ shape, path, name }) => (shape ? path.every((part) => /^[A-Za-z_]\w*$/.test(part)) : ENVELOPE.includes(name)))
    .map(({ shape, name }) => (shape ? `data.${name}` : `record.${name.slice(1)}`));
  const matching = word ? words.filter((other) => other !== word && other.includes(word.replace(/^(data|record)\.?/, "")) && (word.includes(".") ? other.startsWith(word.split(".")[0]!) : true)).slice(0, 8) : [];
  const offered = open ? matching : [];
  const complete = (chosen: string) => {
    const next = text.slice(0, caret - word.length) + chosen + text.slice(caret);
    setText(next);
    setOpen(false);
    requestAnimationFrame(() => {
      const end = caret - word.length + chosen.length;
      input.current?.setSelectionRange(end, end);
    });
  };
  return (
    <form class="condition" role="search" onSubmit={(event) => { event.preventDefault(); setOpen(false); setQuery({ q: text.trim() || null }, false); }}>
      <input ref={input} class="mono" role="combobox" aria-label="Condition in CEL" aria-expanded={offered.length > 0} aria-controls="completions"
        aria-activedescendant={offered.length ? `completion-${marked}` : undefined} autocomplete="off" spellcheck={false}
        placeholder={words[0] ? `CEL condition, such as has(${words[0]})` : "CEL condition"} value={text}
        onInput={(event) => { setText(event.currentTarget.value); setOpen(true); setMarked(0); }}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
        onKeyDown={(event) => {
          if (!offered.length) return;
          if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            setMarked((marked + (event.key === "ArrowDown" ? 1 : offered.length - 1)) % offered.length);
          } else if (event.key === "Tab" || event.key === "Enter") {
            event.preventDefault();
            complete(offered[marked]!);
          } else if (event.key === "Escape") {
            event.stopPropagation();
            setOpen(false);
          }
        }} />
      {offered.length > 0 && (
        <ul id="completions" role="listbox" class="completions" aria-label="Members">
          {offered.map((other, index) => (
            <li key={other} id={`completion-${index}`} role="option" aria-selected={index === marked} onMouseDown={(event) => { event.preventDefault(); complete(other); }}>{other}</li>
          ))}
        </ul>
      )}
      {text !== value && <button type="submit">Filter</button>}
      {value && <button type="button" class="quiet" onClick={() => setQuery({ q: null }, false)}>Clear</button>}
    </form>
  );
}

// --- the table

interface TableProps {
  /** What tells this list from others. */
  list: string;
  where: Where;
  columns: Column[];
  rows: Rows;
  sort: string;
  moment: string;
  trash?: boolean | undefined;
  selectable: boolean;
  selected: Map<string, StoredRecord>;
  onSelect: (selected: Map<string, StoredRecord>) => void;
  changed: Set<string>;
}

interface Position {
  list: string;
  active: [row: number, column: number];
  top: number;
}

/** Where the last list was left, so that one comes back to the same row. */
let left: Position = { list: "", active: [0, 0], top: 0 };

/** Rows that are near the window are drawn, the others are height. */
function Table(props: TableProps) {
  const { list, columns, rows, selectable, selected, onSelect, moment, trash } = props;
  const wanted = useRef(left.list === list ? left : null);
  const frame = useRef<HTMLDivElement>(null);
  const grid = useRef<HTMLTableElement>(null);
  const [top, setTop] = useState(wanted.current?.top ?? 0);
  const [height, setHeight] = useState(600);
  const [active, setActive] = useState<Position["active"]>(wanted.current?.active ?? [0, 0]);
  // At once: a key may leave the list before the browser paints.
  useLayoutEffect(() => { left = { list, active, top }; }, [list, active, top]);
  useEffect(() => {
    if (!wanted.current || !rows.done && rows.rows.length * ROW < top + height) return;
    frame.current!.scrollTop = wanted.current.top;
    wanted.current = null;
  }, [rows.rows.length, rows.done]);
  useEffect(() => {
    const element = frame.current!;
    // A table that takes the place of another one takes its focus as well.
    if (document.activeElement === document.body) grid.current!.focus({ preventScroll: true });
    const measure = () => setHeight(element.clientHeight);
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const first = Math.min(rows.rows.length, Math.max(0, Math.floor(top / ROW) - AROUND));
  const last = Math.min(rows.rows.length, Math.ceil((top + height) / ROW) + AROUND);
  useEffect(() => {
    if (last >= rows.rows.length - PAGE / 4) rows.more();
  }, [last, rows.rows.length]);
  const open = (row: StoredRecord) => go(rowAddress(props, row));
  const select = (row: StoredRecord) => {
    const next = new Map(selected);
    if (!next.delete(row.id)) next.set(row.id, row);
    onSelect(next);
  };
  const move = (row: number, column: number) => {
    const to = Math.max(0, Math.min(rows.rows.length - 1, row));
    setActive([to, Math.max(0, Math.min(columns.length, column))]);
    const element = frame.current!;
    if (to * ROW < element.scrollTop) element.scrollTop = to * ROW;
    else if ((to + 2) * ROW > element.scrollTop + element.clientHeight) element.scrollTop = (to + 2) * ROW - element.clientHeight;
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const [row, column] = active;
    const record = rows.rows[row];
    if (event.target !== grid.current || !record || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(height / ROW) - 2);
    const moves: Record<string, [number, number]> = {
      ArrowDown: [row + 1, column], j: [row + 1, column], ArrowUp: [row - 1, column], k: [row - 1, column],
      ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1], PageDown: [row + page, column], PageUp: [row - page, column],
      Home: [0, column], End: [rows.rows.length - 1, column],
    };
    const to = moves[event.key];
    if (to) move(...to);
    else if (event.key === "Enter") open(record);
    else if ((event.key === " " || event.key === "x") && selectable) select(record);
    else if (event.key === "f" && column > 0) filterBy(record, columns[column - 1]!);
    else if (event.key === "s" && column === 0) sortBy(props.sort, "_id");
    else if (event.key === "s" && isSortable(columns[column - 1]!)) sortBy(props.sort, columns[column - 1]!.name);
    else return;
    event.preventDefault();
  };
  const width = (selectable ? 34 : 0) + 130 + columns.reduce((sum, column) => sum + column.width, 0);
  return (
    <div class="table-frame" ref={frame} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <p id="table-keys" hidden>Arrow keys move, Enter opens, Space selects, f filters by the value, s sorts by the column.</p>
      <table ref={grid} tabIndex={0} onKeyDown={onKeyDown} style={{ width: `${width}px` }}
        role="grid" aria-label={`Records of ${props.where.collection}`} aria-rowcount={rows.done ? rows.rows.length + 1 : -1}
        aria-colcount={columns.length + 1 + Number(selectable)}
        aria-activedescendant={active[0] >= first && active[0] < last ? `cell-${active[0]}-${active[1]}` : undefined}
        aria-describedby="table-keys">
        <colgroup>
          {selectable && <col style={{ width: "34px" }} />}
          <col style={{ width: "130px" }} />
          {columns.map((column) => <col key={column.name} style={{ width: `${column.width}px` }} />)}
        </colgroup>
        <thead role="rowgroup">
          <tr role="row" aria-rowindex={1}>
            {selectable && (
              <th role="columnheader" class="tick">
                <input type="checkbox" aria-label="Select all loaded rows" disabled={!rows.rows.length} checked={rows.rows.length > 0 && selected.size === rows.rows.length}
                  indeterminate={selected.size > 0 && selected.size < rows.rows.length}
                  onChange={(event) => onSelect(event.currentTarget.checked ? new Map(rows.rows.map((row) => [row.id, row])) : new Map())} />
              </th>
            )}
            <Heading name="id" sortName="_id" sort={props.sort} />
            {columns.map((column) => (
              <Heading key={column.name} name={column.name} sortName={column.name} sort={props.sort} isNumber={column.isNumber}
                sortable={isSortable(column)} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {first > 0 && <tr aria-hidden="true" style={{ height: `${first * ROW}px` }} />}
          {rows.rows.slice(first, last).map((row, offset) => {
            const index = first + offset;
            return (
              <tr key={`${row.id}${row.revision}`} role="row" aria-rowindex={index + 2} aria-selected={selectable ? selected.has(row.id) : undefined}
                class={`${index === active[0] ? "active" : ""} ${props.changed.has(row.id) ? "changed" : ""}`} onClick={(event) => {
                  if ((event.target as Element).closest("a, button, input") || getSelection()?.toString()) return;
                  setActive([index, active[1]]);
                  open(row);
                }}>
                {selectable && (
                  <td role="gridcell" class="tick">
                    <input type="checkbox" tabIndex={-1} aria-label={`Select ${row.id}`} checked={selected.has(row.id)} onChange={() => select(row)} />
                  </td>
                )}
                <td role="gridcell" id={`cell-${index}-0`} class={`mono ${index === active[0] && active[1] === 0 ? "current" : ""}`}>
                  <a tabIndex={-1} href={href(rowAddress(props, row))} title={row.id}>{shortId(row.id)}</a>
                </td>
                {columns.map((column, at) => (
                  <Cell key={column.name} id={`cell-${index}-${at + 1}`} row={row} column={column} current={index === active[0] && active[1] === at + 1} />
                ))}
              </tr>
            );
          })}
          {last < rows.rows.length && <tr aria-hidden="true" style={{ height: `${(rows.rows.length - last) * ROW}px` }} />}
        </tbody>
      </table>
      <p class="faint table-end" role="status">
        {rows.loading ? "Loading…" : rows.error ? "" : rows.rows.length === 0
          ? trash ? "The trash is empty." : moment ? "There was nothing then." : "No records."
          : rows.done ? `${count(rows.rows.length, "record")}, all there are.` : `${grouped(rows.rows.length)} loaded.`}
      </p>
    </div>
  );
}

function rowAddress({ where, moment, trash }: TableProps, row: StoredRecord): string {
  if (trash) return recordAddress(where, row.id, "history");
  return recordAddress(where, row.id) + (moment ? `?as_of=${encodeURIComponent(moment)}` : "");
}

function isSortable({ shape, path }: Column): boolean {
  return !shape || isPlain(path) && shape.kind !== "object" && shape.kind !== "array";
}

/** Sort by a column: ascending, then descending, then not. */
function sortBy(sort: string, name: string): void {
  setQuery({ sort: sort === name ? `-${name}` : sort === `-${name}` ? null : name }, false);
}

function Heading({ name, sortName, sort, isNumber, sortable = true }: {
  name: string; sortName: string; sort: string; isNumber?: boolean; sortable?: boolean;
}) {
  const order = sort === sortName ? "ascending" : sort === `-${sortName}` ? "descending" : "none";
  return (
    <th role="columnheader" class={isNumber ? "right" : ""} aria-sort={order}>
      {sortable
        ? <button type="button" tabIndex={-1} class="quiet heading" title={`Sort by ${name}`} onClick={() => sortBy(sort, sortName)}><bdi>{visible(name)}</bdi>{order === "ascending" ? " ↑" : order === "descending" ? " ↓" : ""}</button>
        : <bdi>{visible(name)}</bdi>}
    </th>
  );
}

function Cell({ id, row, column, current }: { id: string; row: StoredRecord; column: Column; current: boolean }) {
  const value = cellOf(row, column);
  const filterable = column.name !== "_id" && (!column.shape || isPlain(column.path)) && !["object", "array"].includes(column.shape?.kind ?? "");
  return (
    <td role="gridcell" id={id} class={`${column.isNumber ? "right" : ""} ${current ? "current" : ""}`} title={typeof value === "string" ? brief(value, 500) : undefined}>
      {value === undefined ? null
        : column.name.endsWith("_at") && !column.shape ? <Time at={value as string} />
          : column.name === "_deleted_by" ? <Actor name={value as string | null} />
            : <Value value={value} />}
      {filterable && (
        <button type="button" tabIndex={-1} class="by-value" title="Filter by this value" aria-label={`Filter by ${column.name} of this row`} onClick={() => filterBy(row, column)}>⌕</button>
      )}
    </td>
  );
}

/** Show only records that have the value of a cell. */
export function filterBy(row: StoredRecord, column: Column): void {
  const value = cellOf(row, column);
  if (typeof value === "object" && value !== null && !("text" in value)) return;
  const chip = value === undefined || value === null ? `${column.name}__isnull=true` : `${column.name}=${String(value)}`;
  setQuery({ f: [...new Set([...query.value.getAll("f"), chip])] }, false);
}
