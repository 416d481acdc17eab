/**
 * What may leave the tenant: typed facts and keyed hashes in place of the text of a run.
 *
 * Kept as they are: who acts, what with (kind, tool, publisher, hash), where to (scheme, host, port), ids, and a few listed metadata
 * keys. Everything else that a run wrote becomes a fact: where it stood, its type, its length, and an HMAC-SHA256 cut to 64 bits under
 * a key that stays in the tenant, so that equal values can still be recognised as equal.
 */
import { createHmac } from "node:crypto";
import type { Action } from "./action.js";
import { isObject, MAX_NAME } from "./fields.js";
import { renamed } from "./score.js";
import { isLonger, isPrintable, known, SPACE, size, utf8 } from "./text.js";
import type { Finding, Verdict } from "./verdict.js";

const MAX_FACTS = 64;
const MAX_DEPTH = 8;
/** Segments of a path that are kept; the rest becomes one hash. */
const MAX_SEGMENTS = 8;
/** Characters of a kept value of a finding. */
const MAX_VALUE = 512;
/** Characters of a value that is looked for in sentences: a shorter one would be found in words that are not it. */
const SHORTEST = 4;

const split = (names: string): ReadonlySet<string> => new Set(names.split(" "));
const NUMBERS = /* @__PURE__ */ split(
  "status port bytes_in bytes_out bytes_up bytes_down duration duration_ms exit_status items pid ppid",
);
const SWITCHES = /* @__PURE__ */ split(
  "sensitive blocked failed encrypted relayed truncated dry accepted host_differs sni_differs",
);
const NAMES = /* @__PURE__ */ split(
  "source method protocol transport direction alpn tls framework outcome mode phase ended inspected",
);
const HOSTS = /* @__PURE__ */ split("sni host server address resolved");
const TYPES = /* @__PURE__ */ split("text url email host path number boolean null list object bytes");

const TOKEN = /^~[0-9a-f]{16}$/;
const WORD = /^(?:[A-Za-z]{0,16}[0-9]{0,4}|v[0-9]{1,4})$/;
const SEGMENT = /^(?:[A-Za-z0-9._-]{1,32}|[A-Za-z]:)$/;
const ENUM = /^[A-Za-z][A-Za-z0-9_./+-]{0,31}$/;
const ID = /^[A-Za-z0-9._:+/=~-]{0,128}$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]{0,15}):\/\//;
const PORT = /^(.*?)(?::([0-9]{1,5}))?$/;
const LABELS = /^(?:[\p{L}\p{N}_-]{1,63}\.)*[\p{L}\p{N}_-]{1,63}\.?$/u;
const IPV6 = /^\[?[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]{1,15})?\]?$/;
const TOP_LEVEL = /^(?:[A-Za-z]{2,18}|xn--[A-Za-z0-9-]{2,59})$/;
const EMAIL = /* @__PURE__ */ new RegExp(`^[^${SPACE}@/?#]{1,128}@[\\p{L}\\p{N}_.-]{1,253}$`, "u");
const PART = "(?:[A-Za-z_][A-Za-z0-9_-]{0,31}|~[0-9a-f]{16})";
const FACT_PATH = /* @__PURE__ */ new RegExp(`^${PART}(?:\\.${PART}|\\[[0-9]{1,4}\\])*$`);

/** The key for `outward`, from a secret of the tenant (at least 16 random bytes; never the API key, whose hash the server has). */
export function boundaryKey(secret: Uint8Array): Buffer {
  return createHmac("sha256", secret).update("kaizen boundary v1").digest();
}

/** `action` as it may leave the tenant. Idempotent, also under another key. */
export function outward(action: Action, key: Uint8Array): Action {
  const names = (stated: readonly string[]) => stated.slice(0, MAX_FACTS).map((name) => label(name, key));
  const clean = {
    ...action,
    target: outwardTarget(action.target, key),
    metadata: new Facts(key).of(action),
    seenBy: names(action.seenBy),
    delegation: names(action.delegation),
  };
  for (const field of ["kind", "tool", "publisher"] as const) clean[field] = label(clean[field], key);
  for (const field of ["hash", "id", "runId", "actId"] as const) clean[field] = idOf(clean[field], key);
  return clean;
}

/**
 * A verdict as it may leave the tenant: findings name values that an action had, so these are treated like its target, also where
 * the reason, the notes and the finding's own sentences repeat them.
 */
export function outwardVerdict(verdict: Verdict, key: Uint8Array): Verdict {
  if (!verdict.evidence.length && !verdict.score) return verdict;
  const score = verdict.score && renamed(verdict.score, (name) => component(name, key));
  const changed = new Map<string, string>();
  const evidence = verdict.evidence.map((finding) => {
    const clean = { ...finding, ...cleaned(finding, key) };
    for (const name of ["value", "observed"] as const) {
      if (finding[name] !== clean[name] && isLonger(finding[name], SHORTEST - 1)) changed.set(finding[name], clean[name]);
    }
    return clean;
  });
  if (!changed.size) return verdict.with({ evidence, score });
  // Of two that begin alike the longer one first.
  const longest = [...changed.keys()].sort().reverse();
  const pattern = new RegExp(longest.map((raw) => raw.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("|"), "gu");
  const told = (text: string): string => text.replace(pattern, (found) => changed.get(found) as string);
  for (const one of evidence) Object.assign(one, { expected: told(one.expected), advice: told(one.advice) });
  return verdict.with({ reason: told(verdict.reason), notes: verdict.notes.map(told), evidence, score });
}

function cleaned({ field, value, observed }: Finding, key: Uint8Array): { value: string; observed: string } {
  const clean = /^(?:metadata|arguments)/.test(field) ? hashedOnce : shownValue;
  if (field !== "target" || observed === "") return { value: clean(value, key), observed: clean(observed, key) };
  // What the target had is as hidden as it is in the target; what a list has (`*.evil.example`) is the owner's own word.
  const shown = outwardTarget(observed, key);
  const isHidden = observed.includes(value) && !shown.includes(value);
  return { value: (isHidden ? outwardTarget : clean)(value, key), observed: shown };
}

/** A tool or a publisher as it is; what has the shape of a place as a target. */
function shownValue(value: string, key: Uint8Array): string {
  return /[/@?]/.test(value) ? outwardTarget(value, key) : nameOf(value, key);
}

/** `~` and 16 hex digits: the first 64 bits of the HMAC-SHA256 (RFC 2104) of `value`. */
export function hashed(value: string, key: Uint8Array): string {
  return `~${createHmac("sha256", key).update(utf8(value)).digest("hex").slice(0, 16)}`;
}

function hashedOnce(value: string, key: Uint8Array): string {
  return value === "" || TOKEN.test(value) ? value : hashed(value, key);
}

function nameOf(value: string, key: Uint8Array): string {
  return !isLonger(value, MAX_VALUE) && isPrintable(value) ? value : hashed(value, key);
}

function label(value: string, key: Uint8Array): string {
  // A longer one is refused by whoever reads the report: then nobody would ever see what was done under such a name.
  return isLonger(value, MAX_NAME) ? hashed(value, key) : nameOf(value, key);
}

function idOf(value: string, key: Uint8Array): string {
  return ID.test(value) ? value : hashed(value, key);
}

// --- targets ----------------------------------------------------------------------------------------------------------------

/** Scheme, host and port as they are; of the path only what looks like words; a text that is no place becomes one hash. */
export function outwardTarget(target: string, key: Uint8Array): string {
  if (target === "") return "";
  const scheme = SCHEME.exec(target);
  if (scheme === null) return placeless(target, key);
  const rest = target.slice(scheme[0].length);
  const end = rest.search(/[/\\?#]/);
  const whole = end < 0 ? rest : rest.slice(0, end);
  const authority = whole.slice(whole.lastIndexOf("@") + 1);
  const shown = authority === "" || isHost(authority, false) ? authority : hashedOnce(authority, key);
  return `${scheme[1]}://${shown}${pathOf(end < 0 ? "" : rest.slice(end), key)}`;
}

/** A target without a scheme: host, host:port, an address of a person, a path, a command line, or any other text. */
function placeless(target: string, key: Uint8Array): string {
  if (isHost(target, true)) return target;
  if (EMAIL.test(known(target))) {
    const at = target.lastIndexOf("@");
    return `${hashedOnce(target.slice(0, at), key)}${target.slice(at)}`;
  }
  const space = target.indexOf(" ");
  if (space >= 0) {
    const first = target.slice(0, space);
    return isPath(first) ? `${pathOf(first, key)} ${hashedOnce(target.slice(space + 1), key)}` : hashed(target, key);
  }
  return /[/\\]/.test(target) || isPath(target) ? pathOf(target, key) : hashedOnce(target, key);
}

/** A host or an address, perhaps with a port. `bare`: nothing but the text's own shape says so, so it has to look like one. */
function isHost(text: string, bare: boolean): boolean {
  if (IPV6.test(text) && text.split(":").length > 2) return true;
  if (text.startsWith("[")) {
    const end = text.indexOf("]");
    const host = end < 0 ? text : text.slice(0, end);
    return IPV6.test(`${host}]`) && /^(?::[0-9]{1,5})?$/.test(end < 0 ? "" : text.slice(end + 1));
  }
  const match = PORT.exec(text);
  const host = match?.[1] ?? text;
  if (isLonger(host, 253) || !LABELS.test(known(host))) return false;
  if (!bare || match?.[2]) return true;
  if (/^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(host)) return true;
  const plain = host.replace(/\.+$/, "");
  const last = plain.slice(plain.lastIndexOf(".") + 1);
  return host.includes(".") && TOP_LEVEL.test(last) && host.split(".").every((one) => !isLonger(one, 40));
}

function isPath(text: string): boolean {
  return text.split(/[/\\]/).every((segment) => segment === "" || isHarmless(segment));
}

/** A path with its harmless segments; each other one hashed; query and fragment gone. */
function pathOf(text: string, key: Uint8Array): string {
  const parts = (text.split(/[?#]/, 1)[0] as string).split(/([/\\])/);
  let kept = "";
  let segments = 0;
  for (const [at, part] of parts.entries()) {
    if (at % 2 || part === "") {
      kept += part;
    } else if (++segments > MAX_SEGMENTS) {
      return kept + hashedOnce(parts.slice(at).join(""), key);
    } else {
      kept += isHarmless(part) ? part : hashedOnce(part, key);
    }
  }
  return kept;
}

/** Short, made of at most five plain words and short numbers, or a hash of ours. */
function isHarmless(segment: string): boolean {
  if (TOKEN.test(segment)) return true;
  if (!SEGMENT.test(segment)) return false;
  const words = segment.split(/[._:-]/);
  return words.length <= 5 && words.every((word) => WORD.test(word)) && !words.some(isMixed);
}

/** Capitals scattered through small letters, as in encoded data; `ReadMe` and `README` are words. */
function isMixed(word: string): boolean {
  return word.length >= 8 && (word.match(/[a-z](?=[A-Z])/g)?.length ?? 0) > 1;
}

// --- metadata ---------------------------------------------------------------------------------------------------------------

interface Fact {
  readonly field: string;
  readonly type: string;
  readonly length: number;
  readonly hmac: string;
}

/** Collects the facts of one action. */
class Facts {
  private readonly facts: Fact[] = [];
  private omitted = 0;

  constructor(private readonly key: Uint8Array) {}

  of(action: Action): Record<string, unknown> {
    const kept: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(action.metadata)) {
      if (name === "facts") this.takeOver(value);
      else if (name === "facts_omitted" && Number.isInteger(value) && (value as number) > 0 && (value as number) < 2 ** 50) {
        this.omitted += value as number;
      } else if (isKept(name, value)) kept[name] = value;
      else this.walk(value, component(name, this.key), 0);
    }
    for (const [name, text] of hidden(action.target)) this.add(`target_${name}`, "text", text);
    if (this.facts.length) kept["facts"] = this.facts;
    if (this.omitted) kept["facts_omitted"] = this.omitted;
    return kept;
  }

  /** Facts that are facts already stay; anything else under that name is text like any other. */
  private takeOver(value: unknown): void {
    if (!Array.isArray(value)) {
      this.walk(value, "facts", 0);
      return;
    }
    for (const [at, entry] of value.entries()) {
      if (!isFact(entry)) this.walk(entry, `facts[${Math.min(at, 9999)}]`, 1);
      else if (this.facts.length < MAX_FACTS) this.facts.push(entry);
      else this.omitted++;
    }
  }

  private walk(value: unknown, path: string, depth: number): void {
    if (this.facts.length >= MAX_FACTS) {
      this.omitted++;
      return;
    }
    const below =
      typeof value !== "object" || value === null || depth >= MAX_DEPTH
        ? []
        : Array.isArray(value)
          ? value.map((item, at) => [`${path}[${Math.min(at, 9999)}]`, item] as const)
          : Object.entries(value).map(([name, item]) => [`${path}.${component(name, this.key)}`, item] as const);
    if (below.length === 0) this.add(path, ...typed(value));
    for (const [at, [where, item]] of below.entries()) {
      if (this.facts.length >= MAX_FACTS) {
        this.omitted += below.length - at;
        return;
      }
      this.walk(item, where, depth + 1);
    }
  }

  private add(field: string, type: string, text: string): void {
    if (this.facts.length >= MAX_FACTS) this.omitted++;
    else this.facts.push({ field, type, length: size(text), hmac: hashed(text, this.key).slice(1) });
  }
}

function isNamed(part: string): boolean {
  return TOKEN.test(part) || isHarmless(part.replaceAll("_", "-").replace(/^-+|-+$/g, "") || "a");
}

/** A name within a document, if it looks like one. */
function component(name: string, key: Uint8Array): string {
  const plain = /^[A-Za-z_][A-Za-z0-9_-]{0,31}$/.test(name) && isNamed(name);
  return plain || TOKEN.test(name) ? name : hashed(name, key);
}

function isKept(name: string, value: unknown): boolean {
  if (SWITCHES.has(name)) return typeof value === "boolean";
  if (NUMBERS.has(name)) return typeof value === "number" && Math.abs(value) < 1e15;
  if (typeof value !== "string") return false;
  return NAMES.has(name) ? ENUM.test(value) && value.split(/[/+]/).every(isHarmless) : HOSTS.has(name) && isHost(value, true);
}

/** Exactly what `Facts.add` writes, so that nobody carries text out under the name of a fact. */
function isFact(entry: unknown): entry is Fact {
  if (!isObject(entry) || Object.keys(entry).sort().join() !== "field,hmac,length,type") return false;
  const { field, type, length, hmac } = entry;
  return (
    typeof field === "string" &&
    field.length <= MAX_VALUE &&
    FACT_PATH.test(field) &&
    field.split(/[.[\]]+/).every((part) => part === "" || /^[0-9]+$/.test(part) || isNamed(part)) &&
    typeof type === "string" &&
    TYPES.has(type) &&
    Number.isInteger(length) &&
    (length as number) >= 0 &&
    (length as number) < 2 ** 40 &&
    typeof hmac === "string" &&
    /^[0-9a-f]{16}$/.test(hmac)
  );
}

/** The type of a leaf, and its text for length and hash. */
function typed(value: unknown): [type: string, text: string] {
  if (value === null || value === undefined) return ["null", ""];
  if (typeof value === "boolean") return ["boolean", value ? "True" : "False"];
  if (typeof value === "number") return ["number", String(value)];
  if (typeof value === "string") return [textType(value), value];
  return [Array.isArray(value) ? "list" : "object", JSON.stringify(value)];
}

function textType(text: string): string {
  if (text === "" || isLonger(text, 2048)) return "text";
  if (SCHEME.test(text)) return "url";
  if (EMAIL.test(known(text))) return "email";
  if (isHost(text, true)) return "host";
  return /^[/~.]/.test(text) && !text.includes(" ") && text.includes("/") ? "path" : "text";
}

/** The parts of a URL that `outwardTarget` leaves out. */
function hidden(target: string): [name: string, text: string][] {
  const scheme = SCHEME.exec(target);
  const rest = scheme ? target.slice(scheme[0].length) : target;
  if (!scheme && !rest.includes("/")) return [];
  const [plain, fragment] = partition(rest, "#");
  const [place, query] = partition(plain, "?");
  const authority = place.split(/[/\\]/, 1)[0] as string;
  const userinfo = scheme ? authority.slice(0, Math.max(authority.lastIndexOf("@"), 0)) : "";
  const parts: [string, string][] = [
    ["userinfo", userinfo],
    ["query", query],
    ["fragment", fragment],
  ];
  return parts.filter(([, text]) => text !== "");
}

function partition(text: string, sign: string): [before: string, after: string] {
  const at = text.indexOf(sign);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
