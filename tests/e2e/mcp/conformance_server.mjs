// What the conformance suite of the protocol asks of a server, on the official TypeScript SDK: `node conformance_server.mjs PORT|stdio`.
import { randomUUID } from "node:crypto";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";

const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const text = (said) => ({ content: [{ type: "text", text: said }] });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const image = { type: "image", data: PIXEL, mimeType: "image/png" };
const embedded = (uri, mimeType, said) => ({ type: "resource", resource: { uri, mimeType, text: said } });
const titled = [1, 2, 3].map((n) => ({ const: `value${n}`, title: `Value ${n}` }));
let cancelled = 0;
const plain = { type: "string", enum: ["option1", "option2", "option3"] };

// --- tools: name, arguments, what it does -----------------------------------------------------------------------------------
async function asked({ extra, message, properties, required, said }) {
  const requestedSchema = { type: "object", properties, ...(required ? { required } : {}) };
  const answer = await extra.sendRequest({ method: "elicitation/create", params: { message, requestedSchema } }, types.ElicitResultSchema);
  return text(`${said}: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);
}
const tools = {
  test_simple_text: [{}, async () => text("This is a simple text response for testing.")],
  test_image_content: [{}, async () => ({ content: [image] })],
  test_audio_content: [{}, async () => ({ content: [{ type: "audio", data: SOUND, mimeType: "audio/wav" }] })],
  test_embedded_resource: [{}, async () => ({ content: [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")] })],
  test_multiple_content_types: [{}, async () => ({ content: [{ type: "text", text: "Multiple content types test:" }, image, embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')] })],
  test_error_handling: [{}, async () => ({ isError: true, ...text("This tool intentionally returns an error for testing") })],
  test_tool_with_logging: [{}, async (_, extra) => {
    for (const data of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await extra.sendNotification({ method: "notifications/message", params: { level: "info", data } });
      await pause(20);
    }
    return text("Logged.");
  }],
  test_tool_with_progress: [{}, async (_, extra) => {
    const progressToken = extra._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
      await pause(20);
    }
    return text("Done.");
  }],
  test_sampling: [{ prompt: { type: "string" } }, async ({ prompt }, extra) => {
    const params = { messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens: 100 };
    const answer = await extra.sendRequest({ method: "sampling/createMessage", params }, types.CreateMessageResultSchema);
    return text(`LLM response: ${answer.content.text}`);
  }],
  test_elicitation: [{ message: { type: "string" } }, async ({ message }, extra) => asked({ extra, message, said: "User response", required: ["username", "email"], properties: { username: { type: "string", description: "User's response" }, email: { type: "string", description: "User's email address" } } })],
  test_elicitation_sep1034_defaults: [{}, async (_, extra) => asked({ extra, message: "Please look through the defaults", said: "Elicitation completed", properties: { name: { type: "string", default: "John Doe" }, age: { type: "integer", default: 30 }, score: { type: "number", default: 95.5 }, status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" }, verified: { type: "boolean", default: true } } })],
  test_elicitation_sep1330_enums: [{}, async (_, extra) => asked({ extra, message: "Please choose", said: "Elicitation completed", properties: { untitledSingle: plain, titledSingle: { type: "string", oneOf: titled }, legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] }, untitledMulti: { type: "array", items: plain }, titledMulti: { type: "array", items: { anyOf: titled } } } })],
  // Not of the suite: a call that only ends when it is cancelled, and how many were.
  wait_for_ever: [{}, async (_, extra) => {
    await extra.sendNotification({ method: "notifications/progress", params: { progressToken: extra._meta?.progressToken, progress: 1 } });
    await new Promise((done) => extra.signal.addEventListener("abort", done, { once: true }));
    cancelled += 1;
    return text("Nobody hears this.");
  }],
  count_cancelled: [{}, async () => text(String(cancelled))],
  test_reconnection: [{}, async (_, extra) => { extra.closeSSEStream?.(); await pause(100); return text("Reconnected."); }],
};
const definitions = [
  ...Object.entries(tools).map(([name, [properties]]) => ({ name, description: `Of the conformance suite: ${name}`, inputSchema: { type: "object", properties, required: Object.keys(properties) } })),
  { name: "json_schema_2020_12_tool", description: "Tool with JSON Schema 2020-12 features", inputSchema: { $schema: "https://json-schema.org/draft/2020-12/schema", type: "object", $defs: { address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } }, properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } }, additionalProperties: false } },
];

// --- resources and prompts ------------------------------------------------------------------------------------------------------
const resources = { "test://static-text": { mimeType: "text/plain", text: "This is the content of the static text resource." }, "test://static-binary": { mimeType: "image/png", blob: PIXEL }, "test://watched-resource": { mimeType: "text/plain", text: "watched" } };
function resource(uri) {
  const id = /^test:\/\/template\/(.*)\/data$/.exec(uri)?.[1];
  return { uri, ...(id ? { mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) } : resources[uri]) };
}
const user = (content) => ({ role: "user", content });
const prompts = {
  test_simple_prompt: [[], () => [user({ type: "text", text: "This is a simple prompt for testing." })]],
  test_prompt_with_arguments: [["arg1", "arg2"], ({ arg1, arg2 }) => [user({ type: "text", text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })]],
  test_prompt_with_embedded_resource: [["resourceUri"], ({ resourceUri }) => [user(embedded(resourceUri, "text/plain", "Embedded resource content for testing.")), user({ type: "text", text: "Please process the embedded resource above." })]],
  test_prompt_with_image: [[], () => [user(image), user({ type: "text", text: "Please analyze the image above." })]],
};

function server() {
  const made = new Server({ name: "conformance", version: "1" }, { capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true }, logging: {}, completions: {} } });
  const on = (schema, handler) => made.setRequestHandler(schema, handler);
  on(types.ListToolsRequestSchema, () => ({ tools: definitions }));
  on(types.CallToolRequestSchema, ({ params }, extra) => tools[params.name][1](params.arguments ?? {}, extra));
  on(types.ListResourcesRequestSchema, () => ({ resources: Object.entries(resources).map(([uri, { mimeType }]) => ({ uri, name: uri, mimeType })) }));
  on(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [{ uriTemplate: "test://template/{id}/data", name: "template" }] }));
  on(types.ReadResourceRequestSchema, ({ params }) => ({ contents: [resource(params.uri)] }));
  on(types.SubscribeRequestSchema, () => ({}));
  on(types.UnsubscribeRequestSchema, () => ({}));
  on(types.ListPromptsRequestSchema, () => ({ prompts: Object.entries(prompts).map(([name, [names]]) => ({ name, description: `Of the conformance suite: ${name}`, arguments: names.map((one) => ({ name: one, description: one, required: true })) })) }));
  on(types.GetPromptRequestSchema, ({ params }) => ({ messages: prompts[params.name][1](params.arguments ?? {}) }));
  on(types.CompleteRequestSchema, () => ({ completion: { values: ["paris", "park", "party"], total: 150, hasMore: false } }));
  on(types.SetLevelRequestSchema, () => ({}));
  return made;
}

// --- Streamable HTTP, resumable ----------------------------------------------------------------------------------------------------
class Events {
  kept = [];
  async storeEvent(stream, message) {
    const id = `${stream}_${this.kept.length}`;
    this.kept.push({ id, stream, message });
    return id;
  }
  async getStreamIdForEventId(id) { return this.kept.find((one) => one.id === id)?.stream; }
  async replayEventsAfter(id, { send }) {
    const at = this.kept.findIndex((one) => one.id === id), stream = this.kept[at]?.stream;
    for (const one of this.kept.slice(at + 1)) if (one.stream === stream && Object.keys(one.message).length) await send(one.id, one.message);
    return stream;
  }
}
const sessions = new Map();
const app = createMcpExpressApp();
app.all("/mcp", async (request, response) => {
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    if (request.headers["mcp-session-id"]) return response.status(404).end();
    transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, eventStore: new Events(), retryInterval: 200, onsessioninitialized: (id) => sessions.set(id, transport), onsessionclosed: (id) => sessions.delete(id) });
    await server().connect(transport);
  }
  await transport.handleRequest(request, response, request.body);
});
if (process.argv[2] === "stdio") await server().connect(new StdioServerTransport());
else app.listen(Number(process.argv[2]), "127.0.0.1");
