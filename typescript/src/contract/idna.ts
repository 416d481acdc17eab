/** Names that are not ASCII: UTS #46 mapping and A-labels (RFC 5891, RFC 3492), non-transitional, as browsers do it. */
import * as punycode from "./punycode.js";
import { JOINING, MAPPED, STATUS, VIRAMAS } from "./tables.js";
import { beginsWithMark, casefold, codeOf, isAscii, isAssigned, isLonger, mappings, nfc, nfkc, positions, Runs } from "./text.js";

const ROUNDS = 4;
const NON_JOINER = "\u200c";
const JOINER = "\u200d";

interface Tables {
  readonly statuses: Runs;
  readonly mapped: Map<string, string>;
  readonly viramas: Set<number>;
  readonly joining: Runs;
}

let read: Tables | undefined;

/** Read when the first such name comes: most agents never meet one. */
function tables(): Tables {
  read ??= {
    statuses: new Runs(STATUS),
    mapped: mappings(MAPPED),
    viramas: new Set(positions(VIRAMAS)),
    joining: new Runs(JOINING),
  };
  return read;
}

/** NFKC and case folding until nothing changes. */
function folded(char: string): string {
  let text = char;
  for (let round = 0; round < ROUNDS; round++) {
    const once = nfkc(casefold(nfkc(text)));
    if (once === text) break;
    text = once;
  }
  return text;
}

function character(char: string, transitional: boolean): string {
  const { statuses, mapped } = tables();
  const code = codeOf(char);
  switch (statuses.of(code, isAssigned(char) ? "N" : "X")) {
    case "N":
      return folded(char);
    case "V":
      return char;
    case "I":
      return "";
    case "D":
      return transitional ? (mapped.get(char) as string) : char;
    case "E":
      return mapped.get(char) as string;
    default:
      throw new RangeError("a character that may not stand in a host name");
  }
}

/** After the mapping of UTS #46, in NFC. `transitional` maps the four deviation characters too (IDNA2003). Throws RangeError. */
export function mapped(name: string, transitional = false): string {
  let text = name;
  for (let round = 0; round < ROUNDS; round++) {
    let once = "";
    for (const char of text) once += character(char, transitional);
    once = nfc(once);
    if (once === text) break;
    text = once;
  }
  return text;
}

/** The name with its labels as A-labels. Joiners that do not join anything are dropped. Throws RangeError. */
export function asciiName(name: string, transitional = false): string {
  return mapped(name, transitional).split(".").map(ascii).join(".");
}

function ascii(stated: string): string {
  if (stated.startsWith("xn--")) {
    check(stated);
    return stated;
  }
  const label = withoutIdleJoiners(stated);
  if (isAscii(label)) return label;
  if (beginsWithMark(label)) throw new RangeError("a label begins with a combining mark");
  if (isLonger(label, 63)) throw new RangeError("a label is longer than 63");
  const made = `xn--${punycode.encode(label)}`;
  check(made);
  return made;
}

/** An A-label has to be the one spelling of a label that needs it. */
function check(label: string): void {
  const name = decoded(label);
  if (isAscii(name)) throw new RangeError("an A-label spells a name that is plain ASCII");
  if (mapped(name) !== name || withoutIdleJoiners(name) !== name || beginsWithMark(name)) {
    throw new RangeError("an A-label spells a name that is not in canonical form");
  }
  if (label !== `xn--${punycode.encode(name)}`) throw new RangeError("an A-label is not the shortest spelling of its name");
}

/** What an A-label spells. Throws RangeError. */
export function decoded(label: string): string {
  if (isLonger(label, 63)) throw new RangeError("a label is longer than 63");
  if (!isAscii(label)) throw new RangeError("an A-label that is not valid punycode");
  return punycode.decode(label.slice(4));
}

/** ZWJ and ZWNJ stay where RFC 5892 appendix A lets them join something; elsewhere they are invisible and go. */
function withoutIdleJoiners(label: string): string {
  if (!label.includes(NON_JOINER) && !label.includes(JOINER)) return label;
  const chars = [...label];
  return chars.filter((char, at) => (char !== NON_JOINER && char !== JOINER) || joins(chars, at)).join("");
}

function joins(chars: string[], at: number): boolean {
  if (at > 0 && tables().viramas.has(codeOf(chars[at - 1] as string))) return true;
  if (chars[at] === JOINER) return false;
  const before = nextType(chars.slice(0, at).reverse());
  const after = nextType(chars.slice(at + 1));
  return (before === "L" || before === "D") && (after === "R" || after === "D");
}

function nextType(chars: string[]): string {
  return chars.map(joiningType).find((type) => type !== "T") ?? "";
}

function joiningType(char: string): string {
  const code = codeOf(char);
  const isTransparent = /^[\p{Mn}\p{Me}\p{Cf}]$/u.test(char) && isAssigned(char);
  const type = tables().joining.of(code, isTransparent ? "T" : "N");
  return type === "N" ? "" : type;
}
