// The server of the workspace's .venv; the list opens as one types where the user wants it so, and holds our entry.

import { dirname } from "node:path";

export const host = ({ server }) => ({
  venv: dirname(dirname(server)),
  settings: {
    "hef.completion.deadlineMs": 60_000,
    "editor.quickSuggestions": { other: "on" },
    "editor.inlineSuggest.enabled": false,
  },
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  step("the server of .venv is ready");
  await editor.openFile("till.py");
  await editor.press("Control+End");
  await editor.type("    i");
  await editor.until(async () => (await editor.listText()).includes("hef-lsp"), "an entry of hef-lsp in the list", 600);
  await editor.picture("list-while-typing");
  step(`the list opened by itself: ${JSON.stringify((await editor.listText()).split("\n").slice(0, 2))}`);
  const before = (await editor.saved("shop/till.py")).length;
  if (!(await editor.listText())) {
    await editor.press("Control+Space");
    await editor.until(async () => (await editor.listText()).includes("hef-lsp"), "the list again", 600);
  }
  await editor.press("Enter");
  await editor.until(async () => (await editor.saved("shop/till.py")).length > before + 1, "the entry's text");
  step("Enter took it");
}
