// Two folders in one window, and a third that comes later: one server reads all of them, and the view draws them.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const host = () => process.env.HEF_TEST_STUB && ({
  machine: { "hef.server.path": process.env.HEF_TEST_STUB }, // the server with fake models
  settings: { "hef.completion.deadlineMs": 60_000, "editor.quickSuggestions": { other: "off" } },
  others: { beside: "def beside(left, right):\n    return left + right\n" },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  await editor.command("hef: Show the Hierarchy");
  const view = await editor.webview(".row");
  await view.locator(".row", { hasText: "module.py" }).waitFor({ timeout: 300_000 });
  await view.locator(".row", { hasText: "shop" }).waitFor();
  step("both folders are drawn");
  await view.locator(".row", { hasText: "module.py" }).click();
  await view.locator(".row", { hasText: "lines 1 to 2" }).click();
  await editor.page.locator(".tab.active", { hasText: "module.py" }).waitFor();
  step("a chunk of the second folder opens");
  await editor.picture("several-folders");

  await editor.press("Escape");
  await editor.focusText();
  await editor.press("Control+End");
  await editor.type("\n\ndef between(left, right):\n    ret");
  step(`ghost text in the second folder: ${JSON.stringify(await editor.waitForGhost())}`);

  const file = join(editor.host.root, "several.code-workspace");
  const { folders } = JSON.parse(readFileSync(file, "utf8"));
  mkdirSync(join(editor.host.root, "later"));
  writeFileSync(join(editor.host.root, "later", "arrived.py"), "def arrive():\n    return None\n");
  writeFileSync(file, JSON.stringify({ folders: [...folders, { path: "later" }] }));
  await view.locator(".row", { hasText: "arrived.py" }).waitFor({ timeout: 300_000 });
  step("a third folder is read as soon as it is added");
}
