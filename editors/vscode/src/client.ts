// One language client around one server process: how it is started, what is kept from the user's screen.

import * as vscode from "vscode";
import {
  type Executable,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
  RevealOutputChannelOn,
} from "vscode-languageclient/node";

import { isolatedEnvironment } from "./running";
import type { Launcher } from "./server/launcher";

/** Those of which the server is told. */
export const DOCUMENTS = [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }];

export interface ClientParts {
  readonly launcher: Launcher;
  readonly openFilesOnly: boolean;
  readonly log: vscode.LogOutputChannel;
  readonly workingFolder: string;
  /** Suggestions came back for a document. */
  readonly onSuggested: (uri: vscode.Uri) => void;
}

export function makeClient(parts: ClientParts): LanguageClient {
  const level = vscode.workspace.getConfiguration("hef.server").get("logLevel", "warning");
  const server: Executable = {
    command: parts.launcher.command,
    args: [...parts.launcher.prefix, "serve", "--log-level", level],
    // The working folder is not the workspace: programs and libraries of any kind may lie there.
    options: { cwd: parts.workingFolder, env: isolatedEnvironment() },
  };
  const options: LanguageClientOptions = {
    documentSelector: DOCUMENTS,
    outputChannel: parts.log,
    revealOutputChannelOn: RevealOutputChannelOn.Never,
    initializationOptions: limited({}, parts.openFilesOnly),
    middleware: middleware(parts),
    stdioOptions: { stdout: () => undefined, stderr: (stream, channel) => logLines(stream, channel) },
  };
  return new LanguageClient("hef", "hef-lsp", server, options);
}

function middleware(parts: ClientParts): Middleware {
  return {
    // The status bar shows the same, and can pause it.
    handleWorkDoneProgress: () => undefined,
    workspace: {
      configuration: async (params, token, next) => {
        const answer = await next(params, token);
        return Array.isArray(answer) ? answer.map((section: unknown) => limited(section, parts.openFilesOnly)) : answer;
      },
    },
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : answer?.items;
      if (items?.length) {
        parts.onSuggested(document.uri);
      }
      return answer;
    },
    provideCompletionItem: async (document, position, context, token, next) => {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : answer?.items;
      if (items?.length) {
        parts.onSuggested(document.uri);
      }
      return answer;
    },
  };
}

/** The settings; only open files are read where the user allowed no more. */
function limited(section: unknown, openFilesOnly: boolean): Record<string, unknown> {
  const settings = asObject(section);
  if (openFilesOnly) {
    settings["index"] = { ...asObject(settings["index"]), enabled: false };
  }
  return settings;
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function logLines(stream: NodeJS.ReadableStream, channel: vscode.LogOutputChannel): void {
  let rest = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop() ?? "";
    lines.filter(Boolean).forEach((line) => channel.info(line));
  });
}
