/** Waiting that may be given up: for a sidecar's answer, a person's, the organisation's policy. */

/** `signal`: once it is aborted, nobody waits any more, and its reason is thrown. What needs no waiting is not cut short. */
export interface Waiting {
  readonly signal?: AbortSignal | undefined;
}

/** What `promise` comes to. Throws the reason of `signal` when that is aborted first; what it comes to then is dropped. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
    promise.catch(() => {});
  }
}
