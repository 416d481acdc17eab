/** LangChain.js: the agent's own loop and tool node, a model that says what the test wants. */
import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage } from "@langchain/core/messages";
import { RunnableLambda } from "@langchain/core/runnables";
import { DynamicTool, StructuredTool, tool } from "@langchain/core/tools";
import { createAgent } from "langchain";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { guardTool, guardTools } from "../src/langchain.js";
import { denying, REFUSAL } from "./kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: messages have many shapes
type Any = any;

class Saying extends BaseChatModel {
  heard: Any[] = [];
  constructor(private readonly calls: Any[]) {
    super({});
  }
  _llmType() {
    return "saying";
  }
  override bindTools() {
    return this as Any;
  }
  async _generate(messages: Any[]): Promise<Any> {
    const isFirst = this.heard.push(messages) === 1;
    const message = new AIMessage(isFirst ? { content: "", tool_calls: this.calls } : { content: "done" });
    return { generations: [{ text: "", message }] };
  }
}

function call(name: string, args: object): Any {
  return { name, args, id: `call-${name}`, type: "tool_call" };
}

const schema = z.object({ query: z.string() });

class Own extends StructuredTool {
  name = "delete_all";
  description = "a class of its own";
  schema = schema;
  constructor(private readonly ran: string[]) {
    super();
  }
  protected async _call({ query }: { query: string }): Promise<string> {
    this.ran.push(`own ${query}`);
    return "gone";
  }
}

function made(ran: string[], name: string, more: object = {}): Any {
  const run = async ({ query }: { query: string }) => {
    ran.push(`${name} ${query}`);
    return "responseFormat" in more ? [`found ${query}`, { rows: 1 }] : `found ${query}`;
  };
  return tool(run as Any, { name, description: name, schema, ...more });
}

describe("an agent", () => {
  test("a blocked tool does not run, the model reads why, and the run goes on", async () => {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const model = new Saying([call("delete_all", { query: "x" }), call("search", { query: "books" })]);
    const agent = createAgent({ model, tools: guardTools(kaizen, [made(ran, "search"), new Own(ran)]) as Any });
    const result = await agent.invoke({ messages: [{ role: "user", content: "hello" }] });
    expect(ran).toEqual(["search books"]);
    expect(result.messages.at(-1)?.content).toBe("done");
    const said = result.messages.filter((message: Any) => message.getType() === "tool").map(({ content }: Any) => content);
    expect(said.sort()).toEqual([REFUSAL, "found books"].sort());
    expect(verdicts.map(({ tool, decision, source }) => [tool, decision, source]).sort()).toEqual([
      ["delete_all", "block", "langchain"],
      ["search", "allow", "langchain"],
    ]);
  });

  test("nor when it is streamed", async () => {
    const { kaizen } = denying();
    const ran: string[] = [];
    const model = new Saying([call("delete_all", { query: "x" })]);
    const agent = createAgent({ model, tools: guardTools(kaizen, [made(ran, "delete_all")]) as Any });
    const parts: string[] = [];
    for await (const part of await agent.stream({ messages: [{ role: "user", content: "hello" }] }))
      parts.push(JSON.stringify(part));
    expect(ran).toEqual([]);
    expect(parts.join()).toContain(REFUSAL);
  });
});

describe("a runnable that was made a tool", () => {
  const asTool = (ran: string[], name: string): Any =>
    RunnableLambda.from(async ({ query }: { query: string }) => {
      ran.push(query);
      return `found ${query}`;
    }).asTool({ name, description: name, schema });

  test("is refused by every way in", async () => {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const guarded = guardTool(kaizen, asTool(ran, "delete_all"));
    const input = { query: "x" };
    expect(await guarded.invoke(input)).toBe(REFUSAL);
    expect(await guarded.invoke(call("delete_all", input))).toBe(REFUSAL);
    expect(await guarded.batch([input, input])).toEqual([REFUSAL, REFUSAL]);
    const all = async (stream: Any) => {
      for await (const _ of await stream);
    };
    const piped = RunnableLambda.from(async () => input).pipe(guarded);
    for (const stream of [
      () => guarded.stream(input),
      () => guarded.streamEvents(input, { version: "v2" }),
      () => piped.stream({}),
    ]) {
      await expect(all(stream())).rejects.toThrow(REFUSAL);
    }
    expect(await piped.invoke({})).toBe(REFUSAL);
    expect(ran).toEqual([]);
    for (const verdict of verdicts) expect(verdict).toMatchObject({ tool: "delete_all", arguments: { query: "x" } });
    const model = new Saying([call("delete_all", input)]);
    const agent = createAgent({ model, tools: [guarded] as Any });
    const { messages } = await agent.invoke({ messages: [{ role: "user", content: "hello" }] });
    expect(messages.map(({ content }: Any) => content)).toContain(REFUSAL);
    expect(ran).toEqual([]);
  });

  test("gives the same as without us when it is allowed", async () => {
    const { kaizen } = denying();
    const [own, guarded] = [asTool([], "search"), guardTool(kaizen, asTool([], "search"))];
    expect([guarded.name, guarded.schema, guarded.constructor]).toEqual([own.name, schema, own.constructor]);
    const said = async (tool: Any) => {
      const streamed: Any[] = [];
      for await (const part of await tool.stream({ query: "s" })) streamed.push(part);
      const events: string[] = [];
      for await (const { event } of tool.streamEvents({ query: "e" }, { version: "v2" })) events.push(event);
      const piped = RunnableLambda.from(async () => ({ query: "p" })).pipe(tool);
      for await (const part of await piped.stream({})) streamed.push(part);
      const bad = await tool.invoke(call("search", { query: 1 })).catch(String);
      const batch = await tool.batch([{ query: "1" }, call("search", {})], {}, { returnExceptions: true });
      return [await tool.invoke(call("search", { query: "q" })), streamed, events, bad, batch.map(String)];
    };
    expect(await said(guarded)).toEqual(await said(own));
  });
});

describe("a tool by itself", () => {
  test.each([
    ["of a function", (ran: string[]) => made(ran, "delete_all")],
    ["of a class", (ran: string[]) => new Own(ran) as Any],
    ["with an artifact", (ran: string[]) => made(ran, "delete_all", { responseFormat: "content_and_artifact" })],
  ])("%s is refused by every way in", async (_, make) => {
    const { kaizen } = denying();
    const ran: string[] = [];
    const guarded: Any = guardTool(kaizen, make(ran));
    const input = { query: "x" };
    expect(await guarded.invoke(input)).toBe(REFUSAL);
    expect((await guarded.invoke(call("delete_all", input))).content).toBe(REFUSAL);
    expect(await guarded.call(input)).toBe(REFUSAL);
    expect(await guarded.batch([input, input])).toEqual([REFUSAL, REFUSAL]);
    for await (const part of await guarded.stream(input)) expect(part).toBe(REFUSAL);
    expect(ran).toEqual([]);
  });

  test("of text is refused too", async () => {
    const { kaizen } = denying();
    const guarded = guardTool(kaizen, new DynamicTool({ name: "delete_all", description: "d", func: async () => "gone" }));
    expect(await guarded.invoke("everything")).toBe(REFUSAL);
  });

  test("allowed, it gives the same as without us", async () => {
    const { kaizen, verdicts } = denying();
    const own = made([], "search", { responseFormat: "content_and_artifact" });
    const guarded = guardTool(kaizen, own);
    const { lc_kwargs: one } = await own.invoke(call("search", { query: "q" }));
    const { lc_kwargs: other } = await guarded.invoke(call("search", { query: "q" }));
    expect(other).toEqual(one);
    expect(guarded).toBeInstanceOf(own.constructor);
    expect([guarded.name, guarded.schema, guarded.responseFormat]).toEqual([own.name, own.schema, own.responseFormat]);
    await expect(guarded.invoke({ query: 1 })).rejects.toThrow("schema");
    expect(verdicts).toEqual([{ tool: "search", decision: "allow", source: "langchain", arguments: { query: "q" } }]);
  });

  test("its own error stays its own", async () => {
    const { kaizen } = denying();
    const fails = tool(
      () => {
        throw new TypeError("mine");
      },
      { name: "fails", description: "d", schema },
    );
    await expect(guardTool(kaizen, fails).invoke({ query: "q" })).rejects.toThrow(new TypeError("mine"));
  });
});
