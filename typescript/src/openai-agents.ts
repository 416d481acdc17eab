/**
 * OpenAI Agents JS: tools whose calls are judged before they run (nothing of the SDK is imported).
 *
 * A tool is guarded in place: the SDK knows agents that are tools by their object, and no copy is left that is not guarded. A blocked
 * call answers the model with the refusal as its output; the run goes on. Hosted tools run at the provider and are left alone.
 */
import { actionOfCall, type GuardOptions, signalOf, type Through, through } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments and results are the SDK's own
type Any = any;

interface AnyTool {
  readonly type?: string;
  readonly name?: string;
  invoke?: (context: Any, input: string, details?: Any) => Promise<Any>;
  shell?: { run: (action: Any) => Promise<Any> };
  editor?: Record<string, (operation: Any, ...rest: Any[]) => Promise<Any>>;
}

const guardedTools = new WeakSet<object>();

/** The same tool, judged before each call. Function tools, agents as tools, local shells and editors of patches. */
export function guardTool<T extends object>(kaizen: Kaizen, tool: T, options: Omit<GuardOptions, "tool"> = {}): T {
  if (guardedTools.has(tool)) return tool;
  guardedTools.add(tool);
  const one = tool as AnyTool;
  const name = one.name ?? one.type ?? "tool";
  const how = { source: "openai-agents", ...options };
  const judged = (argument: unknown, kind: string, going: Through, run: () => Promise<unknown>) =>
    through(kaizen, actionOfCall(kaizen, name, [argument], { kind, ...how }), run, going);
  const { invoke, shell, editor } = one;
  if (typeof invoke === "function") {
    one.invoke = (context, input, details) =>
      judged(parsed(input), "tool_call", { refused: (why) => why, signal: signalOf(details?.signal) }, () =>
        invoke.call(tool, context, input, details),
      );
  }
  if (typeof shell?.run === "function") {
    one.shell = override(shell, {
      run: (action) => judged(action, "exec", { refused: refusedShell }, () => shell.run(action)),
    });
  }
  if (editor !== undefined) {
    const changed: Record<string, (operation: Any, ...rest: Any[]) => Promise<Any>> = {};
    for (const operation of ["createFile", "updateFile", "deleteFile"]) {
      const apply = editor[operation];
      if (typeof apply !== "function") continue;
      changed[operation] = (change, ...rest) =>
        judged(change, "file", { refused: (why) => ({ status: "failed", output: why }) }, () =>
          apply.call(editor, change, ...rest),
        );
    }
    one.editor = override(editor, changed);
  }
  return tool;
}

/** Every tool of a list. */
export function guardTools<T extends readonly object[]>(kaizen: Kaizen, tools: T, options: Omit<GuardOptions, "tool"> = {}): T {
  for (const tool of tools) guardTool(kaizen, tool, options);
  return tools;
}

/** The arguments, which arrive as JSON text; what is none is judged as the text that it is. */
function parsed(input: string): unknown {
  try {
    return JSON.parse(input) as unknown;
  } catch {
    return { input };
  }
}

function refusedShell(why: string): unknown {
  return { output: [{ stdout: "", stderr: why, outcome: { type: "exit", exitCode: 126 } }] };
}

/** An object that does some things itself, and leaves the rest to the one behind it. */
function override<T extends object>(behind: T, changed: Partial<T>): T {
  return new Proxy(behind, {
    get: (target, key) => {
      if (Object.hasOwn(changed, key)) return changed[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
