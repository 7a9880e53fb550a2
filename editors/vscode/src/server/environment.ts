// The extension's own Python environment: made on request, in the extension's storage.

import { existsSync, readdirSync } from "node:fs";
import { rm, mkdir } from "node:fs/promises";
import * as path from "node:path";
import * as vscode from "vscode";

import { run } from "../running";
import { ofInterpreter, versionOf } from "./launcher";
import { interpreterIn, supportedPython } from "./pythons";

/** What tells how far pip is; its warnings are for the log. */
const STEP_OF_PIP = /^\s*(Collecting|Downloading|Building|Preparing|Installing|Successfully)/;

export class PrivateEnvironment {
  private readonly folder: string;
  private making = false;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.folder = path.join(context.globalStorageUri.fsPath, "environment");
  }

  get interpreter(): string {
    return interpreterIn(this.folder);
  }

  get exists(): boolean {
    return existsSync(this.interpreter);
  }

  get isMaking(): boolean {
    return this.making;
  }

  /** Makes it anew, with progress and a log; whether it has a server afterwards. Not while it is being made. */
  async make(): Promise<boolean> {
    this.making = true;
    try {
      return await this.makeWithProgress();
    } finally {
      this.making = false;
    }
  }

  private async makeWithProgress(): Promise<boolean> {
    const options = { location: vscode.ProgressLocation.Notification, title: "Setting up hef-lsp", cancellable: true };
    const problem = await vscode.window.withProgress(options, async (progress, token) => {
      const abort = new AbortController();
      token.onCancellationRequested(() => abort.abort());
      const result = await this.install((message) => progress.report({ message }), abort.signal);
      return abort.signal.aborted ? "" : result;
    });
    if (problem === undefined) {
      return true;
    }
    await rm(this.folder, { recursive: true, force: true });
    if (problem) {
      const choice = await vscode.window.showErrorMessage(`hef-lsp was not set up: ${problem}`, "Show Log");
      if (choice) {
        this.log.show();
      }
    }
    return false;
  }

  /** What went wrong, or undefined. */
  private async install(say: (message: string) => void, signal: AbortSignal): Promise<string | undefined> {
    say("looking for Python 3.11 to 3.13");
    const python = await supportedPython();
    if (!python) {
      return "no Python 3.11, 3.12 or 3.13 was found on PATH; install one, or set hef.server.path";
    }
    const onLine = (line: string): void => {
      this.log.info(line);
      if (STEP_OF_PIP.test(line)) {
        say(shortened(line.trim()));
      }
    };
    await rm(this.folder, { recursive: true, force: true });
    await mkdir(path.dirname(this.folder), { recursive: true });
    say("making an environment");
    const steps: [string, string[]][] = [
      [python, ["-I", "-m", "venv", this.folder]],
      [this.interpreter, ["-I", "-m", "pip", "install", "--disable-pip-version-check", ...this.packages()]],
    ];
    for (const [command, args] of steps) {
      this.log.info(`$ ${command} ${args.join(" ")}`);
      const outcome = await run(command, args, { onLine, signal });
      if (outcome.code !== 0) {
        return shortened(outcome.errors.trim().split("\n").at(-1) ?? "the program could not be run", 300);
      }
    }
    say("trying it");
    const version = await versionOf(ofInterpreter(this.interpreter, ""));
    return version ? undefined : "the installed server does not start";
  }

  /** The wheel that came with the extension and the versions it was tested with, or the name on PyPI. */
  private packages(): string[] {
    const shipped = this.context.asAbsolutePath("server");
    const wheel = existsSync(shipped) ? readdirSync(shipped).find((name) => name.endsWith(".whl")) : undefined;
    if (!wheel) {
      return ["hef-lsp"];
    }
    const constraints = path.join(shipped, "constraints.txt");
    return [...(existsSync(constraints) ? ["--constraint", constraints] : []), path.join(shipped, wheel)];
  }
}

function shortened(line: string, most = 60): string {
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}
