// The menu behind the status bar item, and the choices it leads to.

import * as vscode from "vscode";

import { CONTEXT_MODES } from "./protocol";
import { fetchModel, listModels, type Model, question } from "./server/models";
import { NO_MODEL, NOT_ALLOWED, type Service, STOPPED } from "./service";

interface Entry extends vscode.QuickPickItem {
  readonly command: string;
}

const MODE_MEANINGS: Readonly<Record<(typeof CONTEXT_MODES)[number], string>> = {
  auto: "what the model's own evaluation recommends",
  dense: "vectors of the hierarchy, as pseudo-tokens",
  text: "retrieved chunks as comments before the code",
  none: "only the file itself",
};

export async function showMenu(service: Service): Promise<void> {
  const { state, message } = service.status;
  const which = service.launcher ? ` ${service.version ?? ""} (${service.launcher.origin})` : "";
  const picked = await vscode.window.showQuickPick(entries(service), {
    title: `hef-lsp${which}: ${state}${message ? `, ${message}` : ""}`,
    placeHolder: "What to do",
  });
  if (picked) {
    await vscode.commands.executeCommand(picked.command);
  }
}

function entries(service: Service): Entry[] {
  const { state } = service.status;
  const settings = vscode.workspace.getConfiguration("hef");
  const isPaused = state === "paused";
  const restart = { label: "$(refresh) Restart the server", command: "hef.restart" };
  const setUp = { label: "$(cloud-download) Set up the server", command: "hef.install" };
  const name = { label: "$(file-directory) Name the server's path", command: "hef.nameServer" };
  const log = { label: "$(output) Show the log", command: "hef.showLog" };
  if (state === NO_MODEL || state === NOT_ALLOWED) {
    const label = state === NO_MODEL ? "$(cloud-download) Fetch the model" : "$(shield) Read this workspace";
    const model = { label: "$(package) Another model", command: "hef.chooseModel" };
    return [{ ...restart, label }, ...(state === NO_MODEL ? [model] : []), log];
  }
  if (!service.launcher) {
    return [setUp, name, { ...restart, label: "$(refresh) Look for the server again" }, log];
  }
  return [
    isPaused
      ? { label: "$(debug-start) Resume the index", command: "hef.togglePause" }
      : { label: "$(debug-pause) Pause the index", command: "hef.togglePause" },
    {
      label: "$(list-selection) Context mode",
      description: settings.get<string>("context.mode", "auto"),
      command: "hef.chooseContext",
    },
    { label: "$(package) Model", description: settings.get<string>("model.name", "auto"), command: "hef.chooseModel" },
    { label: "$(question) Explain the last suggestion", command: "hef.explainLast" },
    { label: "$(type-hierarchy) Show the hierarchy", command: "hef.showHierarchy" },
    { label: "$(database) Build the index anew", command: "hef.rebuildIndex" },
    log,
    state === STOPPED ? { ...restart, label: "$(debug-start) Start the server" } : restart,
  ];
}

export async function chooseContext(): Promise<void> {
  const now = vscode.workspace.getConfiguration("hef.context").get<string>("mode", "auto");
  const items = CONTEXT_MODES.map((mode) => ({
    label: mode,
    description: mode === now ? "now" : "",
    detail: MODE_MEANINGS[mode],
  }));
  const picked = await vscode.window.showQuickPick(items, { title: "What the model reads besides the file" });
  if (picked) {
    await change("hef.context", "mode", picked.label);
  }
}

export async function chooseModel(service: Service): Promise<void> {
  const launcher = service.launcher;
  if (!launcher) {
    void vscode.window.showInformationMessage("hef-lsp: there is no server yet that could list its models.");
    return;
  }
  const models = await listModels(launcher);
  const items = models.map((model) => ({
    label: model.name,
    description: [model.onDisk ? "on disk" : model.download, model.fitsBest ? "fits best" : ""].filter(Boolean).join(", "),
    detail: `${model.description} (${model.licence})`,
    model,
  }));
  const auto = { label: "auto", description: "the best on disk that fits", detail: "", model: undefined };
  const picked = await vscode.window.showQuickPick([auto, ...items], { title: "Model" });
  if (picked && (!picked.model || (await isThere(service, picked.model)))) {
    await change("hef.model", "name", picked.label);
  }
}

async function isThere(service: Service, model: Model): Promise<boolean> {
  if (model.onDisk || !service.launcher) {
    return model.onDisk;
  }
  const choice = await vscode.window.showInformationMessage(question(model), { modal: true }, "Download");
  return choice === "Download" && (await fetchModel(service.launcher, model, service.log));
}

/** Where the workspace says something of its own the change belongs there, else to the user's settings. */
async function change(section: string, name: string, value: string): Promise<void> {
  const settings = vscode.workspace.getConfiguration(section);
  const isOfWorkspace = settings.inspect(name)?.workspaceValue !== undefined;
  const target = isOfWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await settings.update(name, value, target);
}
