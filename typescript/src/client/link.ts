/**
 * Link: questions and steps to the sidecar.
 *
 * Steps (what the user asked, what a tool returned) must be there before the next question is asked, or the sidecar would judge an action
 * without knowing where its values came from; so a question first sends what waits.
 */
import type { Action, Json } from "../contract/action.js";
import { outward } from "../contract/boundary.js";
import { decodeVerdict, encodeAction, encodeStep, type Step } from "../contract/codec.js";
import { InvalidInput, Refused, Unreachable } from "../contract/errors.js";
import type { Verdict } from "../contract/verdict.js";
import type { Upstream } from "./http.js";
import { count, type Lost } from "./lost.js";

/** Steps in memory while the sidecar does not take them. They hold the run's text, so they never go to disk. */
const MAX_STEPS = 1000;
const AT_ONCE = 50;
/** Seconds: the longest pause after a sidecar was too slow, one long-poll, and before one that did not answer is asked again. */
const LONGEST_PAUSE = 30;
const ONE_LOOK = 20;
const BREATH = 0.25;
/** Seconds in which further steps may join the first, one attempt to send them while nobody asks, and the pauses between attempts. */
const WINDOW = 0.02;
const ATTEMPT = 2;
const FIRST_PAUSE = 0.25;
const LONGEST_WAIT = 5;
const UNREACHABLE = "steps: sidecar unreachable";

/** Milliseconds until `until`, as seconds. */
function left(until: number): number {
  return (until - performance.now()) / 1000;
}

/** `isInTenant`: arguments, requests and results may go there as they are; else only boundary fields do. `lost` counts steps. */
export class Link {
  readonly lost: Lost = new Map();
  private steps: Json[] = [];
  private sending: Promise<void> = Promise.resolve();
  private askAfter = 0;
  private pause = 0;
  private later: NodeJS.Timeout | undefined;
  private laterPause = FIRST_PAUSE;
  private isClosed = false;

  constructor(
    private readonly upstream: Upstream,
    private readonly agent: string,
    private readonly headers: Readonly<Record<string, string>>,
    readonly isInTenant: boolean,
    private readonly key: Uint8Array,
  ) {}

  /**
   * The sidecar's verdict on `action`, which has an id, within `deadline` seconds. A sidecar that hangs must not cost an agent its
   * deadline at every action: unless `isPatient`, one that was too slow is not asked again for a while. The question is dropped when
   * `signal` is aborted. Throws Unreachable, Refused.
   */
  async ask(action: Action, deadline: number, isPatient: boolean, signal?: AbortSignal): Promise<Verdict> {
    if (!isPatient && performance.now() < this.askAfter) {
      throw new Unreachable("the sidecar was too slow a moment ago, and is not waited for again yet");
    }
    try {
      const verdict = await this.askOnce(action, performance.now() + deadline * 1000, signal);
      this.pause = 0;
      this.askAfter = 0;
      return verdict;
    } catch (err) {
      this.tooSlow(err);
      throw err;
    }
  }

  private async askOnce(action: Action, until: number, signal: AbortSignal | undefined): Promise<Verdict> {
    if (this.steps.length > 0) await this.sendSteps(left(until));
    const sent = this.isInTenant ? action : outward(action, this.key);
    const document = { agent: this.agent, action: encodeAction(sent) };
    const { headers } = this;
    const answer = await this.upstream.json({
      method: "POST",
      path: "/v1/inspect",
      document,
      headers,
      within: left(until),
      again: true,
      signal,
    });
    try {
      return decodeVerdict(answer);
    } catch (err) {
      if (!(err instanceof InvalidInput)) throw err;
      throw new Unreachable(`the sidecar answered with something else than a verdict: ${err.message}`);
    }
  }

  /**
   * The verdict on a held action once somebody has answered, by the sidecar's rules as they are then. After `patience` seconds, or when
   * the sidecar is gone, it is a block that is still pending: the same call, made again later, joins the same hold.
   */
  async answered(action: Action, held: Verdict, patience: number, deadline: number, signal?: AbortSignal): Promise<Verdict> {
    const until = performance.now() + patience * 1000;
    let said = held;
    for (let rest = left(until); said.pending !== null && rest > 0 && !signal?.aborted; rest = left(until)) {
      const look = Math.min(rest, ONE_LOOK);
      const path = `/v1/holds/${encodeURIComponent(said.pending.id)}?wait=${Math.ceil(look)}`;
      try {
        const within = Math.min(rest, look + deadline);
        await this.upstream.json({ method: "GET", path, headers: this.headers, within, signal });
        // Also when nobody has answered: rules that came meanwhile may deny it, or ask nobody any more.
        said = await this.ask(action, deadline, true, signal);
      } catch (err) {
        if (err instanceof Refused && err.status !== 404) return said;
        if (!(err instanceof Refused) && !(err instanceof Unreachable)) throw err;
        await new Promise((resolve) => setTimeout(resolve, Math.min(rest, BREATH) * 1000));
        // A sidecar that knows the hold no longer knows better what holds now.
        if (err instanceof Refused) said = await this.ask(action, deadline, true, signal);
      }
    }
    return said;
  }

  /** Keep a step for the next question. What may not leave the process is left out. */
  note(step: Step): void {
    if (!this.isInTenant && step.step !== "end" && step.step !== "result") return;
    this.steps.push(encodeStep(!this.isInTenant && step.step === "result" ? { ...step, content: null } : step));
    if (this.steps.length > MAX_STEPS) count(this.lost, UNREACHABLE, this.steps.splice(0, this.steps.length - MAX_STEPS).length);
    if (this.later === undefined) this.sendLater(WINDOW);
  }

  /** A question sends what waits before it; an agent that only reports asks none, so it is sent in the background too. */
  private sendLater(seconds: number): void {
    if (this.isClosed) return;
    this.later = setTimeout(() => {
      this.sendSteps(ATTEMPT, true).then(
        () => {
          this.later = undefined;
          this.laterPause = FIRST_PAUSE;
          if (this.steps.length > 0) this.sendLater(WINDOW);
        },
        () => {
          this.sendLater(this.laterPause);
          this.laterPause = Math.min(this.laterPause * 2, LONGEST_WAIT);
        },
      );
    }, seconds * 1000);
    this.later.unref();
  }

  /** Whether steps wait. */
  get isWaiting(): boolean {
    return this.steps.length > 0;
  }

  /** Send what waits before anybody asks; false when the sidecar does not take it now: then it goes with the next question. */
  async handOver(deadline: number): Promise<boolean> {
    if (performance.now() < this.askAfter) return false;
    try {
      await this.sendSteps(deadline);
      return true;
    } catch (err) {
      if (!(err instanceof Unreachable)) throw err;
      this.tooSlow(err);
      return false;
    }
  }

  private tooSlow(err: unknown): void {
    if (!(err instanceof Unreachable) || !err.slow) return;
    this.pause = Math.min(Math.max(this.pause * 2, 0.5), LONGEST_PAUSE);
    this.askAfter = performance.now() + this.pause * 1000;
  }

  /**
   * Send what waits, in order. Throws Unreachable; what the sidecar refuses is counted. A step waits until it is taken, so that a
   * question that is asked while others are on their way waits for those too.
   */
  sendSteps(deadline: number, inBackground = false): Promise<void> {
    const until = performance.now() + deadline * 1000;
    const turn = this.sending.then(() => this.sendAll(until, inBackground));
    this.sending = turn.catch(() => {});
    return turn;
  }

  private async sendAll(until: number, inBackground: boolean): Promise<void> {
    let atOnce = AT_ONCE;
    while (this.steps.length > 0) {
      const some = this.steps.slice(0, atOnce);
      const document = { agent: this.agent, steps: some };
      try {
        if (left(until) <= 0) throw new Unreachable("the sidecar took no steps in time", true);
        const { headers } = this;
        await this.upstream.json({ method: "POST", path: "/v1/steps", document, headers, within: left(until), inBackground });
      } catch (err) {
        if (err instanceof Refused && [400, 413, 422].includes(err.status) && some.length > 1) {
          // Long ones are too long only together, and one that is refused must not take the others with it.
          atOnce = Math.floor(some.length / 2);
          continue;
        }
        if (err instanceof Refused && err.status < 500 && err.status !== 429) {
          count(this.lost, "steps: refused by the sidecar", some.length);
        } else if (err instanceof Refused) {
          throw new Unreachable(`the sidecar takes no steps just now: ${err.message}`);
        } else {
          throw err;
        }
      }
      // The first of them are gone already where later ones needed their room.
      for (const step of some) if (this.steps[0] === step) this.steps.shift();
    }
  }

  /** Steps that the sidecar never took are lost, and counted. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.later);
    count(this.lost, UNREACHABLE, this.steps.splice(0).length);
    this.upstream.close();
  }
}
