// A client built with the official TypeScript SDK 2.x: `node sdk2_client.mjs ERA -- command…` or `node sdk2_client.mjs ERA URL`; ERA is auto or legacy.
import { readFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [era, ...words] = process.argv.slice(2);
const transport = words[0] === "--" ? new StdioClientTransport({ command: words[1], args: words.slice(2), env: process.env }) : new StreamableHTTPClientTransport(new URL(words[0]));
const client = new Client({ name: "tests", version: "1" }, { versionNegotiation: { mode: era }, capabilities: { elicitation: { form: {} } } });
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: { name: "Ada" } }));
await client.connect(transport);
const found = { version: client.getNegotiatedProtocolVersion?.(), server: client.getServerVersion(), tools: await client.listTools(), calls: [] };
for (const [name, args] of JSON.parse(readFileSync(process.env.CALLS, "utf8"))) {
  try {
    found.calls.push(await client.callTool({ name, arguments: args }));
  } catch (err) {
    found.calls.push({ thrown: err.message });
  }
}
console.log(JSON.stringify(found));
await client.close();
