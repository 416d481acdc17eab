/** Nobody waits any more: a call that is given up while the sidecar or a person is asked does not run, and is not learned from. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Kaizen } from "../src/index.js";
import { guardTool as guardLangchain } from "../src/langchain.js";
import { guardTransport } from "../src/mcp.js";
import { guardTool as guardOpenai } from "../src/openai-agents.js";
import { guardTool as guardVercel } from "../src/vercel.js";

// biome-ignore lint/suspicious/noExplicitAny: tools and messages of many shapes
type Any = any;

const HELD = { decision: "block", reason: "asked", evidence: [], pending: { id: "h1", expires_at: "2099-01-01T00:00:00Z" } };
const asked: Any[] = [];
const steps: Any[] = [];
let gone = 0;
/** What `/v1/inspect` answers; undefined: nothing. */
let answer: object | undefined;
/** What happens before steps are taken. */
let taking: (() => Promise<void>) | undefined;
let server: Server;
let kaizen: Kaizen;

beforeEach(async () => {
  asked.length = 0;
  steps.length = 0;
  gone = 0;
  answer = undefined;
  taking = undefined;
  server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    response.on("close", () => {
      if (!response.writableEnded) gone += 1;
    });
    if (request.url === "/v1/inspect") asked.push(JSON.parse(body).action);
    if (request.url === "/v1/steps") {
      const some: Any[] = JSON.parse(body).steps;
      const status = body.length > 2 << 20 ? 413 : some.some((step) => step.action_id === "bad") ? 422 : 200;
      if (status !== 200) return response.writeHead(status).end('{"error":{"code":"refused","message":"no"}}');
      steps.push(...some);
    }
    if (request.url?.startsWith("/v1/holds/")) asked.push(request.url);
    if (request.url === "/v1/steps") {
      await taking?.();
      response.end("{}");
    } else if (request.url === "/v1/inspect" && answer !== undefined) response.end(JSON.stringify(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sidecar = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  kaizen = new Kaizen({ sidecar, inTenant: true, deadline: 600, holdSeconds: 600, report: false, sync: false, data: "" });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const patiently = { timeout: 60_000, interval: 5 };

/** Gives up `work` once the sidecar was asked; how it ended, and that the sidecar has been told. */
async function givenUp(work: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const controller = new AbortController();
  const said = work(controller.signal).then(
    (value) => ["ran", value],
    (err: unknown) => ["threw", err],
  );
  await vi.waitFor(() => expect(asked.length).toBe(answer === undefined ? 1 : 2), patiently);
  controller.abort("nobody waits");
  const ended = await said;
  await vi.waitFor(() => expect([gone, steps.length]).toEqual([1, 1]), patiently);
  expect(steps[0]).toMatchObject({ step: "result", action_id: asked[0].id, failed: true });
  return ended;
}

test("steps that are not taken together are taken apart, and one that is refused takes no other with it", async () => {
  answer = { decision: "allow", reason: "", evidence: [] };
  const { link } = kaizen as Any;
  const content = "lorem ipsum ".repeat(5_000);
  for (let n = 0; n < 100; n += 1)
    link.note({ step: "result", runId: "r", actionId: n === 23 ? "bad" : `x${n}`, content: n < 50 ? content : { content } });
  await kaizen.inspect({ tool: "search" });
  expect([...link.lost]).toEqual([["steps: refused by the sidecar", 1]]);
  expect(steps.length).toBe(99);
});

test("a question waits for the steps that are on their way already", async () => {
  answer = { decision: "allow", reason: "", evidence: [] };
  const order: string[] = [];
  let arrived = () => {};
  const sending = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  taking = async () => {
    arrived();
    // Whoever does not wait for them asks meanwhile.
    for (let tries = 0; asked.length === 0 && tries < 50; tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    order.push(asked.length === 0 ? "taken" : "asked before");
  };
  await kaizen.run("pay the bill", async () => {
    await sending;
    await kaizen.inspect({ tool: "transfer" });
  });
  expect(order[0]).toBe("taken");
});

test("a question is dropped, its connection closed, and the sidecar told that the action did not happen", async () => {
  expect(await givenUp((signal) => kaizen.inspect({ tool: "pay" }, { signal }))).toEqual(["threw", "nobody waits"]);
  expect(kaizen.lost).toEqual({});
});

test("so is the wait for a person", async () => {
  answer = HELD;
  expect(await givenUp((signal) => kaizen.enforce({ tool: "pay" }, { signal }))).toEqual(["threw", "nobody waits"]);
});

test("a signal that was aborted before cuts only the waiting short, not what is known here", async () => {
  const signal = AbortSignal.abort("before");
  const alone = new Kaizen({ report: false, sync: false, data: "" });
  await expect(alone.inspect({ tool: "x" }, { signal })).resolves.toMatchObject({ decision: "allow" });
  await expect(kaizen.inspect({ tool: "x" }, { signal })).rejects.toBe("before");
});

const ran: string[] = [];
const execute = async () => void ran.push("it ran");
const TOOLS: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
  "a guarded function": (signal) => kaizen.guard(execute, { tool: "pay", signal: () => signal })(),
  "a generator": (signal) =>
    kaizen
      .guard(
        async function* () {
          yield ran.push("it ran");
        },
        { tool: "pay", signal: () => signal },
      )()
      .next(),
  "Vercel AI SDK": (abortSignal) => guardVercel(kaizen, "pay", { execute: execute as Any }).execute({}, { abortSignal }),
  "Vercel AI SDK, streamed": (abortSignal) =>
    guardVercel(kaizen, "pay", {
      execute: async function* (_input: object, _options: object) {
        yield ran.push("it ran");
      },
    })
      .execute({}, { abortSignal })
      .next(),
  "OpenAI Agents": (signal) => guardOpenai(kaizen, { name: "pay", invoke: execute as Any }).invoke({}, "{}", { signal }),
  "LangChain.js": (signal) => guardLangchain(kaizen, { name: "pay", func: execute as Any }).func({}, undefined, { signal }),
};

test.each(Object.keys(TOOLS))("%s: a call that is given up does not run", async (name) => {
  expect(await givenUp(TOOLS[name] as (signal: AbortSignal) => Promise<unknown>)).toEqual(["threw", "nobody waits"]);
  expect(ran).toEqual([]);
});

test.each(["client", "server"] as const)(
  "MCP: a call that is cancelled while it is judged goes no further, at the %s",
  async (side) => {
    const [one, other] = InMemoryTransport.createLinkedPair();
    const heard: Any[] = [];
    other.onmessage = (message) => void heard.push(message);
    const guarded = guardTransport(kaizen, one, side);
    guarded.onmessage = (message) => void heard.push(message);
    await one.start();
    await other.start();
    const send = (message: Any) => (side === "client" ? guarded : other).send(message);
    const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 7 } };
    await givenUp(async (signal) => {
      const sent = send({ jsonrpc: "2.0", id: 7, method: "tools/call", params: { name: "pay" } });
      signal.addEventListener("abort", () => void send(cancelled));
      await sent;
    });
    await vi.waitFor(() => expect(heard).toEqual([cancelled]), patiently);
  },
);
