// The page: who is in, where one can go, and the screen of the address.
import { render } from "preact";
import { MANY, matching } from "../../persist/api/static/collections.js";
import { useEffect, useRef, useState } from "preact/hooks";
import { outage, retryNow, sent, signedOut } from "./api.ts";
import { followLinks, go, href, listAddress, path, recordAddress } from "./router.ts";
import { asked, collections, enter, may, mayRegister, maySomething, session, signIn, signOut, workspaces } from "./session.ts";
import { local, visible } from "./text.tsx";
import { Dialog, Menu, NoScreen, ProblemNote, RequestView, WorkView, closeDialog, dialog, focusScreen, forget, keepFocus, notes, notify, useAction, works } from "./ui.tsx";
import { ChangesScreen, undoDialog } from "./screens/changes.tsx";
import { HistoryScreen } from "./screens/history.tsx";
import { Home } from "./screens/home.tsx";
import { ListScreen } from "./screens/list.tsx";
import { NewRecord, RecordScreen } from "./screens/record.tsx";
import { SnapshotsScreen } from "./screens/snapshots.tsx";
import { NewType, TypeScreen } from "./screens/types.tsx";

function App() {
  const [open, setOpen] = useState(false);
  const at = path.value.join("/");
  const shown = useRef(at);
  useEffect(() => {
    setOpen(false);
    // A new screen has the focus, so that a keyboard goes on from there.
    if (shown.current !== at) focusScreen();
    shown.current = at;
  }, [at]);
  if (!asked.value) return <><Outage /><p class="enter faint" role="status">Loading…</p></>;
  if (!session.value) return <Enter />;
  return (
    <div class={`shell ${open ? "side-open" : ""}`}>
      <Top onSide={() => setOpen(!open)} />
      <Outage />
      {signedOut.value && <SignedOut />}
      <Side />
      <main id="main" tabIndex={-1}><Screen /></main>
      {dialog.value}
      <Notes />
    </div>
  );
}

function Screen() {
  let parts = path.value;
  let workspace: string | null = null;
  if (parts[0] === "w" && parts[2] === "c") {
    workspace = parts[1]!;
    parts = parts.slice(2);
  }
  const [first = "", second = "", third = "", fourth = ""] = parts;
  if (first === "") return <Home />;
  if (first === "changes") return <ChangesScreen />;
  if (first === "snapshots") return maySomething("admin") ? <SnapshotsScreen /> : <Refused />;
  if (first === "types" && second === "new") return mayRegister() ? <NewType /> : <Refused />;
  if (first === "types") return <TypeScreen key={second} name={second} />;
  if (first === "c" && second) {
    const where = { workspace, collection: second };
    const key = listAddress(where);
    if (!third) return <ListScreen key={key} where={where} />;
    if (third === "trash") return <ListScreen key={`${key}/trash`} where={where} trash />;
    if (third === "new") return <NewRecord key={`${key}/new`} where={where} />;
    if (fourth === "history") return <HistoryScreen key={recordAddress(where, third, "history")} where={where} id={third} />;
    return <RecordScreen key={recordAddress(where, third)} where={where} id={third} />;
  }
  return <NoScreen>There is no such screen. <a href={href("/")}>Home</a></NoScreen>;
}

function Refused() {
  return <NoScreen>Your key does not allow this. <a href={href("/")}>Home</a></NoScreen>;
}

function Top({ onSide }: { onSide: () => void }) {
  const { name, open, scopes, environment } = session.value!;
  return (
    <header class="top">
      <button type="button" class="quiet open-side" aria-label="Collections" onClick={onSide}>☰</button>
      <a class="brand" href={href("/")}>Persist</a>
      {environment.name && <span class="environment" title={visible(environment.name)}>{visible(environment.name)}</span>}
      <span class="spring" />
      <button type="button" onClick={openJump}>Jump <kbd class="wide-only">Ctrl K</kbd></button>
      <button type="button" class="quiet" aria-label="Shortcuts" title="Shortcuts" onClick={() => { dialog.value = <Shortcuts />; }}>?</button>
      <Menu label={<span class="label">{open ? "no key" : visible(name ?? "key")}</span>} title="Your key, and the last requests">
        <p class="menu-stay faint">{open ? "This service asks for no key: everybody who reaches it may do everything." : scopes.map((scope) => <div key={scope} class="mono">{scope}</div>)}</p>
        <button type="button" onClick={() => { dialog.value = <Requests />; }}>Last requests</button>
        {!open && <button type="button" onClick={() => void leave()}>Sign out</button>}
      </Menu>
    </header>
  );
}

async function leave(): Promise<void> {
  await signOut();
  notes.value = [];
}

function Link({ to, children }: { to: string; children: string }) {
  const at = `/${path.value.map(encodeURIComponent).join("/")}`;
  const isHere = to === "/" ? at === "/" : at === to || at.startsWith(`${to}/`);
  return <a href={href(to)} aria-current={isHere ? "page" : undefined} title={children}><bdi>{visible(children)}</bdi></a>;
}

function Side() {
  const [wanted, setWanted] = useState("");
  const readable = collections.value.filter(({ name }) => may("read", name));
  return (
    <nav class="side" aria-label="Console">
      <Link to="/">Home</Link>
      <Link to="/changes">Changes</Link>
      {maySomething("admin") && <Link to="/snapshots">Snapshots</Link>}
      {mayRegister() && <Link to="/types/new">New type</Link>}
      {readable.length > 0 && <h2>Collections</h2>}
      {readable.length > MANY && (
        <input type="search" aria-label="Filter the collections" placeholder={`Filter ${readable.length} collections`} value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)} />
      )}
      {matching(readable, wanted).map(({ name }) => <Link key={name} to={listAddress({ workspace: null, collection: name })}>{name}</Link>)}
      {workspaces.value.map((workspace) => (
        <div key={workspace.name}>
          <h2>{workspace.name}</h2>
          {workspace.collections.map((name) => <Link key={name} to={listAddress({ workspace: workspace.name, collection: name })}>{name}</Link>)}
        </div>
      ))}
    </nav>
  );
}

// --- ways in

function Enter() {
  const [key, setKey] = useState("");
  const action = useAction();
  const error = action.error ?? refusal;
  return (
    <main class="enter">
      <Outage />
      <h1>Persist</h1>
      <p class="faint">Paste a key, or run <code>persist console</code>, which prints a link that is good for a minute.</p>
      <form onSubmit={(event) => {
        event.preventDefault();
        refusal = null;
        void action.run(() => signIn(key.trim(), null));
      }}>
        <label>Key <input type="password" name="key" autocomplete="off" autofocus value={key} onInput={(event) => setKey(event.currentTarget.value)} /></label>
        <button type="submit" class="primary" disabled={!key.trim()} aria-disabled={action.busy}>Sign in</button>
      </form>
      <ProblemNote error={error} />
    </main>
  );
}

/** The session ended: what is typed stays on the page meanwhile. */
function SignedOut() {
  const [key, setKey] = useState("");
  const action = useAction();
  return (
    <form class="banner" aria-label="Session" onSubmit={(event) => {
      event.preventDefault();
      void action.run(() => signIn(key.trim(), null));
    }}>
      <span role="alert">The session has ended. What you typed is still here.</span>
      <input type="password" aria-label="Key" placeholder="Key" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      <button type="submit" disabled={!key.trim()} aria-disabled={action.busy}>Sign in again</button>
      {action.error ? <span class="fault">{visible((action.error as Error).message)}</span> : null}
    </form>
  );
}

function Outage() {
  const [, tick] = useState(0);
  const away = outage.value;
  useEffect(() => {
    if (!away) return undefined;
    const timer = setInterval(() => tick((number) => number + 1), 1000);
    return () => clearInterval(timer);
  }, [away]);
  if (!away) return null;
  const seconds = Math.max(0, Math.ceil((away.retryAt - Date.now()) / 1000));
  return (
    <div class="banner" role="alert">
      {away.reason} Nothing you typed is lost. {seconds ? `Next attempt in ${seconds} s.` : "Trying…"}
      <button type="button" onClick={() => retryNow.dispatchEvent(new Event("now"))}>Try now</button>
    </div>
  );
}

// --- everywhere

function Notes() {
  return (
    <section class="notes" aria-label="Notices">
      {works.value.map((work) => <div class="card" key={work.since}><WorkView work={work} /></div>)}
      <div role="status">
        {notes.value.map((note) => (
          <div class="card" key={note.number}>
            <span>{note.text}</span>
            {note.undo && maySomething("write") && <button type="button" class="accent" onClick={() => undoDialog({ request_id: note.undo! })}>Undo this</button>}
            <button type="button" class="quiet" aria-label="Dismiss" onClick={() => forget(note.number)}>×</button>
          </div>
        ))}
      </div>
    </section>
  );
}

function Requests() {
  return (
    <Dialog title="Last requests" wide>
      {sent.value.map((entry, index) => (
        <div key={index}>
          <span class="faint">{local(entry.at.toISOString()).slice(11)} · {entry.status ?? "no answer"} · {Math.round(entry.milliseconds)} ms</span>{" "}
          <code>{entry.request.method} {visible(entry.request.path)}</code>
          <RequestView request={entry.request} />
        </div>
      ))}
    </Dialog>
  );
}

const KEYS: [string, string][] = [
  ["Ctrl K or /", "jump to a collection, a screen, or a record by its id"], ["?", "this list"], ["Ctrl S", "save"],
  ["g h", "home"], ["g c", "changes"], ["g s", "snapshots"],
  ["↑ ↓ j k", "in a list: move"], ["Enter", "in a list: open"], ["Space", "in a list: select"], ["f", "in a list: filter by the value"],
  ["s", "in a list: sort by the column"],
  ["n", "in a list: new record"], ["Esc", "close"],
];

function Shortcuts() {
  return (
    <Dialog title="Shortcuts">
      <table class="dense"><tbody>{KEYS.map(([key, what]) => <tr key={key}><th scope="row"><kbd>{key}</kbd></th><td>{what}</td></tr>)}</tbody></table>
    </Dialog>
  );
}

interface Goal { name: string; kind: string; to: string }

function goals(): Goal[] {
  const all: Goal[] = [{ name: "Home", kind: "screen", to: "/" }, { name: "Changes", kind: "screen", to: "/changes" }];
  if (maySomething("admin")) all.push({ name: "Snapshots", kind: "screen", to: "/snapshots" });
  if (mayRegister()) all.push({ name: "New type", kind: "screen", to: "/types/new" });
  const add = (workspace: string | null, collection: string) => {
    const name = workspace ? `${workspace} / ${collection}` : collection;
    const to = listAddress({ workspace, collection });
    all.push({ name, kind: "records", to });
    if (may("write", collection, workspace)) all.push({ name: `${name}: new`, kind: "new record", to: `${to}/new` });
    all.push({ name: `${name}: trash`, kind: "trash", to: `${to}/trash` });
  };
  for (const { name } of collections.value) {
    if (may("read", name)) add(null, name);
    all.push({ name: `${name}: type`, kind: "type", to: `/types/${name}` });
  }
  for (const workspace of workspaces.value) for (const name of workspace.collections) add(workspace.name, name);
  return all;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function Jump() {
  const [text, setText] = useState("");
  const [marked, mark] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  const wanted = text.trim().toLowerCase();
  const found: Goal[] = UUID.test(wanted)
    ? goals().filter(({ kind }) => kind === "records").map(({ name, to }) => ({ name: `${name} ${wanted.slice(0, 8)}…`, kind: "record", to: `${to}/${wanted}` }))
    : goals().filter(({ name }) => wanted.split(/\s+/).every((word) => name.toLowerCase().includes(word))).slice(0, 30);
  const choose = (goal: Goal | undefined) => {
    if (!goal) return;
    closeDialog();
    go(goal.to);
  };
  return (
    <Dialog title="Jump">
      <div class="jump">
        <input ref={input} role="combobox" aria-expanded="true" aria-controls="goals" aria-activedescendant={`goal-${marked}`} aria-label="Where to"
          placeholder="collection, screen, or the id of a record" value={text} autocomplete="off" spellcheck={false}
          onInput={(event) => { setText(event.currentTarget.value); mark(0); }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") mark(Math.min(found.length - 1, marked + 1));
            else if (event.key === "ArrowUp") mark(Math.max(0, marked - 1));
            else if (event.key === "Enter") choose(found[marked]);
            else return;
            event.preventDefault();
          }} />
        <ul id="goals" role="listbox" aria-label="Goals">
          {found.map((goal, index) => (
            <li key={goal.to} id={`goal-${index}`} role="option" aria-selected={index === marked} onClick={() => choose(goal)}><bdi>{visible(goal.name)}</bdi><span class="faint">{goal.kind}</span></li>
          ))}
          {!found.length && <li class="faint">Nothing has that name.</li>}
        </ul>
      </div>
    </Dialog>
  );
}

function openJump(): void {
  dialog.value = <Jump />;
}

let waitsForGoal = 0;

function onKey(event: KeyboardEvent): void {
  if (!session.value) return;
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!dialog.value) openJump();
    return;
  }
  const isTyping = (event.target as Element).closest?.("input, textarea, select, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = Date.now() < waitsForGoal ? { h: "/", c: "/changes", s: "/snapshots" }[event.key] : undefined;
  waitsForGoal = event.key === "g" ? Date.now() + 1500 : 0;
  if (to) go(to);
  else if (event.key === "/") openJump();
  else if (event.key === "?") dialog.value = <Shortcuts />;
  else if (event.key === "n") document.querySelector<HTMLAnchorElement>(".screen.list a.primary")?.click();
  else return;
  event.preventDefault();
}

let refusal: unknown = null;

/** Take the code of a link out of the address, and begin a session with it. */
async function start(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get("code") ?? new URLSearchParams(location.search).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname);
    try {
      await signIn(null, code);
      return;
    } catch (error) {
      refusal = error;
    }
  }
  await enter();
}

session.subscribe((current) => {
  const color = current?.environment.color;
  if (color && CSS.supports("color", color)) document.documentElement.style.setProperty("--environment", color);
});
addEventListener("click", followLinks);
// A button may disappear by being pressed.
addEventListener("click", (event) => { if ((event.target as Element).closest("button")) keepFocus(); });
addEventListener("keydown", onKey);
addEventListener("unhandledrejection", (event) => notify(`That did not work: ${(event.reason as Error)?.message ?? event.reason}`));
void start();
render(<App />, document.getElementById("app")!);
