/**
 * The pattern language of policies: the part of Python's `re` syntax that an automaton can match in linear time.
 *
 * Taken: literals, `.`, classes, `\d \w \s` and their opposites, groups, `|`, `* + ? {m,n}` (also lazy), `^ $ \A \Z \b \B`, `(?i)` and
 * `(?s)` in front. Refused with the reason: look-around, back-references, conditions, atomic groups, possessive repeats, other flags.
 */

import { codeOf } from "./text.js";

/** One of the `options`; `parts` one after the other; `part` from `least` to `most` times; an edge; or one character. */
export type Node =
  | { readonly type: "chars"; readonly ranges: readonly Range[]; readonly classes: string; readonly negated: boolean }
  | { readonly type: "sequence"; readonly parts: readonly Node[] }
  | { readonly type: "choice"; readonly options: readonly Node[] }
  | { readonly type: "repeat"; readonly part: Node; readonly least: number; readonly most: number | undefined }
  | { readonly type: "assertion"; readonly kind: string };
export type Chars = Extract<Node, { type: "chars" }>;
type Range = readonly [first: number, last: number];

const MAX_PATTERN = 1000;
const MAX_NESTING = 40;
const MAX_REPEAT = 1000;

/** One character out of ranges of code points, or of the classes `dDwWsS`; or none of them. */
export function chars(ranges: readonly Range[], classes = "", negated = false): Chars {
  return { type: "chars", ranges, classes, negated };
}

const DOT = /* @__PURE__ */ chars([[10, 10]], "", true);
const ANY = /* @__PURE__ */ chars([[0, 0x10ffff]]);
const FLAGS = /^\(\?([a-zA-Z]+)\)/;
const GROUP = /^\(\?(?::|P<[\p{L}\p{Nl}\p{No}_][\p{L}\p{N}_]{0,63}>)/u;
const BRACES = /^\{([0-9]{0,4})(,?)([0-9]{0,4})\}/;
const HEX = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/;
const OCTAL = /^(?:0[0-7]{0,2}|[1-3][0-7]{2})/;
const SIMPLE = new Map([
  ["a", 7],
  ["f", 12],
  ["n", 10],
  ["r", 13],
  ["t", 9],
  ["v", 11],
]);
const EDGES = new Map([
  ["A", "^"],
  ["Z", "$"],
  ["b", "b"],
  ["B", "B"],
]);

/** The pattern as a tree. Throws RangeError saying what is not taken and where. */
export function parse(pattern: string): Node {
  const reader = new Reader(pattern);
  const tree = reader.choice(0);
  if (!reader.ended) reader.refuse("a ) without its (");
  return tree;
}

/** The only text that `node` matches, when it is one. */
export function literal(node: Node): string | undefined {
  if (node.type === "chars") {
    const [range, ...others] = node.ranges;
    const one = range !== undefined && others.length === 0 && range[0] === range[1] && node.classes === "" && !node.negated;
    return one ? String.fromCodePoint(range[0]) : undefined;
  }
  if (node.type !== "sequence") return undefined;
  const texts = node.parts.map(literal);
  return texts.includes(undefined) ? undefined : texts.join("");
}

/** Recursive descent; `at` is the next character. */
class Reader {
  private readonly chars: string[];
  private at = 0;
  private dot = DOT;

  constructor(pattern: string) {
    this.chars = [...pattern];
    if (this.chars.length > MAX_PATTERN) throw new RangeError(`the pattern is longer than ${MAX_PATTERN} characters`);
    for (let match = FLAGS.exec(this.rest(MAX_PATTERN)); match !== null; match = FLAGS.exec(this.rest(MAX_PATTERN))) {
      const letters = match[1] as string;
      if (!/^[isu]+$/.test(letters)) this.refuse("the only flags that are taken are i and s");
      if (letters.includes("s")) this.dot = ANY;
      this.at += match[0].length;
    }
  }

  get ended(): boolean {
    return this.at >= this.chars.length;
  }

  refuse(problem: string): never {
    throw new RangeError(`${problem} (at character ${this.at + 1})`);
  }

  private char(ahead = 0): string {
    return this.chars[this.at + ahead] ?? "";
  }

  private rest(length: number): string {
    return this.chars.slice(this.at, this.at + length).join("");
  }

  choice(depth: number): Node {
    if (depth > MAX_NESTING) this.refuse(`groups are nested deeper than ${MAX_NESTING}`);
    const options = [this.sequence(depth)];
    while (this.char() === "|") {
      this.at++;
      options.push(this.sequence(depth));
    }
    return options.length === 1 ? (options[0] as Node) : { type: "choice", options };
  }

  private sequence(depth: number): Node {
    const parts: Node[] = [];
    while (!this.ended && this.char() !== "|" && this.char() !== ")") parts.push(this.repeated(this.atom(depth)));
    return parts.length === 1 ? (parts[0] as Node) : { type: "sequence", parts };
  }

  private atom(depth: number): Node {
    const char = this.char();
    if (char === "(") return this.group(depth);
    if (char === "[") return this.charClass();
    if (char === "\\") return this.escape();
    if (char === "*" || char === "+" || char === "?") this.refuse("nothing to repeat");
    if (char === "{") this.refuse("a { that repeats nothing; write \\{ for the sign itself");
    this.at++;
    if (char === "^" || char === "$") return { type: "assertion", kind: char };
    return char === "." ? this.dot : one(codeOf(char));
  }

  private group(depth: number): Node {
    if (this.char(1) === "?") {
      const match = GROUP.exec(this.rest(80));
      if (match === null) {
        this.refuse("look-around, back-references, conditions, atomic groups and flags inside are not linear, so not taken");
      }
      this.at += [...match[0]].length;
    } else {
      this.at++;
    }
    const tree = this.choice(depth + 1);
    if (this.char() !== ")") this.refuse("a ( without its )");
    this.at++;
    return tree;
  }

  private repeated(part: Node): Node {
    const [least, most] = this.quantifier();
    if (least < 0) return part;
    if (part.type === "assertion") this.refuse("nothing to repeat");
    if (this.char() === "?")
      this.at++; // lazy: the same texts match
    else if (this.char() === "+") this.refuse("possessive repeats are not linear, so not taken");
    if (/^[*+?]$/.test(this.char()) || BRACES.test(this.rest(12))) {
      this.refuse("a repeat of a repeat; put the inner one into a group");
    }
    return { type: "repeat", part, least, most };
  }

  private quantifier(): [number, number | undefined] {
    const char = this.char();
    if (char === "*" || char === "+" || char === "?") {
      this.at++;
      return [char === "+" ? 1 : 0, char === "?" ? 1 : undefined];
    }
    if (char !== "{") return [-1, undefined];
    const match = BRACES.exec(this.rest(12));
    if (match === null || !(match[1] || match[3])) this.refuse("a { that repeats nothing; write \\{ for the sign itself");
    const least = Number(match[1]);
    const most = match[2] ? (match[3] ? Number(match[3]) : undefined) : least;
    if (Math.max(least, most ?? 0) > MAX_REPEAT || (most !== undefined && most < least)) {
      this.refuse(`a repeat is at most ${MAX_REPEAT} and its ends are in order`);
    }
    this.at += match[0].length;
    return [least, most];
  }

  private escape(): Node {
    const char = this.char(1);
    const edge = EDGES.get(char);
    if (edge !== undefined) {
      this.at += 2;
      return { type: "assertion", kind: edge };
    }
    if (/^[dDwWsS]$/.test(char)) {
      this.at += 2;
      return chars([], char);
    }
    return one(this.code(false));
  }

  /** The code point after a backslash. */
  private code(inClass: boolean): number {
    const rest = this.chars.slice(this.at + 1, this.at + 10).join("");
    if (rest === "") this.refuse("a \\ at the end");
    const hex = HEX.exec(rest);
    if (hex !== null) {
      this.at += 1 + hex[0].length;
      const code = Number.parseInt((hex[1] ?? hex[2] ?? hex[3]) as string, 16);
      if (code > 0x10ffff) this.refuse("no such character");
      return code;
    }
    const octal = OCTAL.exec(rest);
    if (octal !== null) {
      this.at += 1 + octal[0].length;
      return Number.parseInt(octal[0], 8);
    }
    const char = this.char(1);
    const simple = inClass && char === "b" ? 8 : SIMPLE.get(char);
    if (simple === undefined && /^[0-9a-zA-Z]$/.test(char)) {
      this.refuse(/[0-9]/.test(char) ? "back-references are not linear, so not taken" : "an escape that means nothing");
    }
    this.at += 2;
    return simple ?? codeOf(char);
  }

  private charClass(): Node {
    this.at++;
    const negated = this.char() === "^";
    if (negated) this.at++;
    const ranges: Range[] = [];
    const classes = new Set<string>();
    for (let first = true; first || this.char() !== "]"; first = false) {
      const low = this.member();
      if (typeof low === "string") {
        classes.add(low);
      } else if (this.char() === "-" && this.char(1) !== "]" && this.char(1) !== "") {
        this.at++;
        const high = this.member();
        if (typeof high === "string" || high < low) this.refuse("a range whose ends are not in order");
        ranges.push([low, high]);
      } else {
        ranges.push([low, low]);
      }
    }
    this.at++;
    return chars(ranges, [...classes].sort().join(""), negated);
  }

  private member(): number | string {
    if (this.ended) this.refuse("a [ without its ]");
    const char = this.char();
    if (char !== "\\") {
      this.at++;
      return codeOf(char);
    }
    const following = this.char(1);
    if (/^[dDwWsS]$/.test(following)) {
      this.at += 2;
      return following;
    }
    return this.code(true);
  }
}

function one(code: number): Chars {
  return chars([[code, code]]);
}
