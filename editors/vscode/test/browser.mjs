// The browser that VS Code is shown in: the system's Chromium, else the one fetched from npm.

import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";
import { pathToFileURL } from "node:url";

import { chromium } from "playwright-core";

import { FETCHED } from "./host.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export async function startBrowser() {
  return await chromium.launch({ executablePath: systemBrowser() ?? (await fetchedBrowser()), args: FLAGS });
}

function systemBrowser() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const files = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((folder) => join(folder, name)));
  return process.env.HEF_TEST_BROWSER ?? files.find((file) => existsSync(file));
}

/** It unpacks itself, with the libraries it needs, into the temporary folder of this process. */
async function fetchedBrowser() {
  process.env.TMPDIR = join(FETCHED, "browser");
  process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs22.x"; // makes it bring its libraries
  mkdirSync(join(process.env.TMPDIR, "fonts"), { recursive: true });
  const require = createRequire(join(FETCHED, "package.json"));
  const { default: fetched } = await import(pathToFileURL(require.resolve("@sparticuz/chromium")).href);
  const file = await fetched.executablePath();
  const fonts = join(FETCHED, "node_modules", "dejavu-fonts-ttf", "ttf");
  for (const name of ["DejaVuSansMono.ttf", "DejaVuSans.ttf"]) {
    copyFileSync(join(fonts, name), join(process.env.TMPDIR, "fonts", name));
  }
  return file;
}
