/** Action: one thing that an agent does, as some source saw it. */

/** A JSON document that nobody has validated yet. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The known kinds. `kind` is an open string: an unknown one is judged like any other. */
export const KINDS: ReadonlySet<string> = new Set(["tool_call", "skill_load", "connect", "http", "file", "exec", "dns", "message"]);

/** Kinds that by themselves reach over the network. */
export const EGRESS_KINDS: ReadonlySet<string> = new Set(["connect", "http", "dns"]);

/**
 * One action. Absent and empty are the same: text fields hold `""` for both.
 *
 * `target` is what it is done to: `host`, `host:port`, a URL, a path, an address. `metadata` is open; known keys are `source` (the
 * feed, and so the rung), `arguments` and `sensitive`. `at` is in Unix seconds, 0 when not stated. `delegation` is the chain of agents
 * that handed the work down; `seenBy` names the sources that saw the same act.
 */
export interface Action {
  readonly kind: string;
  readonly tool: string;
  readonly publisher: string;
  readonly target: string;
  readonly hash: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly id: string;
  readonly runId: string;
  readonly actId: string;
  readonly at: number;
  readonly agent: string;
  readonly organisation: string;
  readonly delegation: readonly string[];
  readonly seenBy: readonly string[];
}

/** The fields that hold one text. */
export const TEXTS = ["kind", "tool", "publisher", "target", "hash", "id", "runId", "actId", "agent", "organisation"] as const;

const NOTHING: readonly string[] = Object.freeze([]);
const EMPTY: Readonly<Record<string, unknown>> = Object.freeze({});

/** An action of which only some fields are stated. Every field by name: to copy them costs a microsecond. */
export function action(stated: Partial<Action> = {}): Action {
  return {
    kind: stated.kind ?? "tool_call",
    tool: stated.tool ?? "",
    publisher: stated.publisher ?? "",
    target: stated.target ?? "",
    hash: stated.hash ?? "",
    metadata: stated.metadata ?? EMPTY,
    id: stated.id ?? "",
    runId: stated.runId ?? "",
    actId: stated.actId ?? "",
    at: stated.at ?? 0,
    agent: stated.agent ?? "default",
    organisation: stated.organisation ?? "",
    delegation: stated.delegation ?? NOTHING,
    seenBy: stated.seenBy ?? NOTHING,
  };
}

const RUNGS: Readonly<Record<string, number>> = { mcp: 2, egress: 3, sandbox: 3, ebpf: 4 };

/** How hard the feed that saw it is to lie to: 1 the agent's own word, 2 a chokepoint, 3 the egress, 4 the kernel. */
export function rungOf(one: Action): number {
  const source = one.metadata["source"];
  return typeof source === "string" && Object.hasOwn(RUNGS, source) ? (RUNGS[source] as number) : 1;
}
