/**
 * Vercel AI SDK: tools whose calls are judged before they run (AI SDK 5, 6 and 7; nothing of it is imported).
 *
 * A blocked tool throws KaizenBlocked, which the SDK gives to the model as the tool's error; the run goes on.
 */
import { actionOfCall, type GuardOptions, signalOf, streamed, through } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";

/** What we need of a tool: `execute`, if it has one. */
interface Executable {
  // biome-ignore lint/suspicious/noExplicitAny: input and output are the tool's own
  execute?: ((input: any, options: any) => any) | undefined;
}

/** What the SDK hands a tool besides its input. */
type Context = { readonly abortSignal?: AbortSignal } | undefined;

/**
 * `tool` under its `name`, judged before each call. One without `execute` (the client or the provider runs it) is the very same object.
 * Streamed intermediate results pass one by one where `execute` is an async generator function.
 */
export function guardTool<T extends object>(kaizen: Kaizen, name: string, tool: T, options: Omit<GuardOptions, "tool"> = {}): T {
  const { execute } = tool as Executable;
  if (typeof execute !== "function") return tool;
  const how = { source: "vercel", ...options };
  const guarded =
    Object.prototype.toString.call(execute) === "[object AsyncGeneratorFunction]"
      ? async function* (this: unknown, input: unknown, context: Context) {
          const run = () => execute.call(this, input, context) as AsyncGenerator;
          return yield* streamed(kaizen, actionOfCall(kaizen, name, [input], how), run, {
            signal: signalOf(context?.abortSignal),
          });
        }
      : async function (this: unknown, input: unknown, context: Context) {
          const call = actionOfCall(kaizen, name, [input], how);
          const signal = signalOf(context?.abortSignal);
          return last(await through(kaizen, call, () => execute.call(this, input, context), { signal }));
        };
  // Not a spread: what a tool keeps under names that are not enumerable belongs to it too.
  return Object.create(Object.getPrototypeOf(tool), {
    ...Object.getOwnPropertyDescriptors(tool),
    execute: { value: guarded, enumerable: true, configurable: true, writable: true },
  }) as T;
}

/** A function that only turned out to return a stream when it was called: the SDK cannot see that any more, so its last item counts. */
async function last(result: unknown): Promise<unknown> {
  const stream = result as AsyncIterable<unknown> | null | undefined;
  if (typeof stream !== "object" || stream === null || typeof stream[Symbol.asyncIterator] !== "function") return result;
  let found: unknown;
  for await (const item of stream) found = item;
  return found;
}

/** Every tool of a set, each under its own name. */
export function guardTools<T extends Record<string, object>>(
  kaizen: Kaizen,
  tools: T,
  options: Omit<GuardOptions, "tool"> = {},
): T {
  return Object.fromEntries(Object.entries(tools).map(([name, tool]) => [name, guardTool(kaizen, name, tool, options)])) as T;
}
