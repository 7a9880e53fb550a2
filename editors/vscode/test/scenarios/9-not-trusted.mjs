// Two folders that are not trusted: nothing is read before the answer, only open files after "Only Open Files", and all
// of both once the workspace is trusted.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

export const host = () => process.env.HEF_TEST_STUB && ({
  machine: { "hef.server.path": process.env.HEF_TEST_STUB }, // the server with fake models
  settings: {
    "security.workspace.trust.enabled": true,
    "security.workspace.trust.startupPrompt": "never",
    "hef.completion.deadlineMs": 60_000,
    "editor.quickSuggestions": { other: "off" },
  },
  others: { beside: "def beside(left, right):\n    return left + right\n" },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: not allowed/);
  const question = editor.notification("this workspace is not trusted");
  await question.waitFor();
  assert.deepEqual(readdirSync(join(editor.host.root, "cache", "hef-lsp")), ["models"], "an index before the answer");
  await question.getByRole("button", { name: "Only Open Files" }).click();
  await editor.waitForStatus(/hef: ready/);
  step("nothing was kept before the answer");

  await editor.command("hef: Show the Hierarchy");
  const before = await editor.webview(".empty");
  assert.equal(await before.locator(".row").count(), 0, "files were read that nobody opened");
  await editor.picture("nothing-indexed");
  await editor.openFile("till.py");
  await editor.press("Control+End");
  await editor.type("    if");
  step(`ghost text from the open file alone: ${JSON.stringify(await editor.waitForGhost())}`);

  await editor.command("Workspaces: Manage Workspace Trust");
  await editor.page.locator(".workspace-trust-editor .monaco-button", { hasText: /^Trust$/ }).first().click();
  await editor.waitForStatus(/hef: ready/);
  const after = await editor.webview(".row", 180);
  await after.locator(".row", { hasText: "module.py" }).waitFor({ timeout: 300_000 });
  await after.locator(".row", { hasText: "shop" }).waitFor();
  step("both folders are read once they are trusted");
}
