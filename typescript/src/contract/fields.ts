/**
 * Reading the fields of a JSON document: each is bounded and checked, and an error names the field, never its value.
 *
 * Absent, `null` and `""` are the same everywhere.
 */
import type { Json } from "./action.js";
import { InvalidInput, TooLarge } from "./errors.js";
import { cut, isLonger, size } from "./text.js";

/** Bytes of one document. */
const MAX_DOCUMENT = 1 << 20;
/** Characters of a target, a reason, a finding's field. */
const MAX_TEXT = 4096;
/** Characters of an agent, a tool, a publisher, a hash, an id. */
export const MAX_NAME = 256;
const MAX_DEPTH = 32;
/** Values in one open document (metadata, a result's content). */
const MAX_VALUES = 20_000;
const MAX_LIST = 1000;

/** A JSON object. */
export type Obj = { readonly [key: string]: Json };

/** The JSON document in `data`. Throws TooLarge over `limit` bytes, InvalidInput for what is not JSON (RFC 8259). */
export function parse(data: Uint8Array, limit = MAX_DOCUMENT): Json {
  if (data.length > limit) throw new TooLarge("", `the document has ${data.length} bytes, at most ${limit} are taken`);
  try {
    return JSON.parse(decoder.decode(data)) as Json;
  } catch {
    throw new InvalidInput("", "the document is not valid JSON");
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Whether `value` is an object with fields, and no list. */
export function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `document` as an object. */
export function obj(document: unknown, field: string): Obj {
  if (!isObject(document)) throw new InvalidInput(field, "must be an object");
  return document as Obj;
}

/** The list under `key`, empty when absent. */
export function array(document: Obj, key: string, path = "", limit = MAX_LIST): readonly Json[] {
  const value = document[key];
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw new InvalidInput(path + key, "must be a list");
  if (value.length > limit) throw new TooLarge(path + key, `has ${value.length} entries, at most ${limit} are taken`);
  return value;
}

/** The text under `key`; absent and null are `""`. */
export function text(document: Obj, key: string, path = "", limit = MAX_TEXT): string {
  const value = document[key];
  return value === null || value === undefined ? "" : plainText(value, path + key, limit);
}

/** `value` as text that can be stored and shown anywhere. */
export function plainText(value: unknown, field: string, limit = MAX_TEXT): string {
  if (typeof value !== "string") throw new InvalidInput(field, "must be text");
  if (isLonger(value, limit)) throw new TooLarge(field, `has ${size(value)} characters, at most ${limit} are taken`);
  if (!isStorable(value)) throw new InvalidInput(field, "holds a lone surrogate or a NUL, which is not text");
  return value;
}

/** The list of texts under `key`, empty when absent. */
export function texts(document: Obj, key: string, path = "", limit = MAX_TEXT): readonly string[] {
  return array(document, key, path).map((value, at) => plainText(value, `${path}${key}[${at}]`, limit));
}

/** A whole number from 0. */
export function whole(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
    throw new InvalidInput(field, "must be a whole number from 0");
  return value;
}

/** The boolean under `key`. */
export function boolean(document: Obj, key: string, path = "", fallback = false): boolean {
  const value = document[key];
  if (value === null || value === undefined) return fallback;
  if (typeof value !== "boolean") throw new InvalidInput(path + key, "must be true or false");
  return value;
}

const INSTANT =
  /^(\d{4})-?(\d{2})-?(\d{2})[Tt ](\d{2}):?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?(?:Z|([+-])(\d{2})(?::?(\d{2})(?::?(\d{2}))?)?)$/;

/** The RFC 3339 instant under `key` as Unix seconds, 0 when absent. */
export function instant(document: Obj, key: string, path = ""): number {
  const said = text(document, key, path, 64);
  if (said === "") return 0;
  const at = seconds(said);
  if (at === undefined) throw new InvalidInput(path + key, "must be an RFC 3339 instant with its offset");
  return at;
}

const FIRST = Date.UTC(2000, 0, 1) / 1000 - 63_082_281_600; // the year 1
const LAST = Date.UTC(9999, 11, 31, 23, 59, 59) / 1000;

function seconds(said: string): number | undefined {
  const match = INSTANT.exec(said);
  if (match === null) return undefined;
  const part = (at: number) => Number(match[at] ?? 0);
  const [year, month, day, hour, minute, second] = [part(1), part(2), part(3), part(4), part(5), part(6)];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (year < 1 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  if (hour > 23 || minute > 59 || second > 59 || part(9) > 23 || part(10) > 59 || part(11) > 59) return undefined;
  const offset = (match[8] === "-" ? -1 : 1) * (part(9) * 3600 + part(10) * 60 + part(11));
  const fraction = Number(`0.${(match[7] ?? "0").slice(0, 6)}`);
  const at = date.getTime() / 1000 + hour * 3600 + minute * 60 + second - offset;
  return at < FIRST || at > LAST ? undefined : at + fraction;
}

/** Unix seconds as RFC 3339 in UTC with microseconds; `""` for 0. */
export function rfc3339(at: number): string {
  if (!at) return "";
  let whole = Math.floor(at);
  let micros = Math.round((at - whole) * 1e6);
  if (micros === 1_000_000) [whole, micros] = [whole + 1, 0];
  return `${new Date(whole * 1000).toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`;
}

/** `document` without what says nothing: empty texts and lists, null. */
export function sparse(document: { [key: string]: Json }): { [key: string]: Json } {
  const kept: { [key: string]: Json } = {};
  for (const key in document) {
    const value = document[key];
    if (value != null && (value as string).length !== 0) kept[key] = value;
  }
  return kept;
}

function isStorable(value: string): boolean {
  return !value.includes("\0") && value.isWellFormed();
}

/** Refuse what a store could not keep, at any depth of an open document, and more than `most` values. */
export function checkJson(value: Json | undefined, field: string, most = MAX_VALUES): void {
  let count = 0;
  // Level by level, so that a document that has too many is refused before anybody looks at them all.
  let level: [value: Json, field: string][] = [[value ?? null, field]];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new InvalidInput(field, `is nested deeper than ${MAX_DEPTH}`);
    const below: [Json, string][] = [];
    for (const [one, where] of level) {
      if (typeof one === "string") {
        if (!isStorable(one)) throw new InvalidInput(where, "holds a lone surrogate or a NUL, which is not text");
      } else if (Array.isArray(one)) {
        count += one.length;
        if (count <= most) for (const [at, item] of one.entries()) below.push([item, `${where}[${at}]`]);
      } else if (isObject(one)) {
        const entries = Object.entries(one);
        count += entries.length;
        if (count > most) break;
        for (const [key, item] of entries) {
          if (!isStorable(key)) throw new InvalidInput(where, "has a key that is not text");
          below.push([item, `${where}.${cut(key, 64)}`]);
        }
      }
    }
    if (count > most) throw new InvalidInput(field, `has more than ${most} values`);
    level = below;
  }
}
