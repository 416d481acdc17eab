/**
 * Targets: what an action is done to, taken apart into scheme, host, port and path; and whether it is a place on a network.
 *
 * Sources: WHATWG URL (how browsers and Node read a URL), RFC 3986 (how most Python clients do). Where the two disagree about the host,
 * `Target.also` holds the other reading: a deny looks at all of them, a permission needs all of them. ADR 0002.
 */
import { EGRESS_KINDS, KINDS } from "./action.js";
import { addressOf, canonicalAddress, format6, ipv6 } from "./address.js";
import { DEVIATIONS, host, transitional, trimmed } from "./host.js";
import { decoded } from "./idna.js";
import { TOP_LEVEL } from "./tables.js";
import { casefold, cut, isAscii, isAssigned, isLonger, isPrintable, nfkc, SPACE, strip, utf8 } from "./text.js";

/** WHATWG's special schemes, with their ports: a backslash is a slash in them, and any number of slashes begins the host. */
const PORTS: ReadonlyMap<string, number> = new Map([
  ["http", 80],
  ["https", 443],
  ["ws", 80],
  ["wss", 443],
  ["ftp", 21],
]);
function listed(names: string): ReadonlySet<string> {
  return new Set(names.split(" "));
}

/** Schemes that name no host. */
const OPAQUE = /* @__PURE__ */ listed(
  "about arn blob cid data file geo javascript mailto news npm pypi sms tel unix urn view-source",
);
/** Schemes whose authority is a bucket, which is no host. */
const BUCKETS = /* @__PURE__ */ listed("s3 s3a s3n gs gcs r2 az abfs abfss wasb wasbs dbfs");
const MAX = 4096;
const REMEMBERED = 4096;
const SHORT = 256;

// What nearly all targets look like. Group 2 is a dotted address, group 3 a name.
const FAST =
  /^(?:(https?|wss?):\/\/)?(?:([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)|((?:(?!xn--)[a-z0-9_-]{1,63}\.)*(?!xn--)[a-z_][a-z0-9_-]{0,62}))(?::([1-9][0-9]{0,3}))?([/?#][!-~]*)?$/;
const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;
const AUTHORITY_ENDS = /[/?#]/;
const SPECIAL_ENDS = /[/?#\\]/;
const PORT = /^([\s\S]*?)(?::([0-9]*))?$/;
const LABEL = /^[a-z0-9_-]+$/;
const WHITE = /* @__PURE__ */ new RegExp(`[${SPACE}]`);
const PATH = /^(?:[/\\~]|\.{1,2}(?:[/\\]|$))/;
const WINDOWS = /^[A-Za-z]:(?:[\\/]|$)/;

/**
 * `scheme` in lower case; `host` canonical or `""`; `port` as stated, else the scheme's, else 0; `path` as stated. `readable` false:
 * something stands where a host belongs that `host` refuses; `host` is then the nearest text, good for denying, never for permitting.
 * `also`: other hosts that another client would reach with the same text.
 */
export interface Target {
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly isAddress: boolean;
  readonly readable: boolean;
  readonly also: readonly string[];
}

const NONE: readonly string[] = Object.freeze([]);

function made(scheme: string, name: string, port: number, path: string, isAddress = false, readable = true, also = NONE): Target {
  return { scheme, host: name, port, path, isAddress, readable, also };
}

let remembered = new Map<string, Target>();

/** `host`, `host:port`, `[v6]:port`, a URL, or a path or other text (host `""`). Never throws. */
export function target(text: string): Target {
  let found = remembered.get(text);
  if (found === undefined) {
    found = read(text);
    if (text.length <= SHORT) {
      if (remembered.size >= REMEMBERED) remembered = new Map();
      remembered.set(text, found);
    }
  }
  return found;
}

function read(stated: string): Target {
  const fast = FAST.exec(stated);
  if (fast !== null) {
    const [, scheme = "", address, name = "", port, path = ""] = fast;
    const number = port ? Number(port) : (PORTS.get(scheme) ?? 0);
    if (address !== undefined) {
      if (canonicalAddress(address) !== undefined) return made(scheme, address, number, path, true);
    } else if (name.length <= 253) {
      return made(scheme, name, number, path);
    }
  }
  const text = trimmed(cut(stated, MAX)).replace(/[\t\n\r]/g, "");
  if (text === "" || WINDOWS.test(text)) return made("", "", 0, text);
  const scheme = schemeOf(text);
  if (scheme !== "") return withScheme(scheme, text.slice(scheme.length + 1));
  if (PATH.test(text)) {
    // //host/x is a path to a file system and a host to a URL parser: no host, but a deny looks at it.
    const doubled = /^(?:\/\/|\\\\|\/\\|\\\/)/.test(text);
    return made("", "", 0, text, false, true, doubled ? alsoOf(readings(text.slice(2), true)) : NONE);
  }
  return bare(text);
}

/** The scheme as it stands in `text`, or `""`: `evil.com:443` has none, `http:evil.com` has one. */
function schemeOf(text: string): string {
  const match = SCHEME.exec(text);
  if (match === null) return "";
  const stated = match[1] as string;
  const scheme = stated.toLowerCase();
  const rest = text.slice(match[0].length);
  if (PORTS.has(scheme) || OPAQUE.has(scheme) || rest.startsWith("//")) return stated;
  // jdbc:postgresql://db:5432/x
  const inner = SCHEME.exec(rest);
  return inner !== null && rest.startsWith("//", inner[0].length) ? stated : "";
}

function withScheme(stated: string, after: string): Target {
  const scheme = stated.toLowerCase();
  if (OPAQUE.has(scheme)) return opaque(scheme, after);
  const special = PORTS.has(scheme);
  let rest = after;
  if (special) rest = rest.replace(/^[/\\]+/, "");
  else if (rest.startsWith("//")) rest = rest.slice(2);
  else return target(rest); // jdbc:postgresql://…: the scheme that matters is the inner one
  if (BUCKETS.has(scheme)) return made(scheme, "", 0, rest);
  const end = rest.search(special ? SPECIAL_ENDS : AUTHORITY_ENDS);
  return resolved(readings(rest, special), scheme, end < 0 ? "" : rest.slice(end));
}

function opaque(scheme: string, rest: string): Target {
  if (scheme === "mailto") {
    const parts = (rest.split("?", 1)[0] as string).split(/[,;]/).slice(0, 16);
    return made(scheme, "", 0, rest, false, true, alsoOf(parts.filter((part) => part.includes("@")).map(afterAt)));
  }
  if (scheme === "file" && (rest.startsWith("//") || rest.startsWith("\\\\"))) {
    const share = readings(rest.slice(2), true);
    return made(scheme, "", 0, rest, false, true, share[0] ? alsoOf(share) : NONE);
  }
  return made(scheme, "", 0, rest);
}

function bare(text: string): Target {
  const end = text.search(SPECIAL_ENDS);
  const authority = end < 0 ? text : text.slice(0, end);
  // x@evil.com is a mail address, user@evil.com:22 an ssh target: no host by itself, but a deny looks at it.
  if (authority.includes("@")) return made("", "", 0, text, false, true, alsoOf(readings(text, true)));
  if (WHITE.test(authority)) return made("", "", 0, text);
  return resolved([authority, ...compatible(authority)], "", end < 0 ? "" : text.slice(end));
}

function afterAt(text: string): string {
  return text.slice(text.lastIndexOf("@") + 1);
}

/** Every `host:port` that some client reads at the start of `rest`, the canonical one first. */
function readings(rest: string, special: boolean): string[] {
  const plain = rest.split(AUTHORITY_ENDS, 1)[0] as string;
  const first = special ? (rest.split(SPECIAL_ENDS, 1)[0] as string) : plain;
  const found = [afterAt(first)];
  for (const other of [first, plain]) {
    found.push(afterAt(other));
    const parts = other.split("@");
    if (parts.length > 2) found.push(parts[1] as string);
  }
  found.push(...compatible(first).map(afterAt));
  return [...new Set(found)];
}

/** What is read after full-width `/ ? # @ : \` became the signs that they look like. */
function compatible(authority: string): string[] {
  if (isAscii(authority)) return [];
  const plain = nfkc(authority);
  return plain === authority ? [] : plain.split(SPECIAL_ENDS, 8);
}

function resolved(read: string[], scheme: string, path: string): Target {
  const [name, port, isPort] = hostPort(read[0] as string);
  let canonical: string;
  let readable = isPort;
  try {
    canonical = host(name);
  } catch {
    canonical = nearest(name);
    readable = false;
  }
  const others = alsoOf(
    read.slice(1).filter((reading) => readable || reading !== read[0]),
    canonical,
  );
  if (canonical && !readable && scheme === "" && path === "" && !canonical.includes(".")) canonical = "";
  const also = [...new Set([...spellings(name, canonical), ...others])];
  return made(scheme, canonical, port || (PORTS.get(scheme) ?? 0), path, addressOf(canonical) !== undefined, readable, also);
}

/** Host text, port, and whether the port is one. */
function hostPort(authority: string): [name: string, port: number, isPort: boolean] {
  if (!authority.startsWith("[") && authority.indexOf(":") !== authority.lastIndexOf(":")) return [authority, 0, true];
  const [, name = "", digits = ""] = PORT.exec(authority) as RegExpExecArray;
  if (name.includes(":") && !name.startsWith("[")) return [name.slice(0, name.indexOf(":")), 0, false];
  if (digits.length > 8) return [name, 0, false];
  const port = Number(digits);
  return port <= 65535 ? [name, port, true] : [name, 0, false];
}

function alsoOf(read: string[], known = ""): readonly string[] {
  const found: string[] = [];
  for (const reading of read) {
    const [name] = hostPort(reading);
    let one: string;
    try {
      one = host(name);
    } catch {
      one = nearest(name);
      if (!LABEL.test(one.slice(one.lastIndexOf(".") + 1))) continue; // no entry could ever match it
    }
    found.push(one, ...spellings(name, one));
  }
  return [...new Set(found)].filter((name) => name !== "" && name !== known);
}

/** Other hosts behind the same text: the IDNA2003 name, and the IPv6 address that `host` folded into IPv4. */
function spellings(name: string, canonical: string): string[] {
  const spelled: string[] = [];
  if (DEVIATIONS.test(name)) {
    try {
      spelled.push(transitional(name));
    } catch {
      // it has no such spelling
    }
  }
  if (name.includes(":") && canonical.includes(".")) {
    const value = ipv6(name.replace(/^[[\]]+|[[\]]+$/g, "").split("%", 1)[0] as string);
    if (value !== undefined) spelled.push(format6(value));
  }
  return spelled.filter((other) => other !== canonical);
}

/** The nearest host-like text to something that is no host, so that a deny of a name above it still holds. */
function nearest(name: string): string {
  const labels: string[] = [];
  for (const part of trimmed(casefold(nfkc(cut(name, 1024))))
    .replaceAll("\u3002", ".")
    .split(".")) {
    let label = "";
    for (const char of part) {
      if (!/^[\p{Cf}\p{Cc}\p{Zs}]$/u.test(char) || !isAssigned(char)) label += char;
    }
    if (label.startsWith("xn--")) {
      try {
        label = decoded(label);
      } catch {
        // it stays as it is
      }
    }
    if (label !== "") labels.push(label);
  }
  return cut(labels.join("."), 253);
}

// --- is it a place on a network? --------------------------------------------------------------------------------------------

const URL_ONLY = new Set(["file", "skill_load", "exec", "message"]);
/** Last labels that are a top-level domain, or look like one, but in a tool's target are nearly always a file's ending. */
const FILES = /* @__PURE__ */ listed(
  "bat bin cab cat cc cfg cpp cs css csv dat db doc docx env exe gz html ini java js json key lock log md mk mov mp pdf pem " +
    "php pl png ps pub py rb rs sh so sql srt tar tex tf txt xml yaml yml zip",
);
let topLevel: Set<string> | undefined;

/**
 * The place on a network that an action of `kind` with target `text` reaches, or undefined. `connect`, `http` and `dns` always reach
 * one; `file`, `skill_load`, `exec` and `message` only by a URL with a host; every other kind by a URL, `host:port`, an address or a
 * dotted name under a top-level domain that is not a file's usual ending.
 */
export function destination(kind: string, text: string): Target | undefined {
  const found = target(text);
  const known = KINDS.has(kind) ? kind : strip(kind).toLowerCase();
  if (found.host === "") {
    if (!EGRESS_KINDS.has(known) || trimmed(text) === "") return undefined;
    const [first, ...others] = found.also;
    return first === undefined ? found : made(found.scheme, first, 0, found.path, false, true, others);
  }
  if (EGRESS_KINDS.has(known) || found.scheme !== "") return found;
  if (URL_ONLY.has(known)) return undefined;
  return isPlace(found, text) ? found : undefined;
}

function isPlace(found: Target, text: string): boolean {
  if (found.port) return true;
  if (found.isAddress) return found.host.includes(":") || trimmed(text).split(".").length > 3;
  const dot = found.host.lastIndexOf(".");
  const last = found.host.slice(dot + 1);
  topLevel ??= topLevelNames();
  return dot >= 0 && last !== "" && found.readable && !FILES.has(last) && topLevel.has(last);
}

/** The names of the table, each of which is told by how many characters it shares with the one before. */
export function topLevelNames(): Set<string> {
  const names = new Set<string>();
  let before = "";
  for (const [, shared, rest] of TOP_LEVEL.matchAll(/([A-Z])([^A-Z]*)/g)) {
    before = before.slice(0, (shared as string).charCodeAt(0) - 65) + rest;
    names.add(before);
  }
  return names;
}

// --- URLs -------------------------------------------------------------------------------------------------------------------

const AS_IS = /[A-Za-z0-9\-._~!$&'()*+,;=:@/?[\]%]/;

/**
 * The canonical URL: scheme and host canonical, the scheme's own port, userinfo and fragment off, dot segments resolved,
 * percent-encoding in upper case and only where it is needed; the query stays as it is. Idempotent. Throws RangeError.
 */
export function url(text: string): string {
  const found = target(text);
  if (found.scheme === "" || found.host === "" || !found.readable || isLonger(text, MAX))
    throw new RangeError("not a URL with a host");
  const whole = found.path.split("#", 1)[0] as string;
  const at = whole.indexOf("?");
  const path = at < 0 ? whole : whole.slice(0, at);
  const query = at < 0 ? "" : `?${escaped(whole.slice(at + 1))}`;
  const name = found.host.includes(":") ? `[${found.host}]` : found.host;
  const port = found.port && found.port !== PORTS.get(found.scheme) ? `:${found.port}` : "";
  return `${found.scheme}://${name}${port}${urlPath(PORTS.has(found.scheme) ? path.replaceAll("\\", "/") : path)}${query}`;
}

function escaped(text: string): string {
  if (isAscii(text) && isPrintable(text) && !text.includes(" ")) return text;
  let out = "";
  for (const byte of utf8(text)) {
    const char = String.fromCharCode(byte);
    out += byte < 128 && AS_IS.test(char) ? char : `%${hex(byte)}`;
  }
  return out;
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}

function urlPath(path: string): string {
  const plain = escaped(path).replace(/%([0-9a-fA-F]{2})/g, (_, digits: string) => {
    const byte = Number.parseInt(digits, 16);
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9\-._~]/.test(char) ? char : `%${hex(byte)}`;
  });
  const segments: string[] = [];
  const parts = plain.split("/").slice(1);
  for (const [at, part] of parts.entries()) {
    if (part === "..") segments.pop();
    if (part !== "." && part !== "..") segments.push(part);
    else if (at === parts.length - 1) segments.push("");
  }
  return `/${segments.join("/")}`;
}
