// Parts of every screen: loading, dialogs, problems, requests, notes.
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { type ApiRequest, Problem, curl, entered, target } from "./api.ts";
import { stringify } from "./json.ts";
import { address } from "./router.ts";
import { visible } from "./text.tsx";

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
export function Pending({ loaded }: { loaded: Loaded<unknown> }) {
  if (loaded.error) return <ProblemNote error={loaded.error} retry={loaded.reload} />;
  return <p class="faint" role="status">{loaded.loading ? "Loading…" : ""}</p>;
}

export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  if (!error) return null;
  const problem = error instanceof Problem ? error : null;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <div class="note problem" role="alert">
      <strong>{problem?.body.title ?? "That did not work"}</strong>
      {message !== problem?.body.title && <bdi> {visible(message)}</bdi>}
      {problem && problem.errors.length > 0 && (
        <ul>
          {problem.errors.slice(0, 100).map((fault, index) => (
            <li key={index}><code>{visible(fault.pointer || "/")}</code> {visible(fault.detail)}</li>
          ))}
        </ul>
      )}
      {retry && <> <button type="button" onClick={retry}>Try again</button></>}
    </div>
  );
}

/** What stands for a screen that there is not, or that a key does not allow. */
export function NoScreen({ children }: { children: ComponentChildren }) {
  return <section class="screen"><h1>Nothing to see</h1><p class="note">{children}</p></section>;
}

// --- dialogs

/** The dialog that is open: one at a time. */
export const dialog = signal<ComponentChildren>(null);

export function closeDialog(): void {
  dialog.value = null;
}

/** Focus the screen where its work begins. */
export function focusScreen(): void {
  const main = document.getElementById("main");
  (main?.querySelector<HTMLElement>("[autofocus], [role=grid]") ?? main)?.focus({ preventScroll: true });
}

export function Dialog({ title, wide, children }: { title: ComponentChildren; wide?: boolean; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    const at = address.value;
    element.current?.showModal();
    element.current?.focus();
    return () => {
      if (address.value === at) before?.focus();
      if (address.value !== at || document.activeElement === document.body) focusScreen();
    };
  }, []);
  useEffect(() => {
    // The first field may come with what is loaded.
    if (document.activeElement === element.current) element.current?.querySelector<HTMLElement>("input, select, textarea")?.focus();
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
export function RequestView({ request }: { request: ApiRequest }) {
  // A large body is written as text only where somebody looks at it.
  const [open, setOpen] = useState(false);
  return (
    <details class="request" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>HTTP request</summary>
      {open && <RequestText request={request} />}
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
  /** The request that can be undone. */
  undo?: string;
  number: number;
}

export const notes = signal<Note[]>([]);
let noted = 0;

export function notify(text: ComponentChildren, undo?: string | null): void {
  const note: Note = { text, number: ++noted, ...(undo ? { undo } : {}) };
  notes.value = [...notes.value.slice(-2), note];
  setTimeout(() => forget(note), undo ? 20_000 : 5_000);
}

export function forget(note: Note): void {
  notes.value = notes.value.filter((other) => other !== note);
}

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
    const list = element.current!.querySelector<HTMLElement>(".menu-list")!;
    list.classList.remove("rightwards");
    const frame = element.current!.closest("main")?.getBoundingClientRect().left ?? 0;
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

/** An action that is under way, or failed. */
export function useAction(): { busy: boolean; error: unknown; run: (action: () => Promise<void>) => Promise<boolean>; clear: () => void } {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: null });
  return useMemo(() => ({
    ...state,
    clear: () => setState({ busy: false, error: null }),
    run: async (action: () => Promise<void>) => {
      setState({ busy: true, error: null });
      try {
        await action();
        setState({ busy: false, error: null });
        return true;
      } catch (error) {
        setState({ busy: false, error });
        return false;
      }
    },
  }), [state]);
}

export function useTitle(title: string): void {
  useEffect(() => { document.title = `${visible(title)} · Persist`; }, [title]);
}

