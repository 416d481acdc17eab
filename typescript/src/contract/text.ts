/**
 * Text as every language of the contract sees it: by code points, and by Unicode 14.0 whatever the engine has.
 *
 * Code points that 14.0 does not assign are themselves: not folded, not normalised, of no category. Unicode promises that what is
 * assigned stays as it is, so everything else agrees.
 */
import { FOLDS, UNASSIGNED } from "./tables.js";

/** White space by the bidirectional types WS, B and S and the category Zs: inside a character class. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const NOT_ASCII = /[^\0-\x7f]/;
const ONE_SPACE = /* @__PURE__ */ new RegExp(`^[${SPACE}]$`);
const SPACES = /* @__PURE__ */ new RegExp(`[${SPACE}]+`);
const NOT_PRINTABLE = /[\0-\x1f\x7f]/;

/** Whether there is nothing but ASCII in it. */
export function isAscii(text: string): boolean {
  return !NOT_ASCII.test(text);
}

/** Code points in it. */
export function size(text: string): number {
  if (isAscii(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Whether it has more than `limit` code points. */
export function isLonger(text: string, limit: number): boolean {
  return text.length > limit && (text.length > 2 * limit || size(text) > limit);
}

/** The first `limit` code points. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  let at = 0;
  for (let count = 0; count < limit && at < text.length; count++) at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
  return text.slice(0, at);
}

/** Order by code points, where JavaScript's own is by UTF-16 units. */
export function compare(left: string, right: string): number {
  const most = Math.min(left.length, right.length);
  for (let at = 0; at < most; at++) {
    const one = left.charCodeAt(at);
    const other = right.charCodeAt(at);
    if (one !== other) {
      const [a, b] = [left.codePointAt(at) as number, right.codePointAt(at) as number];
      // The second half of a pair is compared only when the first halves are the same.
      return (a > 0xffff || b > 0xffff) && a !== b ? a - b : one - other;
    }
  }
  return left.length - right.length;
}

/** Without white space at both ends. */
export function strip(text: string): string {
  const first = text.charCodeAt(0);
  const last = text.charCodeAt(text.length - 1);
  if (first > 0x20 && first < 0x7f && last > 0x20 && last < 0x7f) return text;
  return between(text, isSpace);
}
/** Without the characters at both ends that are edges. A pattern for the last ones would begin anew at each of a long run of them. */
export function between(text: string, isEdge: (char: string) => boolean): string {
  let [first, last] = [0, text.length];
  while (first < last && isEdge(text[first] as string)) first++;
  while (first < last && isEdge(text[last - 1] as string)) last--;
  return text.slice(first, last);
}

/** The words between white space. */
export function words(text: string): string[] {
  return text.split(SPACES).filter((word) => word !== "");
}

/** Whether the one character is white space. */
export function isSpace(char: string): boolean {
  return ONE_SPACE.test(char);
}

// --- what the version of Unicode decides ------------------------------------------------------------------------------------

let edges: number[] | undefined;

/** Numbers in base 26, without anything between them: a capital letter is followed by further digits of the same number. */
function* numbers(text: string): Generator<number> {
  let value = 0;
  for (const char of text) {
    value = value * 26 + Number.parseInt(char, 36) - 10;
    if (char < "a") continue;
    yield value;
    value = 0;
  }
}

/** Where each of them is, told by `numbers` that are distances. */
export function* positions(distances: string): Generator<number> {
  let at = 0;
  for (const distance of numbers(distances)) {
    at += distance;
    yield at;
  }
}

/** What a text of runs (`<letters> <distances> <lengths>`) says of a code point; `fallback` where it says nothing. */
export class Runs {
  private readonly firsts: number[];
  private readonly rows: [last: number, letter: string][];

  constructor(text: string) {
    const [letters, distances, lengths] = text.split(" ") as [string, string, string];
    this.firsts = [...positions(distances)];
    this.rows = [...numbers(lengths)].map((length, at) => [(this.firsts[at] as number) + length - 1, letters[at] as string]);
  }

  of(code: number, fallback: string): string {
    const row = this.rows[bisectRight(this.firsts, code) - 1];
    return row !== undefined && code <= row[0] ? row[1] : fallback;
  }
}

/** Mappings of characters (`<distances> <how many in a row> <mapping> …`): those in a row map to characters in a row. */
export function mappings(text: string): Map<string, string> {
  const [distances, counts, ...to] = text.split(" ") as [string, string, ...string[]];
  const several = [...numbers(counts)];
  const found = new Map<string, string>();
  for (const [at, first] of [...positions(distances)].entries()) {
    const mapping = to[at] as string;
    found.set(String.fromCodePoint(first), mapping);
    for (let step = 1; step < (several[at] as number); step++) {
      found.set(String.fromCodePoint(first + step), String.fromCodePoint(codeOf(mapping) + step));
    }
  }
  return found;
}

/** How many of the sorted `values` are not above `value`. */
export function bisectRight<T extends number | bigint>(values: readonly T[], value: T): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value < (values[middle] as T)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The first code point of it. */
export function codeOf(text: string): number {
  return text.codePointAt(0) as number;
}

/** Whether Unicode 14.0 assigns its first character. */
export function isAssigned(text: string): boolean {
  const code = codeOf(text);
  if (code < 0x378) return true;
  edges ??= [...positions(UNASSIGNED)];
  return bisectRight(edges, code) % 2 === 0;
}

function allAssigned(text: string): boolean {
  if (isAscii(text)) return true;
  for (const char of text) if (!isAssigned(char)) return false;
  return true;
}

/** With a non-character in place of every code point that is not assigned: what may be asked for its categories. */
export function known(text: string): string {
  if (allAssigned(text)) return text;
  let out = "";
  for (const char of text) out += isAssigned(char) ? char : "\uffff";
  return out;
}

function normalized(text: string, form: "NFC" | "NFKC"): string {
  if (allAssigned(text)) return text.normalize(form);
  // What is not assigned is a starter that composes with nothing, so what lies between can be normalised by itself.
  let out = "";
  let part = "";
  for (const char of text) {
    if (isAssigned(char)) {
      part += char;
    } else {
      out += part.normalize(form) + char;
      part = "";
    }
  }
  return out + part.normalize(form);
}

/** Unicode normalisation form C. */
export function nfc(text: string): string {
  return isAscii(text) ? text : normalized(text, "NFC");
}

/** Unicode normalisation form KC. */
export function nfkc(text: string): string {
  return isAscii(text) ? text : normalized(text, "NFKC");
}

let folds: Map<string, string> | undefined;

/** Full case folding (Unicode, CaseFolding.txt). */
export function casefold(text: string): string {
  if (isAscii(text)) return text.toLowerCase();
  folds ??= mappings(FOLDS);
  let out = "";
  for (const char of text) {
    out += folds.get(char) ?? (isAssigned(char) ? char.toLowerCase().toUpperCase().toLowerCase() : char);
  }
  return out;
}

/** Whether the one character is a letter, a number or `_`. */
export function isWord(char: string): boolean {
  return /^[\p{L}\p{N}_]$/u.test(char) && isAssigned(char);
}

/** Whether the one character is a decimal digit of any script. */
export function isDecimal(char: string): boolean {
  return /^\p{Nd}$/u.test(char) && isAssigned(char);
}

/** Whether a label that begins with it begins with a combining mark. */
export function beginsWithMark(text: string): boolean {
  return /^\p{M}/u.test(text) && isAssigned(text);
}

/** Whether every character of it can be shown: no controls, no separators but the space, nothing that is not assigned. */
export function isPrintable(text: string): boolean {
  if (isAscii(text)) return !NOT_PRINTABLE.test(text);
  return !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(known(text));
}

// --- as bytes ---------------------------------------------------------------------------------------------------------------

/** UTF-8; a lone surrogate becomes its three bytes, which no strict reader takes. */
export function utf8(text: string): Uint8Array {
  if (text.isWellFormed()) return encoder.encode(text);
  const bytes: number[] = [];
  for (const char of text) {
    const code = codeOf(char);
    if (code >= 0xd800 && code <= 0xdfff) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(...encoder.encode(char));
  }
  return Uint8Array.from(bytes);
}

const encoder = new TextEncoder();

/** JSON with nothing but ASCII in it, as every language of the contract writes what it hashes. */
export function asciiJson(value: unknown, comma = ","): string {
  if (Array.isArray(value)) return `[${value.map((one) => asciiJson(one, comma)).join(comma)}]`;
  return JSON.stringify(value).replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
