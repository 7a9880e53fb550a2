// A workspace that is not trusted, a machine without the model: one question each, nothing before the answer.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

export const host = ({ server }) => ({
  machine: { "hef.server.path": server },
  settings: {
    "security.workspace.trust.enabled": true,
    "security.workspace.trust.startupPrompt": "never",
  },
  models: "none",
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: not allowed/);
  const question = editor.notification("this workspace is not trusted");
  await question.waitFor();
  await editor.picture("not-trusted");
  assert.deepEqual(kept(editor), [], "something was kept before the answer");
  await question.getByRole("button", { name: "Only Open Files" }).click();
  step("the workspace that is not trusted was asked about");

  await editor.waitForStatus(/hef: no model/);
  const download = editor.notification("is a download of");
  await download.waitFor();
  assert.match(await download.innerText(), /smollm2-135m is a download of [\d.]+ MB/);
  await editor.picture("download");
  await download.getByRole("button", { name: "Not Now" }).click();
  step("the model was asked for, with its size");

  await editor.page.waitForTimeout(3000); // VS Code keeps answers a little later than they are given
  await editor.page.reload();
  await editor.waitForStatus(/hef: no model/);
  await editor.page.waitForTimeout(3000);
  assert.equal(await editor.page.locator(".notification-toast", { hasText: "hef-lsp" }).count(), 0, "asked again");
  step("nothing is asked a second time");

  await editor.clickStatus();
  await editor.pick("Fetch the model");
  await download.waitFor();
  step("the menu asks again");
}

/** What the server has written so far. */
const kept = (editor) => readdirSync(join(editor.host.root, "cache", "hef-lsp"));
