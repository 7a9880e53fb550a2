// Runs in the view's page: draws the tree, colours what was retrieved, lets what changed light up.

import type { FolderTree, TreeNode } from "../protocol";
import type { FromPage, Picture, Retrieved, ToPage } from "./messages";

declare function acquireVsCodeApi(): { postMessage(message: FromPage): void };

const editor = acquireVsCodeApi();
const legend = document.getElementById("legend") as HTMLElement;
const tree = document.getElementById("tree") as HTMLElement;
const open = new Set<string>();
/** What each node looked like in the last picture, by folder and id. */
let seen = new Map<string, string>();

window.addEventListener("message", (event: MessageEvent<ToPage>) => draw(event.data.picture));
editor.postMessage({ kind: "ready" });

function draw(picture: Picture): void {
  const next = new Map<string, string>();
  const focused = document.activeElement?.getAttribute("data-key");
  const drawn = picture.folders.map((folder) => drawFolder(folder, picture.retrieved, next));
  tree.replaceChildren(...drawn);
  if (picture.folders.every((folder) => folder.tree === null)) {
    tree.replaceChildren(element("div", "empty", "Nothing is indexed yet."));
  }
  drawLegend(picture);
  seen = next;
  if (focused) {
    tree.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

interface Drawing {
  readonly root: string;
  readonly retrieved: readonly Retrieved[];
  readonly next: Map<string, string>;
}

function drawFolder(folder: FolderTree, retrieved: readonly Retrieved[], next: Map<string, string>): HTMLElement {
  const box = element("div", "folder");
  if (folder.tree) {
    // Editors and servers may write the same folder with capitals or without (Windows).
    const here = retrieved.filter((one) => !one.root || one.root.toLowerCase() === folder.root.toLowerCase());
    box.append(...drawNode(folder.tree, { root: folder.root, retrieved: here, next }, false));
  }
  return box;
}

/** `isNews`: that it was not there before means that it is new, and not that its parent was closed. */
function drawNode(node: TreeNode, drawing: Drawing, isNews: boolean): HTMLElement[] {
  const row = drawRow(node, drawing, isNews);
  if (!node.children) {
    return [row];
  }
  open.add(node.id);
  const wasOpen = node.children.some((child) => seen.has(keyOf(child, drawing.root)));
  const children = element("div", "children");
  children.setAttribute("role", "group");
  children.append(...node.children.flatMap((child) => drawNode(child, drawing, wasOpen)));
  if (node.n_left_out > 0) {
    children.append(element("div", "count", `and ${node.n_left_out} more`));
  }
  return [row, children];
}

/** A chunk is known by what it holds: others before it may come and go. */
function keyOf(node: TreeNode, root: string): string {
  return `${root}\n${node.kind === "chunk" ? `${node.path}\n${node.digest}` : node.id}`;
}

function drawRow(node: TreeNode, drawing: Drawing, isNews: boolean): HTMLElement {
  const { root, retrieved, next } = drawing;
  const key = keyOf(node, root);
  const look = `${node.digest} ${node.memory}`;
  const before = seen.get(key);
  next.set(key, look);
  const row = element("div", "row");
  row.setAttribute("role", "treeitem");
  row.setAttribute("data-key", key);
  row.tabIndex = 0;
  row.classList.toggle("changed", before === undefined ? isNews : before !== look);
  colour(row, node, retrieved);
  const twist = node.kind === "chunk" ? "" : node.children ? "▾" : "▸";
  row.append(element("span", "twist", twist), element("span", `mark ${node.memory}`), element("span", "name", node.name));
  if (node.kind !== "chunk") {
    row.append(element("span", "count", String(node.n_chunks)));
    row.setAttribute("aria-expanded", String(node.children !== null));
  }
  row.title = describe(node, row.dataset["score"]);
  row.addEventListener("click", () => act(node, root));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      act(node, root);
    }
  });
  return row;
}

/** The better the rank, the fuller the colour; what is closed over a hit, or above it, has a bar at its edge. */
function colour(row: HTMLElement, node: TreeNode, retrieved: readonly Retrieved[]): void {
  const hit = retrieved.find((one) => isAt(one, node));
  if (hit) {
    row.classList.add(`hit${Math.min(2, hit.rank)}`);
    row.dataset["score"] = `${hit.score.toFixed(3)}${hit.used ? "" : ", not used"}`;
  } else if (node.kind !== "chunk" && retrieved.some((one) => isBelow(one.path, node))) {
    row.classList.add("above");
  }
}

function isAt(hit: Retrieved, node: TreeNode): boolean {
  if (hit.kind === "chunk" || node.kind === "chunk") {
    return hit.kind === node.kind && hit.path === node.path && hit.startLine === node.start_line;
  }
  // A group is a part of the file or directory whose path it has.
  return hit.path === node.path && (hit.kind === node.kind || hit.kind === "group");
}

function isBelow(path: string, node: TreeNode): boolean {
  return node.kind === "repository" || path === node.path || path.startsWith(`${node.path}/`);
}

function act(node: TreeNode, root: string): void {
  if (node.kind === "chunk") {
    editor.postMessage({ kind: "show", path: node.path, startLine: node.start_line, endLine: node.end_line, root });
    return;
  }
  if (open.has(node.id)) {
    open.delete(node.id);
  } else {
    open.add(node.id);
  }
  editor.postMessage({ kind: "open", ids: [...open] });
}

function describe(node: TreeNode, score: string | undefined): string {
  const memory = { fused: "fused", waiting: "waits to be fused", none: "" }[node.memory];
  const place = node.kind === "chunk" ? `${node.path}:${node.start_line + 1}-${node.end_line}` : node.path;
  return [place || node.name, memory, score ? `retrieved, score ${score}` : ""].filter(Boolean).join("\n");
}

function drawLegend(picture: Picture): void {
  const pending = picture.folders.reduce((sum, folder) => sum + folder.pending, 0);
  const first = picture.folders.length > 0 ? `generation ${picture.folders.map((one) => one.generation).join(", ")}` : "";
  legend.replaceChildren(
    element("span", "", [picture.state, first, pending ? `${pending} to fuse` : ""].filter(Boolean).join(" · ")),
    element("br", ""),
    swatch("hit0", "retrieved"),
    swatch("mark fused", "fused"),
    swatch("mark waiting", "waits"),
    swatch("news", "changed"),
  );
}

/** A colour with its meaning, which no line break parts. */
function swatch(name: string, text: string): HTMLElement {
  const entry = element("span", "entry");
  entry.append(element("span", `swatch ${name}`), element("span", "", text));
  return entry;
}

function element(tag: string, name: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}
