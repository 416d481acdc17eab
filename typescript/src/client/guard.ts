/** Guard: a tool whose calls are judged before they run. */
import type { Action } from "../contract/action.js";
import { action } from "../contract/action.js";
import { Misconfigured } from "../contract/errors.js";
import { isObject } from "../contract/fields.js";
import { acting, isTold } from "./acts.js";
import type { Kaizen } from "./kaizen.js";
import { plain } from "./plain.js";
import type { Waiting } from "./waiting.js";

/** Items of a generator that are noted as its result. */
const MAX_ITEMS = 200;

// biome-ignore lint/suspicious/noExplicitAny: a tool takes and returns what it will
export type Tool = (...args: any[]) => any;

/** What a guarded tool returns: what is waited for, since somebody else may have to be asked; a stream of items stays one. */
export type Guarded<F extends Tool> = (
  ...args: Parameters<F>
) => ReturnType<F> extends AsyncGenerator<infer T, infer R, infer N> ? AsyncGenerator<T, R, N> : Promise<Awaited<ReturnType<F>>>;

/**
 * `tool` is its name (default: the function's), `target` the name of the argument that says what it is done to, or a function of the
 * arguments; `sensitive` that it reads sensitive data; `signal` which of the arguments says that nobody waits any more.
 */
export interface GuardOptions {
  readonly tool?: string;
  readonly kind?: string;
  readonly target?: string | ((...args: never[]) => unknown);
  readonly sensitive?: boolean;
  readonly source?: string;
  readonly signal?: (...args: never[]) => AbortSignal | undefined;
}

/** The call as an action. Of one argument that is an object its fields are the arguments. */
export function actionOfCall(kaizen: Kaizen, name: string, args: readonly unknown[], options: GuardOptions): Action {
  const [first] = args;
  const isNamed = args.length === 1 && isObject(first);
  const given = plain(isNamed ? first : args);
  const { target } = options;
  const field = typeof target === "string" && isObject(given) ? given[target] : "";
  const place = typeof target === "function" ? plain(target(...(args as never[]))) : (field ?? "");
  return action({
    kind: options.kind ?? "tool_call",
    tool: name,
    target: typeof place === "string" ? place : place === null ? "" : JSON.stringify(place),
    metadata: {
      source: options.source ?? "sdk",
      arguments: isNamed ? given : { args: given },
      ...(options.sensitive && { sensitive: true }),
    },
    id: kaizen.nextId(),
  });
}

/** `tool` judged by `kaizen` before each call. Throws Misconfigured for what is no function. */
export function guarded<F extends Tool>(kaizen: Kaizen, tool: F, options: GuardOptions): Guarded<F> {
  if (typeof tool !== "function") throw new Misconfigured(`guard: a tool must be a function, and ${typeof tool} is not`);
  const name = options.tool || tool.name || "tool";
  const isGenerator = Object.prototype.toString.call(tool) === "[object AsyncGeneratorFunction]";
  const wrapper = isGenerator
    ? async function* (this: unknown, ...args: Parameters<F>) {
        const run = () => tool.apply(this, args) as AsyncGenerator;
        return yield* streamed(kaizen, actionOfCall(kaizen, name, args, options), run, { signal: signalAmong(args, options) });
      }
    : async function (this: unknown, ...args: Parameters<F>) {
        const call = actionOfCall(kaizen, name, args, options);
        return through(kaizen, call, () => tool.apply(this, args), { signal: signalAmong(args, options) });
      };
  Object.defineProperty(wrapper, "name", { value: tool.name, configurable: true });
  Object.defineProperty(wrapper, "length", { value: tool.length, configurable: true });
  return wrapper as Guarded<F>;
}

function signalAmong(args: readonly unknown[], { signal }: GuardOptions): AbortSignal | undefined {
  return signalOf(signal?.(...(args as never[])));
}

/** What a caller gave as its signal, if it is one. */
export function signalOf(given: unknown): AbortSignal | undefined {
  return given instanceof AbortSignal ? given : undefined;
}

/** How a call is gone through with: what its caller gets when it is blocked (else KaizenBlocked is thrown), and when it is given up. */
export interface Through extends Waiting {
  readonly refused?: (why: string) => unknown;
}

/** Judge a call, and run it if that is allowed. A call that an attachment further out had judged just runs. */
export async function through(kaizen: Kaizen, call: Action, run: () => unknown, how: Through = {}): Promise<unknown> {
  if (isTold(call)) return run();
  const { refused } = how;
  if (refused === undefined) {
    await kaizen.enforce(call, how);
  } else {
    const verdict = await kaizen.inspect(call, how);
    if (verdict.blocked) return refused(`Blocked by Kaizen: ${verdict.reason}`);
  }
  return ran(kaizen, call, run);
}

/** Run an action that was allowed, and note what it brought back. A stream that it returns is noted as it is read. */
export async function ran<T>(kaizen: Kaizen, call: Action, run: () => T): Promise<Awaited<T>> {
  let result: Awaited<T>;
  try {
    result = await acting(call, run);
  } catch (err) {
    kaizen.noteResult(call, null, true);
    throw err;
  }
  if (isStream(result)) return noted(kaizen, call, result) as Awaited<T>;
  kaizen.noteResult(call, result);
  return result;
}

function isStream(value: unknown): value is AsyncGenerator {
  const found = value as AsyncGenerator;
  return isObject(value) && typeof found.next === "function" && typeof found[Symbol.asyncIterator] === "function";
}

/** A stream of items whose call is judged at its first step. */
export async function* streamed<T, R, N>(
  kaizen: Kaizen,
  call: Action,
  run: () => AsyncGenerator<T, R, N>,
  waiting: Waiting,
): AsyncGenerator<T, R, N> {
  if (isTold(call)) return yield* run();
  await kaizen.enforce(call, waiting);
  return yield* noted(kaizen, call, run());
}

/** The same stream, with a look at what passes. What its reader sends or throws into it arrives there. */
async function* noted<T, R, N>(kaizen: Kaizen, call: Action, stream: AsyncGenerator<T, R, N>): AsyncGenerator<T, R, N> {
  const seen: T[] = [];
  let hasFailed = true;
  let isEnded = false;
  let step: () => Promise<IteratorResult<T, R>> = () => stream.next(...([] as unknown as [N]));
  try {
    for (;;) {
      const item = await acting(call, step);
      if (item.done) {
        hasFailed = false;
        isEnded = true;
        return item.value;
      }
      if (seen.length < MAX_ITEMS) seen.push(item.value);
      hasFailed = false; // whoever stops reading here has enough
      try {
        const sent = yield item.value;
        step = () => stream.next(sent);
      } catch (err) {
        if (typeof stream.throw !== "function") {
          await stream.return?.(undefined as R);
          throw err;
        }
        step = () => stream.throw(err);
      }
      hasFailed = true;
    }
  } catch (err) {
    isEnded = true;
    throw err;
  } finally {
    if (!isEnded) await stream.return?.(undefined as R);
    kaizen.noteResult(call, seen, hasFailed);
  }
}
