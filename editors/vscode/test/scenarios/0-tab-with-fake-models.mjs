// The shortest way through it all, for CI: typed, seen in grey, taken with Tab. The server is the real one; its models
// are fakes that say HEF_TEST_SCRIPT wherever they are asked, so what must stand in the file is known.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";

const FILE = "shop/till.py";

export const host = () =>
  process.env.HEF_TEST_STUB
    ? {
        machine: { "hef.server.path": process.env.HEF_TEST_STUB },
        settings: { "hef.completion.deadlineMs": 60_000, "editor.quickSuggestions": { other: "off" } },
      }
    : undefined;

/** How often the model was asked so far. */
const nAsked = () => {
  const calls = process.env.HEF_TEST_CALLS;
  return existsSync(calls) ? readFileSync(calls, "utf8").split("\n").length - 1 : 0;
};

export default async function (editor, step) {
  const script = process.env.HEF_TEST_SCRIPT;
  await editor.waitForStatus(/hef: ready/);
  step("the status says ready");
  await editor.openFile("till.py");
  await editor.until(async () => nAsked() > 0, "an answer where the file was opened", 600);
  const before = nAsked();
  await editor.press("Control+End");
  await editor.until(async () => nAsked() > before, "an answer where the cursor rests", 600);
  step("where the cursor rests the answer is worked out before anything is typed");
  await editor.type("    ret");
  await editor.until(async () => (await editor.ghost()).includes(script), `ghost text ${script}`, 600);
  step(`ghost text: ${JSON.stringify(await editor.ghost())}`);
  await editor.picture("fake-ghost-text");
  const saved = await editor.saved(FILE);
  assert(saved.endsWith("    ret"), `what is only grey must not be in the file: ${saved.slice(-40)}`);

  await editor.until(async () => (await editor.ghost()).includes(script), "ghost text after saving", 600);
  await editor.press("Tab");
  await editor.until(async () => (await editor.saved(FILE)).endsWith(`    ret${script}`), "the text in the file", 180);
  step("Tab took it");
}
