import { expect, test } from "vitest";
import { Kaizen } from "../src/client/kaizen.js";
import { boundaryKey, outwardVerdict } from "../src/contract/boundary.js";
import { Verdict } from "../src/contract/verdict.js";

const KEY = boundaryKey(new TextEncoder().encode("a secret of the tenant"));
const about = { kind: "undeclared destination", source: "declaration", detection: "declaration", field: "target" };

test("a verdict says nothing of a target that the target does not show, in the same words as Python's", () => {
  const observed = "/x/kz9q07x7canary4fe1";
  const finding = { ...about, value: observed, observed, expected: "one of 1", advice: `declare ${observed}`, attack: "" };
  const reason = `undeclared: this agent connected to a destination it never declared (${observed}). Tool: t.`;
  const told = outwardVerdict(new Verdict({ decision: "allow", reason, evidence: [finding], notes: [observed] }), KEY);
  expect(JSON.stringify(told)).not.toContain("kz9q07");
  expect(told.reason).toBe("undeclared: this agent connected to a destination it never declared (/x/~f25e5be4e50fa50e). Tool: t.");
  expect(told.notes).toEqual(["/x/~f25e5be4e50fa50e"]);
  expect(told.evidence[0]?.advice).toBe("declare /x/~f25e5be4e50fa50e");
});

test("what the target shows and what a list has stays readable", () => {
  for (const [value, observed] of [
    ["*.evil.example", "a-7f3c9d1b2e.evil.example:443"],
    ["kz9q07x7c", "kz9q07x7c:443"],
  ] as const) {
    const finding = { ...about, value, observed, expected: "", advice: "", attack: "" };
    const verdict = new Verdict({ decision: "block", reason: value, evidence: [finding] });
    expect(outwardVerdict(verdict, KEY)).toEqual(verdict);
  }
});

test("a key that stands in the place of an address is not repeated", () => {
  expect(() => new Kaizen({ sidecar: "kz_live_q8r7canary" })).toThrow(/sidecar.*must start with http/);
  expect(() => new Kaizen({ sidecar: "kz_live_q8r7canary" })).not.toThrow(/q8r7/);
});
