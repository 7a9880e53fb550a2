// Opens a place of the workspace that the server named.

import * as path from "node:path";
import * as vscode from "vscode";

/** Lines count from 0; `endLine` is the one after the last. `root` is a folder's path where it is known. */
export interface Place {
  readonly path: string;
  readonly startLine: number;
  readonly endLine: number;
  readonly root?: string;
}

/** The folder that a document belongs to: what was retrieved for it lies there, too. */
export function rootOf(uri: string): string | undefined {
  return vscode.workspace.getWorkspaceFolder(vscode.Uri.parse(uri))?.uri.fsPath;
}

export async function openPlace(place: Place): Promise<void> {
  const uri = await find(place);
  if (!uri) {
    void vscode.window.showInformationMessage(`hef-lsp: ${place.path} is no longer there.`);
    return;
  }
  const stat = await vscode.workspace.fs.stat(uri);
  if (stat.type & vscode.FileType.Directory) {
    await vscode.commands.executeCommand("revealInExplorer", uri);
    return;
  }
  const last = Math.max(place.startLine, place.endLine - 1);
  const selection = new vscode.Range(place.startLine, 0, last, Number.MAX_SAFE_INTEGER);
  await vscode.window.showTextDocument(uri, { selection, preview: true, viewColumn: vscode.ViewColumn.One });
}

/** In the folder it was named with, else the first workspace folder that has it; nothing outside of them. */
async function find(place: Place): Promise<vscode.Uri | undefined> {
  const all = vscode.workspace.workspaceFolders ?? [];
  const named = all.filter((folder) => isSamePath(place.root, folder.uri.fsPath));
  for (const folder of named.length > 0 ? named : all) {
    const uri = vscode.Uri.joinPath(folder.uri, place.path);
    const isInside = uri.path === folder.uri.path || uri.path.startsWith(`${folder.uri.path.replace(/\/$/, "")}/`);
    if (isInside && (await exists(uri))) {
      return uri;
    }
  }
  return undefined;
}

function isSamePath(one: string | undefined, other: string): boolean {
  return one !== undefined && path.relative(one, other) === "";
}

async function exists(uri: vscode.Uri): Promise<boolean> {
  try {
    await vscode.workspace.fs.stat(uri);
    return true;
  } catch {
    return false;
  }
}
