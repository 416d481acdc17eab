/** Suppressions: the flags that a person called false positives, each by what exactly was found on what exactly was done. */
import { createHash } from "node:crypto";
import type { Action } from "./action.js";
import { outward, outwardVerdict } from "./boundary.js";
import { tool } from "./names.js";
import { NO_POLICY_MATCHED } from "./reasons.js";
import { target } from "./target.js";
import { asciiJson, compare } from "./text.js";
import type { Finding, Verdict } from "./verdict.js";

/** Detections whose findings nobody suppresses: a deny is changed in the policy, and a leaked secret is no matter of taste. */
const NEVER = new Set(["policy", "correlation", "secrets", "canary", "tool_pins", "egress-address", "unprotected"]);

/** SHA-256, hex, of what was done and found, both as they leave the tenant. */
export function signature(action: Action, evidence: readonly Finding[]): string {
  const place = target(action.target).host || action.target;
  const done = [action.kind, tool(action.tool), action.publisher, place, action.hash];
  const found = new Map(
    evidence.map(({ detection, kind, value }) => [asciiJson([detection, kind, value], ", "), [detection, kind, value]]),
  );
  const sorted = [...found.values()].sort((one, other) => {
    for (const at of [0, 1, 2]) {
      const order = compare(one[at] as string, other[at] as string);
      if (order !== 0) return order;
    }
    return 0;
  });
  return createHash("sha256")
    .update(asciiJson([done, sorted], ", "))
    .digest("hex");
}

/** Whether a person may call it a false positive at all. */
export function canSuppress(evidence: readonly Finding[]): boolean {
  return !evidence.some((finding) => NEVER.has(finding.detection) || finding.source.startsWith("policy"));
}

/** Those of one agent. `key` is the tenant's (`boundaryKey`), under which its values leave. */
export class Suppressions {
  constructor(
    private readonly signatures: ReadonlySet<string>,
    private readonly key: Uint8Array,
  ) {}

  /** The verdict without the flag when a person called exactly this a false positive, else the very same one. */
  settle(action: Action, verdict: Verdict): Verdict {
    if (!this.signatures.size || !verdict.flagged || !canSuppress(verdict.evidence)) return verdict;
    const said = signature(outward(action, this.key), outwardVerdict(verdict, this.key).evidence);
    if (!this.signatures.has(said)) return verdict;
    const note = `not flagged, since a person called this a false positive: ${verdict.reason}`;
    return verdict.with({
      decision: "allow",
      reason: NO_POLICY_MATCHED,
      evidence: [],
      confidence: null,
      notes: [...verdict.notes, note],
    });
  }
}
