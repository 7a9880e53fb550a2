// The view of the hierarchy: asks the server for what is to be seen, and gives it to the page.

import * as vscode from "vscode";

import { nonce } from "../html";
import { openPlace, rootOf } from "../places";
import type { Explanation, FolderTree } from "../protocol";
import { type Service } from "../service";
import type { FromPage, Picture, Retrieved, ToPage } from "./messages";

/** While the index works the picture is drawn anew this often. */
const REDRAW_MS = 250;

export class HierarchyView implements vscode.WebviewViewProvider, vscode.Disposable {
  private view: vscode.WebviewView | undefined;
  private open = new Set<string>(["repository:"]);
  private timer: NodeJS.Timeout | undefined;
  private explained = "";
  private readonly listening: vscode.Disposable[];

  constructor(
    private readonly service: Service,
    private readonly extension: vscode.Uri,
  ) {
    this.listening = [service.onStatus(() => this.soon()), service.onSuggested(() => this.soon())];
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    const dist = vscode.Uri.joinPath(this.extension, "dist");
    const media = vscode.Uri.joinPath(this.extension, "media");
    view.webview.options = { enableScripts: true, localResourceRoots: [dist, media] };
    view.webview.html = page(view.webview, dist, media);
    view.webview.onDidReceiveMessage((message: FromPage) => this.hear(message));
    view.onDidChangeVisibility(() => this.soon());
    view.onDidDispose(() => (this.view = undefined));
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.listening.forEach((listening) => void listening.dispose());
  }

  private hear(message: FromPage): void {
    if (message.kind === "show") {
      void openPlace(message);
      return;
    }
    if (message.kind === "open") {
      this.open = new Set(["repository:", ...message.ids]);
    }
    this.soon(0);
  }

  private soon(delayMs = REDRAW_MS): void {
    if (this.view?.visible && (!this.timer || delayMs === 0)) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.draw(), delayMs);
    }
  }

  private async draw(): Promise<void> {
    this.timer = undefined;
    const explanation = await this.service.command<Explanation | null>("hef.explain").catch(() => null);
    this.openRetrieved(explanation);
    const folders = await this.service.command<FolderTree[]>("hef.hierarchy", [...this.open]).catch(() => undefined);
    const picture: Picture = {
      folders: folders ?? [],
      retrieved: retrieved(explanation),
      state: this.service.status.state,
    };
    const message: ToPage = { kind: "picture", picture };
    await this.view?.webview.postMessage(message);
  }

  /** What was retrieved for a new suggestion is shown, whatever was closed before. */
  private openRetrieved(explanation: Explanation | null | undefined): void {
    const hits = explanation?.hits ?? [];
    const key = JSON.stringify(hits.map((hit) => [hit.path, hit.start_line]));
    if (key === this.explained) {
      return;
    }
    this.explained = key;
    for (const hit of hits) {
      const parts = hit.path.split("/");
      parts.slice(0, -1).forEach((_, at) => this.open.add(`directory:${parts.slice(0, at + 1).join("/")}`));
      if (hit.kind === "chunk") {
        this.open.add(`file:${hit.path}`);
      }
    }
  }
}

function retrieved(explanation: Explanation | null | undefined): Retrieved[] {
  const root = (explanation && rootOf(explanation.uri)) ?? "";
  return (explanation?.hits ?? []).map((hit, rank) => ({
    root,
    kind: hit.kind,
    path: hit.path,
    startLine: hit.start_line,
    score: hit.score,
    rank,
    used: hit.used,
  }));
}

function page(webview: vscode.Webview, dist: vscode.Uri, media: vscode.Uri): string {
  const script = webview.asWebviewUri(vscode.Uri.joinPath(dist, "hierarchy.js")).toString();
  const style = webview.asWebviewUri(vscode.Uri.joinPath(media, "hierarchy.css")).toString();
  const key = nonce();
  const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${key}'`;
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="stylesheet" href="${style}"><title>Hierarchy</title></head>
<body><div id="legend"></div><div id="tree" role="tree"></div>
<script nonce="${key}" src="${script}"></script></body></html>`;
}
