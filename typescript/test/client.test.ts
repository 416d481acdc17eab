/** The client by itself: what it takes, what it throws, what it counts. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { plain } from "../src/client/plain.js";
import { load } from "../src/client/settings.js";
import { evaluate, Kaizen, KaizenBlocked, KaizenError, Misconfigured, type Stated, Verdict } from "../src/index.js";
import { guardTools } from "../src/langchain.js";
import { denying, REFUSAL } from "./kaizen.js";

let data: string;
beforeEach(() => {
  data = mkdtempSync(join(tmpdir(), "kaizen-test-"));
});
afterEach(() => rmSync(data, { recursive: true, force: true }));

describe("settings", () => {
  test("an option wins over the environment, that over the file, that over the default", () => {
    writeFileSync(
      join(data, "client.toml"),
      "# ours\nagent = 'from the file'\ndeadline = 0.5 # seconds\nmode = \"enforce\"\naudit = true\n",
    );
    const environment = { KAIZEN_DATA: data, KAIZEN_DEADLINE: "1.5", KAIZEN_BASE_URL: "https://two.example/", KAIZEN_MODE: "" };
    const found = load({ agent: "mine", holdSeconds: null }, environment);
    expect(found).toMatchObject({ agent: "mine", deadline: 1.5, mode: "enforce", baseUrl: "https://two.example", holdSeconds: 60 });
    expect(load({ data }, {})).toMatchObject({ agent: "from the file", baseUrl: "http://127.0.0.1:8000", spoolBytes: 64 << 20 });
  });

  test.each([
    [{ deadline: 0 }, {}, "the option deadline: must be a number of seconds"],
    [{}, { KAIZEN_FAIL_OPEN: "perhaps" }, "KAIZEN_FAIL_OPEN: must be true or false"],
    [{ mode: "strict" }, {}, "the option mode: must be observe or enforce"],
    [{ sidecar: "unix://relative" }, {}, "an absolute path"],
    [{ sidecar: "ftp://x" }, {}, "must start with http://"],
    [{ baseUrl: "http://user:secret@host" }, {}, "must not carry a name or password"],
    [{ baseUrl: "http://host:0" }, {}, "no port from 1 to 65535"],
    [{ baseUrl: "http://h/?key=secret" }, {}, "without a query"],
    [{ agent: "" }, {}, "1 to 256 characters"],
    [{ agent: "a\nb" }, {}, "printable"],
    [{ apiKey: "two words" }, {}, "must be a key"],
    [{ tenantKey: "abc" }, {}, "32 hex digits"],
    [{ spoolBytes: 1.5e5 + 0.5 }, {}, "from 65536 bytes"],
  ])("%j, %j is refused: %s", (options, environment, problem) => {
    expect(() => load({ data: "", ...options }, environment)).toThrow(problem);
    try {
      load({ data: "", ...options }, environment);
    } catch (err) {
      expect(err).toBeInstanceOf(Misconfigured);
      expect((err as Error).message).not.toContain("secret");
    }
  });

  test.each([
    ["agent = [1]", "line 1: must be name = value"],
    ["agnt = 'x'", "unknown settings 'agnt' (line 1)"],
    ["data = '/tmp'", "unknown settings 'data'"],
    ["\n[table]", "line 2"],
  ])("a file that says %j is refused", (text, problem) => {
    writeFileSync(join(data, "client.toml"), text);
    expect(() => load({ data }, {})).toThrow(problem);
    expect(() => load({}, { KAIZEN_CONFIG: join(data, "nowhere") })).toThrow("cannot read the settings");
  });

  test("a key goes over plain HTTP to this machine only", () => {
    const made = (baseUrl: string) => () => new Kaizen({ apiKey: "kz_live_x", baseUrl, data, sync: false, report: false });
    for (const url of ["http://api.example", "http://127.1", "http://10.0.0.1", "http://localhost.example"]) {
      expect(made(url)).toThrow("unencrypted");
    }
    for (const url of ["https://api.example", "http://127.0.0.1:1", "http://[::1]:1", "http://a.localhost:1"]) made(url)();
  });
});

test("no log of a client shows its secrets", () => {
  const tenantKey = "ab".repeat(16);
  const kaizen = new Kaizen({ apiKey: "kz_live_secret", tenantKey, baseUrl: "http://127.0.0.1:9", data, sync: false });
  for (const shown of [
    inspect(kaizen, { depth: 9 }),
    JSON.stringify(kaizen),
    inspect(kaizen.settings),
    JSON.stringify({ ...kaizen.settings }),
  ]) {
    expect(shown).toContain("default");
    expect(shown).not.toMatch(/kz_live_secret|abab/);
  }
  expect(kaizen.settings.apiKey).toBe("kz_live_secret");
});

describe("what a caller states", () => {
  const { kaizen } = denying();
  test("a field that there is not is a TypeError, whatever else is null", async () => {
    await expect(kaizen.inspect({ tol: "x" } as Stated)).rejects.toThrow(TypeError);
    await expect(kaizen.inspect({ tol: "x" } as Stated)).rejects.toThrow("no field tol");
    expect(() => kaizen.inspectSync(undefined as never)).toThrow(TypeError);
    expect(kaizen.inspectSync({ tool: null, target: null, metadata: null }).allowed).toBe(true);
    expect(kaizen.inspectSync({ tool: 7 as never, target: { a: 1 } as never }).allowed).toBe(true);
  });

  test("KaizenBlocked carries the verdict", async () => {
    const refused = await kaizen.enforce({ tool: "delete_all" }).catch((err: unknown) => err);
    expect(refused).toBeInstanceOf(KaizenBlocked);
    expect(refused).toBeInstanceOf(KaizenError);
    expect((refused as KaizenBlocked).message).toBe(REFUSAL);
    expect((refused as KaizenBlocked).pending).toBeNull();
    expect((refused as KaizenBlocked).verdict).toBeInstanceOf(Verdict);
    expect(() => kaizen.enforceSync({ target: "https://www.evil.example" })).toThrow("malicious domain");
  });

  test("what onVerdict throws is counted, and breaks nothing", async () => {
    const loud = new Kaizen({ report: false, sync: false, data: "", onVerdict: () => Promise.reject(new Error("mine")) });
    await loud.inspect({ tool: "x" });
    loud.onVerdict = () => {
      throw new Error("mine");
    };
    loud.inspectSync({ tool: "x" });
    await vi.waitFor(() => expect(loud.lost).toEqual({ "onVerdict errors": 2 }), { timeout: 30_000 });
  });

  test("our own mistake blocks, unless the caller chose otherwise", async () => {
    for (const [failOpen, decision] of [
      [false, "block"],
      [true, "allow"],
    ] as const) {
      const broken = new Kaizen({ report: false, sync: false, data: "", failOpen });
      Object.defineProperty(broken.rules, "compiled", { get: () => JSON.parse("no JSON") as never });
      const said = await broken.inspect({ tool: "x" });
      expect([said.decision, said.evidence[0]?.kind, broken.lost]).toEqual([decision, "unprotected", { "engine errors": 1 }]);
    }
  });

  test("policies and declarations that mean nothing are refused by name", async () => {
    expect(() => new Kaizen({ policies: [{ mode: "blocklist", name: "p", rules: { domains: ["http://x/"] } }] })).toThrow(
      "policy 'p': rule domains[0] must be a host name",
    );
    expect(() => new Kaizen({ policies: [null as never] })).toThrow("policies[0]");
    await expect(kaizen.declare({ tools: "search" as never })).rejects.toThrow("declare: tools must be a list");
    await expect(kaizen.declare({ destinations: ["*"] })).rejects.toThrow("destinations[0] is *");
    await expect(kaizen.declare({ data: ["medical"] })).rejects.toThrow("data[0] is no class of data that is known");
  });

  test("evaluate judges one action, or several of one run", () => {
    const policies = [{ mode: "correlation", rules: { risky_sequence: "read_then_connect" } }];
    expect(evaluate({ kind: "connect", target: "x.example" }, policies).decision).toBe("allow");
    const sequence = [
      { tool: "read", sensitive: true },
      { kind: "connect", target: "x.example" },
    ];
    expect(evaluate(sequence, policies).reason).toBe("blocked by correlation: sensitive read then outbound connect");
  });
});

describe("a sub-agent", () => {
  test("has a client of its own, under its owner's name, with its owner's settings and policies", async () => {
    const owner = new Kaizen({
      agent: "billing",
      mode: "enforce",
      apiKey: "k",
      tenantKey: "ab".repeat(16),
      report: false,
      sync: false,
      data: "",
      policies: [{ mode: "blocklist", rules: { skill_patterns: ["delete_all"] } }],
    });
    const researcher = owner.named("researcher");
    expect(owner.named("researcher")).toBe(researcher);
    expect(researcher.settings).toEqual({ ...owner.settings, agent: "billing/researcher" });
    expect([researcher.settings.apiKey, researcher.settings.tenantKey]).toEqual(["k", "ab".repeat(16)]);
    await owner.declare({ tools: ["pay"] });
    await researcher.declare({ tools: ["search"] });
    const decisions = async (kaizen: Kaizen) =>
      Promise.all(["pay", "search", "delete_all"].map(async (tool) => (await kaizen.inspect({ tool })).flagged));
    expect(await decisions(owner)).toEqual([false, true, true]);
    expect(await decisions(researcher)).toEqual([true, false, true]);
    await owner.close();
  });

  test("beyond 32 names is its owner: nothing goes unjudged because a name is new", () => {
    const { kaizen } = denying();
    const made = new Set(Array.from({ length: 40 }, (_, at) => kaizen.named(`n${at}`)));
    expect([made.size, made.has(kaizen)]).toEqual([33, true]);
    expect(() => denying().kaizen.named("\n")).toThrow(Misconfigured);
  });

  test("counts its losses with its owner's", () => {
    const { kaizen } = denying();
    kaizen.named("loud").onVerdict = () => {
      throw new Error("mine");
    };
    kaizen.named("loud").inspectSync({ tool: "x" });
    expect(kaizen.lost).toEqual({ "onVerdict errors": 1 });
  });
});

test("what an MCP request carries so that shim and gateway know its run", async () => {
  const { kaizen } = denying();
  expect(kaizen.mcpMeta()).toEqual({});
  await kaizen.run("", async ({ id }) => {
    expect(kaizen.mcpMeta("a1")).toEqual({ "kaizen-security/run": id, "kaizen-security/act": "a1" });
  });
});

describe("a guarded function", () => {
  test("keeps this, name, length, results and errors", async () => {
    const { kaizen, verdicts } = denying();
    class Shop {
      stock = 3;
      count = kaizen.guard(function count(this: Shop, more: number) {
        if (more < 0) throw new TypeError("mine");
        return this.stock + more;
      });
    }
    const shop = new Shop();
    await expect(shop.count(4)).resolves.toBe(7);
    await expect(shop.count(-1)).rejects.toThrow(new TypeError("mine"));
    expect([shop.count.name, shop.count.length]).toEqual(["count", 1]);
    expect(verdicts[0]).toMatchObject({ tool: "count", arguments: { args: [4] }, source: "sdk" });
    expect(() => kaizen.guard("no function" as never)).toThrow(Misconfigured);
  });

  test("that streams is judged at its first step, and may be left early", async () => {
    const { kaizen } = denying();
    const steps: string[] = [];
    const body = async function* () {
      steps.push("began");
      try {
        yield 1;
        yield 2;
      } finally {
        steps.push("ended");
      }
    };
    const stream = kaizen.guard(body, { tool: "steps" })();
    expect(steps).toEqual([]);
    for await (const item of stream) {
      expect(item).toBe(1);
      break;
    }
    expect(steps).toEqual(["began", "ended"]);
    await expect(kaizen.guard(body, { tool: "delete_all" })().next()).rejects.toThrow(REFUSAL);
    expect(steps).toEqual(["began", "ended"]);
  });

  test("that streams gets what its reader sends and throws into it, and returns what it returns", async () => {
    const { kaizen } = denying();
    const body = async function* (): AsyncGenerator<string, string, string> {
      const sent = yield "first";
      try {
        yield `got ${sent}`;
      } catch (err) {
        yield `caught ${err}`;
      }
      return "end";
    };
    const stream = kaizen.guard(body, { tool: "steps" })();
    expect([await stream.next("dropped"), await stream.next("this"), await stream.throw("that"), await stream.next("")]).toEqual([
      { value: "first", done: false },
      { value: "got this", done: false },
      { value: "caught that", done: false },
      { value: "end", done: true },
    ]);
  });

  test("by its target, sensitive reads and runs", async () => {
    const { kaizen, verdicts } = denying();
    const get = kaizen.guard(async ({ url }: { url: string }) => url, { tool: "get", kind: "http", target: "url" });
    await expect(get({ url: "https://a.evil.example" })).rejects.toThrow(KaizenBlocked);
    const two = kaizen.guard(async (_: string, url: string) => url, { tool: "two", target: (_: string, url: string) => url });
    await expect(two("x", "evil.example:443")).rejects.toThrow(KaizenBlocked);
    const ids = await Promise.all(
      [1, 2].map(() => kaizen.run("", async (run) => [run.id, (await kaizen.inspect({})) && kaizen.currentRun])),
    );
    for (const [id, current] of ids) expect(current).toBe(id);
    expect(ids[0]?.[0]).not.toBe(ids[1]?.[0]);
    expect(kaizen.currentRun).toBe("");
    expect(verdicts.length).toBe(4);
  });

  test("within a framework's tool is judged once, and anything else it does is judged too", async () => {
    const { kaizen, verdicts } = denying();
    const inner = kaizen.guard(async ({ query }: { query: string }) => query, { tool: "search" });
    const other = kaizen.guard(async () => "gone", { tool: "delete_all" });
    const tool = { name: "search", func: (input: { query: string }) => (input.query === "x" ? other() : inner(input)) };
    const [guarded] = guardTools(kaizen, [tool]);
    await expect(guarded?.func({ query: "q" })).resolves.toBe("q");
    expect(verdicts.map(({ tool, source }) => [tool, source])).toEqual([["search", "langchain"]]);
    await expect(guarded?.func({ query: "x" })).rejects.toThrow(REFUSAL);
  });
});

describe("what is not JSON", () => {
  test("becomes it, without a line of the agent's code", () => {
    const trap = () => {
      throw new Error("the agent's code ran");
    };
    const loud = Object.defineProperties({ a: 1, toJSON: trap }, { b: { get: trap, enumerable: true } });
    const given = {
      loud,
      proxy: new Proxy({}, { get: trap, ownKeys: trap }),
      when: new Date(0),
      big: 2n ** 80n,
      bytes: new Uint8Array([104, 105]),
    };
    expect(
      plain({ ...given, map: new Map([["k", new Set([1])]]), nan: Number.NaN, nothing: undefined, error: new TypeError("mine") }),
    ).toEqual({
      loud: { a: 1, toJSON: "<function>", b: "<computed>" },
      proxy: "<Proxy>",
      when: "1970-01-01T00:00:00.000Z",
      big: "1208925819614629174706176",
      bytes: "hi",
      map: { k: [1] },
      nan: "NaN",
      nothing: null,
      error: { message: "mine" },
    });
  });

  test("is bounded: depth, values, text, circles; and is text that can be stored", () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    expect(JSON.stringify(plain(circle)).length).toBeLessThan(300);
    expect((plain(Array(1e6).fill(1)) as unknown[]).length).toBeLessThan(5002);
    expect((plain("x".repeat(1e6)) as string).length).toBe((256 << 10) + 1);
    expect(plain("a\0b\ud800")).toBe("a\ufffdb\ufffd");
    expect(plain(JSON.parse('{"__proto__": {"polluted": true}}'))).toEqual(JSON.parse('{"__proto__": {"polluted": true}}'));
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

test("a data directory that cannot be used costs nothing but the disk", async () => {
  writeFileSync(join(data, "file"), "");
  const kaizen = new Kaizen({ apiKey: "k", baseUrl: "http://127.0.0.1:9", data: join(data, "file"), sync: false });
  expect(kaizen.inspectSync({ tool: "x" }).allowed).toBe(true);
  expect(await kaizen.flush(0.2)).toBe(false);
  expect(kaizen.problem).not.toBe("");
  await kaizen.close(0);
  expect(kaizen.lost).toEqual({ "exit without disk": 1 });
});
