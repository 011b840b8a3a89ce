// Drives the console in Firefox over WebDriver BiDi: node firefox.mjs URL FIREFOX.
// It uses nothing but the keyboard, except to paste.
import assert from "node:assert/strict";
import puppeteer from "puppeteer-core";

const [url, executablePath] = process.argv.slice(2);
const CSV = "name,born,number\nAda,1815-12-10,9007199254740993\nGrace,1906-12-09,2\n";

const browser = await puppeteer.launch({ browser: "firefox", executablePath, headless: true });
const complaints = [];
const page = await browser.newPage();
page.setDefaultTimeout(30_000);
page.on("pageerror", (error) => complaints.push(error.message));
page.on("console", (message) => {
  if (message.text().includes("Content-Security-Policy")) complaints.push(message.text());
});

const shows = (text) => page.locator(`::-p-text(${text})`).wait();
const named = (name, role = "button") => page.locator(`::-p-aria([name="${name}"][role="${role}"])`);

async function type(selector, text) {
  await page.locator(selector).wait();
  await page.$eval(selector, (field) => { field.focus(); field.select(); });
  await page.keyboard.type(text);
}

/** Press Enter on a control, as a keyboard does that came to it. */
async function press(name, role) {
  const found = await named(name, role).waitHandle();
  await page.waitForFunction((element) => !element.disabled, {}, found);
  await found.focus();
  await page.keyboard.press("Enter");
}

async function chord(modifier, key) {
  await page.keyboard.down(modifier);
  await page.keyboard.press(key);
  await page.keyboard.up(modifier);
}


const FLOWS = {
  async "a type is made from a CSV"() {
    await page.goto(`${url}/`);
    await press("New type from CSV or JSON", "link");
    await page.locator("#paste").fill(CSV);
    await type("input[placeholder=people]", "people");
    await press("Make it with 2 records");
    await shows("9007199254740993");
  },
  async "a record is edited, refused, saved and taken back"() {
    await page.waitForFunction(() => document.activeElement?.getAttribute("role") === "grid");
    await page.keyboard.press("Enter");
    await page.locator("[data-pointer='/number'] input").wait();
    await type("[data-pointer='/number'] input", "many");
    await page.locator(".field.faulty").wait();
    await type("[data-pointer='/number'] input", "9007199254740995");
    await shows("The service would take it");
    await chord("Control", "s");
    await shows("Saved as revision 2.");
    await press("Undo this");
    await press("Undo");
    await shows("1 record taken back.");
    await page.waitForFunction(() => document.querySelector("[data-pointer='/number'] input").value === "9007199254740993");
  },
  async "its history says who did what, and goes back"() {
    await press("History", "link");
    await press("Go back to 2");
    await press("Go back");
    await shows("Back to the data of revision 2, as revision 4.");
  },
  async "a list is filtered and looked at as it was"() {
    await chord("Control", "k");
    await page.locator("dialog input").wait();
    await page.keyboard.type("people");
    await page.keyboard.press("Enter");
    await type("input[role=combobox]", 'data.name == "Ada"');
    await page.keyboard.press("Enter");
    await shows("1 record, all there are.");
    await press("Look back");
    await shows("There was nothing then.");
    await press("Back to now");
    await shows("1 record, all there are.");
  },
  async "a snapshot is taken and restored"() {
    await page.keyboard.press("Tab");
    await page.$eval("#main", (main) => main.focus());
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await press("Take a snapshot");
    await press("Take it");
    await shows("2 records");
    await press("Restore");
    await press("Try it");
    await shows("It would create 0 records");
  },
  async "a change by somebody else appears"() {
    await page.goto(`${url}/console/changes`);
    await shows("live");
    const answer = await fetch(`${url}/api/people`, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"name": "Edsger", "number": 3}' });
    assert.equal(answer.status, 422);
    const { items: [{ id }] } = await (await fetch(`${url}/api/people`)).json();
    await fetch(`${url}/api/people/${id}`, { method: "DELETE" });
    await page.locator(".operation.delete").wait();
  },
};

try {
  for (const [name, flow] of Object.entries(FLOWS)) {
    try {
      await flow();
    } catch (error) {
      const text = await page.$eval("body", (body) => body.innerText);
      throw new Error(`${name}: ${error.message}\n${page.url()}\n${text.slice(0, 2000)}`);
    }
    console.log(name);
  }
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
