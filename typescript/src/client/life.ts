/** The end of a process: what clients still hold goes to disk, whatever ends it, and is delivered where there is still time. */

/** What has to be saved when its process, or its worker thread, ends. */
export interface Living {
  /** Bring everything to disk, at once. */
  save(): void;
  /** Whether something waits for delivery. */
  readonly isWaiting: boolean;
  /** Deliver for at most that many seconds. */
  flush(timeout: number): Promise<boolean>;
}

/** Seconds that a process which ends by itself waits for the delivery of its reports; what is left is in the spool. */
const EXIT_SECONDS = 3;

// Held, not only looked after: what was reported by a client that nobody refers to any more has to be saved too.
const living = new Set<Living>();
const tried = new WeakSet<Living>();
let isListening = false;
let until = Number.POSITIVE_INFINITY;

/** Look after `one` until it is closed or its process ends. */
export function watch(one: Living): void {
  living.add(one);
  if (isListening) return;
  isListening = true;
  // Also after process.exit and after an exception that nobody caught; no signal is heard, since that would change what it does.
  process.on("exit", () => {
    for (const one of living) one.save();
  });
  process.on("beforeExit", () => {
    const waiting = [...living].filter((one) => one.isWaiting && !tried.has(one));
    if (waiting.length === 0) return;
    until = Math.min(until, performance.now() + EXIT_SECONDS * 1000);
    for (const one of waiting) {
      // What the server does not take now stays in the spool; asking again would keep the process from ending.
      tried.add(one);
      void one.flush(Math.max((until - performance.now()) / 1000, 0)).catch(() => false);
    }
  });
}

/** It needs no looking after any more. */
export function unwatch(one: Living): void {
  living.delete(one);
}
