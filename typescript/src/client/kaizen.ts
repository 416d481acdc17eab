/**
 * Kaizen: what an agent attaches. Judges an action before it runs, and reports what was judged (`docs/how-to/typescript.md`).
 *
 * It never breaks its host: besides `KaizenBlocked` (`enforce`, `guard`) nothing of ours is thrown after construction, nothing is waited
 * for longer than the stated deadline (a person: `holdSeconds`), and what is lost is counted in `lost`.
 */
import { join } from "node:path";
import type { Action } from "../contract/action.js";
import { boundaryKey } from "../contract/boundary.js";
import { keyHash } from "../contract/bundle.js";
import type { Step } from "../contract/codec.js";
import { KaizenBlocked, Unreachable } from "../contract/errors.js";
import type { Mode, Verdict } from "../contract/verdict.js";
import { shared } from "./context.js";
import { type Guarded, type GuardOptions, guarded, type Tool } from "./guard.js";
import { Upstream } from "./http.js";
import { Ids, now } from "./ids.js";
import { Judge } from "./judge.js";
import { unwatch, watch } from "./life.js";
import { Link } from "./link.js";
import { count, type Lost } from "./lost.js";
import { Manifest } from "./manifest.js";
import { Named } from "./named.js";
import { checkKeyMayGo } from "./place.js";
import { actionOf, declarationOf, plain, policiesOf, type Stated, type StatedDeclaration, type StatedPolicy } from "./plain.js";
import { Renewal } from "./renewal.js";
import { Reporter } from "./reporter.js";
import type { Rules } from "./rules.js";
import { load, type Settings, tenantSecret } from "./settings.js";
import { Spool } from "./spool.js";
import { unlessAborted, type Waiting } from "./waiting.js";

/** The run that the current context belongs to. */
const RUN = shared<string>("kaizen.run");
const NOT_GIVEN_UP: Waiting = Object.freeze({});

/**
 * What a client is told. What is left out is read from the environment, then from the settings file, then the default holds.
 *
 * `policies` are your own, in force beside the organisation's. `sync` fetches the organisation's policy and keeps it up to date.
 * `report` sends what was judged to the control plane (needs an API key) or the sidecar. `sidecar` is asked before an action runs:
 * `unix:///path/kaizen.sock` or `http://127.0.0.1:8001`. `mode` can only tighten what the organisation set for the agent.
 */
export type Options = { readonly [Key in keyof Settings]?: Settings[Key] | undefined } & {
  readonly mode?: Mode | "" | undefined;
  readonly policies?: Iterable<StatedPolicy> | undefined;
  readonly onVerdict?: ((verdict: Verdict, action: Action) => unknown) | undefined;
};

/** Attach one agent. Throws Misconfigured naming what cannot be used; never because something is unreachable. */
export class Kaizen {
  static get name(): string {
    return "Kaizen";
  }
  readonly settings: Settings;
  onVerdict: ((verdict: Verdict, action: Action) => unknown) | undefined;
  private readonly ids = new Ids();
  private readonly judging: Judge;
  private readonly link: Link | undefined;
  private readonly reporter: Reporter | undefined;
  private readonly renewal: Renewal | undefined;
  private readonly manifest: Manifest;
  private readonly subAgents = new Named(this, (options) => new Kaizen(options));
  private readonly counted: Lost = new Map();
  private looking: Promise<void> | undefined;
  private isClosed = false;

  constructor(options: Options = {}) {
    const { policies = [], onVerdict, ...stated } = options;
    const settings = load(stated);
    this.settings = settings;
    this.onVerdict = onVerdict;
    const url = settings.sidecar || (settings.apiKey ? settings.baseUrl : "");
    checkKeyMayGo(url, settings.apiKey);
    const headers: Record<string, string> = { "User-Agent": "kaizen-typescript" };
    if (settings.apiKey) headers["Authorization"] = `Bearer ${settings.apiKey}`;
    const { ids } = this;
    const { agent } = settings;
    const key = url === "" ? new Uint8Array() : boundaryKey(tenantSecret(settings));
    // A directory for each upstream and key, so that nothing kept for one organisation reaches another.
    const folder = settings.data && url && join(settings.data, "client", keyHash(`${url}\n${settings.apiKey}`).slice(0, 16));
    if (settings.sidecar) {
      const isInTenant = settings.inTenant || settings.sidecar.startsWith("unix://");
      this.link = new Link(new Upstream(url), agent, headers, isInTenant, key);
    }
    if (url && settings.report) {
      const spool = new Spool(folder && join(folder, "spool-node"), settings.spoolBytes);
      this.reporter = new Reporter(new Upstream(url), spool, { agent, headers, key, ids });
    }
    this.manifest = new Manifest(url ? new Upstream(url) : undefined, agent, headers);
    const { link, reporter, manifest } = this;
    this.judging = new Judge({ settings, link, reporter, manifest, ids, key }, policiesOf(policies));
    if (url && settings.sync) {
      this.renewal = new Renewal(new Upstream(url), {
        agent,
        apiKey: settings.apiKey,
        headers,
        cache: folder && join(folder, `bundle-${keyHash(agent).slice(0, 16)}.json`),
        apply: (bundle, origin) => this.judging.apply(bundle, origin),
        missing: (why) => this.judging.missing(why),
      });
      this.looking = this.renewal.first().finally(() => {
        this.looking = undefined;
      });
    }
    // Not a method: a computed name would keep bundlers from leaving the class out.
    Object.defineProperty(this, Symbol.for("nodejs.util.inspect.custom"), { value: () => `Kaizen ${JSON.stringify(this)}` });
    watch(this);
  }

  // --- verdicts

  /**
   * The verdict on an action, before it runs. Rejects with nothing but TypeError for a field that there is not, and the reason of `signal`
   * when that is aborted while somebody is waited for: then the sidecar is told that the action did not happen.
   */
  async inspect(stated: Stated, { signal }: Waiting = NOT_GIVEN_UP): Promise<Verdict> {
    const action = actionOf(stated);
    const at = now();
    const runId = action.runId || this.currentRun;
    let verdict: Verdict;
    try {
      // The first verdict waits for the organisation's policy, for up to 3 seconds.
      if (this.looking !== undefined) await unlessAborted(this.looking, signal);
      verdict = await this.judging.judge(action, at, runId, signal);
    } catch (err) {
      if (signal?.aborted && err === signal.reason) throw err;
      verdict = this.failed(err, action, at, runId);
    }
    return this.tell(verdict, action);
  }

  /**
   * The verdict of policy and declaration as they are in this process just now, without waiting for anybody. Where a sidecar should be
   * asked, or the organisation's policy is not there yet, an allow is nobody's word: flagged in observe, a block in enforce.
   */
  inspectSync(stated: Stated): Verdict {
    const action = actionOf(stated);
    const at = now();
    const runId = action.runId || this.currentRun;
    let verdict: Verdict;
    try {
      verdict = this.judging.judgeAlone(action, at, runId);
    } catch (err) {
      verdict = this.failed(err, action, at, runId);
    }
    return this.tell(verdict, action);
  }

  /** Our own mistake must neither break the agent nor silently let everything pass: the caller chose what holds. */
  private failed(err: unknown, action: Action, at: number, runId: string): Verdict {
    this.lose("engine errors");
    return this.judging.failed(err, action, at, runId);
  }

  /** `inspect`, and reject with KaizenBlocked when the action is not allowed. */
  async enforce(stated: Stated, waiting?: Waiting): Promise<Verdict> {
    return orBlocked(await this.inspect(stated, waiting));
  }

  /** `inspectSync`, and throw KaizenBlocked when the action is not allowed. */
  enforceSync(stated: Stated): Verdict {
    return orBlocked(this.inspectSync(stated));
  }

  private tell(verdict: Verdict, action: Action): Verdict {
    // The caller's own code, called in the middle of the agent's work: counted, not thrown.
    const failed = () => this.lose("onVerdict errors");
    try {
      const said = this.onVerdict?.(verdict, action);
      if (said instanceof Promise) said.catch(failed);
    } catch {
      failed();
    }
    return verdict;
  }

  // --- attaching

  /**
   * A tool whose calls are judged first, and reject with KaizenBlocked instead of running when they are not allowed. Results, errors,
   * `this` and streams of items stay as they are; a plain function becomes one that is waited for.
   */
  guard<F extends Tool>(tool: F, options: GuardOptions = {}): Guarded<F> {
    return guarded(this, tool, options);
  }

  /**
   * Say what the agent is for; it holds here at once. True when the sidecar or the control plane has taken it; else it is sent again in
   * the background until it is taken, replaced or refused. Throws Misconfigured naming an entry that would mean nothing.
   */
  async declare(stated: StatedDeclaration): Promise<boolean> {
    const declared = declarationOf(stated);
    this.judging.declare(declared);
    return this.manifest.declare(declared);
  }

  /**
   * One execution of the agent: verdicts inside `work` carry the run's id, also those of tasks begun there. The request goes to an
   * in-tenant sidecar or nowhere. The run is noted as not completed when `work` throws.
   */
  async run<T>(request: string, work: (run: { readonly id: string }) => T, runId = this.ids.next()): Promise<Awaited<T>> {
    const { agent } = this.settings;
    if (request) this.note({ step: "request", runId, text: String(request), agent, at: now() });
    let completed = false;
    try {
      const result = await RUN.run(runId, () => work({ id: runId }));
      completed = true;
      return result;
    } finally {
      this.note({ step: "end", runId, completed, agent, at: now() });
    }
  }

  /**
   * The client of a sub-agent, `AGENT/name`: this one's settings and policies, an identity and a baseline of its own. The same client for
   * the same name; at most 32 names, after those it is this one. It is flushed and closed with this one.
   */
  named(name: string): Kaizen {
    return this.subAgents.get(name);
  }

  /** Keep a step of a run for the sidecar, if there is one. A request, a message or a result goes to an in-tenant one only. */
  note(step: Step): void {
    if (step.step === "end") this.judging.sequence.end("", this.settings.agent, step.runId);
    this.link?.note(step);
  }

  /** Tell the sidecar what the action brought back, so that it knows where later values come from. Needs no answer. */
  noteResult(action: Action, content: unknown, failed = false): void {
    if (this.link === undefined) return;
    const runId = action.runId || this.currentRun;
    const document = this.link.isInTenant ? plain(content) : null;
    const { agent } = this.settings;
    this.link.note({ step: "result", runId, actionId: action.id, content: document, failed, agent, at: now() });
  }

  /** Give the sidecar now what was noted, for those of the same run who ask it elsewhere; false when it does not take it. */
  async handOver(timeout = 1): Promise<boolean> {
    return this.link === undefined || this.link.handOver(timeout);
  }

  /** Report what an attach point decided by itself (it looked at something that no rule of ours can see). */
  report(action: Action, verdict: Verdict): void {
    this.judging.report({ ...action, id: action.id || this.ids.next() }, verdict, now(), action.runId || this.currentRun);
  }

  /** An id for an action that has none. */
  nextId(): string {
    return this.ids.next();
  }

  // --- what is in force

  /** Policy, declaration, mode, version, and whether the organisation's policy is missing. */
  get rules(): Rules {
    return this.judging.rules;
  }

  /** The id of the run that the current context belongs to; empty outside of one. */
  get currentRun(): string {
    return RUN.getStore() ?? "";
  }

  /** `_meta` for an MCP request: shim and gateway then judge it as part of the current run, and as the deed `actId`. */
  mcpMeta(actId = ""): Record<string, string> {
    const { currentRun } = this;
    return { ...(currentRun && { "kaizen-security/run": currentRun }), ...(actId && { "kaizen-security/act": actId }) };
  }

  /** Why policy is not renewed or reports are not delivered just now; empty when all is well. */
  get problem(): string {
    return this.renewal?.problem || this.reporter?.problem || "";
  }

  /** What was lost since this process began, by reason; empty when nothing was. */
  get lost(): Record<string, number> {
    const found = new Map(this.counted);
    count(found, "declaration refused by the server", this.manifest.refused);
    const others = this.subAgents.all.flatMap((one) => Object.entries(one.lost));
    const own = [this.reporter?.lost, this.reporter?.spool.lost, this.link?.lost].flatMap((part) => [...(part ?? [])]);
    for (const [reason, more] of [...own, ...others]) count(found, reason, more);
    return Object.fromEntries(found);
  }

  /** Count what an attach point lost. */
  lose(reason: string): void {
    count(this.counted, reason);
  }

  // --- life

  /** Wait for the organisation's policy, for up to 3 seconds; false when it is not there. `inspect` does this by itself. */
  async ready(): Promise<boolean> {
    await this.looking;
    return this.rules.missing === "";
  }

  /** Something waits for delivery. */
  get isWaiting(): boolean {
    return !this.isClosed && ((this.reporter?.pending ?? 0) > 0 || (this.link?.isWaiting ?? false));
  }

  /** Bring every report to disk, at once: what happens by itself when the process exits. */
  save(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const lost = this.reporter?.close() ?? 0;
    if (lost > 0) process.emitWarning(`kaizen-security: ${lost} reports are lost: not delivered, and the disk takes nothing`);
  }

  /**
   * Deliver every report and step; false when some still wait after `timeout` seconds (they are in the spool). Where the process is
   * frozen between requests (serverless), await this before you answer.
   */
  async flush(timeout = 5): Promise<boolean> {
    const all = await Promise.all([this.deliver(timeout), ...this.subAgents.all.map((one) => one.flush(timeout))]);
    return all.every(Boolean);
  }

  private async deliver(timeout: number): Promise<boolean> {
    const until = performance.now() + timeout * 1000;
    this.reporter?.save();
    let isSent = await this.manifest.deliver();
    try {
      await this.link?.sendSteps(timeout);
    } catch (err) {
      if (!(err instanceof Unreachable)) throw err;
      isSent = false;
    }
    const left = Math.max((until - performance.now()) / 1000, 0);
    return ((await this.reporter?.flush(left)) ?? true) && isSent;
  }

  /** Flush and let go. A process that ends does this by itself; a verdict after it is still given, but not reported. */
  async close(timeout = 3): Promise<void> {
    if (this.isClosed) return;
    this.renewal?.stop();
    this.manifest.stop();
    await Promise.all([this.deliver(timeout), ...this.subAgents.all.map((one) => one.close(timeout))]);
    this.link?.close();
    this.save();
    unwatch(this);
  }

  /** What a log shows: a client holds the key. */
  toJSON(): { agent: string; mode: Mode; problem: string } {
    return { agent: this.settings.agent, mode: this.rules.mode, problem: this.problem };
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function orBlocked(verdict: Verdict): Verdict {
  if (verdict.blocked) throw new KaizenBlocked(verdict);
  return verdict;
}
