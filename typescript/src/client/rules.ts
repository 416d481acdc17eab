/** Rules: what the client can judge by itself, and what holds when nobody else can answer. */
import type { Action } from "../contract/action.js";
import type { Bundle } from "../contract/bundle.js";
import { type Compiled, compilePolicies } from "../contract/compiled.js";
import type { Correlation } from "../contract/correlation.js";
import { CompiledDeclaration, type Declaration, NOTHING_DECLARED } from "../contract/declared.js";
import type { Policy } from "../contract/policy.js";
import { CORRELATION, FAILED_CLOSED, NO_POLICY_MATCHED, NO_POLICY_YET, RELEASING, undeclared } from "../contract/reasons.js";
import { Suppressions } from "../contract/suppression.js";
import { cut } from "../contract/text.js";
import { ENFORCED, type Finding, finding, type Mode, Verdict } from "../contract/verdict.js";
import type { Origin } from "./renewal.js";

/** The kind of the finding on what nobody judged. */
export const UNPROTECTED = "unprotected";

/**
 * One state of policy and declaration. Replaced whole, so nobody sees half of a change. `expiresAt`: Unix seconds; after that the policy
 * still blocks, but an allow is nobody's word any more. `missing`: why there is no policy of the organisation though there should be.
 */
export interface Rules {
  readonly declared: Declaration;
  readonly policies: readonly Policy[];
  readonly mode: Mode;
  readonly paused: boolean;
  readonly version: number;
  readonly expiresAt: number;
  readonly missing: string;
  readonly origin: Origin | "local";
}

/** The same, ready to judge by. */
export interface CompiledRules extends Rules {
  readonly compiled: Compiled;
  readonly declaration: CompiledDeclaration | undefined;
  readonly suppressed: Suppressions | undefined;
}

function compiledDeclaration(declared: Declaration): CompiledDeclaration | undefined {
  const isSomething = declared.tools.length > 0 || declared.destinations.length > 0 || declared.data.length > 0;
  return isSomething ? new CompiledDeclaration(declared) : undefined;
}

/** What the caller gave. Throws Misconfigured naming the policy and the rule. */
export function localRules(policies: readonly Policy[], mode: Mode | ""): CompiledRules {
  return {
    compiled: compilePolicies(policies),
    declaration: undefined,
    declared: NOTHING_DECLARED,
    policies,
    mode: mode || "observe",
    paused: false,
    version: 0,
    expiresAt: Number.POSITIVE_INFINITY,
    missing: "",
    origin: "local",
    suppressed: undefined,
  };
}

/** The caller's own rules and the organisation's together: both may block, the stricter mode holds. `key`: the tenant's. */
export function withOrganisation(
  local: CompiledRules,
  bundle: Bundle,
  mode: Mode | "",
  origin: Origin,
  key: Uint8Array,
): CompiledRules {
  return {
    compiled: compilePolicies([...local.policies, ...bundle.policies]),
    declaration: local.declared === NOTHING_DECLARED ? compiledDeclaration(bundle.declaration) : local.declaration,
    declared: local.declared,
    policies: local.policies,
    mode: bundle.mode === "enforce" || mode === "enforce" ? "enforce" : "observe",
    paused: bundle.paused,
    version: bundle.version,
    expiresAt: bundle.expiresAt || Number.POSITIVE_INFINITY,
    missing: "",
    origin,
    suppressed: bundle.suppressed.length > 0 ? new Suppressions(new Set(bundle.suppressed), key) : undefined,
  };
}

/** The same with another declaration of the caller's own. Throws Misconfigured. */
export function redeclared(rules: CompiledRules, stated: Declaration): CompiledRules {
  const { tools, destinations, purpose, data } = stated;
  const isNothing = tools.length + destinations.length + data.length === 0 && purpose === "";
  const declared = isNothing ? NOTHING_DECLARED : stated;
  return { ...rules, declared, declaration: compiledDeclaration(declared) };
}

/** What policy says: a block, or allow because `no policy matched`. */
export function knownBad(rules: CompiledRules, action: Action, sequence: Correlation): Verdict {
  const verdict = rules.compiled.decide(action);
  if (!rules.compiled.correlates) return verdict;
  const found = sequence.see(action);
  if (found === undefined || verdict.blocked) return verdict;
  return new Verdict({ decision: "block", reason: CORRELATION, evidence: [found], policyVersion: rules.compiled.version });
}

/** Why an allow of ours would be nobody's word; empty when policy is there and in force. */
export function unanswered(rules: CompiledRules, now: number): string {
  if (rules.missing !== "") return rules.missing;
  return rules.expiresAt <= now ? "the organisation's policy has expired and cannot be renewed" : "";
}

/** What the declaration says: flagged in observe, blocked in enforce; undefined when all is declared. */
export function beyondDeclared(rules: CompiledRules, action: Action): Verdict | undefined {
  if (rules.declaration === undefined || rules.paused) return undefined;
  const evidence = rules.declaration.undeclared(action);
  if (evidence.length === 0) return undefined;
  const value = (field: string) => evidence.find((one) => one.field === field)?.value ?? "";
  const said = new Verdict({
    decision: rules.mode === "enforce" ? "block" : "allow",
    reason: undeclared(value("tool"), value("target")),
    evidence,
    policyVersion: rules.compiled.version,
  });
  return rules.suppressed === undefined ? said : rules.suppressed.settle(action, said);
}

/** The verdict when nobody can answer: the mode's default, with the finding `unprotected`. */
export function nobodyAnswered(rules: CompiledRules, why: string, failOpen: boolean): Verdict {
  const isBlocked = rules.mode === "enforce" && !failOpen;
  return new Verdict({
    decision: isBlocked ? "block" : "allow",
    reason: isBlocked ? FAILED_CLOSED : NO_POLICY_MATCHED,
    evidence: [unprotected(why)],
    policyVersion: rules.compiled.version,
  });
}

/** A sidecar judged this without the organisation's policy and declaration. */
export function isWithoutPolicy(verdict: Verdict): boolean {
  return verdict.notes.includes(NO_POLICY_YET);
}

/** A sidecar's verdict and what our own declaration says, which it does not know yet. */
export function joined(said: Verdict, own: Verdict | undefined): Verdict {
  if (own === undefined || said.evidence.some((one) => one.detection === "declaration")) return said;
  if (said.blocked || said.flagged) return said.with({ evidence: [...said.evidence, ...own.evidence] });
  return said.with({ decision: own.decision, reason: own.reason, evidence: own.evidence });
}

/**
 * A sidecar's verdict by our own mode, where that is stricter than the sidecar's. In enforce an allow becomes a block when one of its
 * findings would block there, and, unless `failOpen`, when it says that nobody could judge. What was blocked stays blocked; what a
 * person was asked about and released stays released.
 */
export function tightened(rules: CompiledRules, said: Verdict, failOpen: boolean): Verdict {
  if (said.blocked || rules.mode !== "enforce") return said;
  if (said.notes.some((note) => RELEASING.has(note))) return said;
  if (said.evidence.some((one) => ENFORCED.has(one.detection))) return said.with({ decision: "block" });
  if (failOpen) return said;
  if (isWithoutPolicy(said)) {
    const evidence = [...said.evidence, unprotected("the sidecar has no policy of the organisation yet")];
    return said.with({ decision: "block", reason: FAILED_CLOSED, evidence });
  }
  if (said.evidence.some((one) => one.kind === UNPROTECTED)) return said.with({ decision: "block", reason: FAILED_CLOSED });
  return said;
}

/** The verdict when our own code failed: closed, unless the caller chose otherwise. */
export function engineError(kind: string, failOpen: boolean): Verdict {
  return new Verdict({
    decision: failOpen ? "allow" : "block",
    reason: failOpen ? NO_POLICY_MATCHED : FAILED_CLOSED,
    evidence: [unprotected(`our own code failed (${kind})`)],
  });
}

/** The finding of an action that nobody judged. */
function unprotected(why: string): Finding {
  return finding({
    kind: UNPROTECTED,
    value: cut(why, 512),
    source: "client",
    detection: UNPROTECTED,
    expected: "a verdict on this action before it runs",
    observed: cut(why, 512),
    advice: "Start what should have answered, or see the table of fail modes in the client's reference.",
  });
}
