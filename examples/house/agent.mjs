// An agent in TypeScript's run-time beside the other one: the same promise, the same verdicts, in the same console.
//
//     . .kaizen/env && node examples/house/agent.mjs
import { Kaizen } from "kaizen-security";

const kaizen = new Kaizen({ agent: process.env.KAIZEN_AGENT ?? "desk-typescript" });
const lookup = kaizen.guard(async function lookup_order({ order }) {
  return `order ${order} is on its way`;
});

await kaizen.declare({ tools: ["lookup_order"], destinations: ["api.internal"], purpose: "answer customers about their orders" });
await kaizen.run("Where is order 7?", async () => console.log(await lookup({ order: "7" })));
const verdict = await kaizen.inspect({ kind: "connect", target: "attacker.example:80" });
console.log(verdict.decision, verdict.reason);
await kaizen.close();
