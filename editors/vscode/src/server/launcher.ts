// How a server that was found is run: always isolated from the workspace's modules.

import * as path from "node:path";

import { run, type Outcome, type RunOptions } from "../running";

/** A program and the arguments that come before a subcommand such as `serve`. */
export interface Launcher {
  readonly command: string;
  readonly prefix: readonly string[];
  /** Where it was found, in words. */
  readonly origin: string;
}

const MODULE_START = ["-I", "-m", "hef_lsp"];

export function ofInterpreter(interpreter: string, origin: string): Launcher {
  return { command: interpreter, prefix: MODULE_START, origin };
}

/** For a path that the user named: an interpreter by its name, else the program itself. */
export function ofPath(file: string, origin: string): Launcher {
  const isInterpreter = /^(python|pypy)[\d.]*(\.exe)?$/i.test(path.basename(file));
  return isInterpreter ? ofInterpreter(file, origin) : { command: file, prefix: [], origin };
}

export function launch(launcher: Launcher, args: readonly string[], options?: RunOptions): Promise<Outcome> {
  return run(launcher.command, [...launcher.prefix, ...args], options);
}

/** The server's version, or undefined where there is no server. */
export async function versionOf(launcher: Launcher): Promise<string | undefined> {
  const outcome = await launch(launcher, ["--version"], { timeoutMs: 60_000 });
  return outcome.code === 0 ? /hef-lsp (\S+)/.exec(outcome.output)?.[1] : undefined;
}
