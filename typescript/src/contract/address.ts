/**
 * Addresses as numbers: every spelling of IPv4 that `connect()` takes, IPv6 text, and the IPv4 addresses inside IPv6 ones.
 *
 * Sources: POSIX `inet_aton` as glibc reads it; RFC 4291, 5952 (IPv6 text), 6052 and 8215 (NAT64), 3056 (6to4), 4380 (Teredo),
 * 5214 (ISATAP), 2765 (IPv4-translated).
 */

/** An address with its family. */
export type Address = readonly [family: 4 | 6, value: bigint];

const MAX4 = 0xffff_ffffn;
const MAPPED = 0xffffn << 32n;
const NAT64 = 0x0064_ff9bn << 96n;
const DOTTED =
  /^(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])$/;

/** What `inet_aton` reads: one to four parts, each decimal, `0…` octal or `0x…` hex, the last one filling what is left. */
export function ipv4(text: string): bigint | undefined {
  if (text.length > 80) return undefined;
  const parts = text.split(".");
  if (parts.length > 4) return undefined;
  let value = 0n;
  for (const [at, text] of parts.entries()) {
    const part = readPart(text);
    if (part === undefined) return undefined;
    if (at < parts.length - 1) {
      if (part > 255n) return undefined;
      value = (value << 8n) | part;
    } else {
      const bits = BigInt(8 * (5 - parts.length));
      if (part >> bits) return undefined;
      value = (value << bits) | part;
    }
  }
  return value;
}

function readPart(text: string): bigint | undefined {
  if (/^0[xX][0-9a-fA-F]+$/.test(text)) return BigInt(text.toLowerCase());
  if (/^0[0-7]*$/.test(text)) return BigInt(`0o0${text}`);
  return /^[1-9][0-9]*$/.test(text) ? BigInt(text) : undefined;
}

/** The address in IPv6 text (RFC 4291 section 2.2). Neither brackets nor a zone. */
export function ipv6(text: string): bigint | undefined {
  if (text.length > 45 || !text.includes(":")) return undefined;
  const at = text.indexOf("::");
  const left = groups(at < 0 ? text : text.slice(0, at), at < 0);
  const right = groups(at < 0 ? "" : text.slice(at + 2), true);
  if (left === undefined || right === undefined) return undefined;
  const missing = 8 - left.length - right.length;
  if (at < 0 ? missing !== 0 : missing < 1) return undefined;
  let value = 0n;
  for (const group of [...left, ...Array<number>(missing).fill(0), ...right]) value = (value << 16n) | BigInt(group);
  return value;
}

function groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const found: number[] = [];
  const parts = text.split(":");
  for (const [at, part] of parts.entries()) {
    if (last && at === parts.length - 1 && part.includes(".")) {
      // Four decimal parts without leading zeros: the only IPv4 text that is allowed inside IPv6 text.
      if (!DOTTED.test(part)) return undefined;
      const value = Number(ipv4(part));
      found.push(Math.floor(value / 65536), value % 65536);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      found.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return found;
}

/** Dotted decimal. */
export function format4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((bits) => (value >> bits) & 255n).join(".");
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first, if equal) as `::`. */
export function format6(value: bigint): string {
  const found: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) found.push(Number((value >> shift) & 0xffffn));
  let [best, length, start] = [-1, 1, -1];
  for (const [at, group] of [...found, 1].entries()) {
    if (group === 0) {
      start = start < 0 ? at : start;
    } else if (start >= 0) {
      if (at - start > length) [best, length] = [start, at - start];
      start = -1;
    }
  }
  const hex = found.map((group) => group.toString(16));
  return best < 0 ? hex.join(":") : `${hex.slice(0, best).join(":")}::${hex.slice(best + length).join(":")}`;
}

/**
 * The IPv4 address that dialling this IPv6 address reaches: IPv4-mapped (`::ffff:0:0/96`), IPv4-compatible (`::/96`, but not `::` and
 * `::1`) and NAT64's well-known prefix (`64:ff9b::/96`). Others are in `embedded`.
 */
export function fold(value: bigint): bigint | undefined {
  const prefix = (value >> 32n) << 32n;
  return prefix === MAPPED || prefix === NAT64 || (prefix === 0n && value > 1n) ? value & MAX4 : undefined;
}

/** IPv4 addresses that an IPv6 address leads to without being them; a deny looks at these too, a permission never does. */
export function embedded(value: bigint): bigint[] {
  const low = value & MAX4;
  if (value >> 112n === 0x2002n) return [(value >> 80n) & MAX4];
  if (value >> 96n === 0x2001_0000n) return [low ^ MAX4, (value >> 64n) & MAX4];
  const isLocal = value >> 32n === 0xffff_0000n || value >> 80n === 0x0064_ff9b_0001n;
  return isLocal || ((value >> 32n) & 0xfcff_ffffn) === 0x5efen ? [low] : [];
}

/** The address of canonical address text; undefined for a name. Nothing is folded. */
export function addressOf(text: string): Address | undefined {
  if (text.includes(":")) {
    const value = ipv6(text);
    return value === undefined ? undefined : [6, value];
  }
  const last = text.charCodeAt(text.length - 1);
  if (last >= 48 && last <= 57) {
    const value = ipv4(text);
    return value === undefined ? undefined : [4, value];
  }
  return undefined;
}

/** The same for a canonical host: what ends in a digit and is no IPv6 is dotted decimal, and any other spelling is no address. */
export function canonicalAddress(text: string): Address | undefined {
  if (text.includes(":")) return addressOf(text);
  const last = text.charCodeAt(text.length - 1);
  return last >= 48 && last <= 57 && DOTTED.test(text) ? addressOf(text) : undefined;
}
