/**
 * Acts: which call is being carried out just now, so that two attachments never report one act twice.
 *
 * An attachment further in (a guard on the function, a second adapter) that meets the call which the outer one had judged is silent, if
 * the outer one speaks for it. It is the same call when tool and arguments are the same; anything else is another act, and is judged:
 * silence must never let something run that nobody judged.
 */
import { isDeepStrictEqual } from "node:util";
import type { Action } from "../contract/action.js";
import { shared } from "./context.js";

/** Sources that stand where a framework calls its tools: they know the call as the model made it. */
const FRAMEWORKS = new Set(["vercel", "openai-agents", "langchain"]);
/** The innermost act of the current context. Nobody silences `mcp`: it is another rung, and what it saw is compared with this. */
const ACT = shared<Action>("kaizen.act");

/** Run the body of a call that was judged. */
export function acting<T>(call: Action, run: () => T): T {
  return ACT.run(call, run);
}

/** Whether the act that runs now is `call`, and who had it judged speaks for it. False as soon as `call` says more than was judged. */
export function isTold(call: Action): boolean {
  const act = ACT.getStore();
  if (act === undefined || act.tool !== call.tool || act.kind !== call.kind || act.target !== call.target) return false;
  const [outer, inner] = [String(act.metadata["source"]), String(call.metadata["source"])];
  const speaks = FRAMEWORKS.has(outer) ? FRAMEWORKS.has(inner) || inner === "sdk" : outer === "sdk" && inner === "sdk";
  if (!speaks || (call.metadata["sensitive"] && !act.metadata["sensitive"])) return false;
  const [said, more] = [act.metadata["arguments"], call.metadata["arguments"]] as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  const names = Object.keys(said);
  // Further in there may be more: defaults, and what the framework itself hands the function.
  const isSame = names.every((name) => Object.hasOwn(more, name) && isDeepStrictEqual(said[name], more[name]));
  return isSame && (names.length > 0 || Object.keys(more).length === 0);
}
