/** What belongs to the current chain of calls. */
import { AsyncLocalStorage } from "node:async_hooks";

/** The storage of that name. The ESM and the CommonJS copy of this package share it. */
export function shared<T>(name: string): AsyncLocalStorage<T> {
  const all = globalThis as { [key: symbol]: AsyncLocalStorage<T> | undefined };
  const key = Symbol.for(name);
  const found = all[key] ?? new AsyncLocalStorage<T>();
  all[key] = found;
  return found;
}
