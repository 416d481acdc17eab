/** The golden vectors: same decision, reason and evidence as every other implementation. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { rungOf } from "../src/contract/action.js";
import { boundaryKey } from "../src/contract/boundary.js";
import { decodePolicy } from "../src/contract/bundle.js";
import { decodeAction, decodeDeclaration, decodeReport, encodeAction, encodeVerdict } from "../src/contract/codec.js";
import { compilePolicies } from "../src/contract/compiled.js";
import { CompiledDeclaration } from "../src/contract/declared.js";
import { InvalidInput, Misconfigured } from "../src/contract/errors.js";
import { decodeHold, encodeHold } from "../src/contract/hold.js";
import { host } from "../src/contract/host.js";
import { digest, permitted, tool } from "../src/contract/names.js";
import { network } from "../src/contract/network.js";
import { CORRELATION } from "../src/contract/reasons.js";
import { canSuppress, Suppressions, signature } from "../src/contract/suppression.js";
import { destination, target, url } from "../src/contract/target.js";
import { finding, Verdict } from "../src/contract/verdict.js";
import { spec } from "./spec.js";

// biome-ignore lint/suspicious/noExplicitAny: vectors are documents of many shapes
type Vector = any;

function parts(text: string): object {
  const { isAddress, also, ...rest } = target(text);
  const stated = { ...rest, is_address: isAddress, also: [...also] };
  const defaults: Record<string, unknown> = { scheme: "", host: "", port: 0, path: "", is_address: false, readable: true };
  return Object.fromEntries(
    Object.entries(stated).filter(([key, value]) => (key === "also" ? also.length > 0 : value !== defaults[key])),
  );
}

function place(stated: { kind: string; target: string }): object | null {
  const found = destination(stated.kind, stated.target);
  if (found === undefined) return null;
  return { ...(found.host && { host: found.host }), ...(found.port && { port: found.port }) };
}

const FUNCTIONS: Record<string, (input: never) => unknown> = {
  host,
  target: parts,
  destination: place,
  url,
  tool,
  permitted,
  digest,
  network,
};

test("the runtime is the one that was asked for", () => {
  const asked = process.env["KAIZEN_RUNTIME"];
  const runtime = process.versions["bun"] ? "bun" : process.versions["deno"] ? "deno" : undefined;
  expect(runtime).toBe(asked);
});

describe("canonical forms", () => {
  const { vectors } = spec<{ vectors: Vector[] }>("vectors/canonical.json");
  test.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_, vector) => {
    const form = FUNCTIONS[vector.function] as (input: never) => unknown;
    if (vector.expected?.error === true) expect(() => form(vector.input as never)).toThrow(RangeError);
    else expect(form(vector.input as never), vector.why).toEqual(vector.expected);
  });
});

describe("policies", () => {
  const { vectors } = spec<{ vectors: Vector[] }>("vectors/policy.json");
  test.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_, vector) => {
    const compile = () => compilePolicies(vector.policies.map((policy: unknown) => decodePolicy(policy)));
    if (!Array.isArray(vector.expected)) {
      expect(compile, vector.why).toThrow(Misconfigured);
      expect(compile, vector.why).toThrow(new RegExp(vector.expected.refused));
      return;
    }
    const compiled = compile();
    const memory = compiled.correlation();
    const answers = vector.actions.map((document: object) => {
      const action = decodeAction({ ...document, run_id: "run" });
      const verdict = compiled.decide(action);
      const risky = memory.see(action);
      if (verdict.allowed && risky !== undefined && compiled.correlates) {
        return { decision: "block", reason: CORRELATION, kinds: [risky.kind] };
      }
      return { decision: verdict.decision, reason: verdict.reason, kinds: verdict.evidence.map((one) => one.kind) };
    });
    expect(answers).toHaveLength(vector.expected.length);
    for (const [at, expected] of vector.expected.entries()) expect(answers[at], vector.why).toMatchObject(expected);
  });
});

describe("declarations", () => {
  const { vectors } = spec<{ vectors: Vector[] }>("vectors/declaration.json");
  test.each(vectors.map((vector) => [vector.id, vector] as const))("%s", (_, vector) => {
    const compile = () => new CompiledDeclaration(decodeDeclaration(vector.declaration));
    if (!Array.isArray(vector.expected)) {
      expect(compile, vector.why).toThrow(Misconfigured);
      expect(compile, vector.why).toThrow(new RegExp(vector.expected.refused));
      return;
    }
    const found = compile().undeclared(decodeAction(vector.action));
    expect(
      found.map(({ kind, value }) => ({ kind, value })),
      vector.why,
    ).toEqual(vector.expected);
  });
});

describe("suppressions", () => {
  const { cases } = spec<{ cases: Vector[] }>("vectors/suppression.json");
  const key = boundaryKey(Buffer.from("k".repeat(32)));
  test.each(cases.map((one) => [one.id, one] as const))("%s", (_, one) => {
    const action = decodeAction(one.action);
    const evidence = one.evidence.map((stated: Vector) => finding(stated));
    expect(createHash("sha256").update(one.text).digest("hex")).toBe(one.signature);
    expect(signature(action, evidence)).toBe(one.signature);
    expect(canSuppress(evidence)).toBe(one.suppressible);
    const verdict = new Verdict({ decision: "block", reason: "why", evidence });
    const settled = new Suppressions(new Set([one.signature]), key).settle(action, verdict);
    if (!one.suppressible) {
      expect(settled).toBe(verdict);
      return;
    }
    expect([settled.allowed, settled.flagged]).toEqual([true, false]);
    expect(settled.notes).toEqual(["not flagged, since a person called this a false positive: why"]);
  });
});

describe("reports", () => {
  const { reports, refused } = spec<{ reports: Vector[]; refused: Vector[] }>("vectors/reports.json");
  test.each(reports.map((one) => [one.id, one] as const))("%s", (_, one) => {
    const report = decodeReport(one.input);
    expect(encodeAction(report.action)).toEqual(one.action);
    expect(report.verdict && encodeVerdict(report.verdict)).toEqual(one.verdict);
    expect(rungOf(report.action)).toBe(one.rung);
  });
  test.each(refused.map((one) => [one.id, one] as const))("%s is refused", (_, one) => {
    expect(() => decodeReport(one.input)).toThrow(expect.objectContaining({ name: expect.any(String), field: one.field }));
  });
});

describe("holds", () => {
  const { valid, invalid } = spec<{ valid: Vector[]; invalid: Vector[] }>("vectors/holds.json");
  test.each(valid.map((one) => [one.id, one] as const))("%s", (_, one) => {
    expect(encodeHold(decodeHold(one.hold))).toEqual(one.hold);
  });
  test.each(invalid.map((one) => [one.id, one] as const))("%s is refused", (_, one) => {
    let said: unknown;
    try {
      decodeHold(one.hold);
    } catch (err) {
      said = err;
    }
    expect(said).toBeInstanceOf(InvalidInput);
    expect((said as InvalidInput).field).toBe(one.field);
  });
});
