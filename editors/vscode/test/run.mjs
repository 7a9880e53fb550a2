// Runs the scenarios in the real VS Code: `npm test`, or `npm test -- NAME` for those whose name has NAME.
// HEF_TEST_SERVER names the Python interpreter that has the server. Pictures go to test-output/. tests/editors/test_vscode.py
// runs each as one test.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { startBrowser } from "./browser.mjs";
import { Editor } from "./editor.mjs";
import { HERE, startHost } from "./host.mjs";

const wanted = process.argv[2] ?? "";
const server = process.env.HEF_TEST_SERVER;
assert(server, "HEF_TEST_SERVER must name a Python interpreter that has hef-lsp");

const browser = await startBrowser();
let failures = 0;
try {
  for (const file of readdirSync(join(HERE, "scenarios")).sort()) {
    if (file.includes(wanted)) {
      failures += (await passes(file)) ? 0 : 1;
    }
  }
} finally {
  await browser.close();
}
process.exitCode = failures ? 1 : 0;

async function passes(file) {
  const began = Date.now();
  const scenario = await import(pathToFileURL(join(HERE, "scenarios", file)).href);
  const wishes = scenario.host({ server });
  if (!wishes) {
    console.log(`${file}\n  skipped`);
    return true;
  }
  const host = await startHost(wishes);
  const editor = await Editor.open(browser, host);
  const step = (what) => console.log(`  ${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${what}`);
  console.log(file);
  try {
    await scenario.default(editor, step);
    return true;
  } catch (error) {
    console.error(`  FAILED: ${error.stack}`);
    const name = `failed-${file.replace(/\.mjs$/, "")}`;
    await editor.picture(name);
    await pictureOfLog(editor, `${name}-log`).catch(() => undefined);
    return false;
  } finally {
    await editor.page.close();
    await host.stop();
  }
}

async function pictureOfLog(editor, name) {
  await editor.command("hef: Show the Log");
  await editor.page.waitForTimeout(2000);
  await editor.picture(name);
}
