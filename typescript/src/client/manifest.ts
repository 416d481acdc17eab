/** Manifest: the declaration on its way to whoever judges by it, tried again in the background until it is taken. */
import type { Json } from "../contract/action.js";
import type { Declaration } from "../contract/declared.js";
import { KaizenError, Refused } from "../contract/errors.js";
import type { Upstream } from "./http.js";

/** Seconds for one attempt. */
const DEADLINE = 3;
const FIRST_PAUSE = 0.5;
const LONGEST_PAUSE = 60;

/** `refused` counts declarations that the other side said no to; those are not sent again. */
export class Manifest {
  refused = 0;
  private waiting: Json | undefined;
  private timer: NodeJS.Timeout | undefined;
  private pause = FIRST_PAUSE;
  private isStopped = false;

  constructor(
    private readonly upstream: Upstream | undefined,
    private readonly agent: string,
    private readonly headers: Readonly<Record<string, string>>,
  ) {}

  /** One is still to be delivered. */
  get isWaiting(): boolean {
    return this.waiting !== undefined;
  }

  /** Send it; true when it was taken. Else, unless it was refused, it is sent again until it is or `stop`. */
  async declare(declared: Declaration): Promise<boolean> {
    if (this.upstream === undefined) return false;
    const { tools, destinations, purpose, data } = declared;
    this.waiting = {
      tools: [...tools],
      destinations: [...destinations],
      ...(purpose && { purpose }),
      ...(data.length > 0 && { data: [...data] }),
    };
    this.pause = FIRST_PAUSE;
    const isTaken = await this.deliver();
    this.next();
    return isTaken;
  }

  /** Send the one that waits, if one does; false when it was not taken. */
  async deliver(inBackground = false): Promise<boolean> {
    const { waiting } = this;
    if (waiting === undefined || this.upstream === undefined) return true;
    const path = `/v1/agents/${encodeURIComponent(this.agent)}/manifest`;
    let isTaken = true;
    try {
      const { headers } = this;
      await this.upstream.json({ method: "POST", path, document: waiting, headers, within: DEADLINE, again: true, inBackground });
    } catch (err) {
      if (!(err instanceof KaizenError)) throw err;
      // A key may be mended while we run.
      if (!(err instanceof Refused) || err.status >= 500 || [401, 403, 429].includes(err.status)) return false;
      this.refused++;
      isTaken = false;
    }
    if (this.waiting === waiting) this.waiting = undefined;
    return isTaken;
  }

  private next(): void {
    clearTimeout(this.timer);
    if (this.waiting === undefined || this.isStopped) return;
    this.timer = setTimeout(() => {
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
      void this.deliver(true)
        .catch(() => false)
        .then(() => this.next());
    }, this.pause * 1000);
    this.timer.unref();
  }

  /** Try no more. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }
}
