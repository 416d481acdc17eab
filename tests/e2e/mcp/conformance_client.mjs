// What the conformance suite asks of a client, on the official TypeScript SDK: `node conformance_client.mjs URL`, the scenario in the
// environment. What a client has to do by itself (defaults of a form, coming back to a stream that ended) the SDK does.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
const client = new Client({ name: "tests", version: "1" }, { capabilities: { elicitation: { form: { applyDefaults: true } } } });
client.setRequestHandler(types.ElicitRequestSchema, () => ({ action: "accept", content: {} }));
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv.at(-1))));
const { tools } = await client.listTools();
if (process.env.MCP_CONFORMANCE_SCENARIO !== "initialize") {
  for (const { name } of tools) await client.callTool({ name, arguments: name === "add_numbers" ? { a: 5, b: 3 } : {} });
}
await client.close();
