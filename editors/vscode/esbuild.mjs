// Bundles the extension and the script of its view into dist/.
import { build } from "esbuild";

const common = { bundle: true, minify: true, sourcemap: false, logLevel: "warning" };

await build({
  ...common,
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
});
await build({
  ...common,
  entryPoints: ["src/hierarchy/drawing.ts"],
  outfile: "dist/hierarchy.js",
  platform: "browser",
  format: "iife",
  target: "es2022",
});
