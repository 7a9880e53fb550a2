// VS Code as a user meets it: what is on the screen, and keys.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { HERE } from "./host.mjs";

const PICTURES = join(HERE, "..", "test-output");
/** No measure of speed: a busy machine may take minutes to load the models. */
const PATIENCE_S = 600;
const STATUS = '[id="hef-lsp.hef-lsp.hef.status"]';

export class Editor {
  constructor(page, host) {
    this.page = page;
    this.host = host;
    mkdirSync(PICTURES, { recursive: true });
  }

  static async open(browser, host, viewport = { width: 1100, height: 680 }) {
    const page = await browser.newPage({ viewport });
    page.setDefaultTimeout(120_000);
    await page.goto(host.url);
    await page.waitForSelector(".monaco-workbench .statusbar", { timeout: 1000 * PATIENCE_S });
    return new Editor(page, host);
  }

  async status() {
    const item = this.page.locator(STATUS);
    return (await item.count()) ? (await item.innerText()).trim() : "";
  }

  async waitForStatus(wanted, seconds = PATIENCE_S) {
    await this.until(async () => wanted.test(await this.status()), `a status like ${wanted}`, seconds);
    return await this.status();
  }

  async openFile(name) {
    await this.page.keyboard.press("Control+P");
    await this.page.waitForSelector(".quick-input-widget:not([style*='display: none'])");
    await this.page.keyboard.type(name);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: name }).first().waitFor();
    await this.page.keyboard.press("Enter");
    await this.page.locator(".tab.active", { hasText: name }).waitFor();
    await this.page.waitForSelector(".monaco-editor .view-line");
    await this.focusText();
  }

  async focusText() {
    await this.page.locator(".editor-container .monaco-editor .view-lines").first().click();
    await this.page.waitForSelector(".editor-container .monaco-editor.focused");
  }

  async command(title) {
    await this.page.keyboard.press("F1");
    await this.page.waitForSelector(".quick-input-widget:not([style*='display: none'])");
    await this.page.keyboard.type(title);
    await this.page.locator(".quick-input-list .monaco-list-row", { hasText: title }).first().waitFor();
    await this.page.keyboard.press("Enter");
  }

  async pick(label) {
    const row = this.page.locator(".quick-input-list .monaco-list-row", { hasText: label }).first();
    await row.waitFor();
    await row.click();
  }

  /** Fills the box that asks for a text. */
  async answer(text) {
    const box = this.page.locator(".quick-input-widget .quick-input-box input");
    await box.waitFor();
    await box.fill(text);
    await box.press("Enter");
  }

  async type(text, delay = 30) {
    await this.page.keyboard.type(text, { delay });
  }

  async press(key) {
    await this.page.keyboard.press(key);
  }

  /** The grey text; empty if there is none. */
  async ghost() {
    const parts = await this.page.locator(".monaco-editor [class*='ghost-text']").allInnerTexts();
    return parts.join("").replaceAll("\u00a0", " ");
  }

  async waitForGhost(seconds = PATIENCE_S) {
    await this.until(async () => (await this.ghost()).trim() !== "", "ghost text", seconds);
    await sleep(300); // the second of two answers may replace the first
    return await this.ghost();
  }

  /** Saves, and reads the file from the disk. */
  async saved(name) {
    await this.press("Control+S");
    await this.page.locator(".tab.active.dirty").waitFor({ state: "detached" });
    await sleep(200);
    return readFileSync(join(this.host.folder, name), "utf8");
  }

  async listText() {
    const list = this.page.locator(".suggest-widget.visible");
    return (await list.count()) ? await list.innerText() : "";
  }

  async clickStatus() {
    await this.page.locator(STATUS).click();
  }

  /** The user's settings, with those of the machine that the server runs on; none of a file being written. */
  settings() {
    const read = (...names) => {
      const text = readFileSync(join(this.host.data, ...names, "settings.json"), "utf8");
      return text === "" ? {} : JSON.parse(text);
    };
    return { ...read("User"), ...read("Machine") };
  }

  /** Changes the user's settings as another program would: in their file. */
  change(settings, scope = "User") {
    const file = join(this.host.data, scope, "settings.json");
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...settings }, null, 2));
  }

  /** The same for those that only the machine may say. */
  changeMachine(settings) {
    this.change(settings, "Machine");
  }

  /** What stands above the menu. */
  async menuTitle() {
    await this.clickStatus();
    const title = await this.page.locator(".quick-input-widget .quick-input-title").innerText();
    await this.press("Escape");
    return title;
  }

  notification(text) {
    return this.page.locator(".notification-list-item, .notification-toast", { hasText: text }).first();
  }

  /** The document inside a web view. */
  async webview(selector, seconds = 120) {
    let found;
    await this.until(
      async () => {
        for (const frame of this.page.frames()) {
          if ((await frame.locator(selector).count().catch(() => 0)) > 0) {
            found = frame;
          }
        }
        return found !== undefined;
      },
      `a view with ${selector}`,
      seconds,
    );
    return found;
  }

  async picture(name) {
    await sleep(500); // what fades in or out is done with it
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`) });
  }

  async until(holds, what, seconds = 120) {
    const end = Date.now() + 1000 * seconds;
    while (!(await holds())) {
      if (Date.now() > end) {
        throw new Error(`waited ${seconds} s in vain for ${what}; the status is "${await this.status()}"`);
      }
      await sleep(100);
    }
  }
}
