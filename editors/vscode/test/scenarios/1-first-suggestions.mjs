// Ghost text, the list, partial accept, status, menu, context mode: what everybody uses.

import assert from "node:assert/strict";

const FILE = "shop/till.py";

export const host = ({ server }) => ({
  machine: { "hef.server.path": server },
  settings: {
    "hef.completion.deadlineMs": 60_000, // a machine that tests may be slow
    // By default the list opens while one types if ghost text is late: not so here, where it may be.
    "editor.quickSuggestions": { other: "off" },
  },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  step("the status says ready");
  await editor.openFile("till.py");
  await editor.press("Control+End");

  await editor.type("    if");
  const ghost = await editor.waitForGhost();
  step(`ghost text: ${JSON.stringify(ghost)}`);
  await editor.picture("ghost-text");
  const before = await editor.saved(FILE);

  await editor.waitForGhost();
  await editor.press("Control+ArrowRight"); // VS Code takes the blank before a word as a word of its own
  step(`left after the blank: ${JSON.stringify(await editor.waitForGhost())}`);
  await editor.press("Control+ArrowRight");
  const word = (await editor.saved(FILE)).slice(before.length);
  assert.match(word, /^ \w+$/, "a word was to be taken");
  assert(ghost.includes(word), `a word of ${ghost} was to be taken`);
  step(`a word was taken: ${JSON.stringify(word)}`);

  await editor.waitForGhost();
  await editor.press("Tab");
  const whole = (await editor.saved(FILE)).slice(before.length);
  assert(whole.trim().length > word.trim().length, "Tab took nothing");
  step(`Tab took the rest: ${JSON.stringify(whole)}`);

  await editor.press("Escape");
  await editor.press("Control+End");
  await editor.type("\n");
  await editor.press("Escape");
  await editor.press("Control+Space");
  await editor.until(
    async () => (await editor.listText()).includes("hef-lsp"),
    "an entry of hef-lsp in the list",
    90,
  );
  step("the list has our entry");
  await editor.picture("list");
  await editor.press("Escape");

  await editor.clickStatus();
  await editor.pick("Context mode");
  await editor.pick("none");
  await editor.until(async () => editor.settings()["hef.context.mode"] === "none", "the setting");
  step("the menu changed the context mode");

  await editor.clickStatus();
  await editor.page.locator(".quick-input-list .monaco-list-row", { hasText: "Pause the index" }).waitFor();
  await editor.picture("menu");
  await editor.pick("Pause the index");
  await editor.waitForStatus(/hef: paused/);
  await editor.command("hef: Pause or Resume the Index");
  await editor.waitForStatus(/hef: ready/);
  step("the menu paused the index, the command resumed it");

  await editor.command("hef: Choose the Model");
  await editor.pick("smollm2-135m");
  await editor.until(async () => editor.settings()["hef.model.name"] === "smollm2-135m", "the model's setting");
  await editor.waitForStatus(/hef: loading/);
  await editor.waitForStatus(/hef: ready/);
  step("another model was chosen and loaded");
}
