// The server of the environment that is active in the Python extension, which another extension stands for here; with
// HEF_TEST_PYTHON_EXTENSION, the path of a .vsix of the real one, that is taken.

import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { HERE } from "../host.mjs";

export const host = ({ server }) => ({
  environment: { PATH: "/usr/bin:/bin" },
  machine: { "python.defaultInterpreterPath": server },
  extensions: [process.env.HEF_TEST_PYTHON_EXTENSION ?? join(HERE, "python-extension")],
});

export default async function (editor, step, { server }) {
  await editor.waitForStatus(/hef: ready/);
  assert.match(await editor.menuTitle(), /hef-lsp \S+ \(the active Python environment\): ready/);
  step("the server of the active environment is ready");

  if (process.env.HEF_TEST_PYTHON_EXTENSION) {
    return; // it keeps to what it found first, until the user selects another
  }
  const other = join(editor.host.root, "python3");
  const started = join(editor.host.root, "started");
  writeFileSync(other, `#!/bin/sh\necho "$@" >> "${started}"\nexec "${server}" "$@"\n`);
  chmodSync(other, 0o755);
  editor.changeMachine({ "python.defaultInterpreterPath": other });
  await editor.until(() => existsSync(started) && readFileSync(started, "utf8").includes("hef_lsp serve"), "its server", 180);
  await editor.waitForStatus(/hef: ready/);
  step("it follows to another environment");

  editor.changeMachine({ "python.defaultInterpreterPath": "/usr/bin/env" });
  await editor.page.waitForTimeout(3000);
  assert.match(await editor.status(), /hef: ready/);
  step("an environment without a server takes nothing away");
}
