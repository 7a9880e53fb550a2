// What the extension and the page of the hierarchy say to each other.

import type { FolderTree } from "../protocol";

/** A retrieved place; `rank` counts from 0, the best first. */
export interface Retrieved {
  readonly kind: string;
  /** The folder it lies in, empty where that is unknown. */
  readonly root: string;
  readonly path: string;
  readonly startLine: number;
  readonly score: number;
  readonly rank: number;
  readonly used: boolean;
}

export interface Picture {
  readonly folders: readonly FolderTree[];
  readonly retrieved: readonly Retrieved[];
  readonly state: string;
}

export type ToPage = { readonly kind: "picture"; readonly picture: Picture };

export type FromPage =
  | { readonly kind: "ready" }
  /** The ids of the nodes whose children are shown. */
  | { readonly kind: "open"; readonly ids: readonly string[] }
  | { readonly kind: "show"; readonly path: string; readonly startLine: number; readonly endLine: number; readonly root: string };
