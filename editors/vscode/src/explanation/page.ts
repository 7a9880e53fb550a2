// The page that says what stood behind a suggestion. It has no scripts; its links are commands.

import { commandLink, escaped, nonce } from "../html";
import type { ExplainedHit, Explanation } from "../protocol";

export const OPEN_PLACE = "hef.openPlace";

const SOURCES: Readonly<Record<string, string>> = {
  generated: "made for this request",
  exact: "kept from an earlier request at this very place",
  "typed-through": "the rest of an earlier suggestion that was typed along",
  prefetched: "made before it was asked for",
};

const STYLE = `
body { padding: 0 1.2em 2em; line-height: 1.5; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin-bottom: 1em; }
td { padding: 0.1em 1.5em 0.1em 0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { margin: 0.3em 0 0; padding: 0.4em 0.6em; background: var(--vscode-textCodeBlock-background); overflow-x: auto; }
ol { list-style: none; margin: 0; padding: 0; }
li { margin: 0 0 1.1em; padding-left: 0.8em; border-left: 3px solid var(--vscode-charts-green); }
li.unused { border-left-color: var(--vscode-panel-border); }
.note { color: var(--vscode-descriptionForeground); margin: 0; font-size: 0.92em; }
`;

export function explanationPage(explanation: Explanation | null | undefined, root?: string): string {
  const body = explanation ? content(explanation, root) : "<p>No suggestion was made yet: type in a file first.</p>";
  const key = nonce();
  const policy = `default-src 'none'; style-src 'nonce-${key}'`;
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}"><title>Explanation</title>
<style nonce="${key}">${STYLE}</style></head><body>${body}</body></html>`;
}

function content(explanation: Explanation, root: string | undefined): string {
  const { path, line, mode, source } = explanation;
  const place = commandLink(OPEN_PLACE, { path, root, startLine: line, endLine: line + 1 }, `${path}:${line + 1}`);
  return `<h2>Suggestion at ${place}</h2>
<p>Context mode <code>${escaped(mode)}</code>; ${escaped(SOURCES[source] ?? source)}.</p>
${explanation.notes.map((note) => `<p class="note">${escaped(note)}</p>`).join("")}
${explanation.suggestions.map((text) => `<pre>${escaped(text)}</pre>`).join("")}
<h3>Retrieved</h3>${hits(explanation.hits, root)}
<h3>Figures</h3>${figures(explanation)}`;
}

function hits(found: readonly ExplainedHit[], root: string | undefined): string {
  if (found.length === 0) {
    return "<p>Nothing was retrieved for it.</p>";
  }
  return `<ol>${found.map((hit) => entry(hit, root)).join("")}</ol>`;
}

/** One below the other: the panel is often narrow. */
function entry(hit: ExplainedHit, root: string | undefined): string {
  const place = { path: hit.path, root, startLine: hit.start_line, endLine: hit.end_line };
  const lines = hit.kind === "chunk" ? `:${hit.start_line + 1}-${hit.end_line}` : "";
  const link = commandLink(OPEN_PLACE, place, `${hit.path || "(the whole workspace)"}${lines}`);
  const [score, meaning, words] = [hit.score, hit.dense_score, hit.lexical_score].map((figure) => figure.toFixed(3));
  const found = `score ${score}, by meaning ${meaning}, by words ${words}${hit.alike ? ", the lines above alike" : ""}`;
  const facts = `${hit.kind}${hit.used ? "" : ", not used"}; ${found}`;
  return `<li${hit.used ? "" : ' class="unused"'}>${link}<p class="note">${facts}</p>${preview(hit)}</li>`;
}

function preview(hit: ExplainedHit): string {
  const lines = hit.text.split("\n").slice(0, 3).join("\n");
  return lines.trim() ? `<pre>${escaped(lines)}</pre>` : "";
}

function figures(explanation: Explanation): string {
  const counts: [string, number][] = [
    ["pseudo-tokens", explanation.n_pseudo_tokens],
    ["tokens of the prompt", explanation.n_prompt_tokens],
    ["of these, of context", explanation.n_context_tokens],
    ["reused from before", explanation.n_reused],
    ["prefilled", explanation.n_prefilled],
    ["read before anyone asked", explanation.n_read_before],
    ["tokens generated", explanation.n_decoded],
    ["passes through the model for them", explanation.n_forwards],
  ];
  const times = Object.entries(explanation.timings).map(
    ([name, ms]): [string, string] => [name.replace(/_ms$/, ""), `${ms.toFixed(1)} ms`],
  );
  const rows = [...counts, ...times].map(
    ([name, value]) => `<tr><td>${escaped(name)}</td><td class="number">${escaped(String(value))}</td></tr>`,
  );
  return `<table>${rows.join("")}</table>`;
}
