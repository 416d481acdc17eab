// A client built with the official TypeScript SDK that a server may ask back: `node sdk_both_ways.mjs -- command…` or `… URL`.
// Prints what it was asked, was told and got, of everything that the server has; then it ends its session, and says what came of that.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import * as types from "@modelcontextprotocol/sdk/types.js";
const words = process.argv.slice(2);
const local = words[0] === "--";
const transport = local ? new StdioClientTransport({ command: words[1], args: words.slice(2), env: process.env }) : new StreamableHTTPClientTransport(new URL(words[0]));
const client = new Client({ name: "tests", version: "1" }, { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } });
const found = { asked: [], logged: [], progressed: [] };
const answers = (schema, answer) => client.setRequestHandler(schema, (request) => { found.asked.push(request.method); return answer; });
answers(types.CreateMessageRequestSchema, { role: "assistant", model: "m", content: { type: "text", text: "a poem" } });
answers(types.ElicitRequestSchema, { action: "accept", content: { username: "ada", email: "ada@example.org" } });
answers(types.ListRootsRequestSchema, { roots: [{ uri: "file:///srv/project", name: "project" }] });
client.setNotificationHandler(types.LoggingMessageNotificationSchema, ({ params }) => { found.logged.push(params.data); });
await client.connect(transport);

// A server may add tools once it has heard what this client can do.
let tools = new Set();
for (let tries = 0; tries < 600 && !tools.has("test_sampling") && !tools.has("get-roots-list"); tries += 1) {
  tools = new Set((await client.listTools()).tools.map(({ name }) => name));
  if (tries) await new Promise((done) => setTimeout(done, 50));
}
async function call(name, args = {}, options = {}) {
  if (!tools.has(name)) return;
  const result = await client.callTool({ name, arguments: args }, undefined, options);
  (found.calls ??= {})[name] = result.content.map((block) => block.text ?? block.type);
}
await call("test_sampling", { prompt: "a poem" });
await call("test_elicitation", { message: "Who are you?" });
await call("test_tool_with_progress", {}, { onprogress: ({ progress }) => found.progressed.push(progress) });
await call("test_tool_with_logging");
await call("test_reconnection");
await call("get-roots-list");
if (tools.has("wait_for_ever")) {
  const abort = new AbortController();
  const waits = client.callTool({ name: "wait_for_ever", arguments: {} }, undefined, { signal: abort.signal, onprogress: () => abort.abort("enough") });
  found.cancelled = await waits.then(() => "answered", (err) => String(err.message ?? err));
  // The notification may still be under way when the call has ended here.
  for (let tries = 0; tries < 600 && found.calls.count_cancelled?.[0] !== "1"; tries += 1) {
    await call("count_cancelled");
    await new Promise((done) => setTimeout(done, 50));
  }
  found.completion = (await client.complete({ ref: { type: "ref/prompt", name: "test_simple_prompt" }, argument: { name: "a", value: "p" } })).completion;
}
if (tools.has("simulate-research-query")) {
  const steps = client.experimental.tasks.callToolStream({ name: "simulate-research-query", arguments: { topic: "owls" } }, types.CallToolResultSchema, { task: { ttl: 60_000 } });
  const seen = new Set();
  for await (const step of steps) {
    seen.add(step.type === "taskStatus" ? step.task.status : step.type);
    if (step.type === "result") found.task_result = step.result.content.map(({ type }) => type);
  }
  found.task = [...seen].sort();
}
if (!local) {
  await transport.terminateSession();
  found.session = transport.sessionId ?? "ended";
}
console.log(JSON.stringify(found));
await client.close();
process.exit(0);
