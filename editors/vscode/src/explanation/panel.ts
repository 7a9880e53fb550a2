// The panel beside the editor that shows the explanation of the latest suggestion, and follows it.

import * as vscode from "vscode";

import { rootOf } from "../places";
import type { Explanation } from "../protocol";
import type { Service } from "../service";
import { explanationPage, OPEN_PLACE } from "./page";

export class ExplanationPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private readonly listening: vscode.Disposable;

  constructor(private readonly service: Service) {
    this.listening = service.onSuggested(() => void this.refresh());
  }

  async show(): Promise<void> {
    if (!this.panel) {
      const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
      const options = { enableScripts: false, enableCommandUris: [OPEN_PLACE], localResourceRoots: [] };
      this.panel = vscode.window.createWebviewPanel("hef.explanation", "hef: Explanation", column, options);
      this.panel.onDidDispose(() => (this.panel = undefined));
    }
    this.panel.reveal(undefined, true);
    await this.refresh();
  }

  dispose(): void {
    this.listening.dispose();
    this.panel?.dispose();
  }

  private async refresh(): Promise<void> {
    const panel = this.panel;
    if (panel?.visible) {
      const explanation = await this.service.command<Explanation | null>("hef.explain");
      if (this.panel === panel) { // it may have been closed meanwhile
        panel.webview.html = explanationPage(explanation, explanation ? rootOf(explanation.uri) : undefined);
      }
    }
  }
}
