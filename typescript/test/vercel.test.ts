/** The Vercel AI SDK's own runner and mock model, of the version that this Node takes and (KAIZEN_AI=ai7, Node 22) the newest. */
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { guardTool, guardTools } from "../src/vercel.js";
import { denying, REFUSAL } from "./kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: two versions of one package, whose types differ
type Any = any;

const name = process.env["KAIZEN_AI"] ?? "ai";
const ai: Any = await import(name);
const mocks: Any = await import(`${name}/test`);
const Model = mocks.MockLanguageModelV4 ?? mocks.MockLanguageModelV3;
const USAGE = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 1, text: 1, reasoning: undefined },
};

/** A model that calls these tools in its first answer, and says "done" in its second. */
function calling(...calls: [tool: string, input: object][]): Any {
  let turn = 0;
  const content = () =>
    turn++ === 0
      ? calls.map(([toolName, input], at) => ({ type: "tool-call", toolCallId: `c${at}`, toolName, input: JSON.stringify(input) }))
      : [{ type: "text", text: "done" }];
  const finishReason = () => ({ unified: turn === 1 ? "tool-calls" : "stop", raw: undefined });
  return new Model({
    doGenerate: async () => ({ content: content(), finishReason: finishReason(), usage: USAGE, warnings: [] }),
    doStream: async () => {
      const parts: Any[] = [{ type: "stream-start", warnings: [] }];
      for (const part of content()) {
        if (part.type === "tool-call") parts.push(part);
        else
          parts.push(
            { type: "text-start", id: "t" },
            { type: "text-delta", id: "t", delta: "done" },
            { type: "text-end", id: "t" },
          );
      }
      parts.push({ type: "finish", finishReason: finishReason(), usage: USAGE });
      return { stream: ai.simulateReadableStream({ chunks: parts }) };
    },
  });
}

function tools(ran: string[]): Any {
  const inputSchema = z.object({ query: z.string() });
  return {
    search: ai.tool({
      description: "looks things up",
      inputSchema,
      execute: async ({ query }: { query: string }) => {
        ran.push(`search ${query}`);
        return `found ${query}`;
      },
    }),
    delete_all: ai.tool({
      inputSchema,
      execute: () => {
        ran.push("delete_all");
        return "gone";
      },
    }),
    steps: ai.tool({
      inputSchema,
      execute: async function* ({ query }: { query: string }) {
        ran.push("steps");
        yield `one ${query}`;
        yield `two ${query}`;
      },
    }),
    failing: ai.tool({
      inputSchema,
      execute: () => {
        throw new TypeError("the tool's own error");
      },
    }),
    elsewhere: ai.tool({ inputSchema }),
  };
}

const stopWhen = ai.stepCountIs?.(4) ?? ai.isStepCount(4);

describe(`AI SDK, ${name}`, () => {
  test("a blocked tool does not run, and the model reads why", async () => {
    const { kaizen } = denying();
    const ran: string[] = [];
    const model = calling(["delete_all", { query: "x" }], ["search", { query: "books" }]);
    const result = await ai.generateText({ model, tools: guardTools(kaizen, tools(ran)), prompt: "p", stopWhen });
    expect(ran).toEqual(["search books"]);
    expect(result.text).toBe("done");
    const said = result.steps[0].content.filter((part: Any) => /^tool-(?:result|error)$/.test(part.type));
    expect(said.find((part: Any) => part.toolName === "search").output).toBe("found books");
    expect(String(said.find((part: Any) => part.toolName === "delete_all").error)).toContain(REFUSAL);
    expect(JSON.stringify(model.doGenerateCalls[1].prompt)).toContain(REFUSAL);
  });

  test("nor when the answer is streamed; intermediate results pass one by one", async () => {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const model = calling(["delete_all", { query: "x" }], ["steps", { query: "q" }]);
    const result = ai.streamText({ model, tools: guardTools(kaizen, tools(ran)), prompt: "p", stopWhen, onError: () => {} });
    const parts: Any[] = [];
    for await (const part of result.fullStream ?? result.stream) parts.push(part);
    expect(ran).toEqual(["steps"]);
    const results = parts.filter((part) => part.type === "tool-result" && part.toolName === "steps");
    expect(results.map((part) => [part.output, part.preliminary ?? false])).toEqual([
      ["one q", true],
      ["two q", true],
      ["two q", false],
    ]);
    expect(parts.some((part) => part.type === "tool-error" && String(part.error).includes(REFUSAL))).toBe(true);
    expect(verdicts.map(({ tool, decision }) => [tool, decision])).toEqual([
      ["delete_all", "block"],
      ["steps", "allow"],
    ]);
  });

  test("allowed tools are untouched: result, error, arguments, and what the SDK hands them", async () => {
    const { kaizen, verdicts } = denying();
    const seen: Any[] = [];
    const own = ai.tool({
      inputSchema: z.object({ query: z.string() }),
      execute: (input: object, options: Any) => {
        seen.push([input, Object.keys(options).sort()]);
        return { rows: [1] };
      },
    });
    const run = async (set: Any) =>
      (
        await ai.generateText({
          model: calling(["own", { query: "q" }], ["failing", { query: "q" }]),
          tools: set,
          prompt: "p",
          stopWhen,
        })
      ).steps[0].content;
    const bare = { own, failing: tools([]).failing };
    const outcome = (content: Any[]) => content.map(({ type, output, error }) => ({ type, output, error: error && String(error) }));
    expect(outcome(await run(guardTools(kaizen, bare)))).toEqual(outcome(await run(bare)));
    expect(seen[0]).toEqual(seen[1]);
    expect(verdicts[0]).toEqual({ tool: "own", decision: "allow", source: "vercel", arguments: { query: "q" } });
  });

  test("a tool that the client or the provider runs is the very same object", () => {
    const { kaizen } = denying();
    const { elsewhere, search } = tools([]);
    expect(guardTool(kaizen, "elsewhere", elsewhere)).toBe(elsewhere);
    const guarded = guardTool(kaizen, "search", search);
    expect({ ...guarded, execute: 0 }).toEqual({ ...search, execute: 0 });
    expect(search.execute).not.toBe(guarded.execute);
  });

  test("the target is judged too", async () => {
    const { kaizen } = denying();
    const ran: string[] = [];
    const fetch = guardTool(kaizen, "search", tools(ran).search, { target: "query" });
    await expect(fetch.execute({ query: "https://www.evil.example/x" }, {})).rejects.toThrow("malicious domain");
    await expect(fetch.execute({ query: "https://good.example/x" }, {})).resolves.toBe("found https://good.example/x");
    expect(ran).toEqual(["search https://good.example/x"]);
  });

  test("what only turned out to be a stream gives its last item", async () => {
    const { kaizen } = denying();
    const inner = tools([]).steps.execute;
    const tool = guardTool(kaizen, "steps", {
      ...tools([]).steps,
      execute: (input: object, options: object) => inner(input, options),
    });
    await expect(tool.execute({ query: "q" }, {})).resolves.toBe("two q");
  });

  test("parallel calls are judged each by itself", async () => {
    const { kaizen } = denying();
    const ran: string[] = [];
    const calls = Array.from({ length: 8 }, (_, at): [string, object] => [at % 2 ? "delete_all" : "search", { query: `${at}` }]);
    await ai.generateText({ model: calling(...calls), tools: guardTools(kaizen, tools(ran)), prompt: "p", stopWhen });
    expect(ran.sort()).toEqual(["search 0", "search 2", "search 4", "search 6"]);
  });
});
