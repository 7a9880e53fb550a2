// No server and no model anywhere: the extension sets both up after asking, and the first suggestion is taken. Fetches
// gigabytes: only with HEF_TEST_INSTALL=1. tests/editors/test_newcomer.py runs it after the commands that docs/editors.md says.

import assert from "node:assert/strict";

const MINUTES = 20;
const FILE = "shop/till.py";

export const host = () => (process.env.HEF_TEST_INSTALL ? { models: "none" } : undefined);

export default async function (editor, step) {
  await editor.waitForStatus(/hef: no server/);
  const offer = editor.notification("the server was not found");
  await offer.getByRole("button", { name: "Set Up", exact: true }).click();
  await editor.notification("Collecting").waitFor({ timeout: 120_000 });
  assert.match(await editor.status(), /hef: setting up/);
  await editor.picture("setting-up");
  step("pip works, and its lines are shown");

  await editor.waitForStatus(/hef: no model/, 60 * MINUTES);
  step("the server is in the extension's own environment");
  const question = editor.notification("is a download of");
  await question.waitFor();
  await question.getByRole("button", { name: "Download" }).press("Enter"); // a tooltip is in the mouse's way
  await editor.waitForStatus(/hef: loading the models \d+ %/, 180);
  step("the status bar counts what is fetched of the model");
  await editor.waitForStatus(/hef: ready/, 60 * MINUTES);
  assert.match(await editor.menuTitle(), /\(the extension's own environment\): ready/);
  step("the server is ready");

  await editor.openFile("till.py");
  await editor.press("Control+End");
  await editor.type("    if");
  const ghost = await editor.waitForGhost();
  step(`the first ghost text: ${JSON.stringify(ghost)}`);
  await editor.picture("first-ghost-text");
  const before = await editor.saved(FILE);
  await editor.waitForGhost();
  await editor.press("Tab");
  await editor.until(async () => (await editor.saved(FILE)).length > before.length, "the text in the file", 180);
  step("Tab took it");
}
