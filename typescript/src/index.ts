/** Runtime security for AI agents: judges what an agent does, never what it says. */
import type { Stated, StatedPolicy } from "./client/plain.js";
import { actionOf, policiesOf } from "./client/plain.js";
import { compilePolicies } from "./contract/compiled.js";
import { CORRELATION } from "./contract/reasons.js";
import { Verdict } from "./contract/verdict.js";

export type { Guarded, GuardOptions } from "./client/guard.js";
export { Kaizen, type Options } from "./client/kaizen.js";
export type { Stated, StatedDeclaration, StatedPolicy } from "./client/plain.js";
export type { Rules } from "./client/rules.js";
export type { Settings } from "./client/settings.js";
export type { Waiting } from "./client/waiting.js";
export type { Action, Json } from "./contract/action.js";
export type { Step } from "./contract/codec.js";
export type { Declaration } from "./contract/declared.js";
export { InvalidInput, KaizenBlocked, KaizenError, Misconfigured, Refused, Unreachable } from "./contract/errors.js";
export type { Policy } from "./contract/policy.js";
export type { Decision, Finding, Mode, Pending } from "./contract/verdict.js";
export { Verdict } from "./contract/verdict.js";

/**
 * What `policies` say of one action, or of several of one run one after the other (the last one's verdict): no state, no network, no
 * report. Throws Misconfigured for a policy that cannot be used, TypeError for a field that there is not.
 */
export function evaluate(actions: Stated | readonly Stated[], policies: Iterable<StatedPolicy>): Verdict {
  const compiled = compilePolicies(policiesOf(policies));
  const sequence = compiled.correlation();
  let verdict = new Verdict();
  for (const stated of Array.isArray(actions) ? (actions as readonly Stated[]) : [actions as Stated]) {
    const action = actionOf(stated);
    verdict = compiled.decide(action);
    const found = compiled.correlates ? sequence.see(action) : undefined;
    if (found !== undefined && verdict.allowed) {
      verdict = new Verdict({ decision: "block", reason: CORRELATION, evidence: [found], policyVersion: compiled.version });
    }
  }
  return verdict;
}
