/** Texts that are made to take long: whoever names a tool or a target must not be able to hold up the agent. */
import { expect, test } from "vitest";
import { action } from "../src/contract/action.js";
import { CompiledDeclaration, NOTHING_DECLARED } from "../src/contract/declared.js";
import { trimmed } from "../src/contract/host.js";
import { strip } from "../src/contract/text.js";
import { evaluate } from "../src/index.js";

const LONG = ` x${" ".repeat(100_000)}x`;

test("a long run of spaces within a name or a target takes no long time", () => {
  const began = performance.now();
  expect(strip(LONG)).toBe(LONG.slice(1));
  expect(trimmed(`\t${LONG}\n`)).toBe(LONG.slice(1));
  expect(evaluate({ tool: LONG }, [{ mode: "allowlist", rules: { tools: ["look"] } }]).blocked).toBe(true);
  const declared = new CompiledDeclaration({ ...NOTHING_DECLARED, destinations: ["api.example"] });
  expect(declared.undeclared(action({ kind: "http", target: LONG }))).toHaveLength(1);
  expect(performance.now() - began).toBeLessThan(5000); // it was more than a minute
});

test("what is white space at the ends is off, whatever it is", () => {
  expect(strip("\u3000\x85 a b\u2028\x1c")).toBe("a b");
  expect(strip(" \u2029")).toBe("");
  expect(trimmed("\0\x1f a b \x20")).toBe("a b");
  expect(trimmed("\0")).toBe("");
  expect(trimmed("\u3000a")).toBe("\u3000a");
});
