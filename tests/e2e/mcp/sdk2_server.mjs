// A server built with the official TypeScript SDK 2.x, which speaks both eras of the protocol: `node sdk2_server.mjs stdio|PORT`.
import { createServer } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { McpServer, createMcpHandler, fromJsonSchema, inputRequired, acceptedContent } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

const said = (text) => ({ content: [{ type: "text", text }] });
const shape = (properties) => fromJsonSchema({ type: "object", properties, required: Object.keys(properties) });

function server() {
  const made = new McpServer({ name: "official", version: "1" }, { instructions: "Adds and echoes.", capabilities: { tools: {} } });
  made.registerTool("add", { description: "Adds two numbers.", inputSchema: shape({ a: { type: "integer" }, b: { type: "integer" } }), outputSchema: shape({ result: { type: "integer" } }) }, async ({ a, b }) => ({ ...said(String(a + b)), structuredContent: { result: a + b } }));
  made.registerTool("echo", { description: "Gives the text back.", inputSchema: shape({ text: { type: "string" } }) }, async ({ text }) => said(text));
  made.registerTool("greet_slowly", { description: "Asks for a name, then greets.", inputSchema: shape({}) }, async (_, context) => {
    const answer = acceptedContent(context.mcpReq.inputResponses, "who");
    if (!answer) return inputRequired({ inputRequests: { who: inputRequired.elicit({ message: "Who are you?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } }) } });
    return said(`Hello ${answer.name}`);
  });
  return made;
}

if (process.argv[2] === "stdio") serveStdio(server);
else createServer(toNodeHandler(createMcpHandler(server))).listen(Number(process.argv[2]), "127.0.0.1");
