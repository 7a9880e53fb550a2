// What can be tried without an editor: pages that hold foreign text, and how the server is started.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { build } from "esbuild";

const here = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(here, "dist-"));
after(() => rmSync(folder, { recursive: true }));

async function load(name) {
  const outfile = join(folder, `${name.replaceAll("/", "-")}.mjs`);
  await build({ entryPoints: [join(here, "src", `${name}.ts`)], outfile, bundle: true, platform: "node", format: "esm" });
  return await import(pathToFileURL(outfile).href);
}

const explanation = {
  uri: "file:///w/a.py", path: "a.py", line: 3, mode: "text", source: "generated", notes: ["<b>note</b>"],
  hits: [{
    kind: "chunk", path: "<img src=x>.py", start_line: 0, end_line: 2, score: 1, dense_score: 1, lexical_score: 1,
    text: "</pre><script>alert(1)</script>", used: false, alike: true,
  }],
  n_pseudo_tokens: 0, n_prompt_tokens: 0, n_context_tokens: 0, n_reused: 0, n_prefilled: 0, n_read_before: 0, n_decoded: 0, n_forwards: 0,
  timings: { total_ms: 1.25 }, suggestions: ["<i>x</i>"],
};

test("no text of the workspace becomes part of the page", async () => {
  const { explanationPage } = await load("explanation/page");
  const page = explanationPage(explanation, "/w");
  for (const tag of ["<script", "<img", "<i>", "<b>"]) {
    assert(!page.includes(tag), `${tag} is in the page`);
  }
  assert(page.includes("default-src 'none'"));
  assert(page.includes("the lines above alike"));
});

test("a link names its place", async () => {
  const { explanationPage } = await load("explanation/page");
  const query = /command:hef\.openPlace\?([^"]+)"/.exec(explanationPage(explanation, "/w"))[1];
  assert.deepEqual(JSON.parse(decodeURIComponent(query)), [{ path: "a.py", root: "/w", startLine: 3, endLine: 4 }]);
});

test("without an explanation the page says what to do", async () => {
  const { explanationPage } = await load("explanation/page");
  assert.match(explanationPage(null), /type in a file first/);
});

test("interpreters are started isolated, programs as they are", async () => {
  const { ofPath } = await load("server/launcher");
  for (const name of ["python", "python3", "python3.12", "pypy3"]) {
    assert.deepEqual(ofPath(`/somewhere/${name}`, "").prefix, ["-I", "-m", "hef_lsp"], name);
  }
  assert.deepEqual(ofPath("/somewhere/hef-lsp", "").prefix, []);
});

test("what would bring in other modules is not handed on", async () => {
  const { isolatedEnvironment } = await load("running");
  process.env.PYTHONPATH = "/elsewhere";
  const environment = isolatedEnvironment();
  assert.equal(environment.PYTHONPATH, undefined);
  assert.equal(environment.PYTHONSAFEPATH, "1");
  assert.equal(environment.PATH, process.env.PATH);
});

test("a program that is not there is an outcome, not an exception", async () => {
  const { run } = await load("running");
  const outcome = await run("/no/such/program", ["--version"]);
  assert.equal(outcome.code, null);
  assert.match(outcome.errors, /ENOENT/);
});

test("no two files import each other, by whatever way", () => {
  const source = join(here, "src");
  const files = readdirSync(source, { recursive: true }).filter((name) => name.endsWith(".ts"));
  const named = /from "(\.[^"]+)"/g; // types, too
  const imports = new Map(files.map((name) => {
    const text = readFileSync(join(source, name), "utf8");
    return [name, [...text.matchAll(named)].map(([, path]) => `${join(dirname(name), path)}.ts`)];
  }));
  const done = new Set();
  const visit = (name, way) => {
    assert(!way.includes(name), `a circle: ${[...way, name].join(" -> ")}`);
    if (!done.has(name)) {
      assert(imports.has(name), `${way.at(-1)} imports ${name}, which is not there`);
      imports.get(name).forEach((next) => visit(next, [...way, name]));
      done.add(name);
    }
  };
  files.forEach((name) => visit(name, []));
});
