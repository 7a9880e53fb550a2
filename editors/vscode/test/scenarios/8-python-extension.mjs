// The server of the environment that is active in the Python extension, which another extension stands for here; with
// HEF_TEST_PYTHON_EXTENSION, the path of a .vsix of the real one, that is taken.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { HERE } from "../host.mjs";

/** An interpreter whose server is the one with fake models; it keeps what it was started with beside itself. */
const interpreter = (server) => `#!/bin/sh
echo "$@" >> "$0.started"
case "$*" in "-I -m hef_lsp serve"*) shift 3; exec "${process.env.HEF_TEST_STUB}" "$@";; esac
exec "${server}" "$@"
`;

export const host = ({ server }) => process.env.HEF_TEST_STUB && ({
  environment: { PATH: "/usr/bin:/bin" },
  programs: { python3: interpreter(server), "python3.11": interpreter(server) },
  machine: (root) => ({ "python.defaultInterpreterPath": join(root, "python3") }),
  extensions: [process.env.HEF_TEST_PYTHON_EXTENSION ?? join(HERE, "python-extension")],
});

export default async function (editor, step) {
  await editor.waitForStatus(/hef: ready/);
  assert.match(await editor.menuTitle(), /hef-lsp \S+ \(the active Python environment\): ready/);
  step("the server of the active environment is ready");

  if (process.env.HEF_TEST_PYTHON_EXTENSION) {
    return; // it keeps to what it found first, until the user selects another
  }
  assert(serves(join(editor.host.root, "python3")), "another interpreter was started");
  const other = join(editor.host.root, "python3.11");
  editor.changeMachine({ "python.defaultInterpreterPath": other });
  await editor.until(() => serves(other), "the other environment's server", 600);
  await editor.waitForStatus(/hef: ready/);
  step("it follows to another environment");

  editor.changeMachine({ "python.defaultInterpreterPath": "/usr/bin/env" });
  await editor.page.waitForTimeout(3000);
  assert.match(await editor.status(), /hef: ready/);
  step("an environment without a server takes nothing away");
}

function serves(interpreter) {
  const started = `${interpreter}.started`;
  return existsSync(started) && readFileSync(started, "utf8").includes("-m hef_lsp serve");
}
