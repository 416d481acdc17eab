/**
 * Audit: what the agent's own process connects to and starts, as actions of source `audit`.
 *
 * Opt-in: until `audit` is called, nothing of Node is touched. Heard are the sockets of `node:net`, so HTTP, TLS and `fetch` as well, and
 * child processes, each where Node itself begins them; files are not, since there is no one place through which they go. The cooperative
 * rung: code in the process can go around it, and native code does.
 */
import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";
import type { Kaizen } from "./client/kaizen.js";
import { placeOf } from "./client/place.js";
import { plain } from "./client/plain.js";
import type { CompiledRules } from "./client/rules.js";
import { action } from "./contract/action.js";
import { KaizenBlocked, Misconfigured } from "./contract/errors.js";
import { NO_POLICY_MATCHED } from "./contract/reasons.js";

// biome-ignore lint/suspicious/noExplicitAny: functions of Node that take what they will
type Any = any;

/** Actions a second that are reported; what is over is judged all the same, and counted. */
const RATE = 200;
const ALLOWLISTS = new Set(["tool not on the allowlist", "publisher not on the allowlist"]);
const listeners = new Set<Listener>();
let restore: (() => void) | undefined;

/**
 * Hear what this process connects to and starts, until the function that it returns is called. Policy judges it as it is in force here;
 * the sidecar is not asked. In observe nothing is refused; in enforce what policy denies fails with KaizenBlocked: a connection by its
 * `error`, a process by the call that starts it. Throws Misconfigured where Node's own sockets are not what the runtime connects by.
 */
export function audit(kaizen: Kaizen): () => void {
  const { bun, deno } = process.versions;
  if (bun || deno)
    throw new Misconfigured("audit: Bun and Deno connect without what can be heard of Node; see their traffic at the egress proxy");
  const one = new Listener(kaizen);
  listeners.add(one);
  restore ??= listen();
  return () => {
    if (!listeners.delete(one) || listeners.size > 0) return;
    restore?.();
    restore = undefined;
  };
}

class Listener {
  private readonly upstream: string;
  private second = 0;
  private count = 0;

  constructor(private readonly kaizen: Kaizen) {
    const { sidecar, baseUrl } = kaizen.settings;
    const { host, port } = placeOf(sidecar || baseUrl);
    this.upstream = placeName(host, port);
  }

  /** One event. KaizenBlocked, not thrown, when it must not go on. */
  heard(kind: string, target: string, argv: readonly unknown[] | undefined): KaizenBlocked | undefined {
    if (kind === "connect" && target === this.upstream) return undefined;
    const { kaizen } = this;
    const { compiled, mode } = kaizen.rules as CompiledRules;
    const metadata = { source: "audit", ...(argv && { arguments: { argv: plain(argv.slice(0, 100)) } }) };
    const call = action({ kind, target: target.slice(0, 4096), metadata, id: kaizen.nextId() });
    let verdict = compiled.decide(call);
    // An allowlist says which tools may be called; a connection is no tool, and was made by one that was judged.
    if (verdict.blocked && verdict.evidence.every((found) => ALLOWLISTS.has(found.kind))) {
      verdict = verdict.with({ decision: "allow", reason: NO_POLICY_MATCHED, evidence: [] });
    }
    if (this.isOver()) kaizen.lose("audit: over the rate");
    else kaizen.report(call, verdict);
    return verdict.blocked && mode === "enforce" ? new KaizenBlocked(verdict) : undefined;
  }

  /** It stands in the middle of the host's own call: our mistake is counted, and the call goes on. */
  hear(kind: string, target: string, argv?: readonly unknown[]): KaizenBlocked | undefined {
    try {
      return this.heard(kind, target, argv);
    } catch {
      this.kaizen.lose("audit errors");
      return undefined;
    }
  }

  private isOver(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.second) [this.second, this.count] = [second, 0];
    this.count += 1;
    return this.count > RATE;
  }
}

function heard(kind: string, target: string, argv?: readonly unknown[]): KaizenBlocked | undefined {
  const refusals = [...listeners].map((one) => one.hear(kind, target, argv));
  return refusals.find((refused) => refused !== undefined);
}

function placeName(host: string, port: number | string): string {
  return `${host.includes(":") ? `[${host}]` : host.toLowerCase()}:${port}`;
}

/** Where `connect` of a socket is told to go; undefined for a pipe, which stays on this machine. */
function placeOfConnect(args: readonly Any[]): string | undefined {
  // Node's own callers hand on arguments that it has put in order already.
  const [first, second] = Array.isArray(args[0]) ? args[0] : args;
  const { host, port, path } = typeof first === "object" && first !== null ? first : { host: second, port: first, path: undefined };
  if (path || !/^[0-9]{1,5}$/.test(String(port))) return undefined;
  return placeName(typeof host === "string" && host !== "" ? host : "localhost", port);
}

/** Stands around what Node begins connections and processes by; what it returns puts all of it back. */
function listen(): () => void {
  const undo: (() => void)[] = [];
  const around = (owner: Any, name: string, make: (inner: (...args: Any[]) => Any) => (this: Any, ...args: Any[]) => Any) => {
    const inner = owner[name];
    const outer = make(inner);
    for (const key of ["name", "length"] as const) Object.defineProperty(outer, key, { value: inner[key], configurable: true });
    owner[name] = outer;
    undo.push(() => {
      // Whoever stood around it after us stays.
      if (owner[name] === outer) owner[name] = inner;
    });
  };
  around(
    net.Socket.prototype,
    "connect",
    (inner) =>
      function (...args) {
        const target = placeOfConnect(args);
        const refused = target === undefined ? undefined : heard("connect", target);
        if (refused === undefined) return inner.apply(this, args);
        process.nextTick(() => this.destroy(refused));
        return this;
      },
  );
  const starting = (owner: object, name: string, program: (args: Any[]) => [target: unknown, argv?: unknown]) =>
    around(
      owner,
      name,
      (inner) =>
        function (...args) {
          const [target, argv] = program(args);
          const refused = heard("exec", String(target), Array.isArray(argv) ? argv : undefined);
          if (refused !== undefined) throw refused;
          return inner.apply(this, args);
        },
    );
  starting(childProcess.ChildProcess.prototype, "spawn", ([how]) => [how?.file, how?.args]);
  for (const name of ["spawnSync", "execFileSync", "execSync"]) starting(childProcess, name, ([file, argv]) => [file, argv]);
  syncBuiltinESMExports();
  return () => {
    for (const one of undo) one();
    syncBuiltinESMExports();
  };
}
