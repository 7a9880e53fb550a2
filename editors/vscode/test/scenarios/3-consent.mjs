// A workspace that is not trusted, a machine without the model: one question each, nothing before the answer.
// With HEF_TEST_INSTALL=1 the model is fetched at the end.

import assert from "node:assert/strict";

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
  await editor.waitForStatus(/hef: no model/, 60);
  await editor.page.waitForTimeout(3000);
  assert.equal(await editor.page.locator(".notification-toast", { hasText: "hef-lsp" }).count(), 0, "asked again");
  step("nothing is asked a second time");

  await editor.clickStatus();
  await editor.pick("Fetch the model");
  await download.waitFor();
  step("the menu asks again");

  if (process.env.HEF_TEST_INSTALL) {
    await download.getByRole("button", { name: "Download" }).press("Enter"); // a tooltip is in the mouse's way
    await editor.waitForStatus(/hef: loading the models \d+ %/);
    step("the status bar counts");
    await editor.waitForStatus(/hef: ready/, 300);
    step("the model was fetched after a yes");
  }
}
