// The server's life in this window: found, started, stopped, started again; and what it last said.

import { mkdirSync } from "node:fs";
import * as vscode from "vscode";
import { type LanguageClient, State } from "vscode-languageclient/node";

import { DOCUMENTS, makeClient } from "./client";
import type { Consent } from "./consent";
import type { StatusReport } from "./protocol";
import type { PrivateEnvironment } from "./server/environment";
import { findServer, type Found, WrongPath } from "./server/finding";
import type { Launcher } from "./server/launcher";
import { listModels, missing } from "./server/models";

const STOP_MS = 4000;

/** States of ours, beside those of the server. */
export const NO_SERVER = "no server";
export const NOT_ALLOWED = "not allowed";
export const NO_MODEL = "no model";
export const STOPPED = "stopped";

export class Service implements vscode.Disposable {
  private readonly statusChanged = new vscode.EventEmitter<StatusReport>();
  private readonly wasSuggested = new vscode.EventEmitter<vscode.Uri>();
  readonly onStatus = this.statusChanged.event;
  readonly onSuggested = this.wasSuggested.event;
  private client: LanguageClient | undefined;
  private found: Found | undefined;
  private starting: Promise<void> = Promise.resolve();
  private latest: StatusReport = report("starting");

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly consent: Consent,
    private readonly environment: PrivateEnvironment,
    readonly log: vscode.LogOutputChannel,
  ) {}

  get status(): StatusReport {
    return this.latest;
  }

  get launcher(): Launcher | undefined {
    return this.found?.launcher;
  }

  get version(): string | undefined {
    return this.found?.version;
  }

  /** Stops what runs and starts anew; calls come one after the other. `askAgain`: also what was refused. */
  restart(askAgain = false): Promise<void> {
    this.starting = this.starting.then(async () => {
      await this.stop();
      try {
        await this.start(askAgain);
      } catch (error) {
        this.log.error(error instanceof Error ? error : String(error));
        this.tell(report("error", error instanceof Error ? error.message : String(error)));
      }
    });
    return this.starting;
  }

  /** Starts anew if another server is found than the one that runs, as in another Python environment. */
  async lookAgain(): Promise<void> {
    const found = await this.starting.then(() => findServer(this.environment, this.log)).catch(() => undefined);
    if (found && found.launcher.command !== this.launcher?.command) {
      await this.restart();
    }
  }

  /** For work before a server is there; the next start says something else. */
  sayBusy(doing: string): void {
    this.tell(report(doing));
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client) {
      await client.dispose(STOP_MS).catch((error: unknown) => this.log.warn(String(error)));
      this.tell(report(STOPPED));
    }
  }

  /** The answer to one of the server's commands; undefined where none runs. */
  async command<Answer>(name: string, ...args: unknown[]): Promise<Answer | undefined> {
    if (this.client?.state !== State.Running) {
      return undefined;
    }
    return await this.client.sendRequest<Answer>("workspace/executeCommand", { command: name, arguments: args });
  }

  /** Nothing where no server runs, or for a document that it was not told of. */
  cursorMoved(document: vscode.TextDocument, position: vscode.Position): void {
    const client = this.client;
    if (client?.state === State.Running && vscode.languages.match(DOCUMENTS, document) > 0) {
      const params = client.code2ProtocolConverter.asTextDocumentPositionParams(document, position);
      void client.sendNotification("hef/cursorMoved", params);
    }
  }

  dispose(): void {
    this.statusChanged.dispose();
    this.wasSuggested.dispose();
  }

  private async start(askAgain: boolean): Promise<void> {
    this.tell(report("starting"));
    const reading = this.consent.reading;
    if (reading === undefined || (reading === "nothing" && askAgain)) {
      this.tell(report(NOT_ALLOWED, "the workspace is not trusted; may it be read?"));
      this.afterwards(this.consent.askReading().then((answer) => answer !== "nothing"));
      return;
    }
    if (reading === "nothing") {
      this.tell(report(NOT_ALLOWED, "the workspace is not trusted and was not allowed to be read"));
      return;
    }
    this.found = await this.look();
    if (this.found && (await this.hasModel(this.found.launcher, askAgain))) {
      const { launcher, version } = this.found;
      this.log.info(`starting hef-lsp ${version} of ${launcher.origin}: ${launcher.command}`);
      await this.run(launcher, reading === "open files");
    }
  }

  /** Whether the model is on disk, or may be fetched; asks, and starts again after a yes. */
  private async hasModel(launcher: Launcher, askAgain: boolean): Promise<boolean> {
    const settings = vscode.workspace.getConfiguration("hef.model");
    const model = missing(await listModels(launcher), settings.get("name", "auto"));
    if (!model || settings.get<boolean>("offline", false) || this.consent.hasAgreed(model)) {
      return true; // offline the server fetches nothing, and says what is missing
    }
    this.tell(report(NO_MODEL, `${model.name} (${model.download}) is not on disk`));
    if (askAgain || !this.consent.hasRefused(model)) {
      this.afterwards(this.consent.askFetching(model));
    }
    return false;
  }

  /** Starts anew once a question was answered with yes; nothing waits for the answer. */
  private afterwards(answer: Promise<boolean>): void {
    void answer.then((yes) => (yes ? this.restart() : undefined));
  }

  private async look(): Promise<Found | undefined> {
    try {
      const found = await findServer(this.environment, this.log);
      if (!found) {
        this.tell(report(NO_SERVER, "hef-lsp was found in no Python environment and not on PATH"));
      }
      return found;
    } catch (error) {
      if (!(error instanceof WrongPath)) {
        throw error;
      }
      this.tell(report("error", error.message));
      return undefined;
    }
  }

  private async run(launcher: Launcher, openFilesOnly: boolean): Promise<void> {
    const workingFolder = this.context.globalStorageUri.fsPath;
    mkdirSync(workingFolder, { recursive: true });
    const onSuggested = (uri: vscode.Uri): void => {
      this.wasSuggested.fire(uri);
      setContext("suggested", true);
    };
    const client = makeClient({ launcher, openFilesOnly, log: this.log, workingFolder, onSuggested });
    client.onNotification("hef/status", (status: StatusReport) => this.tell(status));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Stopped && this.client === client) {
        this.tell(report(STOPPED, "the server ended; see the log"));
      }
    });
    this.client = client;
    await client.start();
  }

  private tell(status: StatusReport): void {
    this.latest = status;
    setContext("running", this.client !== undefined);
    setContext("ready", status.state === "ready");
    this.statusChanged.fire(status);
  }
}

function report(state: string, message = ""): StatusReport {
  return { state, message, done: 0, total: 0 };
}

function setContext(name: string, value: boolean): void {
  void vscode.commands.executeCommand("setContext", `hef.${name}`, value);
}
