// Tells the server where the cursor rests, so that what will be asked for there is worked out before.

import * as vscode from "vscode";

import type { Service } from "./service";

const REST_MS = 200;

export class CursorTeller implements vscode.Disposable {
  private readonly listeners: vscode.Disposable;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly service: Service) {
    this.listeners = vscode.Disposable.from(
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => this.moved(textEditor)),
      vscode.window.onDidChangeActiveTextEditor((editor) => editor && this.moved(editor)),
    );
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.listeners.dispose();
  }

  private moved(editor: vscode.TextEditor): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (editor === vscode.window.activeTextEditor && editor.selection.isEmpty) {
        this.service.cursorMoved(editor.document, editor.selection.active);
      }
    }, REST_MS);
  }
}
