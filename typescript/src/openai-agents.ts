/**
 * OpenAI Agents JS: tools whose calls are judged before they run (nothing of the SDK is imported).
 *
 * A tool is guarded in place: the SDK knows agents that are tools by their object, and no copy is left that is not guarded. A blocked
 * call answers the model with the refusal as its output; the run goes on. Hosted tools run at the provider and are left alone.
 */
import { isTold } from "./client/acts.js";
import { actionOfCall, type GuardOptions, signalOf, type Through, through } from "./client/guard.js";
import type { Kaizen } from "./client/kaizen.js";
import type { Action } from "./contract/action.js";

// biome-ignore lint/suspicious/noExplicitAny: arguments and results are the SDK's own
type Any = any;

interface AnyTool {
  readonly type?: string;
  readonly name?: string;
  invoke?: (context: Any, input: string, details?: Any) => Promise<Any>;
  shell?: { run: (action: Any) => Promise<Any> };
  editor?: Record<string, (operation: Any, ...rest: Any[]) => Promise<Any>>;
  computer?: unknown;
  readonly needsApproval?: (context: Any, input: Any, callId: string) => Promise<boolean>;
  inputGuardrails?: object[];
  outputGuardrails?: object[];
}

interface Call {
  readonly toolCall: { readonly callId: string; readonly arguments: string };
}

const guardedTools = new WeakSet<object>();
const MAX_OPEN = 1000;
/** What acts of a computer, with the names of what they are given. The rest of it looks or waits. */
const COMPUTER = {
  click: ["x", "y", "button"],
  doubleClick: ["x", "y"],
  drag: ["path"],
  keypress: ["keys"],
  move: ["x", "y"],
  scroll: ["x", "y", "scrollX", "scrollY"],
  type: ["text"],
} as const;

/** The same tool, judged before each call. Function tools, agents as tools, local shells, editors of patches, computers. */
export function guardTool<T extends object>(kaizen: Kaizen, tool: T, options: Omit<GuardOptions, "tool"> = {}): T {
  if (guardedTools.has(tool)) return tool;
  guardedTools.add(tool);
  const one = tool as AnyTool;
  const name = one.name ?? one.type ?? "tool";
  const how = { source: "openai-agents", ...options };
  const judged = (argument: unknown, kind: string, going: Through, run: () => Promise<unknown>) =>
    through(kaizen, actionOfCall(kaizen, name, [argument], { kind, ...how }), run, going);
  const { invoke, shell, editor, computer } = one;
  if (typeof invoke === "function" && decidesByInput(one)) {
    guardByRails(kaizen, one, (argument) => actionOfCall(kaizen, name, [argument], how));
  } else if (typeof invoke === "function") {
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
  if (typeof computer === "object" && computer !== null) {
    const there = computer as Record<string, unknown>;
    const changed: Record<string, (...args: Any[]) => Promise<Any>> = {};
    for (const [action, names] of Object.entries(COMPUTER)) {
      const act = there[action];
      if (typeof act !== "function") continue;
      const given = (args: Any[]) => ({ action, ...Object.fromEntries(names.map((one, at) => [one, args[at]])) });
      changed[action] = (...args) => judged(given(args), "tool_call", {}, async () => act.apply(computer, args));
    }
    one.computer = override(there, changed);
  }
  return tool;
}

/** An MCP server of an agent (`mcpServers`), whose tools are judged before each call. */
export function guardMcpServer<T extends object>(kaizen: Kaizen, server: T, options: Omit<GuardOptions, "tool"> = {}): T {
  if (guardedTools.has(server)) return server;
  guardedTools.add(server);
  const one = server as Record<string, Any>;
  const how = { source: "openai-agents", ...options };
  const refusing = (method: string, refused: (content: object[]) => unknown) => {
    const run = one[method];
    if (typeof run !== "function") return;
    one[method] = (tool: string, input: unknown, ...rest: Any[]) =>
      through(kaizen, actionOfCall(kaizen, tool, [input ?? {}], how), () => run.call(server, tool, input, ...rest), {
        refused: (text) => refused([{ type: "text", text }]),
        signal: signalOf(rest[1]?.signal),
      });
  };
  refusing("callTool", (content) => content);
  refusing("callToolResult", (content) => ({ content, isError: true }));
  return server;
}

/**
 * Whether its approval depends on what it is given: that is parsed by the SDK only for the very `invoke` that it made (0.20), so that has
 * to stay. What is declared with fewer parameters does not look.
 */
function decidesByInput({ needsApproval, inputGuardrails }: AnyTool): boolean {
  return Array.isArray(inputGuardrails) && typeof needsApproval === "function" && needsApproval.length > 1;
}

/** Judged where the SDK asks its guardrails: in every run and session, though not when somebody calls `invoke` by hand. */
function guardByRails(kaizen: Kaizen, tool: AnyTool, action: (argument: unknown) => Action): void {
  const open = new Map<string, Action>();
  const input = async ({ toolCall }: Call) => {
    const call = action(parsed(toolCall.arguments));
    const verdict = isTold(call) ? undefined : await kaizen.inspect(call);
    if (verdict?.blocked) return { behavior: { type: "rejectContent", message: `Blocked by Kaizen: ${verdict.reason}` } };
    if (verdict !== undefined) open.set(toolCall.callId, call);
    if (open.size > MAX_OPEN) open.delete(open.keys().next().value as string);
    return { behavior: { type: "allow" } };
  };
  const output = async ({ toolCall, output }: Call & { readonly output: unknown }) => {
    const call = open.get(toolCall.callId);
    if (call !== undefined) kaizen.noteResult(call, output);
    open.delete(toolCall.callId);
    return { behavior: { type: "allow" } };
  };
  tool.inputGuardrails = [{ type: "tool_input", name: "kaizen", run: input }, ...(tool.inputGuardrails ?? [])];
  tool.outputGuardrails = [{ type: "tool_output", name: "kaizen", run: output }, ...(tool.outputGuardrails ?? [])];
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
