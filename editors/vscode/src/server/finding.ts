// Which server is started: the order in which places are looked at.

import { existsSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";

import { type Launcher, ofInterpreter, ofPath, versionOf } from "./launcher";
import type { PrivateEnvironment } from "./environment";
import { onPath } from "./path";
import { workspaceInterpreters } from "./pythons";

export interface Found {
  readonly launcher: Launcher;
  readonly version: string;
}

/** The named path has no server; nothing else is tried then. */
export class WrongPath extends Error {}

/** The first place that has a server. Raises `WrongPath`. */
export async function findServer(
  environment: PrivateEnvironment,
  log: vscode.LogOutputChannel,
): Promise<Found | undefined> {
  const settings = vscode.workspace.getConfiguration("hef.server");
  const named = settings.get<string>("path", "").trim();
  if (named) {
    return await atNamedPath(named);
  }
  for (const launcher of await candidates(environment)) {
    const version = await versionOf(launcher);
    log.info(`${launcher.command} (${launcher.origin}): ${version ? `hef-lsp ${version}` : "no server"}`);
    if (version) {
      return { launcher, version };
    }
  }
  return undefined;
}

async function atNamedPath(file: string): Promise<Found> {
  if (!path.isAbsolute(file)) {
    throw new WrongPath(`hef.server.path must be an absolute path, but is ${file}`);
  }
  const launcher = ofPath(file, "hef.server.path");
  const version = await versionOf(launcher);
  if (!version) {
    throw new WrongPath(`hef.server.path names ${file}, which does not run hef-lsp; correct the setting or empty it`);
  }
  return { launcher, version };
}

/** Whether the workspace's Python environments count: an interpreter of a workspace that is not trusted may be any program. */
export function usesPython(): boolean {
  const settings = vscode.workspace.getConfiguration("hef.server");
  return vscode.workspace.isTrusted && !settings.get("path", "").trim() && settings.get("usePythonEnvironment", true);
}

async function candidates(environment: PrivateEnvironment): Promise<Launcher[]> {
  const found: Launcher[] = [];
  if (usesPython()) {
    for (const [interpreter, origin] of await workspaceInterpreters()) {
      found.push(ofInterpreter(interpreter, origin));
    }
  }
  const program = onPath("hef-lsp");
  if (program) {
    found.push(ofPath(program, "PATH"));
  }
  if (environment.exists) {
    found.push(ofInterpreter(environment.interpreter, "the extension's own environment"));
  }
  return found;
}

/** Asks for `hef.server.path`; in a remote window it is the path over there. */
export async function nameServer(): Promise<void> {
  const settings = vscode.workspace.getConfiguration("hef.server");
  const file = await vscode.window.showInputBox({
    title: "Path of hef-lsp",
    prompt: "The hef-lsp program, or a Python interpreter that has it; empty to look for it.",
    value: settings.get("path", ""),
    ignoreFocusOut: true,
    validateInput: (value) => wrongWith(value.trim()),
  });
  if (file !== undefined) {
    await settings.update("path", file.trim(), vscode.ConfigurationTarget.Global);
  }
}

function wrongWith(file: string): string | undefined {
  if (!file) {
    return undefined;
  }
  return !path.isAbsolute(file) ? "not an absolute path" : existsSync(file) ? undefined : "there is no such file";
}
