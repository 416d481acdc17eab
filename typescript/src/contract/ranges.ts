/** Address ranges of many owners: one bisection says "in none of them", a few look-ups say in whose. */
import { bisectRight } from "./text.js";

/** Addresses of one family that share the first `length` bits with `first`. */
export interface Range {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly length: number;
}

/** The last address. */
export function lastOf(range: Range): bigint {
  return range.first | ((1n << BigInt((range.family === 4 ? 32 : 128) - range.length)) - 1n);
}

/** Ranges of one address family, each with its owner (a policy's number). */
export class Ranges {
  private readonly byLength: [length: number, prefixes: Map<bigint, number[]>][];
  private readonly firsts: bigint[] = [];
  private readonly lasts: bigint[] = [];
  private readonly width: number;

  constructor(family: 4 | 6, owned: Iterable<readonly [Range, number]>) {
    this.width = family === 4 ? 32 : 128;
    const byLength = new Map<number, Map<bigint, number[]>>();
    const spans: [bigint, bigint][] = [];
    for (const [range, owner] of owned) {
      if (range.family !== family) continue;
      let prefixes = byLength.get(range.length);
      if (prefixes === undefined) {
        prefixes = new Map();
        byLength.set(range.length, prefixes);
      }
      const key = range.first >> BigInt(this.width - range.length);
      const owners = prefixes.get(key) ?? [];
      if (!owners.includes(owner)) prefixes.set(key, [...owners, owner]);
      spans.push([range.first, lastOf(range)]);
    }
    this.byLength = [...byLength].sort((one, other) => one[0] - other[0]);
    spans.sort((one, other) => order(one[0], other[0]) || order(other[1], one[1]));
    for (const [first, last] of spans) {
      // CIDR ranges are nested or apart, so the outermost ones say all.
      const before = this.lasts.at(-1);
      if (before === undefined || first > before) {
        this.firsts.push(first);
        this.lasts.push(last);
      }
    }
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.firsts.length === 0;
  }

  /** Owner and prefix length of every range that holds `value`, the widest first. */
  find(value: bigint): readonly (readonly [owner: number, length: number])[] {
    if (!this.holds(value)) return [];
    const found: [number, number][] = [];
    for (const [length, prefixes] of this.byLength) {
      for (const owner of prefixes.get(value >> BigInt(this.width - length)) ?? []) found.push([owner, length]);
    }
    return found;
  }

  /** Whether any range holds `value`. */
  holds(value: bigint): boolean {
    const at = bisectRight(this.firsts, value) - 1;
    return at >= 0 && value <= (this.lasts[at] as bigint);
  }
}

function order(one: bigint, other: bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
