/**
 * LangChain.js: tools whose calls are judged before they run (nothing of LangChain is imported).
 *
 * A blocked call answers with the refusal as the tool's output, which the model reads; the run goes on.
 */
import { actionOfCall, type GuardOptions, signalOf, through } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments and results are the tool's own
type Any = any;

interface AnyTool {
  readonly name: string;
  readonly responseFormat?: string;
  func?: (input: Any, ...rest: Any[]) => Any;
  _call?: (input: Any, ...rest: Any[]) => Any;
}

/**
 * A tool that stands for `tool` (same name, schema and class), judged before each call, whoever calls it: `invoke`, `call`, an agent's
 * tool node, a stream of events. `tool` itself stays as it is.
 */
export function guardTool<T extends object>(kaizen: Kaizen, tool: T, options: Omit<GuardOptions, "tool"> = {}): T {
  const one = tool as unknown as AnyTool;
  // Tools made of a function call it in `_call`; a class of its own has only `_call`.
  const method = typeof one.func === "function" ? "func" : "_call";
  const run = one[method];
  if (typeof run !== "function") return tool;
  const how = { source: "langchain", ...options };
  const refused = (why: string) => (one.responseFormat === "content_and_artifact" ? [why, undefined] : why);
  const guarded = async (input: Any, ...rest: Any[]): Promise<unknown> => {
    const call = actionOfCall(kaizen, one.name, [input], how);
    // After the input come the callbacks of this run and its configuration.
    return through(kaizen, call, () => run.call(tool, input, ...rest), { refused, signal: signalOf(rest[1]?.signal) });
  };
  return Object.create(tool, { [method]: { value: guarded, configurable: true, writable: true } }) as T;
}

/** Every tool of a list. */
export function guardTools<T extends readonly object[]>(kaizen: Kaizen, tools: T, options: Omit<GuardOptions, "tool"> = {}): T {
  return tools.map((tool) => guardTool(kaizen, tool, options)) as unknown as T;
}
