// Pieces of the pages that are shown in web views.

import { randomBytes } from "node:crypto";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

export function nonce(): string {
  return randomBytes(16).toString("base64url");
}

/** A link that runs a command of the extension; the page must allow that command. */
export function commandLink(command: string, argument: unknown, label: string): string {
  const query = encodeURIComponent(JSON.stringify([argument]));
  return `<a href="command:${command}?${query}">${escaped(label)}</a>`;
}
