/** MCP on the official SDKs, 1.x and 2.x: the calls of a client and of a server, over a real transport in one process. */
import { Client as NewClient, InMemoryTransport as NewTransport } from "@modelcontextprotocol/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { McpServer as NewServer } from "@modelcontextprotocol/server";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { guardClient, guardServer, guardTransport } from "../src/mcp.js";
import { denying, REFUSAL } from "./kaizen.js";

// biome-ignore lint/suspicious/noExplicitAny: two major versions of one SDK
type Any = any;

const info = { name: "n", version: "1" };
const SDKS: [string, Any, Any, Any][] = [
  ["1.x", Client, McpServer, InMemoryTransport],
  ["2.x", NewClient, NewServer, NewTransport],
];

function serving(Server: Any, ran: string[]): Any {
  const server = new Server(info);
  for (const name of ["search", "delete_all"]) {
    server.registerTool(
      name,
      { description: name, inputSchema: z.object({ query: z.string() }) },
      async ({ query }: { query: string }) => {
        ran.push(`${name} ${query}`);
        return { content: [{ type: "text", text: `found ${query}` }], ...(query === "error" && { isError: true }) };
      },
    );
  }
  return server;
}

describe.each(SDKS)("SDK %s", (version, C, S, T) => {
  async function connected(side: "client" | "server" | "none") {
    const { kaizen, verdicts } = denying();
    const ran: string[] = [];
    const server = serving(S, ran);
    const client = new C(info);
    const [one, other] = T.createLinkedPair();
    if (side === "server") guardServer(kaizen, server);
    if (side === "client") guardClient(kaizen, client);
    await server.connect(other);
    await client.connect(one);
    return { client, server, ran, verdicts, kaizen };
  }

  test.each(["client", "server"] as const)("a call that is blocked at the %s does not run, and says why", async (side) => {
    const { client, ran, verdicts } = await connected(side);
    const refused = await client.callTool({ name: "delete_all", arguments: { query: "x" } });
    expect(refused).toMatchObject({ isError: true, content: [{ type: "text", text: REFUSAL }] });
    const found = await client.callTool({ name: "search", arguments: { query: "books" } });
    expect(found.content).toEqual([{ type: "text", text: "found books" }]);
    expect(ran).toEqual(["search books"]);
    expect(verdicts).toMatchObject([
      { tool: "delete_all", decision: "block", source: "mcp", arguments: { query: "x" } },
      { tool: "search", decision: "allow", source: "mcp" },
    ]);
    await client.close();
  });

  test.each(["client", "server"] as const)("the rest passes the %s as it is: lists, pings, unknown tools, errors", async (side) => {
    const [guarded, bare] = [await connected(side), await connected("none")];
    const said = async ({ client }: Any) => [
      await client.listTools(),
      await client.ping(),
      await client.callTool({ name: "search", arguments: { query: "error" } }).catch(String),
      await client.callTool({ name: "nothing", arguments: {} }).catch(String),
      await client.callTool({ name: "search", arguments: { query: 1 } }).catch(String),
    ];
    expect(await said(guarded)).toEqual(await said(bare));
    expect(guarded.ran).toEqual(bare.ran);
  });

  test("what is connected already is guarded too, and so is the server inside of one", async () => {
    const call = { name: "delete_all", arguments: { query: "x" } };
    for (const guard of [
      ({ kaizen, client }: Any) => guardClient(kaizen, client),
      ({ kaizen, server }: Any) => guardServer(kaizen, server),
      ({ kaizen, server }: Any) => guardServer(kaizen, server.server),
    ]) {
      const ends = await connected("none");
      guard(ends);
      expect(await ends.client.callTool(call)).toMatchObject({ isError: true, content: [{ text: REFUSAL }] });
      expect(await ends.client.callTool({ ...call, name: "search" })).toMatchObject({ content: [{ text: "found x" }] });
      expect(ends.ran).toEqual(["search x"]);
    }
    const { kaizen } = denying();
    const ran: string[] = [];
    const server: Any = guardServer(kaizen, serving(S, ran) as Any);
    const client = new C(info);
    const [one, other] = T.createLinkedPair();
    await server.server.connect(other);
    await client.connect(one);
    expect(await client.callTool(call)).toMatchObject({ isError: true, content: [{ text: REFUSAL }] });
    expect(ran).toEqual([]);
  });

  test("parallel calls are answered each with its own", async () => {
    const { client, ran } = await connected("client");
    const calls = Array.from({ length: 10 }, (_, at) =>
      client.callTool({ name: at % 2 ? "delete_all" : "search", arguments: { query: `${at}` } }),
    );
    const texts = (await Promise.all(calls)).map((result: Any) => result.content[0].text);
    expect(texts).toEqual(Array.from({ length: 10 }, (_, at) => (at % 2 ? REFUSAL : `found ${at}`)));
    expect(ran).toEqual([0, 2, 4, 6, 8].map((at) => `search ${at}`));
  });

  test("a bare request is judged like any other", async () => {
    const { client, ran } = await connected("client");
    const request = { method: "tools/call", params: { name: "delete_all", arguments: { query: "x" } } };
    const result = await (version === "1.x" ? client.request(request, CallToolResultSchema) : client.request(request));
    expect(result).toMatchObject({ isError: true, content: [{ text: REFUSAL }] });
    expect(ran).toEqual([]);
  });
});

test("a batch loses what is blocked, and a notification that calls a tool is no way round", async () => {
  const { kaizen } = denying();
  const [one, other] = InMemoryTransport.createLinkedPair();
  const heard: Any[] = [];
  const answers: Any[] = [];
  other.onmessage = (message) => void heard.push(message);
  const guarded = guardTransport(kaizen, one, "client");
  guarded.onmessage = (message) => void answers.push(message);
  await one.start();
  await other.start();
  const call = (id: number | undefined, name: string): Any => ({ jsonrpc: "2.0", id, method: "tools/call", params: { name } });
  await guarded.send([call(1, "delete_all"), call(2, "search")] as Any);
  await guarded.send(call(undefined, "delete_all"));
  await guarded.send({ jsonrpc: "2.0", id: 3, method: "tools/call" } as Any);
  expect(heard).toEqual([[call(2, "search")], { jsonrpc: "2.0", id: 3, method: "tools/call" }]);
  expect(answers).toMatchObject([{ id: 1, result: { isError: true } }]);
});

test("a call that was cancelled while it was judged is not sent after all", async () => {
  const { kaizen } = denying();
  const [one, other] = InMemoryTransport.createLinkedPair();
  const heard: Any[] = [];
  other.onmessage = (message: Any) => void heard.push(message.method);
  const guarded = guardTransport(kaizen, one, "client");
  const sent = guarded.send({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "search" } });
  await guarded.send({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } });
  await sent;
  expect(heard).toEqual(["notifications/cancelled"]);
});
