// What the server says and answers beyond the protocol's own types: see docs/lsp-support.md.

export interface StatusReport {
  readonly state: string;
  readonly message: string;
  readonly done: number;
  readonly total: number;
}

/** The answer of `hef.status`, as far as it is shown here. */
export interface FullStatus extends StatusReport {
  readonly model: string | null;
  readonly context: string;
  readonly notes: readonly string[];
  readonly index: Readonly<Record<string, number>>;
}

export interface ExplainedHit {
  readonly kind: "chunk" | "group" | "file" | "directory" | "repository";
  readonly path: string;
  readonly start_line: number;
  readonly end_line: number;
  readonly score: number;
  readonly dense_score: number;
  readonly lexical_score: number;
  readonly text: string;
  readonly used: boolean;
  readonly alike: boolean;
}

/** The answer of `hef.explain`. Lines count from 0, and `end_line` is the one after the last. */
export interface Explanation {
  readonly uri: string;
  readonly path: string;
  readonly line: number;
  readonly mode: string;
  readonly source: string;
  readonly hits: readonly ExplainedHit[];
  readonly n_pseudo_tokens: number;
  readonly n_prompt_tokens: number;
  readonly n_context_tokens: number;
  readonly n_reused: number;
  readonly n_prefilled: number;
  readonly n_read_before: number;
  readonly n_decoded: number;
  readonly n_forwards: number;
  readonly timings: Readonly<Record<string, number>>;
  readonly suggestions: readonly string[];
  readonly notes: readonly string[];
}

/** A place in the tree of `hef.hierarchy`; `children` is null where they were not asked for. */
export interface TreeNode {
  readonly id: string;
  readonly kind: "chunk" | "file" | "directory" | "repository";
  readonly name: string;
  readonly path: string;
  readonly start_line: number;
  readonly end_line: number;
  readonly digest: string;
  readonly n_chunks: number;
  readonly memory: "fused" | "waiting" | "none";
  readonly n_left_out: number;
  readonly children: readonly TreeNode[] | null;
}

export interface FolderTree {
  readonly root: string;
  readonly generation: number;
  readonly pending: number;
  readonly tree: TreeNode | null;
}

export const CONTEXT_MODES = ["auto", "dense", "text", "none"] as const;

/** Whether the server has stopped to work on anything by itself. */
export function isSettled(report: StatusReport): boolean {
  return report.state === "ready" || report.state === "paused" || report.state === "error";
}
