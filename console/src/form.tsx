// A form from a JSON Schema. It validates nothing: `faults` come from a dry run of the service.
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import {
  type Json, type JsonObject, type Path, JsonError, emptyObject, equal, get, isObject, parse, pointerOf, put, readNumber,
  stringify,
} from "./json.ts";
import {
  type Shape, branchName, branchOf, initial, itemSchema, members, openMember, shapeOf,
} from "./schema.ts";
import { brief, count, size, visible } from "./text.tsx";
import type { Violation } from "./types.ts";

export interface FormProps {
  schema: JsonObject;
  value: JsonObject;
  faults: Violation[];
  readOnly?: boolean;
  onChange: (value: JsonObject) => void;
  /** Names the fields whose text is no JSON (yet). */
  onUnread?: (pointer: string, isUnread: boolean) => void;
}

interface Form extends FormProps {
  set: (path: Path, value: Json | undefined) => void;
}

/** Members and items that are drawn at once. */
const DRAWN = 100;
const LONG_TEXT = 80;
const HUGE_TEXT = 100_000;
/** Characters of JSON that a browser edits as text without delay. */
export const LARGE_JSON = 200_000;

export function SchemaForm(props: FormProps) {
  const latest = useRef(props.value);
  latest.current = props.value;
  const form: Form = {
    ...props,
    set: (path, value) => {
      latest.current = put(latest.current, path, value) as JsonObject;
      props.onChange(latest.current);
    },
  };
  const shape = shapeOf(props.schema, props.schema);
  const focused = useRef("");
  useLayoutEffect(() => {
    // Another version of the schema may show what somebody types in another control.
    if (focused.current && document.activeElement === document.body) focusField(focused.current);
  }, [props.schema]);
  const onFocusIn = (event: FocusEvent) => {
    focused.current = (event.target as Element).closest<HTMLElement>("[data-pointer]")?.dataset["pointer"] ?? "";
  };
  return <div class="form" onFocusIn={onFocusIn}><Members form={form} shape={asObject(shape)} path={[]} /></div>;
}

/** Focus the field of a pointer, or the nearest one above it. */
export function focusField(pointer: string): void {
  const parts = pointer.split("/");
  for (let length = parts.length; length > 0; length--) {
    const found = document.querySelector(`[data-pointer="${CSS.escape(parts.slice(0, length).join("/"))}"]`);
    const control = found?.querySelector<HTMLElement>("input, textarea, select, button");
    if (control) {
      control.focus();
      return;
    }
  }
}

function asObject(shape: Shape): Shape {
  return shape.kind === "object" ? shape : { ...shape, kind: "object" };
}

/** The members of an object: declared ones first, then those that are there as well. */
function Members({ form, shape, path }: { form: Form; shape: Shape; path: Path }) {
  const value = get(form.value, path);
  const declared = members(shape);
  const names = new Set(declared.map(({ name }) => name));
  const open = openMember(shape);
  const others = isObject(value) ? Object.keys(value).filter((name) => !names.has(name)) : [];
  const all = [
    ...declared,
    ...others.map((name) => ({ name, schema: open ?? true, required: false })),
  ];
  const [drawn, setDrawn] = useState(DRAWN);
  return (
    <>
      {all.slice(0, drawn).map(({ name, schema, required }) => (
        <Field key={name} form={form} shape={shapeOf(schema, shape.root)} schema={schema} path={[...path, name]} label={name}
          required={required} removable={!required} />
      ))}
      {all.length > drawn && (
        <button type="button" class="more" onClick={() => setDrawn(drawn + 5 * DRAWN)}>
          Show more of {count(all.length, "member")}
        </button>
      )}
      {open !== undefined && !form.readOnly && declared.length < 1000 && (
        <NewMember taken={[...names, ...others]} onAdd={(name) => form.set([...path, name], initial(open, shape.root))} />
      )}
    </>
  );
}

function NewMember({ taken, onAdd }: { taken: string[]; onAdd: (name: string) => void }) {
  const [name, setName] = useState<string | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), [name === null]);
  if (name === null) {
    return <button type="button" class="more" onClick={() => setName("")}>+ member</button>;
  }
  const add = () => {
    if (name && !taken.includes(name)) onAdd(name);
    setName(null);
  };
  return (
    <div class="new-member">
      <input ref={input} aria-label="Name of the new member" placeholder="name" value={name} onInput={(event) => setName(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") { event.preventDefault(); add(); }
          if (event.key === "Escape") { event.stopPropagation(); setName(null); }
        }} />
      <button type="button" disabled={!name || taken.includes(name)} onClick={add}>Add</button>
      {taken.includes(name) && <span class="faint">There is one of this name.</span>}
    </div>
  );
}

interface FieldProps {
  form: Form;
  shape: Shape;
  schema: Json;
  path: Path;
  label: string;
  required?: boolean;
  removable?: boolean;
}

function Field({ form, shape, schema, path, label, required, removable }: FieldProps) {
  const id = useId();
  const pointer = pointerOf(path);
  const value = get(form.value, path);
  const faults = form.faults.filter((fault) => fault.pointer === pointer);
  const isNested = (shape.kind === "object" && isObject(value) || shape.kind === "array" && Array.isArray(value)) && path.length < 16;
  const actions = !form.readOnly && (
    <span class="field-actions">
      {shape.nullable && value !== null && (
        <button type="button" class="quiet" title={`Set ${label} to null`} aria-label={`Set ${visible(label)} to null`} onClick={() => form.set(path, null)}>null</button>
      )}
      {removable && value !== undefined && (
        <button type="button" class="quiet" title={`Leave ${label} out`} aria-label={`Leave ${visible(label)} out`} onClick={() => form.set(path, undefined)}>×</button>
      )}
    </span>
  );
  const notes = (
    <>
      {shape.description && <p class="help" id={`${id}-help`}>{visible(shape.description)}</p>}
      {faults.map((fault, index) => <p class="fault" key={index} id={`${id}-fault`}>{visible(fault.detail)}</p>)}
    </>
  );
  const name = <bdi>{visible(label)}</bdi>;
  if (isNested) {
    return (
      <fieldset class={faults.length ? "faulty" : ""} data-pointer={pointer}>
        <legend>{name}{required && <Required />}{actions}</legend>
        {notes}
        {shape.kind === "object"
          ? <Members form={form} shape={shape} path={path} />
          : <Items form={form} shape={shape} path={path} items={value as Json[]} />}
      </fieldset>
    );
  }
  const described = [shape.description && `${id}-help`, faults.length && `${id}-fault`].filter(Boolean).join(" ") || undefined;
  return (
    <div class={`field ${faults.length ? "faulty" : ""}`} data-pointer={pointer}>
      <label for={id}>{name}{required && <> <Required /></>}</label>
      <div class="field-input">
        <Input form={form} shape={shape} schema={schema} path={path} value={value} id={id} described={described} faulty={faults.length > 0} />
        {actions}
      </div>
      {notes}
    </div>
  );
}

function Required() {
  return <span class="required" title="required" aria-label="required">*</span>;
}

function Items({ form, shape, path, items }: { form: Form; shape: Shape; path: Path; items: Json[] }) {
  const [drawn, setDrawn] = useState(DRAWN);
  const move = (index: number, by: number) => {
    const copy = [...items];
    copy.splice(index + by, 0, ...copy.splice(index, 1));
    form.set(path, copy);
  };
  return (
    <>
      {items.slice(0, drawn).map((_, index) => (
        <div class="item" key={index}>
          <Field form={form} shape={shapeOf(itemSchema(shape, index), shape.root)} schema={itemSchema(shape, index)}
            path={[...path, String(index)]} label={String(index)} removable />
          {!form.readOnly && index > 0 && (
            <button type="button" class="quiet" title="Move up" aria-label={`Move item ${index} up`} onClick={() => move(index, -1)}>↑</button>
          )}
        </div>
      ))}
      {items.length > drawn && (
        <button type="button" class="more" onClick={() => setDrawn(drawn + 5 * DRAWN)}>Show more of {count(items.length, "item")}</button>
      )}
      {!form.readOnly && (
        <button type="button" class="more" onClick={() => form.set(path, [...items, initial(itemSchema(shape, items.length), shape.root)])}>+ item</button>
      )}
    </>
  );
}

interface InputProps {
  form: Form;
  shape: Shape;
  schema: Json;
  path: Path;
  value: Json | undefined;
  id: string;
  described: string | undefined;
  faulty: boolean;
}

/** The control for one value: by the schema, or as JSON where the value is of another type. */
function Input(props: InputProps) {
  const { form, shape, path, value } = props;
  const isEmpty = value === undefined || value === null;
  switch (shape.kind) {
    case "boolean":
      if (isEmpty || typeof value === "boolean") return <Check {...props} />;
      break;
    case "enum": case "const":
      return <Choose {...props} options={shape.kind === "const" ? [shape.schema["const"]!] : shape.options} />;
    case "number":
      if (isEmpty || typeof value !== "object" || !isObject(value) && !Array.isArray(value)) return <NumberInput {...props} />;
      break;
    case "string":
      if (isEmpty || typeof value === "string") return <TextInput {...props} />;
      break;
    case "choice":
      return <Branches {...props} />;
    case "object": case "array":
      if (isEmpty && !form.readOnly) {
        return (
          <span>
            <span class="faint">{hint(value)} </span>
            <button type="button" id={props.id} onClick={() => form.set(path, shape.kind === "array" ? [] : initial(withoutDefault(shape), shape.root))}>
              {shape.kind === "array" ? "Start a list" : "Fill in"}
            </button>
          </span>
        );
      }
      break;
    default:
  }
  return <JsonInput {...props} />;
}

function withoutDefault(shape: Shape): JsonObject {
  const { default: _, ...rest } = shape.schema;
  return Object.assign(emptyObject(), rest);
}

function attributes({ id, described, faulty, form }: InputProps) {
  return { id, "aria-describedby": described, "aria-invalid": faulty || undefined, disabled: form.readOnly };
}

function hint(value: Json | undefined): string {
  return value === null ? "null" : value === undefined ? "not set" : "";
}

function Check(props: InputProps) {
  const { value, form, path } = props;
  return (
    <span class="check">
      <input type="checkbox" {...attributes(props)} checked={value === true} indeterminate={typeof value !== "boolean"}
        onChange={(event) => form.set(path, event.currentTarget.checked)} />
      <span class="faint">{typeof value === "boolean" ? String(value) : hint(value)}</span>
    </span>
  );
}

function Choose(props: InputProps & { options: Json[] }) {
  const { value, form, path, options } = props;
  const chosen = options.findIndex((option) => equal(option, value));
  return (
    <select {...attributes(props)} value={String(chosen)} onChange={(event) => form.set(path, options[Number(event.currentTarget.value)])}>
      {chosen < 0 && <option value="-1">{hint(value) || visible(stringify(value))}</option>}
      {options.map((option, index) => (
        <option key={index} value={String(index)}>{visible(typeof option === "string" ? option : stringify(option))}</option>
      ))}
    </select>
  );
}

/** A number stays the text it is: JavaScript would round it. */
function NumberInput(props: InputProps) {
  const { value, form, path } = props;
  const written = value === undefined || value === null ? "" : String(value);
  return (
    <input type="text" inputMode="decimal" class="number" {...attributes(props)} value={written} placeholder={hint(value)}
      autocomplete="off" onInput={(event) => {
        const entered = event.currentTarget.value.trim();
        form.set(path, entered === "" ? undefined : readNumber(entered) ?? entered);
      }} />
  );
}

function TextInput(props: InputProps) {
  const { value, form, path, shape } = props;
  const written = typeof value === "string" ? value : "";
  const [isUnfolded, unfold] = useState(false);
  const set = (event: { currentTarget: { value: string } }) => form.set(path, event.currentTarget.value);
  if (written.length > HUGE_TEXT && !isUnfolded) {
    return (
      <span>
        <bdi class="huge">{visible(written.slice(0, 300))}…</bdi>
        <button type="button" id={props.id} onClick={() => unfold(true)}>Edit {size(written.length)} of text</button>
      </span>
    );
  }
  if (written.length > LONG_TEXT || written.includes("\n") || shape.schema["contentMediaType"]) {
    const rows = Math.min(12, Math.max(3, written.length > 5000 ? 12 : written.split("\n").length + Math.floor(written.length / 90)));
    return <textarea dir="auto" {...attributes(props)} value={written} rows={rows} placeholder={hint(value)} onInput={set} />;
  }
  return (
    <>
      <input type="text" dir="auto" {...attributes(props)} value={written} placeholder={hint(value) && `${hint(value)}${example(shape)}`}
        autocomplete="off" onInput={set}
        onKeyDown={(event) => {
          // A text of several lines begins with Alt+Enter.
          if (event.key === "Enter" && event.altKey) form.set(path, `${written}\n`);
        }} />
      {shape.format === "date-time" && !form.readOnly && (
        <button type="button" class="quiet" onClick={() => form.set(path, new Date().toISOString())}>now</button>
      )}
      {shape.format === "date" && !form.readOnly && (
        <button type="button" class="quiet" onClick={() => form.set(path, new Date().toISOString().slice(0, 10))}>today</button>
      )}
    </>
  );
}

const FORMATS: Record<string, string> = {
  "date-time": "2026-11-26T12:00:00Z", date: "2026-11-26", time: "12:00:00Z", duration: "PT90M",
  uuid: "0198c1d2-7c2f-7d6a-9f1e-2b3c4d5e6f70", email: "ada@example.org", uri: "https://example.org", decimal: "12.50",
};

function example(shape: Shape): string {
  const examples = shape.schema["examples"];
  const first = Array.isArray(examples) ? examples[0] : undefined;
  const shown = typeof first === "string" ? first : FORMATS[shape.format];
  return shown ? ` · e.g. ${shown}` : "";
}

/** A value of one of several schemas: which, and its own control. */
function Branches(props: InputProps) {
  const { shape, value, form, path } = props;
  const found = value === undefined || value === null ? -1 : branchOf(shape, value);
  const inner = found < 0 ? null : shapeOf(shape.branches[found], shape.root);
  return (
    <div class="branches">
      <select {...attributes(props)} value={String(found)} onChange={(event) => {
        form.set(path, initial(shape.branches[Number(event.currentTarget.value)], shape.root));
      }}>
        {found < 0 && <option value="-1">{hint(value)}</option>}
        {shape.branches.map((branch, index) => <option key={index} value={String(index)}>{visible(branchName(branch, index))}</option>)}
      </select>
      {inner && inner.kind === "object" && isObject(value) && path.length < 16
        ? <div class="nested"><Members form={form} shape={inner} path={path} /></div>
        : inner && inner.kind === "array" && Array.isArray(value)
          ? <div class="nested"><Items form={form} shape={inner} path={path} items={value} /></div>
          : inner && inner.kind !== "null" && <Input {...props} id={`${props.id}-value`} shape={inner.kind === "choice" ? { ...inner, kind: "any" } : inner} />}
    </div>
  );
}

/** Any JSON as text; it is taken over as soon as it can be read. */
function JsonInput(props: InputProps) {
  const { value, form, path } = props;
  const [text, setText] = useState(() => (value === undefined ? "" : stringify(value, 2)));
  const [mistake, setMistake] = useState("");
  const own = useRef(value);
  useEffect(() => {
    // The value changed elsewhere.
    if (!equal(own.current, value)) {
      own.current = value;
      setText(value === undefined ? "" : stringify(value, 2));
      setMistake("");
    }
  }, [value]);
  const pointer = pointerOf(path);
  useEffect(() => () => form.onUnread?.(pointer, false), [pointer]);
  const [isUnfolded, unfold] = useState(false);
  const rows = Math.min(16, Math.max(1, text.split("\n", 16).length));
  if (text.length > LARGE_JSON && !isUnfolded) {
    return (
      <span>
        <bdi class="huge mono">{brief(value, 300)}</bdi>{" "}
        {!form.readOnly && <button type="button" id={props.id} onClick={() => unfold(true)}>Edit {size(text.length)} of JSON</button>}
      </span>
    );
  }
  return (
    <div class="json-input">
      <textarea class="mono" {...attributes(props)} rows={rows} spellcheck={false} value={text} placeholder={hint(value) && `${hint(value)} · JSON`}
        onInput={(event) => {
          const entered = event.currentTarget.value;
          setText(entered);
          try {
            own.current = entered.trim() ? parse(entered) : undefined;
            setMistake("");
            form.onUnread?.(pointer, false);
            form.set(path, own.current);
          } catch (error) {
            setMistake((error as JsonError).message);
            form.onUnread?.(pointer, true);
          }
        }} />
      {mistake && <p class="fault">not JSON: {mistake}</p>}
    </div>
  );
}
