/** Verdict: the answer to `inspect(action)`, the same at every rung. */
import type { Score } from "./score.js";

/** There is no third one: what is asked of a person is a `block` that is pending. */
export type Decision = "allow" | "block";

/** Per agent. `enforce` also blocks on findings that `observe` only flags, and blocks when nobody can answer. */
export type Mode = "observe" | "enforce";

/** Detections whose findings observe lets through with a flag and enforce blocks; the others block always or never. */
export const ENFORCED: ReadonlySet<string> = new Set([
  "taint",
  "memory",
  "declaration",
  "provenance",
  "diverted",
  "alignment",
  "unasked",
  "gap",
  "reasoning",
]);

/** What one detection says of one action: the rule, the field, what was expected, what was seen, what to do about it. */
export interface Finding {
  readonly kind: string;
  readonly value: string;
  readonly source: string;
  readonly detection: string;
  readonly field: string;
  readonly expected: string;
  readonly observed: string;
  readonly advice: string;
  readonly attack: string;
}

/** A finding of which only some fields are stated. */
export function finding(stated: Partial<Finding> & Pick<Finding, "kind" | "value">): Finding {
  return { source: "policy", detection: "", field: "", expected: "", observed: "", advice: "", attack: "", ...stated };
}

/** A hold: the action waits for a person until `expiresAt` (Unix seconds); unanswered means blocked. */
export interface Pending {
  readonly id: string;
  readonly expiresAt: number;
}

const NO_FINDINGS: readonly Finding[] = Object.freeze([]);
const NO_NOTES: readonly string[] = Object.freeze([]);

/**
 * Decision, reason and evidence for one action. `confidence` is 0 to 1, only when a reasoning check or a gap gave the verdict; `notes`
 * are what the reader should know and what is no finding; `policyVersion` says which policy was in force; `at` is in Unix seconds.
 */
export class Verdict {
  static get name(): string {
    return "Verdict";
  }
  readonly decision: Decision;
  readonly reason: string;
  readonly evidence: readonly Finding[];
  readonly confidence: number | null;
  readonly notes: readonly string[];
  readonly actionId: string;
  readonly policyVersion: string;
  readonly pending: Pending | null;
  readonly at: number;
  readonly score: Score | null;

  constructor(stated: Partial<Pick<Verdict, (typeof FIELDS)[number]>> = {}) {
    this.decision = stated.decision ?? "allow";
    this.reason = stated.reason ?? "";
    this.evidence = stated.evidence ?? NO_FINDINGS;
    this.confidence = stated.confidence ?? null;
    this.notes = stated.notes ?? NO_NOTES;
    this.actionId = stated.actionId ?? "";
    this.policyVersion = stated.policyVersion ?? "";
    this.pending = stated.pending ?? null;
    this.at = stated.at ?? 0;
    this.score = stated.score ?? null;
    if (this.decision !== "allow" && this.decision !== "block") throw new RangeError("a decision is allow or block");
  }

  /** The action must not happen. */
  get blocked(): boolean {
    return this.decision === "block";
  }

  /** The opposite of `blocked`. */
  get allowed(): boolean {
    return this.decision === "allow";
  }

  /** It carries findings. */
  get flagged(): boolean {
    return this.evidence.length > 0;
  }

  /** The same with some fields of another value. */
  with(changed: Partial<Pick<Verdict, (typeof FIELDS)[number]>>): Verdict {
    return new Verdict({ ...this, ...changed });
  }
}

const FIELDS = [
  "decision",
  "reason",
  "evidence",
  "confidence",
  "notes",
  "actionId",
  "policyVersion",
  "pending",
  "at",
  "score",
] as const satisfies readonly (keyof Verdict)[];
