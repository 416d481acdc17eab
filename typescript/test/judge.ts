/** The TypeScript side of the differential test: one batch of cases a line, one line of answers. */
import { createInterface } from "node:readline";
import type { Action } from "../src/contract/action.js";
import { decodePolicy } from "../src/contract/bundle.js";
import { decodeAction, decodeDeclaration, encodeFinding, encodeVerdict } from "../src/contract/codec.js";
import { type Compiled, compilePolicies } from "../src/contract/compiled.js";
import type { Correlation } from "../src/contract/correlation.js";
import { CompiledDeclaration } from "../src/contract/declared.js";
import { InvalidInput, KaizenError } from "../src/contract/errors.js";
import { permitted, tool } from "../src/contract/names.js";
import { CORRELATION } from "../src/contract/reasons.js";
import { url } from "../src/contract/target.js";
import { Verdict } from "../src/contract/verdict.js";

interface Case {
  readonly policies: readonly unknown[];
  readonly declaration: unknown;
  readonly actions: readonly unknown[];
}

function attempt<T>(run: () => T): { value: T } | { refusal: object } {
  try {
    return { value: run() };
  } catch (err) {
    if (!(err instanceof KaizenError)) throw err;
    return { refusal: { refused: err.name, ...(err instanceof InvalidInput && { field: err.field }) } };
  }
}

function orNull(form: (text: string) => string, text: string): string | null {
  try {
    return form(text);
  } catch (err) {
    if (!(err instanceof RangeError)) throw err;
    return null;
  }
}

function judged(one: Case): object {
  const said: Record<string, unknown> = {};
  const compiled = attempt(() => compilePolicies(one.policies.map((policy) => decodePolicy(policy))));
  const declaration = attempt(() => new CompiledDeclaration(decodeDeclaration(one.declaration)));
  if ("refusal" in compiled) said["policies"] = compiled.refusal;
  if ("refusal" in declaration) said["declaration"] = declaration.refusal;
  const policy = "value" in compiled ? compiled.value : undefined;
  const memory = policy?.correlation();
  said["actions"] = one.actions.map((document) => {
    const action = attempt(() => decodeAction(document));
    if ("refusal" in action) return action.refusal;
    return answer(action.value, policy, memory, "value" in declaration ? declaration.value : undefined);
  });
  return said;
}

function answer(
  action: Action,
  policy: Compiled | undefined,
  memory: Correlation | undefined,
  declaration?: CompiledDeclaration,
): object {
  const said: Record<string, unknown> = {
    tool: tool(action.tool),
    permitted: permitted(action.tool),
    url: orNull(url, action.target),
  };
  if (policy !== undefined && memory !== undefined) {
    let verdict = policy.decide(action);
    const found = memory.see(action);
    if (policy.correlates && found !== undefined && verdict.allowed) {
      verdict = new Verdict({ decision: "block", reason: CORRELATION, evidence: [found], policyVersion: policy.version });
    }
    said["verdict"] = encodeVerdict(verdict);
  }
  if (declaration !== undefined) said["undeclared"] = declaration.undeclared(action).map(encodeFinding);
  return said;
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify((JSON.parse(line) as Case[]).map(judged))}\n`);
}
