/** The one sequence that a policy can forbid: a sensitive read, then an outbound connection in the same run. */
import { type Action, EGRESS_KINDS } from "./action.js";
import { cut, strip } from "./text.js";
import { type Finding, finding } from "./verdict.js";

const MAX_AGENTS = 4096;
/** Runs with a sensitive read that are remembered for each agent. */
const MAX_RUNS = 1024;
/** Actions of an agent that states no run, for which a sensitive read counts. */
const WINDOW = 256;

/**
 * Remembers who read something sensitive. Bounded; what it had to forget is counted in `forgotten`. With a run a read counts until the
 * end of the run, however many actions lie between; without, for the agent's next `WINDOW` actions.
 */
export class Correlation {
  forgotten = 0;
  private readonly agents = new Map<string, Map<string, number>>();

  constructor(private readonly source = "policy:correlation") {}

  /**
   * Take `action` in, and say whether it connects outwards after a sensitive read. A read is any action with `metadata.sensitive` that
   * is not itself a network one. A read that was blocked counts too: the agent tried.
   */
  see(action: Action): Finding | undefined {
    const who = key(action.organisation, action.agent);
    const runs = this.agents.get(who);
    if (EGRESS_KINDS.has(action.kind) || EGRESS_KINDS.has(strip(action.kind).toLowerCase())) {
      return runs !== undefined && isMarked(runs, action.runId) ? this.found(action) : undefined;
    }
    if (isTruthy(action.metadata["sensitive"])) this.mark(who, action.runId);
    else if (runs !== undefined && action.runId === "") isMarked(runs, "");
    return undefined;
  }

  /** The run is over. */
  end(organisation: string, agent: string, runId: string): void {
    const who = key(organisation, agent);
    const runs = this.agents.get(who);
    runs?.delete(runId);
    if (runs?.size === 0) this.agents.delete(who);
  }

  private mark(who: string, runId: string): void {
    const runs = this.agents.get(who) ?? new Map<string, number>();
    // A map keeps the order in which its keys came: the first one is the oldest.
    this.agents.delete(who);
    this.agents.set(who, runs);
    runs.delete(runId);
    runs.set(runId, WINDOW);
    if (runs.size > MAX_RUNS) {
      runs.delete(first(runs));
      this.forgotten += 1;
    }
    if (this.agents.size > MAX_AGENTS) {
      const oldest = first(this.agents);
      this.forgotten += this.agents.get(oldest)?.size ?? 0;
      this.agents.delete(oldest);
    }
  }

  private found(action: Action): Finding {
    return finding({
      kind: "risky sequence",
      value: "sensitive read then connect",
      source: this.source,
      detection: "policy",
      field: "kind",
      expected: "no outbound connection in a run after a sensitive read",
      observed: `${cut(action.kind, 64)} to ${cut(action.target, 256) || "a destination that is not stated"}`,
      advice: "If this is wanted, do not mark the read as sensitive, or connect in another run.",
      attack: "read-then-egress",
    });
  }
}

function isMarked(runs: Map<string, number>, runId: string): boolean {
  const left = runs.get(runId);
  if (left === undefined) return false;
  runs.delete(runId);
  if (runId === "" && left <= 0) return false;
  runs.set(runId, runId === "" ? left - 1 : left);
  return true;
}

function key(organisation: string, agent: string): string {
  return `${organisation.length}:${organisation}${agent}`;
}

function first(map: Map<string, unknown>): string {
  return map.keys().next().value as string;
}

/** What counts as true in the language of the contract: an empty list and an empty object do not. */
function isTruthy(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return (Array.isArray(value) ? value : Object.keys(value)).length > 0;
  return Boolean(value);
}
