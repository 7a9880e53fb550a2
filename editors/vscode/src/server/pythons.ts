// Python interpreters: those that may have the server (the active environment, `.venv` folders), one to make an environment with.

import { existsSync } from "node:fs";
import * as path from "node:path";
import * as vscode from "vscode";

import { run } from "../running";
import { onPath } from "./path";

const SUPPORTED = "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))";

/** What is used of the API of the Python extension (ms-python.python). */
interface PythonApi {
  readonly environments: {
    readonly onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
    resolveEnvironment(
      environment: { readonly path: string },
    ): Promise<{ readonly executable: { readonly uri?: vscode.Uri } } | undefined>;
  };
}

/** The interpreter of a virtual environment. */
export function interpreterIn(environment: string): string {
  return process.platform === "win32"
    ? path.join(environment, "Scripts", "python.exe")
    : path.join(environment, "bin", "python");
}

/** Absolute paths, the active environment first; each with where it comes from. */
export async function workspaceInterpreters(): Promise<[interpreter: string, origin: string][]> {
  const found: [string, string][] = [];
  const active = await activeInterpreter();
  if (active) {
    found.push([active, "the active Python environment"]);
  }
  for (const folder of vscode.workspace.workspaceFolders ?? []) {
    const interpreter = interpreterIn(path.join(folder.uri.fsPath, ".venv"));
    if (folder.uri.scheme === "file" && interpreter !== active && existsSync(interpreter)) {
      found.push([interpreter, `.venv of ${folder.name}`]);
    }
  }
  return found;
}

async function activeInterpreter(): Promise<string | undefined> {
  try {
    const environments = (await pythonApi())?.environments;
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
    const environment = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath(folder));
    return environment?.executable.uri?.fsPath;
  } catch {
    return undefined; // another extension's trouble; there are further places to look
  }
}

/** Hears of another environment that is made the active one; of none where there is no Python extension. */
export async function followActiveEnvironment(onChange: () => void): Promise<vscode.Disposable> {
  try {
    const listening = (await pythonApi())?.environments.onDidChangeActiveEnvironmentPath(onChange);
    return listening ?? new vscode.Disposable(() => undefined);
  } catch {
    return new vscode.Disposable(() => undefined); // as above
  }
}

async function pythonApi(): Promise<PythonApi | undefined> {
  return await vscode.extensions.getExtension<PythonApi>("ms-python.python")?.activate();
}

/** One on PATH of a version that the server runs on. */
export async function supportedPython(): Promise<string | undefined> {
  for (const name of ["python3", "python3.12", "python3.13", "python3.11", "python"]) {
    const file = onPath(name);
    if (file && (await run(file, ["-I", "-c", SUPPORTED], { timeoutMs: 20_000 })).code === 0) {
      return file;
    }
  }
  return undefined;
}
