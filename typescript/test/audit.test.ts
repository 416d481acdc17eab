/** What a process connects to and starts is heard where Node begins it, and in enforce what policy denies fails there. */
import childProcess, { execFile, execFileSync, execSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, get, type Server } from "node:http";
import { get as getTls } from "node:https";
import net, { type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { audit } from "../src/audit.js";
import { Kaizen, KaizenBlocked, Misconfigured } from "../src/index.js";

const NODE = process.execPath;
const touched = () => [
  net.Socket.prototype.connect,
  (childProcess.ChildProcess.prototype as never)["spawn"] as () => void,
  childProcess.spawnSync,
  spawnSync,
];
const before = touched();
const isElsewhere = process.env["KAIZEN_RUNTIME"] !== undefined;

let server: Server;
let port: number;
let stop = () => {};
const heard: [kind: string, target: string, decision: string, argv?: unknown][] = [];

beforeEach(async () => {
  heard.length = 0;
  server = createServer((_, response) => response.end("ok"));
  server.listen(0, "localhost");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});
afterEach(async () => {
  stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function hearing(mode: "observe" | "enforce", ...policies: object[]): Kaizen {
  const kaizen = new Kaizen({ mode, report: false, sync: false, data: "", policies: policies as never });
  vi.spyOn(kaizen, "report").mockImplementation(({ kind, target, metadata }, { decision }) => {
    expect(metadata["source"]).toBe("audit");
    const { argv } = (metadata["arguments"] ?? {}) as { argv?: unknown };
    heard.push(argv === undefined ? [kind, target, decision] : [kind, target, decision, argv]);
  });
  stop = audit(kaizen);
  return kaizen;
}

const ended = (socket: net.Socket) =>
  new Promise<unknown>((resolve) => socket.on("error", resolve).on("connect", () => resolve(socket.destroy() && "connected")));

const CONNECTIONS: Record<string, () => Promise<unknown>> = {
  "net.connect": () => ended(net.connect(port, "localhost")),
  "net.connect with options": () => ended(net.connect({ host: "localhost", port })),
  "a socket": () => ended(new net.Socket().connect(port, "localhost")),
  http: () => new Promise((resolve) => get(`http://localhost:${port}/x`, () => resolve("connected")).on("error", resolve)),
  fetch: async () =>
    fetch(`http://localhost:${port}/`).then(
      () => "connected",
      (err: Error) => err.cause,
    ),
};

describe.skipIf(isElsewhere).each(Object.entries(CONNECTIONS))("%s", (_, connect) => {
  test("is heard, and in observe nothing is refused", async () => {
    hearing("observe", { mode: "blocklist", rules: { domains: ["localhost"] } });
    expect(await connect()).toBe("connected");
    expect(heard).toEqual([["connect", `localhost:${port}`, "block"]]);
  });

  test("fails in enforce when policy denies it, and nobody is connected to", async () => {
    hearing("enforce", { mode: "blocklist", rules: { domains: ["localhost"] } });
    const seen = vi.fn();
    server.on("connection", seen);
    expect(await connect()).toBeInstanceOf(KaizenBlocked);
    expect(heard).toEqual([["connect", `localhost:${port}`, "block"]]);
    expect(seen).not.toHaveBeenCalled();
  });
});

test.skipIf(isElsewhere)("TLS is heard before it shakes hands", async () => {
  hearing("enforce", { mode: "blocklist", rules: { domains: ["localhost"] } });
  const failed = new Promise((resolve) => getTls(`https://localhost:${port}/`).on("error", resolve));
  expect(await failed).toBeInstanceOf(KaizenBlocked);
  expect(await fetch(`https://localhost:${port}/`).catch((err: Error) => err.cause)).toBeInstanceOf(KaizenBlocked);
});

const STARTS: Record<string, (program: string) => unknown> = {
  spawn: (program) => once(spawn(program, ["-e", "0"]), "exit"),
  execFile: (program) => once(execFile(program, ["-e", "0"]), "exit"),
  spawnSync: (program) => spawnSync(program, ["-e", "0"]),
  execFileSync: (program) => execFileSync(program, ["-e", "0"]),
  "the module's own": (program) => childProcess.spawnSync(program, ["-e", "0"]),
};

describe.skipIf(isElsewhere).each(Object.entries(STARTS))("a process by %s", (_, start) => {
  test("is heard with its arguments, and in enforce not started when policy denies it", async () => {
    hearing("observe");
    await start(NODE);
    const [kind, target, decision, argv] = heard[0] as [string, string, string, string[]];
    expect([kind, target, decision, argv.slice(-2)]).toEqual(["exec", NODE, "allow", ["-e", "0"]]);
    stop();
    hearing("enforce", { mode: "blocklist", rules: { domains: ["evil.example"] } });
    expect(() => start("https://evil.example/tool")).toThrow(KaizenBlocked);
  });
});

test.skipIf(isElsewhere)("a shell's command is what is started", () => {
  hearing("observe");
  expect(execSync("echo hello", { encoding: "utf8" })).toBe("hello\n");
  expect(heard).toEqual([["exec", "echo hello", "allow"]]);
});

test.runIf(isElsewhere)("on Bun and Deno it says that it would not hear everything", () => {
  expect(() => hearing("observe")).toThrow(Misconfigured);
  expect(touched()).toEqual(before);
});

test.skipIf(isElsewhere)("nothing of Node is touched until it is called, nor after it was stopped", () => {
  expect(touched()).toEqual(before);
  hearing("observe");
  const [first, other] = [stop, audit(new Kaizen({ report: false, sync: false, data: "" }))];
  const there = touched();
  for (const [at, one] of there.entries()) {
    expect(one).not.toBe(before[at]);
    expect([one?.name, one?.length]).toEqual([before[at]?.name, before[at]?.length]);
  }
  first();
  first();
  expect(touched()).toEqual(there);
  other();
  expect(touched()).toEqual(before);
});

test.skipIf(isElsewhere)(
  "an allowlist of tools says nothing of connections, our own are left out, pipes are not heard",
  async () => {
    const kaizen = hearing("enforce", { mode: "allowlist", rules: { tools: ["search"] } });
    expect(await ended(net.connect(port, "localhost"))).toBe("connected");
    expect(heard).toEqual([["connect", `localhost:${port}`, "allow"]]);
    await ended(net.connect("/nowhere/there.sock"));
    stop();
    heard.length = 0;
    const own = new Kaizen({ report: false, sync: false, data: "", baseUrl: `http://localhost:${port}` });
    const report = vi.spyOn(own, "report");
    stop = audit(own);
    expect(await ended(net.connect(port, "localhost"))).toBe("connected");
    expect([report.mock.calls, heard, kaizen.lost]).toEqual([[], [], {}]);
  },
);

test.skipIf(isElsewhere)("what is over the rate is judged and counted, and our own mistake costs the host nothing", async () => {
  const kaizen = hearing("enforce", { mode: "blocklist", rules: { domains: ["evil.example"] } });
  const sockets = Array.from({ length: 500 }, () => ended(new net.Socket().connect(1, "evil.example")));
  for (const socket of sockets) expect(await socket).toBeInstanceOf(KaizenBlocked);
  expect(heard.length + (kaizen.lost["audit: over the rate"] ?? 0)).toBe(500);
  vi.spyOn(kaizen, "nextId").mockImplementation(() => {
    throw new Error("ours");
  });
  expect(await ended(net.connect(port, "localhost"))).toBe("connected");
  expect(kaizen.lost["audit errors"]).toBe(1);
});
