// The models the server knows, and fetching one: always after a question that says the size.

import * as vscode from "vscode";

import { type Launcher, launch } from "./launcher";

export interface Model {
  readonly name: string;
  readonly download: string;
  readonly licence: string;
  readonly onDisk: boolean;
  readonly fitsBest: boolean;
  readonly description: string;
}

/** The table that `hef-lsp model list` prints where no terminal reads it. */
export function parseModels(table: string): Model[] {
  const [head = "", ...rows] = table.split(/\r?\n/).filter(Boolean);
  const columns = head.split("\t");
  return rows.map((row) => {
    const cells = row.split("\t");
    const cell = (column: string): string => cells[columns.indexOf(column)] ?? "";
    return {
      name: cell("name"),
      download: cell("download"),
      licence: cell("licence"),
      onDisk: cell("on disk") === "yes",
      fitsBest: cell("fits best") === "yes",
      description: cell("description"),
    };
  });
}

export async function listModels(launcher: Launcher): Promise<Model[]> {
  const outcome = await launch(launcher, ["model", "list"], { timeoutMs: 60_000 });
  return outcome.code === 0 ? parseModels(outcome.output) : [];
}

/** What must be fetched before a model of this name can run; undefined if nothing, or if nobody knows. */
export function missing(models: readonly Model[], name: string): Model | undefined {
  if (name === "auto") {
    return models.some((model) => model.onDisk) ? undefined : models[0];
  }
  return models.find((model) => model.name === name && !model.onDisk);
}

/** Asks, fetches with progress, and says whether the model is there. */
export async function fetchModel(
  launcher: Launcher,
  model: Model,
  log: vscode.LogOutputChannel,
): Promise<boolean> {
  const title = `hef-lsp: fetching ${model.name} (${model.download})`;
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  const outcome = await vscode.window.withProgress(options, async (_progress, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    const onLine = (line: string): void => log.info(line);
    return await launch(launcher, ["model", "pull", model.name, "--yes"], { onLine, signal: abort.signal });
  });
  if (outcome.code !== 0) {
    const reason = outcome.errors.trim().split("\n").at(-1) ?? "";
    void vscode.window.showErrorMessage(`hef-lsp: ${model.name} was not fetched. ${reason}`);
  }
  return outcome.code === 0;
}

export function question(model: Model): string {
  return `hef-lsp: the model ${model.name} is a download of ${model.download} (licence: ${model.licence}).`;
}
