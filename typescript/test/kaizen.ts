/** A client of tests: its own policy and nobody to ask, or a sidecar that says what the test wants. */
import { Kaizen, type Verdict } from "../src/index.js";

/** Denies the tool `delete_all` and the domain `evil.example`, and keeps every verdict. */
export function denying(): { kaizen: Kaizen; verdicts: { tool: string; decision: string; source: unknown; arguments: unknown }[] } {
  const verdicts: { tool: string; decision: string; source: unknown; arguments: unknown }[] = [];
  const kaizen = new Kaizen({
    report: false,
    sync: false,
    data: "",
    sidecar: "",
    policies: [{ mode: "blocklist", rules: { skill_patterns: ["delete_all"], domains: ["evil.example"] } }],
    onVerdict: (verdict: Verdict, action) =>
      verdicts.push({
        tool: action.tool,
        decision: verdict.decision,
        source: action.metadata["source"],
        arguments: action.metadata["arguments"],
      }),
  });
  return { kaizen, verdicts };
}

export const REFUSAL = "Blocked by Kaizen: blocked by policy: malicious skill pattern";
