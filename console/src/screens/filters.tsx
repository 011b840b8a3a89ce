// The filters of a list, as chips and as one line of CEL, and what the address says of them.
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, type Query } from "../api.ts";
import { query, setQuery } from "../router.ts";
import { type Column, ENVELOPE, SIGNS, isPlain, operatorsOf } from "../schema.ts";
import { brief, visible } from "../text.tsx";

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

export function isFilterError(error: unknown): boolean {
  return error instanceof Problem && error.code === "invalid-query";
}

export function Filters({ columns, state, error }: { columns: Column[]; state: ListState; error: unknown }) {
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
    // At once: somebody types on.
    input.current!.setRangeText(chosen, caret - word.length, caret, "end");
    setText(next);
    setOpen(false);
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
