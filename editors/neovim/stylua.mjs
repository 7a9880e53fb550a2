// Lays out the plugin's Lua as stylua.toml says: `node stylua.mjs FOLDER` names the files that stand otherwise, and with
// `--write` puts them right. FOLDER has npm's package @johnnymorganz/stylua in its node_modules.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const [folder, option] = process.argv.slice(2);
const stylua = createRequire(join(resolve(folder), "any.js"))("@johnnymorganz/stylua");
const { Config, OutputVerification } = stylua;
const KINDS = {
  line_endings: stylua.LineEndings,
  indent_type: stylua.IndentType,
  quote_style: stylua.QuoteStyle,
  call_parentheses: stylua.CallParenType,
};

/** A new one for each file: formatting uses it up. */
function config() {
  const made = Config.new();
  for (const line of readFileSync(join(here, "stylua.toml"), "utf8").split("\n").filter(Boolean)) {
    const [name, value] = line.split(" = ").map((part) => part.replaceAll('"', ""));
    const known = KINDS[name] ? KINDS[name][value] : Number(value);
    if (!(name in made) || !Number.isInteger(known)) {
      throw new Error(`stylua.toml: nothing is known of ${line}`);
    }
    made[name] = known;
  }
  return made;
}

for (const name of readdirSync(here, { recursive: true }).filter((file) => file.endsWith(".lua"))) {
  const text = readFileSync(join(here, name), "utf8");
  const laidOut = stylua.formatCode(text, config(), undefined, OutputVerification.Full);
  if (laidOut !== text) {
    console.log(`editors/neovim/${name} is not laid out as stylua does it`);
    if (option === "--write") {
      writeFileSync(join(here, name), laidOut);
    } else {
      process.exitCode = 1;
    }
  }
}
