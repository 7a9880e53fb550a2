// Runs a program and hears its lines; nothing goes through a shell.

import { spawn } from "node:child_process";
import { homedir } from "node:os";

export interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

export interface RunOptions {
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Never rejects: a program that cannot be started has code null and says why in `errors`. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    let output = "";
    let errors = "";
    // Not in the workspace's folder, where programs and modules of any kind may lie.
    const child = spawn(command, [...args], {
      cwd: homedir(),
      env: isolatedEnvironment(),
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.timeoutMs ? { timeout: options.timeoutMs } : {}),
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      tell(text, options.onLine);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
      tell(text, options.onLine);
    });
    child.on("error", (error) => resolve({ code: null, output, errors: errors || error.message }));
    child.on("close", (code) => resolve({ code, output, errors }));
  });
}

/** Ours, without what would put other modules before those of the interpreter. */
export function isolatedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = { PYTHONSAFEPATH: "1", PYTHONUTF8: "1" };
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"].includes(name)) {
      environment[name] = value;
    }
  }
  return environment;
}

function tell(text: string, onLine: ((line: string) => void) | undefined): void {
  for (const line of text.split(/[\r\n]+/)) {
    if (line.trim()) {
      onLine?.(line);
    }
  }
}
