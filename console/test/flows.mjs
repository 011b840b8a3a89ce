// Every flow of the console in one browser and one look, by keyboard alone: node flows.mjs SETTINGS.
// What the flows need of whoever runs the service ("please stop") is asked for on a line of the output,
// and done when a line comes back: see `tests/browser/test_console_flows.py`.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";
import { Keyboard } from "./keyboard.mjs";

const { url, admin, colleague, browser: name, executablePath, width, height, theme, file, only, patience = 30_000 } = JSON.parse(process.argv[2]);
const isDark = theme === "dark";
const options = {
  firefox: { extraPrefsFirefox: { "layout.css.prefers-color-scheme.content-override": isDark ? 0 : 1, "intl.accept_languages": "en-US" } },
  chrome: { args: ["--no-sandbox", "--disable-gpu", "--lang=en-US", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", ...(isDark ? ["--blink-settings=preferredColorScheme=0"] : [])] },
};
const browser = await puppeteer.launch({ browser: name, executablePath, headless: true, ...options[name] });
const complaints = [];
const PEOPLE = `people-${name}-${width}-${theme}`;
const TICKETS = "/api/ops-tickets";
const CSV = "name,born,number\nAda,1815-12-10,9007199254740993\nGrace,1906-12-09,2\nEdsger,,3\n";
const TITLE = '[data-pointer="/title"] :is(input, textarea)';
const SEVERITY = '[data-pointer="/severity"] input';

async function open() {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.on("pageerror", (error) => {
    // Firefox counts an event stream that a stopped service does not take as an error of the page.
    if (!error.message.startsWith("Firefox can’t establish a connection")) complaints.push(error.message);
  });
  page.on("console", (message) => {
    if (message.text().includes("Content-Security-Policy") || message.text().includes("Content Security Policy")) complaints.push(message.text());
  });
  await page.setViewport({ width, height });
  return [page, await Keyboard.at(page)];
}

const [page, person] = await open();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(what) {
  console.log(`please ${what}`);
  return (await lines.next()).value;
}

/** A request of a colleague, who uses no console. */
async function call(method, path, body, headers = {}) {
  const answer = await fetch(url + path, {
    method, headers: { Authorization: `Bearer ${colleague}`, "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text;
}

async function ticket(data = {}) {
  return JSON.parse(await call("POST", TICKETS, { title: "Disk full", severity: 30, ...data })).id;
}

async function dataOf(path) {
  return JSON.parse(await call("GET", path)).data;
}

async function visit(path) {
  await page.goto(`${url}/console${path}`);
  await person.until("the page does not open", () => document.querySelector("h1"));
}

const visitTicket = async (id, tab = "") => {
  await visit(`/c/ops-tickets/${id}${tab}`);
  if (!tab) await person.until("no form", () => document.querySelector("[data-pointer='/title']"));
};

/** Edit a field and wait until the service would take it. */
async function edit(field, text) {
  await person.write(field, text);
  await person.shows("Valid, not saved yet.");
}

async function save() {
  await person.chord("Control", "s");
}

async function undo(count) {
  await person.press("Undo this");
  await person.press("Undo");
  await person.shows(`${count} taken back.`, ".notes");
}

const FLOWS = {
  async "a link is the way in, and a key"() {
    await page.goto(await please("link admin"));
    await person.shows("Collections", "main");
    assert.ok(!page.url().includes("code"), "the code stays in the address");
    await person.choose("admin", "Sign out");
    await person.shows("Paste a key");
    await person.write("Key", "persist_wrong");
    await page.keyboard.press("Enter");
    await person.shows("key", "[role=alert]");
    await person.write("Key", admin);
    await page.keyboard.press("Enter");
    await person.shows("Latest changes", "main");
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(background === "rgb(255, 255, 255)", !isDark, `${theme}: ${background}`);
  },
  async "a type is made from a CSV"() {
    await person.press("New type from CSV or JSON");
    await person.until("no field to paste into", () => document.activeElement?.id === "paste");
    await page.keyboard.type(CSV);
    await person.write("Name", PEOPLE);
    await page.keyboard.press("Enter");
    await person.grid();
    await person.shows("9007199254740993", "main");
  },
  async "a record is edited, refused, saved and taken back"() {
    await page.keyboard.press("Enter");
    const number = '[data-pointer="/number"] input';
    await person.write(number, "many");
    await person.shows("1 fault", ".verdict");
    await person.press('[class="quiet fault-link"]');
    assert.ok(await person.isAt(number), "a fault leads to its field");
    await edit(number, "9007199254740995");
    await save();
    await person.shows("Saved as revision 2.", ".notes");
    await undo("1 record");
    await person.value("/number", "9007199254740993");
  },
  async "what was typed is offered again"() {
    await person.write('[data-pointer="/name"] input', "Ada Lovelace");
    await person.jump("Home");
    await person.list(PEOPLE);
    await page.keyboard.press("Enter");
    await person.press("Continue with it");
    await person.value("/name", "Ada Lovelace");
    await save();
    await person.shows("Saved as revision 4.", ".notes");
  },
  async "its history compares any two revisions and goes back"() {
    await person.press("History");
    await person.press("Go back to 2");
    await person.press("Go back");
    await person.shows("Back to the data of revision 2, as revision 5.", ".notes");
    await person.reach("From revision");
    await person.until("no older revision can be chosen", () => document.activeElement.options.length === 5);
    await page.keyboard.type("1");
    await person.shows("Revision 1 → 5");
    await person.press("Erase");
    await person.press("Erase for ever");
    await person.shows("Erased.", ".notes");
    await person.shows("data erased", "ol");
  },
  async "a list of 100,000 records is sorted, filtered and counted"() {
    await person.list("ops-tickets");
    await person.keys("End", "PageDown", "End", "Home", "ArrowRight", "ArrowRight", "s");
    await person.until("it is not sorted", () => location.search.includes("sort=severity"));
    await person.grid();
    await person.keys("s");
    await person.until("it is not sorted the other way", () => location.search.includes("sort=-severity"));
    await person.grid();
    await person.keys("f");
    await person.until("it is not filtered", () => location.search.includes("f=severity"));
    await person.grid();
    await person.press("Remove the filter severity = 50");
    await person.press("+ filter");
    await person.until("no member can be chosen", () => document.activeElement?.getAttribute("aria-label") === "Member");
    await page.keyboard.type("sev");
    await person.keys("Tab");
    await person.write("Value", "20");
    await page.keyboard.press("Enter");
    await person.shows("severity = 20", ".chip");
    await person.write("Condition in CEL", "data.tit");
    await page.keyboard.press("Tab");
    await page.keyboard.type('.contains("4 2");');
    await page.keyboard.press("Enter");
    await person.shows('data.title.contains("4 2");', ".pointed");
    await page.keyboard.press("Backspace");
    await page.keyboard.press("Enter");
    await person.press("count");
    await person.shows("records", "header.bar .faint");
    await person.press("Clear");
    await person.choose("⋯", "Reload");
    await person.choose("Copy", "Copy as curl");
    await person.shows("Copied.", ".notes");
    await person.reach("Columns");
    await person.keys("ArrowDown", " ", "Escape");
    await person.until("the columns stay", () => location.search.includes("cols="));
    await page.goBack();
  },
  async "many are acted on, and taken back"() {
    const title = `Three of ${PEOPLE}`;
    for (let number = 0; number < 3; number++) await ticket({ title });
    await visit(`/c/ops-tickets?f=title%3D${encodeURIComponent(title)}`);
    await person.shows("3 records, all there are.");
    await person.reach("[role=grid]");
    await person.keys(" ", "ArrowDown", " ");
    await person.choose("Act on 2", "Run a command on 2 selected records");
    await person.press("Try it");
    await person.shows("It would change 2 records.");
    await person.press("Run on 2 records");
    await person.shows("ack: 2 records changed.", ".notes");
    await undo("2 records");
    await person.choose("Act", "Delete all that match");
    await person.press("Delete 3 records");
    await person.shows("No record matches.");
    await person.choose("⋯", "Trash");
    await person.shows(title, "main");
  },
  async "the trash gives back"() {
    await person.reach("[role=grid]");
    await person.keys("Home", " ");
    await person.press("Bring back 1 record");
    await person.press("Bring back");
    await person.shows("1 record brought back.", ".notes");
  },
  async "a list is looked at as it was, and a record brought back"() {
    const title = `Then of ${PEOPLE}`;
    const id = await ticket({ title });
    const { updated_at: at } = JSON.parse(await call("GET", `${TICKETS}/${id}`));
    await call("PATCH", `${TICKETS}/${id}`, { title: `Now of ${PEOPLE}` });
    await visit(`/c/ops-tickets?f=title%3D${encodeURIComponent(title)}`);
    await person.shows("No record matches.");
    await person.press("Look back");
    await person.shows("As of");
    await person.reach("Moment");
    await person.keys("ArrowLeft", "Home");
    await person.shows("No record matched then.");
    await person.reach("Date and time");
    const [, year, month, day, hour, minute] = /(\d+)-(\d+)-(\d+)T(\d+):(\d+)/.exec(new Date(Date.parse(at) - 60_000).toISOString());
    await page.keyboard.type(`${month}${day}${year}`);
    if (name === "chrome") await person.keys("ArrowRight");
    await page.keyboard.type(`${String((Number(hour) + 11) % 12 + 1).padStart(2, "0")}${minute}00${Number(hour) < 12 ? "A" : "P"}`);
    await person.keys("Enter");
    await person.shows(`As of ${year}-${month}-${day} ${hour}:${minute}:00`);
    await visit(`/c/ops-tickets?f=title%3D${encodeURIComponent(title)}&as_of=${at}`);
    await person.shows("1 record, all there are.");
    await person.press("What changed since");
    await person.shows("1 change of 1 record", "dialog [role=status]");
    await person.keys("Escape");
    await person.reach("[role=grid]");
    await person.keys(" ");
    await person.press("Bring back 1 record");
    await person.press("Bring back");
    await person.shows("1 record brought back.", ".notes");
    assert.equal((await dataOf(`${TICKETS}/${id}`)).title, title);
    await person.press("Back to now");
    await person.shows("1 record, all there are.");
  },
  async "two edit one record: what overlaps is chosen"() {
    const id = await ticket();
    await visitTicket(id);
    const [otherPage, other] = await open();
    await otherPage.goto(await please("link colleague"));
    await otherPage.bringToFront();
    await other.shows("Latest changes", "main");
    await otherPage.goto(`${url}/console/c/ops-tickets/${id}`);
    await page.bringToFront();
    await edit(TITLE, "Mine");
    await edit(SEVERITY, "20");
    await otherPage.bringToFront();
    await other.write(TITLE, "Theirs");
    await other.shows("Valid, not saved yet.");
    await other.chord("Control", "s");
    await other.shows("Saved as revision 2.", ".notes");
    await page.bringToFront();
    await person.shows("changed this record");
    await person.value("/title", "Mine");
    await save();
    await person.shows("1 member changed on both sides: choose.");
    await person.reach("theirs: Theirs");
    await person.keys(" ");
    await person.radio("mine");
    await person.press("Save the merge");
    await person.shows("Saved as revision 3.", ".notes");
    assert.deepEqual(await dataOf(`${TICKETS}/${id}`), { title: "Mine", severity: 20, acknowledged: false, migration_note: null });
    await otherPage.bringToFront();
    await other.value("/title", "Mine");
    await otherPage.browserContext().close();
    await page.bringToFront();
  },
  async "a command says what it would do; a guard says why not"() {
    await person.press("ack");
    await person.shows("It would change:", "dialog");
    await person.press("ack");
    await person.shows("ack: revision 4", ".notes");
    await person.shows("the ticket is acknowledged already", "header");
    await person.choose("⋯", "Delete");
    await person.press("Delete");
    await person.shows("Deleted. It is in the trash.", ".notes");
    await person.grid();
  },
  async "the changes of everybody are followed, filtered, proved and taken back"() {
    await person.keys("g", "c");
    await person.shows("live");
    const id = await ticket({ title: `Seen by ${PEOPLE}` });
    await person.shows(`Seen by ${PEOPLE}`, "ol");
    await person.press("proof");
    await person.shows("✓ The hash of this change", "dialog");
    await person.keys("Escape");
    await person.press("Pause");
    await person.shows("paused");
    await person.press("Resume");
    await person.write("Condition in CEL", `data.title == "Seen by ${PEOPLE}"`);
    await page.keyboard.press("Enter");
    await person.until("it is not filtered", () => document.querySelectorAll(".stream > li").length === 1);
    await person.press("undo");
    await person.press("Undo");
    await person.shows("1 record taken back.", ".notes");
    const gone = await fetch(`${url}${TICKETS}/${id}`, { headers: { Authorization: `Bearer ${colleague}` } });
    assert.equal(gone.status, 404);
  },
  async "the next version of a type says which records it would break"() {
    await person.jump(`${PEOPLE}: type`);
    await person.reach("Definition");
    const stored = await page.$eval("[aria-labelledby=definition]", (area) => area.value);
    const definition = JSON.parse(stored);
    definition.schema.properties.born = { type: "integer" };
    await person.paste(JSON.stringify(definition));
    await person.until("no record is named", () => document.querySelectorAll("main .dense td a").length >= 2);
    definition.schema.properties.born = { type: ["string", "null"], format: "date" };
    definition.schema.properties.email = { type: "string" };
    await person.reach("Definition");
    await person.paste(JSON.stringify(definition));
    await person.shows("It would become version 2; 3 records would be brought to it. None fails.");
    await person.press("Save");
    await person.shows("is at schema version 2.", ".notes");
  },
  async "a type evolves while its form is open"() {
    await person.list(PEOPLE);
    await page.keyboard.press("Enter");
    await person.write('[data-pointer="/name"] input', "Typed before");
    await person.shows("Valid, not saved yet.");
    const { schema } = JSON.parse(await call("GET", `/collections/${PEOPLE}`));
    const { name: named, ...others } = schema.properties;
    const next = { ...schema, properties: { full_name: named, ...others }, required: schema.required.map((other) => (other === "name" ? "full_name" : other)) };
    await call("PUT", `/entity-types/${PEOPLE}`, { schema: next, migration: { rename: { name: "full_name" } } });
    await person.shows("A new version of the schema changed this record");
    await person.until("the form stays", () => document.querySelector('[data-pointer="/full_name"]'));
    await person.until("what was typed is lost", () => document.querySelector('[data-pointer="/name"] textarea')?.value === '"Typed before"');
    await person.until("its field loses the focus", () => document.activeElement.closest("[data-pointer]")?.dataset.pointer === "/name");
    await person.press("Merge with mine");
    await person.shows("Save the merge");
    await person.press("Back to mine");
    await person.press("Discard mine");
    await person.until("the new version is not taken", () => !document.querySelector('[data-pointer="/name"]'));
  },
  async "a snapshot is taken, verified, compared, uploaded and restored"() {
    await page.$eval("#main", (main) => main.focus());
    await person.keys("g", "s");
    await person.press("Take a snapshot");
    await person.reach("Of");
    await page.keyboard.type(PEOPLE);
    await person.write("Note", `of ${PEOPLE}`);
    await page.keyboard.press("Enter");
    await person.shows("Taken: 3 records.", ".notes");
    await person.press("Verify");
    await person.shows("✓ verified");
    const { items } = JSON.parse(await call("GET", `/api/${PEOPLE}`));
    await call("DELETE", `/api/${PEOPLE}/${items[0].id}`);
    await person.press("Compare with now");
    await person.shows("1 change of 1 record.", "dialog");
    await person.keys("Escape");
    await person.press("Restore");
    await person.reach("go back to what the snapshot has of them");
    await person.radio("skip");
    await person.press("Try it");
    await person.shows("It would create 1 record and leave 2 records as they are.");
    await person.press("Restore");
    await person.shows("Restored: 1 created", ".notes");
    await person.press("Upload");
    await person.reach("File");
    await (await page.$("dialog input[type=file]")).uploadFile(file);
    await person.press("Upload");
    await person.shows("Uploaded and checked.", ".notes");
  },
  async "large and strange data comes back as it was"() {
    await call("PUT", `/entity-types/${PEOPLE}-anything`, { schema: { type: "object" } });
    let deep = "1";
    for (let level = 0; level < 50; level++) deep = `{"level ${level}": ${deep}}`;
    const strange = `"integer": 9223372036854775807, "decimal": 123456789012345678901234567890.10, "small": 1e-7,`
      + `"\\u202egnp.exe": "\\u202e\\u2066\\u200f", "__proto__": {"polluted": true}, "👩‍👩‍👧": "שלום नमस्ते 🏳️‍🌈", "deep": ${deep}`;
    const text = `"text": "${"<b>x</b> ".repeat(110_000)}"`;
    const members = Array.from({ length: 10_000 }, (_, number) => `"member ${number}": ${number}`).join(",");
    for (const rest of [strange, text, members]) {
      const path = `/api/${PEOPLE}-anything/${JSON.parse(await call("POST", `/api/${PEOPLE}-anything`, `{"first": "1", ${rest}}`)).id}`;
      const before = await call("GET", path);
      await visit(path.replace("/api", "/c"));
      await edit('[data-pointer="/first"] textarea', '"2"');
      await save();
      await person.shows("Saved as revision 2.", ".notes");
      const after = await call("GET", path);
      const [here, there] = [before, after].map((content) => content.replace(/"revision":\d+/, "").replace(/"updated_at":"[^"]*"/, ""));
      assert.equal(there.replace('"first":"2"', '"first":"1"'), here);
    }
    assert.equal(await page.evaluate(() => ({}).polluted), undefined);
  },
  async "the service restarts while somebody types"() {
    const id = await ticket();
    await visitTicket(id);
    await edit(SEVERITY, "40");
    await please("stop");
    await person.write(TITLE, "Typed while it was away");
    await person.shows("Nothing you typed is lost.", ".banner");
    await save();
    await please("start");
    await person.shows("Saved as revision 2.", ".notes");
    await person.hides("Nothing you typed is lost.");
    assert.equal((await dataOf(`${TICKETS}/${id}`)).title, "Typed while it was away");
    await call("PATCH", `${TICKETS}/${id}`, { severity: 50 });
    await person.value("/severity", "50");
  },
  async "a key is revoked while somebody types"() {
    const id = await ticket();
    const [otherPage, other] = await open();
    await otherPage.goto(`${url}/console/c/ops-tickets/${id}`);
    await otherPage.bringToFront();
    await other.write("Key", await please(`key passing-${PEOPLE}`));
    await otherPage.keyboard.press("Enter");
    await other.write(SEVERITY, "40");
    await other.shows("Valid, not saved yet.");
    await please(`revoke passing-${PEOPLE}`);
    await other.write(SEVERITY, "41");
    await other.shows("The session has ended.");
    await other.write("Key", admin);
    await otherPage.keyboard.press("Enter");
    await other.hides("The session has ended.");
    await other.value("/severity", "41");
    await other.chord("Control", "s");
    await other.shows("Saved as revision 2.", ".notes");
    await otherPage.browserContext().close();
  },
};

const failures = [];
try {
  for (const [title, flow] of Object.entries(FLOWS)) {
    if (only && !title.includes(only) && !title.startsWith("a link") && !title.startsWith("a type is made")) continue;
    const start = Date.now();
    try {
      await flow();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, "the page is wider than its window");
      console.log(`${title} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      await page.bringToFront();
      const text = await page.$eval("body", (body) => (body.querySelector("dialog") ?? body.querySelector("main") ?? body).innerText);
      failures.push(title);
      for (const context of browser.browserContexts()) if (context !== page.browserContext() && context !== browser.defaultBrowserContext()) await context.close();
      console.log(`FAILED ${title}: ${error.stack}\n${page.url()}\n${text.slice(0, 600)}`);
    }
  }
  assert.deepEqual(failures, []);
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
  lines.return?.();
  process.stdin.destroy();
}
