/**
 * LangChain.js: tools whose calls are judged before they run (nothing of LangChain is imported).
 *
 * A blocked call answers with the refusal as the tool's output, which the model reads; the run goes on.
 */
import { actionOfCall, type GuardOptions, signalOf, streamed, through } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";
import type { Action } from "./contract/action.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments and results are the tool's own
type Any = any;

interface AnyTool {
  readonly name: string;
  readonly bound?: Any;
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
  const how = { source: "langchain", ...options };
  if (typeof run !== "function") return typeof one.bound?.invoke === "function" ? guardRunnable(kaizen, tool, how) : tool;
  const refused = (why: string) => (one.responseFormat === "content_and_artifact" ? [why, undefined] : why);
  const guarded = async (input: Any, ...rest: Any[]): Promise<unknown> => {
    const call = actionOfCall(kaizen, one.name, [input], how);
    // After the input come the callbacks of this run and its configuration.
    return through(kaizen, call, () => run.call(tool, input, ...rest), { refused, signal: signalOf(rest[1]?.signal) });
  };
  return Object.create(tool, { [method]: { value: guarded, configurable: true, writable: true } }) as T;
}

/** A runnable that was made a tool (`asTool`) gives everything to the one that is bound in it: that one is stood for. */
function guardRunnable<T extends object>(kaizen: Kaizen, tool: T, how: GuardOptions): T {
  const { name, bound } = tool as unknown as AnyTool;
  const judged = (input: Any) => actionOfCall(kaizen, name as string, [input?.type === "tool_call" ? input.args : input], how);
  const invoke = (input: Any, config?: Any) =>
    through(kaizen, judged(input), () => bound.invoke(input, config), { refused: (why) => why, signal: signalOf(config?.signal) });
  const changed: Record<string, unknown> = {
    invoke,
    batch: async (inputs: Any[], config?: Any, how?: Any) => {
      const calls = inputs.map(judged);
      const verdicts = await Promise.all(calls.map((call) => kaizen.inspect(call)));
      const isAllowed = (_: unknown, at: number) => verdicts[at]?.allowed === true;
      const configs = Array.isArray(config) ? config.filter(isAllowed) : config;
      const results = verdicts.some(({ allowed }) => allowed) ? await bound.batch(inputs.filter(isAllowed), configs, how) : [];
      return verdicts.map(({ blocked, reason }, at) => {
        if (blocked) return `Blocked by Kaizen: ${reason}`;
        const result: unknown = results.shift();
        kaizen.noteResult(calls[at] as Action, result, result instanceof Error);
        return result;
      });
    },
    transform: async function* (parts: AsyncIterable<Any>, config?: Any) {
      // What it is given is known when all of it has come.
      const all: Any[] = [];
      for await (const part of parts) all.push(part);
      const given = async function* () {
        yield* all;
      };
      yield* streamed(kaizen, judged(all.length === 1 ? all[0] : all), () => bound.transform(given(), config), config ?? {});
    },
  };
  for (const method of ["_streamIterator", "streamEvents"]) {
    changed[method] = (input: Any, config?: Any, ...rest: Any[]) =>
      streamed(kaizen, judged(input), () => bound[method](input, config, ...rest)[Symbol.asyncIterator](), config ?? {});
  }
  changed["stream"] = async (input: Any, config?: Any) => {
    await kaizen.enforce(judged(input), { signal: signalOf(config?.signal) });
    return bound.stream(input, config);
  };
  const descriptors = Object.fromEntries(
    Object.entries(changed).map(([method, value]) => [method, { value, configurable: true, writable: true }]),
  );
  return Object.create(tool, { bound: { value: Object.create(bound, descriptors), configurable: true, writable: true } }) as T;
}

/** Every tool of a list. */
export function guardTools<T extends readonly object[]>(kaizen: Kaizen, tools: T, options: Omit<GuardOptions, "tool"> = {}): T {
  return tools.map((tool) => guardTool(kaizen, tool, options)) as unknown as T;
}
