// A person at a keyboard: reaches controls with Tab, by what they are called, and has no mouse.
import assert from "node:assert/strict";

/** What runs in the page: controls by their accessible names, in the order of Tab. */
const IN_PAGE = () => {
  const CONTROLS = "a[href], button, summary, input, select, textarea, [tabindex]";
  const scope = () => document.querySelector("dialog[open]") ?? document.body;
  const isOffered = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.disabled && element.tabIndex >= 0
    && (element.type !== "radio" || element.checked || ![...document.getElementsByName(element.name)].some((other) => other.checked));
  const textOf = (element) => (element?.innerText ?? "").replace(/\s+/g, " ").trim();
  const nameOf = (element) => {
    const label = element.labels?.[0]?.cloneNode(true);
    label?.querySelectorAll("select, textarea").forEach((control) => control.remove());
    const by = document.getElementById(element.getAttribute("aria-labelledby"));
    return element.getAttribute("aria-label") ?? (by ? textOf(by) : label ? label.textContent.replace(/\s+/g, " ").trim() : textOf(element));
  };
  const offered = () => [...scope().querySelectorAll(CONTROLS)].filter(isOffered);
  globalThis.keyboardTest = {
    offered, nameOf,
    find: (name) => offered().find((element) => nameOf(element) === name)
      ?? offered().find((element) => element.matches(name.startsWith("[") || name.startsWith("#") ? name : ":not(*)")),
    steps: (name) => {
      const target = globalThis.keyboardTest.find(name);
      if (!target) return null;
      const all = offered();
      if (target === document.activeElement) return 0;
      const here = all.indexOf(document.activeElement);
      if (here >= 0) return all.indexOf(target) - here;
      return document.activeElement.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_PRECEDING ? -1 : 1;
    },
  };
};

export class Keyboard {
  constructor(page) {
    this.page = page;
  }

  static async at(page) {
    await page.evaluateOnNewDocument(IN_PAGE);
    return new Keyboard(page);
  }

  /** Wait until a function of the page gives something. */
  async until(what, test, ...values) {
    try {
      await this.page.waitForFunction(test, { polling: 50 }, ...values);
    } catch (error) {
      throw new Error(`${what}: ${error.message}`);
    }
  }

  /** Wait until a text is on the page. */
  shows(text, selector = "body") {
    return this.until(`"${text}" does not appear`, (wanted, within) =>
      [...document.querySelectorAll(within)].some((element) => element.innerText.replace(/\s+/g, " ").includes(wanted)), text, selector);
  }

  hides(text, selector = "body") {
    return this.until(`"${text}" does not disappear`, (unwanted, within) =>
      ![...document.querySelectorAll(within)].some((element) => element.innerText.replace(/\s+/g, " ").includes(unwanted)), text, selector);
  }

  /** Press Tab until the control of this name, or selector, has the focus. */
  async reach(name) {
    await this.until(`there is no control "${name}"`, (wanted) => Boolean(globalThis.keyboardTest.find(wanted)), name);
    await this.activate();
    let pressed = 0;
    for (; pressed < 150; pressed++) {
      const steps = await this.page.evaluate((wanted) => globalThis.keyboardTest.steps(wanted), name);
      if (steps === 0) return;
      // What a browser stops at besides, such as what can be scrolled, is passed by.
      if (steps !== null && steps < 0) await this.chord("Shift", "Tab");
      else await this.page.keyboard.press("Tab");
    }
    const at = await this.page.evaluate(() => document.activeElement.outerHTML.slice(0, 200));
    assert.fail(`Tab does not reach "${name}" (${pressed} times); the focus is at ${at}`);
  }

  /** Make the window of the page the one that gets the keys. */
  async activate() {
    if (await this.page.evaluate(() => document.hasFocus())) return;
    await this.page.bringToFront();
    await this.until("the window does not get the keys", () => document.hasFocus());
  }

  isAt(name) {
    return this.page.evaluate((wanted) => document.activeElement === globalThis.keyboardTest.find(wanted), name);
  }

  /** Whether what has the focus shows that it has. */
  async marked() {
    return this.page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return outlineStyle !== "none" && outlineWidth !== "0px";
    });
  }

  async press(name, key = "Enter") {
    await this.reach(name);
    assert.ok(await this.marked(), `"${name}" does not show that it has the focus`);
    await this.page.keyboard.press(key);
  }

  /** Replace the text of a field. */
  async write(name, text) {
    await this.reach(name);
    await this.chord("Control", "a");
    if (text) await this.page.keyboard.type(text);
    else await this.page.keyboard.press("Delete");
  }

  /** Replace the text of the field that has the focus, as the clipboard does. */
  async paste(text) {
    await this.chord("Control", "a");
    await this.page.evaluate((pasted) => document.execCommand("insertText", false, pasted), text);
  }

  async chord(modifier, key) {
    await this.page.keyboard.down(modifier);
    await this.page.keyboard.press(key);
    await this.page.keyboard.up(modifier);
  }

  async keys(...keys) {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  /** Open the item of a menu. */
  async choose(menu, item) {
    await this.reach(menu);
    await this.page.keyboard.press("ArrowDown");
    for (let step = 0; step < 12; step++) {
      if (await this.page.evaluate((wanted) => globalThis.keyboardTest.nameOf(document.activeElement) === wanted, item)) {
        await this.page.keyboard.press("Enter");
        return;
      }
      await this.page.keyboard.press("ArrowDown");
    }
    assert.fail(`the menu "${menu}" has no "${item}"`);
  }

  /** Choose another button of the group of radio buttons that Tab reached. */
  async radio(value) {
    for (let step = 0; step < 6; step++) {
      if (await this.page.evaluate(() => document.activeElement.value) === value) return;
      await this.page.keyboard.press("ArrowDown");
    }
    assert.fail(`there is no choice "${value}"`);
  }

  /** Go to a screen by its name. */
  async jump(name) {
    await this.chord("Control", "k");
    await this.until("the jump does not open", () => document.activeElement?.getAttribute("aria-label") === "Where to");
    await this.page.keyboard.type(name);
    await this.until(`nothing is called "${name}"`, (wanted) => document.querySelector("#goals li[aria-selected=true] bdi")?.innerText === wanted, name);
    await this.page.keyboard.press("Enter");
  }

  /** Jump to a list, and wait until its table has the focus. */
  async list(name) {
    await this.jump(name);
    await this.grid();
  }

  grid() {
    return this.until("no list has the focus", () => document.activeElement?.getAttribute("role") === "grid"
      && !document.querySelector(".table-end").innerText.includes("Loading"));
  }

  value(pointer, wanted) {
    return this.until(`${pointer} does not become ${wanted}`, (at, text) =>
      document.querySelector(`[data-pointer="${at}"] :is(input, textarea, select)`)?.value === text, pointer, wanted);
  }
}
