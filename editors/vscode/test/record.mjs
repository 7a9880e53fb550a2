// Plays one scene in VS Code with the real model and keeps a picture after each step, for tests/editors/record_vscode.py.
// `node test/record.mjs FOLDER`: FOLDER gets 000.png, 001.png, … and frames.json with how long each is to be shown.
// The times are set here, for reading: how long a suggestion takes on this machine is no part of the picture.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { startBrowser } from "./browser.mjs";
import { Editor } from "./editor.mjs";
import { startHost } from "./host.mjs";

const KEY_MS = 90;
const LOOK_MS = 1600;
const READ_MS = 3200;
const VIEW = { width: 940, height: 520 };

/** Pictures in order, each with the time it is shown. */
class Film {
  frames = [];

  constructor(editor) {
    this.editor = editor;
  }

  async take(milliseconds) {
    const name = `${String(this.frames.length).padStart(3, "0")}.png`;
    await this.editor.page.mouse.move(VIEW.width - 5, VIEW.height / 2); // where it points at nothing
    await this.editor.page.screenshot({ path: join(target, name) });
    this.frames.push({ name, milliseconds });
    writeFileSync(join(target, "frames.json"), JSON.stringify(this.frames));
  }

  async type(text) {
    for (const letter of text) {
      await this.editor.type(letter);
      await this.take(KEY_MS);
    }
  }
}

const target = process.argv[2];
const server = process.env.HEF_TEST_SERVER;
assert(target && server, "HEF_TEST_SERVER=PYTHON node test/record.mjs FOLDER");
mkdirSync(target, { recursive: true });

const browser = await startBrowser();
const host = await startHost({
  machine: { "hef.server.path": server },
  settings: {
    "hef.completion.deadlineMs": 60_000,
    "editor.quickSuggestions": { other: "off" },
    "editor.fontSize": 15,
    "editor.cursorBlinking": "solid",
    "editor.lightbulb.enabled": "off",
    "editor.stickyScroll.enabled": false,
    "breadcrumbs.enabled": false,
    "window.menuBarVisibility": "hidden",
    "workbench.layoutControl.enabled": false,
    "workbench.navigationControl.enabled": false,
  },
});
try {
  const editor = await Editor.open(browser, host, VIEW);
  await play(editor, new Film(editor));
} finally {
  await browser.close();
  await host.stop();
}

async function play(editor, film) {
  await editor.waitForStatus(/hef: ready/);
  await editor.openFile("till.py");
  await editor.command("hef: Show the Hierarchy");
  const view = await editor.webview(".row");
  await view.locator(".row", { hasText: "shop" }).click();
  await view.locator(".row", { hasText: "stock.py" }).waitFor();
  await editor.focusText();
  await editor.press("Control+End");
  await film.take(LOOK_MS);

  await film.type("    if");
  await editor.waitForGhost();
  await view.locator(".row.hit0").waitFor();
  await film.take(LOOK_MS);
  await editor.press("Tab");
  await film.take(KEY_MS * 4);

  await film.type("\nre");
  await editor.waitForGhost();
  await film.take(LOOK_MS);
  await editor.press("Control+ArrowRight");
  await editor.waitForGhost();
  await film.take(LOOK_MS);
  await editor.press("Tab");
  await film.take(KEY_MS * 4);

  await editor.press("Enter");
  await editor.press("Shift+Tab");
  await film.type("return item.u");
  await editor.waitForGhost();
  await film.take(LOOK_MS);
  await editor.press("Tab");
  await film.take(LOOK_MS);

  await editor.command("hef: Explain the Last Suggestion");
  await editor.webview("li a");
  await editor.page.waitForTimeout(2000); // the page is loaded behind the frame that is seen
  await film.take(READ_MS);
}
