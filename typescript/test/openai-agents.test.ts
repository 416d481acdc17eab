/** OpenAI Agents JS on its own runner, with a model that says what the test wants. */
import { Agent, applyPatchTool, computerTool, type Model, Runner, shellTool, tool, Usage } from "@openai/agents";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { guardMcpServer, guardTool, guardTools } from "../src/openai-agents.js";
import { denying, REFUSAL } from "./kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: items of the protocol have many shapes
type Any = any;

/** A model that gives these items in its first answer, and says "done" in its second. */
function saying(...items: Any[]): Model & { heard: Any[] } {
  const heard: Any[] = [];
  const message = { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text: "done" }] };
  const output = (request: Any) => (heard.push(request.input) === 1 ? items : [message]);
  return {
    heard,
    getResponse: async (request: Any) => ({ usage: new Usage(), output: output(request) }) as Any,
    async *getStreamedResponse(request: Any) {
      yield { type: "response_started" } as Any;
      const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
      yield { type: "response_done", response: { id: "r", usage, output: output(request) } } as Any;
    },
  };
}

function call(name: string, input: object, callId = name): Any {
  return { type: "function_call", callId, name, status: "completed", arguments: JSON.stringify(input) };
}

const runner = new Runner({ tracingDisabled: true });
const parameters = z.object({ query: z.string() });

function tools(ran: string[]): Any {
  const made = (name: string) =>
    tool({
      name,
      description: name,
      parameters,
      execute: ({ query }) => `${ran.push(`${name} ${query}`) ? name : ""} of ${query}`,
    });
  const failing = tool({
    name: "failing",
    description: "fails",
    parameters,
    execute: () => {
      throw new TypeError("the tool's own error");
    },
  });
  return [made("search"), made("delete_all"), failing];
}

async function outputs(model: Model, list: Any[], stream: boolean): Promise<{ outputs: Any[]; final: Any }> {
  const agent = new Agent({ name: "a", instructions: "i", model, tools: list });
  const result: Any = await runner.run(agent, "hello", { stream } as Any);
  if (stream) {
    for await (const _ of result);
    await result.completed;
  }
  const found = result.newItems.filter((item: Any) => item.type === "tool_call_output_item").map((item: Any) => item.output);
  return { outputs: found, final: result.finalOutput };
}

describe.each([false, true])("streamed: %s", (stream) => {
  test("a blocked tool does not run, the model reads why, and the run goes on", async () => {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const model = saying(call("delete_all", { query: "x" }), call("search", { query: "books" }));
    const found = await outputs(model, guardTools(kaizen, tools(ran)), stream);
    expect(ran).toEqual(["search books"]);
    expect(found).toEqual({ outputs: [REFUSAL, "search of books"], final: "done" });
    expect(JSON.stringify(model.heard[1])).toContain(REFUSAL);
    expect(verdicts.map(({ tool, arguments: said }) => [tool, said])).toEqual([
      ["delete_all", { query: "x" }],
      ["search", { query: "books" }],
    ]);
  });

  test("what is allowed gives the same as without us, failures too", async () => {
    const { kaizen } = denying();
    const run = (list: Any[]) =>
      outputs(saying(call("search", { query: "q" }), call("failing", { query: "q" }), call("search", {}, "bad")), list, stream);
    expect(await run(guardTools(kaizen, tools([])))).toEqual(await run(tools([])));
  });

  test("an approval that looks at the input gets it as without us: parsed by the tool's schema", async () => {
    const { kaizen, verdicts } = denying();
    const run = async (guard: (one: Any) => Any) => {
      const [looked, ran]: [Any[], string[]] = [[], []];
      const made = (name: string) =>
        tool({
          name,
          description: name,
          parameters: z.object({ query: z.string().trim() }),
          needsApproval: async (_, input) => looked.push(input) === 0,
          execute: ({ query }) => `${ran.push(name) && name} of ${query}`,
        });
      const calls = [call("search", { query: "  q " }), call("delete_all", { query: " x" }), call("search", {}, "bad")];
      const { outputs: found } = await outputs(saying(...calls), [guard(made("search")), guard(made("delete_all"))], stream);
      return { looked, ran, found };
    };
    const [bare, guarded] = [await run((one) => one), await run((one) => guardTool(kaizen, one))];
    expect(bare.looked).toContainEqual({ query: "q" });
    expect(guarded.looked).toEqual(bare.looked);
    expect(guarded.ran).toEqual(["search"]);
    expect(guarded.found).toEqual(bare.found.map((said, at) => (at === 1 ? REFUSAL : said)));
    expect(verdicts.map(({ tool: name }) => name).slice(0, 2)).toEqual(["search", "delete_all"]);
  });

  test("the tools of an agent's MCP server are judged before they are called", async () => {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const inputSchema = { type: "object", properties: { query: { type: "string" } }, required: [], additionalProperties: false };
    const server: Any = {
      name: "m",
      cacheToolsList: false,
      connect: async () => {},
      close: async () => {},
      invalidateToolsCache: async () => {},
      listTools: async () => ["search", "delete_all"].map((name) => ({ name, description: name, inputSchema })),
      callTool: async (name: string, input: Any) => [{ type: "text", text: `${ran.push(name) && name} of ${input.query}` }],
    };
    const model = saying(call("search", { query: "q" }), call("delete_all", { query: "x" }));
    const agent = new Agent({ name: "a", instructions: "i", model, mcpServers: [guardMcpServer(kaizen, server)] });
    const result: Any = await runner.run(agent, "hello", { stream } as Any);
    if (stream) await result.completed;
    expect(ran).toEqual(["search"]);
    expect(JSON.stringify(model.heard[1])).toContain("search of q");
    expect(JSON.stringify(model.heard[1])).toContain(REFUSAL);
    expect(verdicts.map(({ tool: name, arguments: said }) => [name, said])).toEqual([
      ["search", { query: "q" }],
      ["delete_all", { query: "x" }],
    ]);
  });

  test("an agent that is a tool is judged as one", async () => {
    const { kaizen } = denying();
    const inner = saying();
    const helper = new Agent({ name: "helper", instructions: "i", model: inner });
    const asTool = helper.asTool({ toolName: "delete_all", toolDescription: "d" });
    const found = await outputs(saying(call("delete_all", { input: "x" })), [guardTool(kaizen, asTool)], stream);
    expect(found.outputs).toEqual([REFUSAL]);
    expect(inner.heard).toEqual([]);
  });
});

test("an agent that is a tool and allowed still answers", async () => {
  const { kaizen } = denying();
  const done = { type: "message", role: "assistant", status: "completed", content: [{ type: "output_text", text: "helped" }] };
  const helper = new Agent({ name: "helper", instructions: "i", model: saying(done) });
  const asTool = helper.asTool({ toolName: "help", toolDescription: "d" });
  expect(guardTool(kaizen, asTool)).toBe(asTool);
  expect((await outputs(saying(call("help", { input: "x" })), [asTool], false)).outputs).toEqual(["helped"]);
});

test("a shell and an editor of patches are judged before they run", async () => {
  const { kaizen, verdicts } = denying();
  const ran: string[] = [];
  const shell = guardTool(
    kaizen,
    shellTool({ name: "delete_all", shell: { run: async () => ({ output: [] as Any, ...(ran.push("shell") && {}) }) } }),
  );
  const editor = {
    createFile: async () => void ran.push("create"),
    updateFile: async () => undefined,
    deleteFile: async () => undefined,
  };
  const patch = guardTool(kaizen, applyPatchTool({ name: "delete_all", editor }) as Any);
  const first = await outputs(
    saying({ type: "shell_call", callId: "s", status: "completed", action: { commands: ["rm -rf /"] } }),
    [shell],
    false,
  );
  expect(JSON.stringify(first.outputs)).toContain(REFUSAL);
  const operation = { type: "create_file", path: "a.txt", diff: "+a" };
  const second = await outputs(saying({ type: "apply_patch_call", callId: "p", status: "completed", operation }), [patch], false);
  expect(JSON.stringify(second.outputs)).toContain(REFUSAL);
  expect(ran).toEqual([]);
  expect(verdicts.length).toBe(2);
});

test("a tool that is guarded twice is judged once", async () => {
  const { kaizen, verdicts } = denying();
  const list = guardTools(kaizen, guardTools(kaizen, tools([])));
  await outputs(saying(call("search", { query: "q" })), list, false);
  expect(verdicts.length).toBe(1);
});

test("what a computer is told to do is judged before it does it", async () => {
  const { kaizen, verdicts } = denying();
  const click = { type: "computer_call", callId: "c", status: "completed", action: { type: "click", x: 1, y: 2, button: "left" } };
  for (const [name, expected] of [
    ["computer", ["click 1 2 left"]],
    ["delete_all", []],
  ] as const) {
    const ran: string[] = [];
    const acting = Object.fromEntries(
      ["click", "doubleClick", "drag", "keypress", "move", "scroll", "type", "wait"].map((action) => [
        action,
        async (...given: Any[]) => void ran.push([action, ...given.slice(0, 3)].join(" ")),
      ]),
    );
    const computer: Any = { environment: "mac", dimensions: [10, 10], screenshot: async () => "", ...acting };
    const guarded = guardTool(kaizen, computerTool({ name, computer }) as Any);
    await outputs(saying(click), [guarded], false);
    expect(ran).toEqual(expected);
  }
  expect(verdicts.map(({ tool: name, decision, arguments: said }) => [name, decision, said])).toEqual([
    ["computer", "allow", { action: "click", x: 1, y: 2, button: "left" }],
    ["delete_all", "block", { action: "click", x: 1, y: 2, button: "left" }],
  ]);
});
