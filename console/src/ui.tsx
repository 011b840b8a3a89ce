// Parts of every screen: loading, dialogs, problems, requests, notes.
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { type ApiRequest, Problem, curl, entered, rehearsed, target } from "./api.ts";
import { stringify } from "./json.ts";
import { address } from "./router.ts";
import { size, visible } from "./text.tsx";

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  loading: boolean;
  reload: () => void;
}

/** Load something, again where `keys` change; what was loaded last stays while it loads. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, keys: unknown[]): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, "reload">>({ data: undefined, error: undefined, loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    load(abort.signal).then(
      (data) => setState({ data, error: undefined, loading: false }),
      (error: unknown) => {
        if (!abort.signal.aborted) setState((old) => ({ ...old, error, loading: false }));
      },
    );
    return () => abort.abort();
  }, [...keys, round]);
  const reload = useCallback(() => setRound((number) => number + 1), []);
  // What was refused for want of a session is asked again when there is one.
  useEffect(() => { if (state.error) reload(); }, [entered.value]);
  return { ...state, reload };
}

/** What a screen shows while it has nothing yet. */
export function Pending({ loaded, label = "Loading…" }: { loaded: Loaded<unknown>; label?: string }) {
  if (loaded.error) return <ProblemNote error={loaded.error} retry={loaded.reload} />;
  return <p class="faint"><span role="status">{label}</span><Elapsed /></p>;
}

export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const problem = error instanceof Problem ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div class="note problem" role="alert">
      <strong>{problem?.body.title ?? "That did not work"}</strong>
      {message !== problem?.body.title && <>: <bdi><Prose text={message} /></bdi></>}
      {problem && problem.errors.length > 0 && (
        <ul>
          {problem.errors.slice(0, 100).map((fault, index) => (
            <li key={index}><code>{visible(fault.pointer || "/")}</code> {visible(fault.detail)}</li>
          ))}
          {problem.errors.length > 100 && <li>and {problem.errors.length - 100} more</li>}
        </ul>
      )}
      {retry && <> <button type="button" onClick={retry}>Try again</button></>}
    </div>
  );
}

/** A message of the service, which puts names between backquotes. */
function Prose({ text }: { text: string }) {
  return <>{visible(text).split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}

/** What stands for a screen that there is not, or that a key does not allow. */
export function NoScreen({ children }: { children: ComponentChildren }) {
  return <section class="screen"><h1>Nothing here</h1><p class="note">{children}</p></section>;
}

// --- dialogs

/** The dialog that is open: one at a time. */
export const dialog = signal<ComponentChildren>(null);

export function closeDialog(): void {
  dialog.value = null;
}

/** What closes the dialog of a component, and no other that was opened since. */
export function useClose(): () => void {
  const own = useRef(dialog.peek());
  return () => { if (dialog.peek() === own.current) closeDialog(); };
}

/** Where what had the focus is not there any more, or cannot be pressed, the screen or its dialog has it. */
export function keepFocus(): void {
  setTimeout(() => {
    const focused = document.activeElement;
    if (focused && focused !== document.body && !focused.matches(":disabled")) return;
    const open = document.querySelector<HTMLElement>("dialog[open]");
    if (open) open.focus();
    else focusScreen();
  }, 50);
}

/** Focus the screen where its work begins. */
export function focusScreen(): void {
  const main = document.getElementById("main");
  (main?.querySelector<HTMLElement>("[autofocus], [role=grid]") ?? main)?.focus({ preventScroll: true });
}

export function Dialog({ title, wide, children }: { title: ComponentChildren; wide?: boolean; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const at = address.value;
    element.current?.showModal();
    element.current?.focus();
    return () => {
      // An item of a menu is not there after it was chosen.
      const back = before?.checkVisibility() ? before : before?.closest("details")?.querySelector("summary");
      if (address.value === at) back?.focus();
      if (address.value !== at || document.activeElement === document.body) focusScreen();
    };
  }, []);
  useEffect(() => {
    // The first field may come with what is loaded.
    // A moment is seldom what a dialog was opened for.
    if (document.activeElement === element.current) element.current?.querySelector<HTMLElement>("input:not([type=datetime-local]), select, textarea")?.focus();
  });
  return (
    <dialog ref={element} tabIndex={-1} class={wide ? "wide" : ""} onClose={closeDialog} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      {children}
      <button type="button" class="quiet close" aria-label="Close" onClick={closeDialog}>×</button>
    </dialog>
  );
}

// --- requests

/** The HTTP request of an action, to look at and to copy. */
export function RequestView({ request, title = "HTTP request" }: { request: ApiRequest | (() => ApiRequest); title?: string }) {
  // A large body is written as text only where somebody looks at it.
  const [open, setOpen] = useState(false);
  return (
    <details class="request" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {open && <RequestText request={typeof request === "function" ? request() : request} />}
    </details>
  );
}

function RequestText({ request }: { request: ApiRequest }) {
  const body = request.body === undefined ? null : stringify(request.body, 2);
  const text = request.text?.content;
  return (
    <>
      <pre tabIndex={0} aria-label="HTTP request">
        <b>{request.method}</b> {visible(target(request))}
        {Object.entries(request.headers ?? {}).map(([name, value]) => `\n${name}: ${value}`)}
        {request.text && `\nContent-Type: ${request.text.type}`}
        {body !== null && `\n\n${visible(body.slice(0, 5000))}${body.length > 5000 ? "…" : ""}`}
        {text instanceof Blob && `\n\n(${size(text.size)} of the file)`}
        {typeof text === "string" && `\n\n${visible(text.slice(0, 2000))}${text.length > 2000 ? "…" : ""}`}
      </pre>
      <CopyButton label="Copy as curl" text={() => curl(request)} />
    </>
  );
}

export function CopyButton({ label, text, note }: { label: string; text: () => string; note?: string }) {
  return (
    <button type="button" onClick={() => void copy(text(), note)}>{label}</button>
  );
}

export async function copy(text: string, note = "Copied."): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS, and in some browsers, only a selection can be copied.
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notify(note);
}

export function download(name: string, content: string, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// --- notes

export interface Note {
  text: ComponentChildren;
  /** The request that can be undone, and the one record that it wrote. */
  undo?: string | undefined;
  record?: string | undefined;
  number: number;
}

export const notes = signal<Note[]>([]);
let noted = 0;

/**
 * Say what was done. `undo` is the request of a write, null where it cannot be undone: what was written before is not
 * offered to be undone any more.
 */
export function notify(text: ComponentChildren, undo?: string | null, record?: string): void {
  const number = ++noted;
  if (undo !== undefined) withdraw(() => true);
  notes.value = [...notes.value.slice(-2), { text, undo: undo ?? undefined, record, number }];
  const end = () => {
    // Nothing disappears under a hand.
    if (document.querySelector(".notes:is(:hover, :focus-within)")) setTimeout(end, 2_000);
    else forget(number);
  };
  setTimeout(end, undo ? 20_000 : 5_000);
}

export function forget(number: number): void {
  notes.value = notes.value.filter((note) => note.number !== number);
}

/** Forget the notes that offer an undo which is not right any more. */
export function withdraw(isOver: (note: Note) => boolean): void {
  if (notes.value.some((note) => note.undo && isOver(note))) notes.value = notes.value.filter((note) => !note.undo || !isOver(note));
}

// --- long work

export interface Work {
  label: string;
  since: number;
  /** The milliseconds that it will take, as its dry run did. */
  expected?: number | undefined;
}

/** What is under way, whether or not its screen is still open. */
export const works = signal<Work[]>([]);

const LONG_SECONDS = 2;

const TICK_MILLISECONDS = 500;

function useElapsed(since?: number): number {
  const start = useRef(since ?? Date.now());
  const [milliseconds, setMilliseconds] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setMilliseconds(Date.now() - start.current), TICK_MILLISECONDS);
    return () => clearInterval(timer);
  }, []);
  return milliseconds;
}

/** The seconds that something has taken, once they are many. */
function Elapsed({ since }: { since?: number }) {
  const seconds = Math.floor(useElapsed(since) / 1000);
  // A screen reader is not told every second.
  return seconds < LONG_SECONDS ? null : <span aria-hidden="true"> {seconds} s</span>;
}

/** How much of some work is done, as far as its dry run tells; undefined where that is not known any more. */
function shareOf({ expected }: Work, milliseconds: number): number | undefined {
  if (!expected || milliseconds > 2 * expected) return undefined;
  return Math.min(0.99, milliseconds / expected);
}

export function WorkView({ work }: { work: Work }) {
  const share = shareOf(work, useElapsed(work.since));
  // Preact leaves `value` as it was where it becomes undefined; a new element has none.
  const bar = share === undefined ? <progress key="unknown" aria-label={work.label} />
    : <progress key="known" aria-label={work.label} value={share} />;
  return <span class="work">{bar} <span>{work.label}…{share !== undefined && <> about {Math.round(share * 100)} %,</>}<Elapsed since={work.since} /></span></span>;
}

/** The long work of a dialog. */
export function UnderWay({ action }: { action: Action }) {
  if (!action.work) return null;
  return <p class="under-way"><WorkView work={action.work} /> <span class="faint">You can close this: it goes on meanwhile.</span></p>;
}

addEventListener("beforeunload", (event) => { if (works.value.length) event.preventDefault(); });

// --- menus

/** A button with a list of actions. */
export function Menu({ label, children, title }: { label: ComponentChildren; children: ComponentChildren; title?: string }) {
  const element = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const menu = element.current;
      const summary = menu?.querySelector("summary");
      const target = event.target as Element;
      if (!menu?.open || !summary) return;
      const isInside = menu.contains(target);
      if (event instanceof KeyboardEvent) {
        if (event.key !== "Escape") return;
        event.stopPropagation();
      } else if (summary.contains(target) || isInside && (event.type === "focusin" || target.closest(".menu-stay"))) return;
      // The item that has the focus disappears with the menu.
      if (menu.contains(document.activeElement)) summary.focus();
      menu.open = false;
    };
    const events = ["click", "keydown", "focusin"];
    events.forEach((name) => addEventListener(name, close));
    return () => events.forEach((name) => removeEventListener(name, close));
  }, []);
  const move = (event: KeyboardEvent) => {
    const items = [...element.current!.querySelectorAll<HTMLElement>("summary, .menu-list :is(a, button:enabled, input)")];
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    element.current!.open = true;
    items[(items.indexOf(document.activeElement as HTMLElement) + by + items.length) % items.length]?.focus();
    event.preventDefault();
  };
  /** A list opens to the left of its button, unless it would leave the screen there. */
  const place = () => {
    // A browser says it later: the menu may not be there any more.
    if (!element.current) return;
    const list = element.current.querySelector<HTMLElement>(".menu-list")!;
    list.classList.remove("rightwards");
    const frame = element.current.closest("main")?.getBoundingClientRect().left ?? 0;
    list.classList.toggle("rightwards", list.getBoundingClientRect().left < frame);
  };
  return (
    <details class="menu" ref={element} onKeyDown={move} onToggle={place}>
      <summary class="button" title={title}>{label}</summary>
      <div class="menu-list">{children}</div>
    </details>
  );
}

/** A value that follows another after it was still for a while. */
export function useSettled<T>(value: T, milliseconds: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return settled;
}

const TYPING_MILLISECONDS = 800;

/** A date with a time, taken over when somebody is done with it: while a year is typed, it is another one. */
export function DateTimeInput({ label, value, onPick }: { label: string; value: string; onPick: (value: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  useEffect(() => {
    if (document.activeElement !== input.current) input.current!.value = value;
  }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const pick = () => {
    clearTimeout(timer.current);
    const picked = input.current?.value ?? "";
    if (picked && !picked.startsWith("0") && Date.parse(picked) !== Date.parse(value)) onPick(picked);
  };
  return (
    <input ref={input} type="datetime-local" step="1" aria-label={label} defaultValue={value} onBlur={pick}
      onInput={() => {
        clearTimeout(timer.current);
        timer.current = window.setTimeout(pick, TYPING_MILLISECONDS);
      }}
      onKeyDown={(event) => { if (event.key === "Enter") pick(); }} />
  );
}

interface ActionState {
  busy: boolean;
  error: unknown;
  work: Work | null;
}

export interface Action extends ActionState {
  /** Do something; `label` says what takes long, `request` is what it sends. */
  run: (action: () => Promise<void>, label?: string, request?: ApiRequest) => Promise<boolean>;
  clear: () => void;
}

/** An action that is under way, or failed. */
export function useAction(): Action {
  const [state, setState] = useState<ActionState>({ busy: false, error: null, work: null });
  const busy = useRef(false);
  const isHere = useIsHere();
  return useMemo(() => ({
    ...state,
    clear: () => setState((old) => ({ ...old, error: null })),
    run: async (action: () => Promise<void>, label?: string, request?: ApiRequest) => {
      if (busy.current) return false;
      busy.current = true;
      const work = label ? { label, since: Date.now(), expected: request && rehearsed(request) } : null;
      setState({ busy: true, error: null, work });
      if (work) works.value = [...works.value, work];
      let error: unknown = null;
      try {
        await action();
      } catch (thrown) {
        error = thrown;
      }
      busy.current = false;
      if (work) works.value = works.value.filter((other) => other !== work);
      // Who left is told nevertheless.
      if (error && !isHere()) notify(`${label ?? "That"} did not work: ${(error as Error).message}`);
      setState({ busy: false, error, work: null });
      keepFocus();
      return error === null;
    },
  }), [state]);
}

/** Whether the component is still on the page. */
export function useIsHere(): () => boolean {
  const here = useRef(true);
  useEffect(() => () => { here.current = false; }, []);
  return () => here.current;
}

export function useTitle(title: string): void {
  useEffect(() => { document.title = `${visible(title)} · Persist`; }, [title]);
}

