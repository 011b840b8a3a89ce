// The table of a list: a keyboard goes through its cells, and only the rows near the window are drawn.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Json, get, isNumber } from "../json.ts";
import { type Where, go, href, listAddress, query, recordAddress, setQuery } from "../router.ts";
import { type Column, isPlain } from "../schema.ts";
import { Actor, Time, Value, brief, count, grouped, shortId, visible } from "../text.tsx";
import type { StoredRecord } from "../types.ts";
import { PAGE, type Rows } from "./rows.ts";

const ROW = 29;
const AROUND = 12;

interface TableProps {
  /** What tells this list from others. */
  list: string;
  where: Where;
  columns: Column[];
  rows: Rows;
  sort: string;
  moment: string;
  trash?: boolean | undefined;
  isFiltered: boolean;
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
export function Table(props: TableProps) {
  const { list, rows, selectable, selected, onSelect } = props;
  const columns = useMemo(() => props.columns.map((column) => fitted(column, rows.rows)), [props.columns, rows.rows]);
  const wanted = useRef(left.list === list ? left : null);
  const frame = useRef<HTMLDivElement>(null);
  const grid = useRef<HTMLTableElement>(null);
  const [top, setTop] = useState(wanted.current?.top ?? 0);
  const [height, setHeight] = useState(600);
  // Another order or filter of the same records leaves one in the same column.
  const isSame = left.list.split("[")[0] === list.split("[")[0];
  const [active, setActive] = useState<Position["active"]>(wanted.current?.active ?? [0, isSame ? left.active[1] : 0]);
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
    <div class="table-hold"><div class="table-frame" ref={frame} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
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
          ? nothing(props)
          : rows.done ? `${count(rows.rows.length, "record")}, all there are.` : `${grouped(rows.rows.length)} loaded.`}
      </p>
    </div></div>
  );
}

const DIGIT_WIDTH = 9;
const CELL_PADDING = 18;

/** A column as wide as its longest number: one that is cut looks like another one. */
function fitted(column: Column, rows: StoredRecord[]): Column {
  if (!column.isNumber || !column.shape) return column;
  const lengths = rows.map((row) => {
    const value = get(row.data, column.path);
    return isNumber(value) ? String(value).length : 0;
  });
  const longest = lengths.reduce((most, length) => Math.max(most, length), 0);
  return { ...column, width: Math.max(column.width, longest * DIGIT_WIDTH + CELL_PADDING) };
}

/** What a table without a row says. */
function nothing({ isFiltered, trash, moment, where }: TableProps): ComponentChildren {
  if (isFiltered) return moment ? "No record matched then." : "No record matches.";
  if (trash) return "The trash is empty.";
  if (moment) return "There was nothing then. Choose a later time.";
  return <>No records. Deleted ones are in the <a href={href(`${listAddress(where)}/trash`)}>trash</a>.</>;
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
function filterBy(row: StoredRecord, column: Column): void {
  const value = cellOf(row, column);
  if (typeof value === "object" && value !== null && !("text" in value)) return;
  const chip = value === undefined || value === null ? `${column.name}__isnull=true` : `${column.name}=${String(value)}`;
  setQuery({ f: [...new Set([...query.value.getAll("f"), chip])] }, false);
}

export function cellOf(row: StoredRecord, column: Column): Json | undefined {
  if (column.shape) return get(row.data, column.path);
  return (row as unknown as Record<string, Json>)[column.path[0]!];
}
