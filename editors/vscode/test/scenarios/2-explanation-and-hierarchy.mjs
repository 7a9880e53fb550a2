// What stood behind a suggestion, with links; the tree of the workspace, and what lights up when a file changes.

import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { join } from "node:path";

export const host = ({ server }) => ({
  machine: { "hef.server.path": server },
  settings: {
    "hef.completion.deadlineMs": 60_000,
    "hef.context.mode": "dense", // so that there is something to fuse
    "editor.quickSuggestions": { other: "off" },
  },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  await editor.openFile("till.py");

  await editor.command("hef: Show the Hierarchy");
  const view = await editor.webview(".row");
  await view.locator(".row", { hasText: "shop" }).click();
  await view.locator(".row", { hasText: "stock.py" }).waitFor();
  await view.locator(".row .mark.fused").nth(5).waitFor({ timeout: 300_000 });
  step("the hierarchy is drawn, and fused");

  await editor.focusText();
  await editor.press("Control+End");
  await editor.type("    if");
  await editor.waitForGhost();
  await view.locator(".row.hit0").waitFor({ timeout: 300_000 });
  step(`retrieved: ${JSON.stringify(await view.locator(".row.hit0, .row.hit1, .row.hit2").allInnerTexts())}`);

  await editor.page.waitForTimeout(500);
  await editor.picture("hierarchy-and-ghost-text");

  const stock = view.locator(".row", { hasText: "stock.py" });
  if ((await stock.getAttribute("aria-expanded")) === "false") {
    await stock.click();
  }
  await view.evaluate(() => {
    globalThis.lit = 0;
    const count = () => (globalThis.lit = Math.max(globalThis.lit, document.querySelectorAll(".changed").length));
    new MutationObserver(count).observe(document.body, { childList: true, subtree: true, attributes: true });
  });
  appendFileSync(join(editor.host.folder, "shop", "stock.py"), "\n\ndef empty_stock() -> Stock:\n    return Stock([])\n");
  await editor.until(async () => (await view.evaluate(() => globalThis.lit)) > 0, "rows that light up", 180);
  step("a change on the disk lights up in the tree");

  await editor.command("hef: Explain the Last Suggestion");
  await editor.webview("li a");
  await editor.page.waitForTimeout(1000); // VS Code puts a frame in place of the one it loads in
  const page = await editor.webview("li a");
  const texts = await page.locator("li a").allInnerTexts();
  step(`the explanation names ${JSON.stringify(texts)}`);
  await editor.picture("explanation");
  const chunk = texts.find((text) => /\.py:\d+-\d+$/.test(text));
  assert(chunk, "no chunk is named");
  await page.locator("li a", { hasText: chunk }).first().click();
  const name = /([\w]+\.py):/.exec(chunk)[1];
  await editor.page.locator(".tab.active", { hasText: name }).waitFor();
  step(`its link opened ${name}`);
  await editor.picture("hierarchy");

  await editor.command("Preferences: Toggle between Light/Dark Themes");
  await editor.page.locator(".monaco-workbench.vs-dark").waitFor();
  await editor.page.setViewportSize({ width: 760, height: 680 });
  await editor.picture("narrow-and-dark");
}
