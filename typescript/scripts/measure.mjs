/**
 * What the client costs its agent: one JSON document of figures. Run by `python -m benchmarks typescript`.
 *
 * Wall time of single calls (µs; p50 and p99 over batches that are interleaved) and CPU time of the whole process for each.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluate, Kaizen } from "../dist/index.js";

const [url] = process.argv.slice(2);
const ROUNDS = 40;
const CALLS = 500;
const data = mkdtempSync(join(tmpdir(), "kaizen-measure-"));
const alone = { report: false, sync: false, data: "", sidecar: "", apiKey: "" };

function domains(count) {
  return [{ mode: "blocklist", name: "p", rules: { domains: Array.from({ length: count }, (_, at) => `d${at}.denied.example`) } }];
}

function addresses(count) {
  const ips = Array.from({ length: count }, (_, at) => `10.${(at >> 16) & 255}.${(at >> 8) & 255}.${at & 255}`);
  return [{ mode: "blocklist", name: "p", rules: { ips, skill_patterns: ["rm_.*", "(a+)+$"] } }];
}

async function withDeclaration(policies) {
  const kaizen = new Kaizen({ ...alone, policies });
  await kaizen.declare({ tools: ["search_orders"], destinations: ["*.internal", "10.0.0.0/8"] });
  return kaizen;
}

const one = await withDeclaration(domains(1));
const many = await withDeclaration(domains(100_000));
const few = await withDeclaration(addresses(10));
const wide = await withDeclaration(addresses(100_000));
const reporting = new Kaizen({ ...alone, report: true, apiKey: "kz_live_x", baseUrl: url, data });
const action = { tool: "search_orders", target: "api.internal:443", source: "sdk" };
let next = 0;
const fresh = () => ({ tool: "search_orders", target: `h${next++}.internal:443` });
const freshAddress = () => ({
  tool: "search_orders",
  target: `10.200.${(next >> 8) & 255}.${next++ & 255}:${1000 + (next % 9000)}`,
});

const measured = {
  "an empty call": () => {},
  "inspectSync, a repeated action": () => one.inspectSync(action),
  "inspect, a repeated action": () => one.inspect(action),
  "inspectSync, a new target, 1 denied domain": () => one.inspectSync(fresh()),
  "inspectSync, a new target, 100,000 denied domains": () => many.inspectSync(fresh()),
  "inspectSync, a new address, 10 denied addresses": () => few.inspectSync(freshAddress()),
  "inspectSync, a new address, 100,000 denied addresses": () => wide.inspectSync(freshAddress()),
  "inspectSync and its report": () => reporting.inspectSync(action),
};

const took = Object.fromEntries(Object.keys(measured).map((name) => [name, { calls: [], cpu: 0 }]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, call] of Object.entries(measured)) {
    const { calls } = took[name];
    const cpu = process.cpuUsage();
    for (let at = 0; at < CALLS; at++) {
      const began = process.hrtime.bigint();
      const said = call();
      const ended = process.hrtime.bigint();
      // The first rounds are the compiler's.
      if (round >= 8) calls.push(Number(ended - began) / 1000);
      if (said instanceof Promise) await said;
    }
    const used = process.cpuUsage(cpu);
    if (round >= 8) took[name].cpu += used.user + used.system;
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
}

const calls = {};
for (const [name, { calls: all, cpu }] of Object.entries(took)) {
  all.sort((left, right) => left - right);
  const at = (share) => Math.round((all[Math.floor(all.length * share)] ?? 0) * 100) / 100;
  calls[name] = { p50: at(0.5), p99: at(0.99), cpu: Math.round((cpu / all.length) * 100) / 100 };
}

const made = performance.now();
evaluate({ tool: "x", target: "d5.denied.example" }, domains(100_000));
const compiled = Math.round(performance.now() - made);
const isDelivered = await reporting.flush(60);
const { lost } = reporting;
for (const kaizen of [one, many, few, wide, reporting]) await kaizen.close();
rmSync(data, { recursive: true, force: true });

/** Milliseconds of CPU of a process, the least of several. */
function least(code) {
  const found = [];
  for (let at = 0; at < 15; at++) {
    const program = `${code}; const { user, system } = process.cpuUsage(); console.log(JSON.stringify([user + system, performance.now()]))`;
    const ran = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
    found.push(JSON.parse(ran.stdout));
  }
  return [Math.min(...found.map(([cpu]) => cpu)) / 1000, Math.min(...found.map(([, wall]) => wall))];
}

function importing(code) {
  const found = [];
  for (let at = 0; at < 15; at++) {
    const program = `const began = performance.now(); ${code}; console.log(performance.now() - began)`;
    found.push(Number(spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }).stdout));
  }
  return found.sort((left, right) => left - right)[7];
}

const entry = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);
const [bare] = least("");
const [loaded] = least(`await import(${entry})`);
const round = (value) => Math.round(value * 10) / 10;
process.stdout.write(
  JSON.stringify({
    node: process.version,
    calls,
    import: { cpu_ms: round(loaded - bare), wall_ms: round(importing(`await import(${entry})`)) },
    compile_100k_ms: compiled,
    reports: { delivered: isDelivered, lost },
  }),
);
