// Puts the parts together when the editor starts, and takes them apart when it ends.

import * as vscode from "vscode";

import { Consent } from "./consent";
import { CursorTeller } from "./cursor";
import { ExplanationPanel } from "./explanation/panel";
import { openPlace, type Place } from "./places";
import { HierarchyView } from "./hierarchy/view";
import { chooseContext, chooseModel, showMenu } from "./menu";
import { PrivateEnvironment } from "./server/environment";
import { nameServer, usesPython } from "./server/finding";
import { followActiveEnvironment } from "./server/pythons";
import { NO_SERVER, Service } from "./service";
import { StatusBar } from "./statusBar";

let running: Service | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel("hef-lsp", { log: true });
  const environment = new PrivateEnvironment(context, log);
  const service = new Service(context, new Consent(context), environment, log);
  const explanation = new ExplanationPanel(service);
  const hierarchy = new HierarchyView(service, context.extensionUri);
  running = service;

  const install = async (): Promise<void> => {
    if (!environment.isMaking) {
      service.sayBusy("setting up");
      await environment.make();
      await service.restart();
    }
  };
  const commands: Record<string, (...args: never[]) => unknown> = {
    "hef.menu": () => showMenu(service),
    "hef.chooseContext": () => chooseContext(),
    "hef.chooseModel": () => chooseModel(service),
    "hef.togglePause": () => service.command("hef.pause"),
    "hef.rebuildIndex": () => service.command("hef.reindex"),
    "hef.explainLast": () => explanation.show(),
    "hef.showHierarchy": () => vscode.commands.executeCommand("hef.hierarchyView.focus"),
    "hef.restart": () => service.restart(true),
    "hef.install": install,
    "hef.nameServer": () => nameServer(),
    "hef.showLog": () => log.show(),
    "hef.openPlace": (place: Place) => openPlace(place),
  };
  for (const [name, action] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, action));
  }
  context.subscriptions.push(
    log,
    service,
    explanation,
    hierarchy,
    new StatusBar(service),
    new CursorTeller(service),
    vscode.window.registerWebviewViewProvider("hef.hierarchyView", hierarchy),
    vscode.workspace.onDidGrantWorkspaceTrust(async () => {
      await service.restart();
      await followPython(context, service);
    }),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("hef.server")) {
        void service.restart();
      }
    }),
  );
  void service.restart().then(() => offer(service, install));
  void followPython(context, service);
}

async function followPython(context: vscode.ExtensionContext, service: Service): Promise<void> {
  const look = (): void => {
    if (usesPython()) {
      void service.lookAgain();
    }
  };
  if (usesPython()) { // else the Python extension is left asleep
    context.subscriptions.push(await followActiveEnvironment(look));
  }
}

export async function deactivate(): Promise<void> {
  await running?.stop();
}

/** Says once a start that there is no server, and what can be done. */
async function offer(service: Service, install: () => Promise<void>): Promise<void> {
  if (service.status.state !== NO_SERVER) {
    return;
  }
  const choice = await vscode.window.showInformationMessage(
    "hef-lsp: the server was not found. It can be set up in an environment of its own, which fetches Python packages of 1 to 4 GB, most of it PyTorch.",
    "Set Up",
    "Name Its Path",
  );
  if (choice === "Set Up") {
    await install();
  } else if (choice) {
    await nameServer();
  }
}
