/** Where the client takes wall time and chance; everything else of it is given them. */
import { randomBytes } from "node:crypto";

/** Unix seconds. */
export function now(): number {
  return Date.now() / 1000;
}

/** Ids of 128 bits as hex: 96 random ones for the process, then a counter. A random number each would cost a system call. */
export class Ids {
  private readonly prefix = randomBytes(12).toString("hex");
  private count = 0;

  /** The next id. */
  next(): string {
    return this.prefix + (this.count++ >>> 0).toString(16).padStart(8, "0");
  }
}
