/** Hosts: one spelling for everything that dials the same name or address. */
import { fold, format4, format6, ipv4, ipv6 } from "./address.js";
import { asciiName } from "./idna.js";
import { between, isAscii, isLonger } from "./text.js";

const MAX_HOST = 253;
const MAX_RAW = 1024;
const REMEMBERED = 8192;

const PLAIN = /^(?:(?!xn--)[a-z0-9_-]{1,63}\.)*(?!xn--)[a-z_][a-z0-9_-]{0,62}$/;
const FORBIDDEN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;
const NUMERIC = /^(?:[0-9]+|0[xX][0-9a-fA-F]*)$/;

/** Without white space and controls at its ends, which are no part of a target (WHATWG URL). */
export function trimmed(text: string): string {
  const first = text.charCodeAt(0);
  const last = text.charCodeAt(text.length - 1);
  return first > 0x20 && last > 0x20 ? text : between(text, (char) => char <= " ");
}

let remembered = new Map<string, string>();

/**
 * The canonical host: lower-case A-labels without trailing dot, or canonical address text. IPv4 in every spelling of `inet_aton`,
 * IPv4-mapped, IPv4-compatible and NAT64 IPv6 become dotted IPv4; brackets, zone ids, white space around it and trailing dots are
 * off; percent-encoding is undone once; UTS #46 is applied. Idempotent. Throws RangeError on what is no host.
 */
export function host(text: string): string {
  if (text.length <= MAX_HOST && PLAIN.test(text)) return text;
  if (text.length > 64) return read(text);
  const found = remembered.get(text);
  if (found !== undefined) return found;
  const made = read(text);
  if (remembered.size >= REMEMBERED) remembered = new Map();
  remembered.set(text, made);
  return made;
}

function read(stated: string): string {
  if (isLonger(stated, MAX_RAW)) throw new RangeError("the host is too long");
  const text = trimmed(stated);
  if (text.startsWith("[")) {
    if (!text.endsWith("]")) throw new RangeError("a bracket is open");
    return literal(text.slice(1, -1));
  }
  if (text.indexOf(":") !== text.lastIndexOf(":")) return literal(text);
  return nameOf(text.includes("%") ? percentDecoded(text) : text);
}

function literal(text: string): string {
  const address = text.split("%", 1)[0] as string;
  const value = ipv6(address);
  if (value === undefined) {
    // The deployed clients read [1.2.3.4] as the IPv4 address that it is.
    const plain = ipv4(address);
    if (plain === undefined || address.includes(":")) throw new RangeError("not an IPv6 address");
    return format4(plain);
  }
  const four = fold(value);
  return four === undefined ? format6(value) : format4(four);
}

/** Percent-encoding undone once. Throws RangeError when what comes out is not UTF-8 or is still encoded. */
function percentDecoded(text: string): string {
  let out: string;
  try {
    out = decodeURIComponent(text);
  } catch {
    throw new RangeError("a percent sign that encodes nothing, or bytes that are not UTF-8");
  }
  if (!text.isWellFormed()) throw new RangeError("a lone surrogate");
  if (out.includes("%")) throw new RangeError("the host is percent-encoded twice");
  return out;
}

function nameOf(stated: string): string {
  let text = isAscii(stated) ? stated.toLowerCase() : asciiName(stated);
  // An A-label may spell what it must not, so it is read as what it spells.
  if (text.includes("xn--")) text = asciiName(text);
  text = text.replace(/\.+$/, "");
  if (text === "") throw new RangeError("the host is empty");
  if (FORBIDDEN.test(text)) throw new RangeError("a character that no host may hold");
  if (NUMERIC.test(text.slice(text.lastIndexOf(".") + 1))) {
    const value = ipv4(text);
    if (value === undefined) throw new RangeError("it ends in a number and is no IPv4 address");
    return format4(value);
  }
  if (text.length > MAX_HOST) throw new RangeError("the host is longer than 253");
  for (const label of text.split(".")) {
    if (label === "" || label.length > 63) throw new RangeError("a label is empty or longer than 63");
  }
  return text;
}

/** The host that an IDNA2003 client dials: sharp s and final sigma mapped, joiners dropped. Throws RangeError. */
export function transitional(text: string): string {
  return nameOf(asciiName(text, true));
}

/** Characters that IDNA2003 and IDNA2008 read differently. */
export const DEVIATIONS = /[\u00df\u1e9e\u03c2\u200c\u200d]/;
