// The status bar item: what the server does, in a few words; a click opens the menu.

import * as vscode from "vscode";

import { type FullStatus, isSettled, type StatusReport } from "./protocol";
import { NO_MODEL, NO_SERVER, NOT_ALLOWED, type Service, STOPPED } from "./service";

const ICONS: Readonly<Record<string, string>> = {
  ready: "$(check)",
  paused: "$(debug-pause)",
  error: "$(error)",
  [NO_SERVER]: "$(cloud-download)",
  [NO_MODEL]: "$(cloud-download)",
  [NOT_ALLOWED]: "$(shield)",
  [STOPPED]: "$(debug-disconnect)",
};

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem("hef.status", vscode.StatusBarAlignment.Right, 90);
  private readonly listening: vscode.Disposable;

  constructor(private readonly service: Service) {
    this.item.name = "hef-lsp";
    this.item.command = "hef.menu";
    this.listening = service.onStatus((status) => this.show(status));
    this.show(service.status);
    this.item.show();
  }

  dispose(): void {
    this.listening.dispose();
    this.item.dispose();
  }

  private show(status: StatusReport): void {
    this.item.text = `${ICONS[status.state] ?? "$(loading~spin)"} hef: ${shortState(status)}`;
    this.item.tooltip = status.message || "hef-lsp";
    const failed = status.state === "error";
    this.item.backgroundColor = failed ? new vscode.ThemeColor("statusBarItem.errorBackground") : undefined;
    if (isSettled(status)) {
      void this.addDetails(status);
    }
  }

  private async addDetails(status: StatusReport): Promise<void> {
    const full = await this.service.command<FullStatus>("hef.status").catch(() => undefined);
    if (full && this.service.status === status) {
      this.item.tooltip = details(full, this.service.launcher?.origin);
    }
  }
}

/** "indexing 3 of 10", "loading the models 40 %", or the state alone. */
export function shortState(status: StatusReport): string {
  if (status.total <= 0) {
    return status.state;
  }
  // A download counts bytes, everything else counts files or nodes.
  const counts = status.total > 1_000_000;
  const share = Math.min(100, Math.floor((100 * status.done) / status.total));
  return counts ? `${status.state} ${share} %` : `${status.state} ${status.done} of ${status.total}`;
}

function details(full: FullStatus, origin: string | undefined): vscode.MarkdownString {
  const lines = [
    `**hef-lsp** ${full.state}`,
    ...(origin ? [`server of ${origin}`] : []),
    `model \`${full.model ?? "none"}\`, context \`${full.context}\``,
    `${full.index["files"] ?? 0} files, ${full.index["chunks"] ?? 0} chunks, ${full.index["pending"] ?? 0} to fuse`,
    ...(full.message ? [full.message] : []),
    ...full.notes,
  ];
  return new vscode.MarkdownString(lines.join("\n\n"));
}
