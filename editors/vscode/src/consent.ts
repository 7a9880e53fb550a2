// What is asked before the server starts: reading an untrusted workspace, fetching a model.
// Each is asked once; the answer is kept, and the menu can change it.

import * as vscode from "vscode";

import { type Model, question } from "./server/models";

const READING = "hef.readsUntrusted";
const REFUSED_MODEL = "hef.refusedModel";
const AGREED_MODEL = "hef.agreedModel";

/** What of the workspace may be read. */
export type Reading = "all" | "open files" | "nothing";

export class Consent {
  constructor(private readonly context: vscode.ExtensionContext) {}

  /** Undefined where it must be asked for. */
  get reading(): Reading | undefined {
    return vscode.workspace.isTrusted ? "all" : this.context.workspaceState.get<Reading>(READING);
  }

  async askReading(): Promise<Reading> {
    const choices: Record<string, Reading> = {
      "Read It": "all",
      "Only Open Files": "open files",
      "Not Here": "nothing",
    };
    const choice = await vscode.window.showInformationMessage(
      "hef-lsp: this workspace is not trusted. May the server read its files to complete code? It runs none of them.",
      ...Object.keys(choices),
    );
    const reading = choices[choice ?? ""] ?? "nothing";
    await this.context.workspaceState.update(READING, reading);
    return reading;
  }

  hasRefused(model: Model): boolean {
    return this.context.globalState.get(REFUSED_MODEL) === model.name;
  }

  /** Agreed to earlier, and the download may have broken off. */
  hasAgreed(model: Model): boolean {
    return this.context.globalState.get(AGREED_MODEL) === model.name;
  }

  async askFetching(model: Model): Promise<boolean> {
    const choice = await vscode.window.showInformationMessage(question(model), "Download", "Not Now");
    const agreed = choice === "Download";
    await this.context.globalState.update(REFUSED_MODEL, agreed ? undefined : model.name);
    await this.context.globalState.update(AGREED_MODEL, agreed ? model.name : undefined);
    return agreed;
  }
}
