// Programs on PATH.

import { existsSync } from "node:fs";
import * as path from "node:path";

/** Relative entries of PATH are passed over: they would mean the folder that happens to be current. */
export function onPath(program: string): string | undefined {
  const file = process.platform === "win32" ? `${program}.exe` : program;
  return (process.env["PATH"] ?? "")
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, file))
    .find((candidate) => existsSync(candidate));
}
