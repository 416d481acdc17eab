// A client built with the official TypeScript SDK: `node sdk_client.mjs -- command…` or `node sdk_client.mjs URL`.
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const words = process.argv.slice(2);
const transport = words[0] === "--" ? new StdioClientTransport({ command: words[1], args: words.slice(2), env: process.env }) : new StreamableHTTPClientTransport(new URL(words[0]));
const client = new Client({ name: "tests", version: "1" }, { capabilities: {} });
await client.connect(transport);
const found = { server: client.getServerVersion(), tools: await client.listTools(), calls: [] };
for (const [name, args] of JSON.parse(readFileSync(process.env.CALLS, "utf8"))) found.calls.push(await client.callTool({ name, arguments: args }));
console.log(JSON.stringify(found));
await client.close();
