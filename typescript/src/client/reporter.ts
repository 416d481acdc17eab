/**
 * Reporter: verdicts to the control plane or the sidecar, in batches, without holding up the agent and without losing any.
 *
 * `add` puts a report into memory; `WINDOW` milliseconds later, as soon as the event loop has a turn for us, it is in the spool, where it
 * survives the end of the process. `urgent` (a block, a flag) returns when it is in the spool. When the process ends, however it does,
 * everything goes to the spool; what the loop still has time for is delivered.
 */
import type { Action, Json } from "../contract/action.js";
import { outward, outwardVerdict } from "../contract/boundary.js";
import { encodeReport } from "../contract/codec.js";
import { Unreachable } from "../contract/errors.js";
import type { Verdict } from "../contract/verdict.js";
import type { Reply, Upstream } from "./http.js";
import type { Ids } from "./ids.js";
import { count, type Lost } from "./lost.js";
import { completed, plain } from "./plain.js";
import type { Batch, Spool } from "./spool.js";

/** Milliseconds that a report may stay in memory only. */
const WINDOW = 20;
/** Reports that are encoded at a stretch, after which the agent has its turn. */
const SLICE = 16;
const BATCH = 50;
const BATCH_BYTES = 512 << 10;
/** Reports in memory; whoever adds one more first encodes a slice itself. */
const MAX_QUEUE = 32_768;
/** Seconds: the longest pause after a failure, one exchange, and between looks for what dead processes left. */
const LONGEST_PAUSE = 30;
const EXCHANGE = 10;
const LOOK_AROUND = 30;

interface Entry {
  readonly action: Action;
  readonly metadata: Json;
  readonly verdict: Verdict;
  readonly id: string;
  readonly at: number;
  readonly runId: string;
}

/** Who reports: the agent, the headers of every request, the boundary's key, and where ids come from. */
export interface Reporting {
  readonly agent: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly key: Uint8Array;
  readonly ids: Ids;
}

/** See the module. `lost` counts by reason. */
export class Reporter {
  readonly lost: Lost = new Map();
  problem = "";
  private queue: Entry[] = [];
  private first = 0;
  private timer: NodeJS.Timeout | undefined;
  private watching: NodeJS.Timeout | undefined;
  private delivering: Promise<boolean> | undefined;
  private retryAt = 0;
  private pause = 0;
  private isClosed = false;

  constructor(
    private readonly upstream: Upstream,
    readonly spool: Spool,
    private readonly who: Reporting,
  ) {}

  // --- called by the agent

  /** Report it soon. Microseconds; no input or output. */
  add(action: Action, verdict: Verdict, at: number, runId: string): void {
    if (this.isClosed) return;
    this.queue.push(this.entry(action, verdict, at, runId));
    if (this.timer === undefined) this.wake(WINDOW);
    if (this.queue.length - this.first > MAX_QUEUE) this.drain(SLICE);
  }

  /** Report it; when this returns it is in the spool. */
  urgent(action: Action, verdict: Verdict, at: number, runId: string): void {
    if (this.isClosed) return;
    const record = this.record(this.entry(action, verdict, at, runId));
    if (record !== undefined) this.spool.extend([record], true);
    if (this.timer === undefined) this.wake(WINDOW);
  }

  /** Reports that are not delivered. */
  get pending(): number {
    return this.queue.length - this.first + this.spool.pending;
  }

  /** Bring everything into the spool and deliver it; false when some of it is still there after `timeout` seconds. */
  async flush(timeout: number): Promise<boolean> {
    const until = performance.now() + timeout * 1000;
    // A delivery that began in the background would not keep the process alive for the one who waits for it now.
    const hold = setTimeout(() => {}, timeout * 1000);
    try {
      this.drain();
      while (this.delivering !== undefined) await this.delivering;
      return await this.delivery(until, false);
    } finally {
      clearTimeout(hold);
    }
  }

  /** From memory to the spool, at once: what is left to do when a process exits. */
  save(): void {
    this.drain();
  }

  /** `save`, and no more after that; what is not delivered stays on disk. How many had no disk to stay on. */
  close(): number {
    this.isClosed = true;
    clearTimeout(this.timer);
    clearTimeout(this.watching);
    this.drain();
    const before = this.spool.lost.get("exit without disk") ?? 0;
    this.spool.close();
    this.upstream.close();
    return (this.spool.lost.get("exit without disk") ?? 0) - before;
  }

  // --- in the background

  private entry(action: Action, verdict: Verdict, at: number, runId: string): Entry {
    // Metadata as it is now: the agent may go on to change what is in it.
    return { action, metadata: plain(action.metadata), verdict, id: this.who.ids.next(), at, runId };
  }

  private wake(after: number): void {
    if (this.isClosed) return;
    this.timer = setTimeout(() => {
      // Nobody waits for this promise, and a rejection would end the agent's process.
      this.turn().catch((err: Error) => {
        this.problem = `our own code failed (${err.name})`;
        this.timer = undefined;
      });
    }, after);
    this.timer.unref();
  }

  private async turn(): Promise<void> {
    while (this.queue.length > this.first && !this.isClosed) {
      this.drain(SLICE);
      if (this.queue.length > this.first) await new Promise((resolve) => setImmediate(resolve));
    }
    if (!this.isClosed && performance.now() >= this.retryAt && this.delivering === undefined) {
      await this.delivery(performance.now() + EXCHANGE * 1000, true);
    }
    this.timer = undefined;
    if (this.queue.length > this.first) this.wake(WINDOW);
    else if (this.spool.pending > 0) this.wake(Math.max(this.retryAt - performance.now(), WINDOW));
    else this.idle();
  }

  /** Nothing to do: look from time to time for what dead processes left. The next report wakes us sooner. */
  private idle(): void {
    clearTimeout(this.watching);
    this.watching = setTimeout(() => this.timer === undefined && this.wake(0), LOOK_AROUND * 1000);
    this.watching.unref();
  }

  /** From memory to the spool, at most `limit` reports. */
  private drain(limit = Number.POSITIVE_INFINITY): void {
    for (let left = limit; this.queue.length > this.first && left > 0; left -= SLICE) {
      const waiting = this.queue.length - this.first;
      if (waiting > 1) this.spool.promise(waiting);
      const some = this.queue.slice(this.first, this.first + SLICE);
      this.first += some.length;
      this.spool.extend(some.map((entry) => this.record(entry)).filter((record) => record !== undefined));
    }
    if (this.first > MAX_QUEUE / 8 || this.first === this.queue.length) {
      this.queue.splice(0, this.first);
      this.first = 0;
    }
  }

  private record({ action, metadata, verdict, id, at, runId }: Entry): Uint8Array | undefined {
    try {
      const full = completed(action, metadata, id, this.who.agent, at, runId);
      const report = { action: outward(full, this.who.key), verdict: outwardVerdict(verdict, this.who.key) };
      return Buffer.from(JSON.stringify(encodeReport(report)));
    } catch (err) {
      // Whatever an agent puts into an action, its reporter must live; what is lost by it is counted.
      count(this.lost, "could not be encoded");
      this.problem = `a report could not be encoded (${(err as Error).name})`;
      return undefined;
    }
  }

  // --- delivery

  /** `deliver`, of which there is one at a time. */
  private async delivery(until: number, inBackground: boolean): Promise<boolean> {
    const delivering = this.deliver(until, inBackground);
    this.delivering = delivering.catch(() => false);
    try {
      return await delivering;
    } finally {
      this.delivering = undefined;
    }
  }

  /** From the spool to the server, until all is there, time is up or the server does not take it now. */
  private async deliver(until: number, inBackground: boolean): Promise<boolean> {
    let size = BATCH;
    for (;;) {
      const batch = this.spool.read(size, BATCH_BYTES);
      if (batch.records.length === 0) {
        this.pause = 0;
        this.retryAt = 0;
        return true;
      }
      const left = (until - performance.now()) / 1000;
      if (left <= 0) return false;
      size = await this.send(batch, size, Math.min(left, EXCHANGE), inBackground);
      if (size === 0) return false;
    }
  }

  /** One batch; how large the next one may be, 0: not now. */
  private async send(batch: Batch, size: number, within: number, inBackground: boolean): Promise<number> {
    const parts: Uint8Array[] = [];
    for (const [at, record] of batch.records.entries()) parts.push(Buffer.from(at ? "," : '{"reports":['), record);
    const body = Buffer.concat([...parts, Buffer.from("]}")]);
    const headers = { "Content-Type": "application/json", ...this.who.headers };
    let reply: Reply;
    try {
      reply = await this.upstream.exchange({
        method: "POST",
        path: "/v1/verdicts:batch",
        body,
        headers,
        within,
        inBackground,
        again: true,
      });
    } catch (err) {
      if (!(err instanceof Unreachable)) throw err;
      return this.later(err.message);
    }
    const { status } = reply;
    const most = batch.records.length;
    if (status >= 200 && status < 300) {
      count(this.lost, "refused by the server", rejected(reply.body, most));
    } else if (status === 400 || status === 413 || status === 422) {
      if (most > 1) return Math.max(1, Math.floor(Math.min(size, most) / 8));
      count(this.lost, "refused by the server");
      this.problem = `the server refused a report (status ${status})`;
    } else {
      return this.later(`the server answers with status ${status}`, String(reply.headers["retry-after"] ?? ""));
    }
    this.spool.done(batch.position);
    this.pause = 0;
    if (status < 300) this.problem = "";
    return Math.min(BATCH, size * 2);
  }

  private later(problem: string, after = ""): number {
    this.problem = problem;
    this.pause = Math.min(Math.max(this.pause * 2, 0.25), LONGEST_PAUSE);
    const asked = /^[0-9]{1,5}$/.test(after) ? Number(after) : 0;
    this.retryAt = performance.now() + Math.max(this.pause, Math.min(asked, 10 * LONGEST_PAUSE)) * 1000;
    return 0;
  }
}

function rejected(answer: Uint8Array, count: number): number {
  try {
    const document = JSON.parse(Buffer.from(answer).toString("utf8")) as { rejected?: unknown } | null;
    return Array.isArray(document?.rejected) ? Math.min(document.rejected.length, count) : 0;
  } catch {
    return 0;
  }
}
