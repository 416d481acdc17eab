/** Policy: what the organisation permits; its rules checked and in canonical form, entry by entry. */
import { addressOf, fold } from "./address.js";
import { Misconfigured } from "./errors.js";
import { isObject } from "./fields.js";
import { host } from "./host.js";
import { digest, permitted, publisher, tool } from "./names.js";
import type { Range } from "./ranges.js";
import { literal, type Node, parse } from "./syntax.js";
import { compare, cut, isAscii, strip } from "./text.js";

/** One policy of the wire contract. `mode` is `blocklist`, `allowlist` or `correlation`. */
export interface Policy {
  readonly mode: string;
  readonly rules: Readonly<Record<string, unknown>>;
  readonly name: string;
  readonly enabled: boolean;
}

const RULES: ReadonlyMap<string, readonly string[]> = new Map([
  ["blocklist", ["publishers", "ips", "ip", "domains", "hashes", "skill_patterns"]],
  ["allowlist", ["publishers", "tools"]],
  ["correlation", ["risky_sequence"]],
]);
/** Entries of all policies together. */
export const MAX_ENTRIES = 1_000_000;

/** Places of the policies that list something. */
export type Owners = readonly number[];

/** What `compilePolicies` fills and `Compiled` reads. Keys are canonical; owners are policies' places. */
export class Tables {
  readonly publishers = new Map<string, Owners>();
  readonly domains = new Map<string, Owners>();
  readonly below = new Map<string, Owners>();
  readonly ranges: [Range, number][] = [];
  readonly hashes = new Map<string, Owners>();
  readonly literals = new Map<string, Owners>();
  readonly trees: Node[] = [];
  readonly treeOwner: [owner: number, text: string][] = [];
  readonly allowPublishers = new Map<string, Owners>();
  readonly allowTools = new Map<string, Owners>();
  readonly wantPublisher: number[] = [];
  readonly wantTool: number[] = [];
  count = 0;
  // One array for all entries of a policy: 100,000 entries share it.
  private readonly shared = new Map<string, Owners>();

  add(table: Map<string, Owners>, key: string, owner: number): void {
    const owners = table.get(key) ?? [];
    if (owners.includes(owner)) return;
    const more = [...owners, owner];
    const name = more.join(",");
    if (!this.shared.has(name)) this.shared.set(name, more);
    table.set(key, this.shared.get(name) as Owners);
  }
}

/** As Python spells a text in an error. */
function quoted(text: string): string {
  return text.includes("'") && !text.includes('"') ? `"${text}"` : `'${text.replaceAll("'", "\\'")}'`;
}

/** How errors name a policy: its name, or its place and mode. */
export function nameOf(policy: Policy, index: number): string {
  return policy.name ? quoted(policy.name) : `number ${index + 1} (${policy.mode || "no mode"})`;
}

/** The shape of a policy. Throws Misconfigured naming policy and rule. */
export function check(policy: Policy, name: string): void {
  const known = RULES.get(policy.mode);
  if (known === undefined) throw new Misconfigured(`policy ${name}: mode must be one of ${[...RULES.keys()].join(", ")}`);
  if (!policy.enabled) return;
  if (!isObject(policy.rules)) throw new Misconfigured(`policy ${name}: rules must be an object`);
  for (const [key, value] of Object.entries(policy.rules)) {
    if (!known.includes(key)) {
      const rule = cut(key, 64);
      throw new Misconfigured(`policy ${name}: rule ${rule} does nothing in a ${policy.mode}; known are ${known.join(", ")}`);
    }
    if (policy.mode !== "correlation" && value !== null && value !== undefined && !Array.isArray(value)) {
      throw new Misconfigured(`policy ${name}: rule ${key} must be a list`);
    }
  }
  if (policy.mode === "allowlist" && !known.some((key) => listed(policy, key).length > 0)) {
    throw new Misconfigured(
      `policy ${name}: an allowlist must list at least one of publishers and tools, or nothing could ever run`,
    );
  }
  if (policy.mode === "correlation" && rule(policy, "risky_sequence") !== "read_then_connect") {
    throw new Misconfigured(`policy ${name}: rule risky_sequence must be read_then_connect`);
  }
}

function rule(policy: Policy, key: string): unknown {
  return Object.hasOwn(policy.rules, key) ? policy.rules[key] : undefined;
}

function listed(policy: Policy, key: string): readonly unknown[] {
  const values = rule(policy, key);
  return Array.isArray(values) ? values : [];
}

/** One rule key of one policy: errors name it. */
class Rule {
  constructor(
    private readonly policy: string,
    private readonly key: string,
  ) {}

  refuse(index: number, problem: string): never {
    throw new Misconfigured(`policy ${this.policy}: rule ${this.key}[${index}] ${problem}`);
  }

  /** The entries with their places; each is text and says something. */
  *entries(policy: Policy): Generator<[number, string]> {
    for (const [at, value] of listed(policy, this.key).entries()) {
      if (typeof value !== "string") this.refuse(at, "must be text");
      if (strip(value) === "") this.refuse(at, "is empty, so it would match nothing");
      yield [at, value];
    }
  }
}

/** The canonical domain, and whether only names below it are meant (`*.example.com`, `.example.com`). */
function domain(rule: Rule, index: number, text: string): [suffix: string, below: boolean] {
  const stated = strip(text);
  const below = stated.startsWith("*.") || stated.startsWith(".");
  const name = stated.startsWith("*.") ? stated.slice(2) : stated.startsWith(".") ? stated.slice(1) : stated;
  if (/[/@?#*]/.test(name)) rule.refuse(index, "must be a host name, without scheme, port or path (*. may stand in front)");
  let canonical: string;
  try {
    canonical = host(name);
  } catch (err) {
    rule.refuse(index, `is no host name: ${(err as Error).message}`);
  }
  if (addressOf(canonical) !== undefined) rule.refuse(index, "is an address; list it under ips");
  return [canonical, below];
}

/**
 * `1.2.3.4`, `1.2.3.0/24`, `2001:db8::/32`, an address in any spelling. A range of IPv4-mapped or NAT64 addresses is one of IPv4.
 * Throws RangeError.
 */
export function parseRange(text: string): Range {
  const whole = strip(text);
  const slash = whole.indexOf("/");
  const stated = slash < 0 ? whole : whole.slice(0, slash);
  const bits = slash < 0 ? "" : whole.slice(slash + 1);
  let found = addressOf(stated.replace(/^[[\]]+|[[\]]+$/g, "").split("%", 1)[0] as string);
  if (found === undefined) {
    try {
      found = addressOf(host(stated));
    } catch {
      // said below
    }
  }
  if (found === undefined) throw new RangeError("is neither an address nor a range such as 192.0.2.0/24");
  let [family, value] = found;
  let width = family === 4 ? 32 : 128;
  if (slash >= 0 && !(/^[0-9]{1,3}$/.test(bits) && Number(bits) <= width)) {
    throw new RangeError(`has a prefix that is not a number from 0 to ${width}`);
  }
  let length = slash >= 0 ? Number(bits) : width;
  const four = family === 6 && length >= 96 ? fold(value) : undefined;
  if (four !== undefined) [family, value, length, width] = [4, four, length - 96, 32];
  const shift = BigInt(width - length);
  return { family, first: (value >> shift) << shift, length };
}

/** The pattern, one tree for each of its outermost alternatives. */
function pattern(rule: Rule, index: number, text: string): Node[] {
  let tree: Node;
  try {
    tree = parse(text);
  } catch (err) {
    rule.refuse(index, `is no pattern that is taken: ${(err as Error).message}`);
  }
  const trees = (tree.type === "choice" ? tree.options : [tree]).map(bare);
  if (trees.some((option) => literal(option) === "")) rule.refuse(index, "matches the empty name, and no tool has one");
  return trees;
}

/** Without `^` in front and `$` behind, which say nothing where the whole name has to match. */
function bare(tree: Node): Node {
  const parts = tree.type === "sequence" ? [...tree.parts] : [tree];
  const isEdge = (node: Node | undefined, kind: string) => node?.type === "assertion" && node.kind === kind;
  while (isEdge(parts[0], "^")) parts.shift();
  while (isEdge(parts.at(-1), "$")) parts.pop();
  return { type: "sequence", parts };
}

type Content = readonly (readonly string[])[];

function blocklist(tables: Tables, policy: Policy, name: string, owner: number): Content {
  const said = new Map<string, Set<string>>();
  const named = (key: string, table: Map<string, Owners>, canonical: (text: string) => string): void => {
    const rule = new Rule(name, key);
    const values = new Set<string>();
    for (const [at, text] of rule.entries(policy)) {
      const value = canonical(text);
      if (value === "") rule.refuse(at, "holds only invisible characters, so it would match nothing");
      tables.add(table, value, owner);
      values.add(value);
    }
    said.set(key, values);
  };
  named("publishers", tables.publishers, publisher);
  said.set("ips", new Set());
  for (const key of ["ips", "ip"]) addresses(tables, policy, new Rule(name, key), owner, said.get("ips") as Set<string>);
  const rule = new Rule(name, "domains");
  const domains = new Set<string>();
  for (const [at, text] of rule.entries(policy)) {
    const [suffix, below] = domain(rule, at, text);
    tables.add(below ? tables.below : tables.domains, suffix, owner);
    domains.add(below ? `*.${suffix}` : suffix);
  }
  said.set("domains", domains);
  named("hashes", tables.hashes, digest);
  said.set("skill_patterns", patterns(tables, policy, new Rule(name, "skill_patterns"), owner));
  for (const values of said.values()) tables.count += values.size;
  return [...said]
    .filter(([, values]) => values.size > 0)
    .sort(([one], [other]) => compare(one, other))
    .map(([key, values]) => [key, ...sorted(values)]);
}

function sorted(values: Iterable<string>): string[] {
  const texts = [...values];
  // The order of UTF-16 units is that of code points where there are no surrogates, and quicker.
  return texts.every(isAscii) ? texts.sort() : texts.sort(compare);
}

function addresses(tables: Tables, policy: Policy, rule: Rule, owner: number, said: Set<string>): void {
  for (const [at, text] of rule.entries(policy)) {
    let range: Range;
    try {
      range = parseRange(text);
    } catch (err) {
      rule.refuse(at, (err as Error).message);
    }
    const entry = `${range.family}:${range.first.toString(16)}/${range.length}`;
    if (said.has(entry)) continue;
    said.add(entry);
    tables.ranges.push([range, owner]);
  }
}

function patterns(tables: Tables, policy: Policy, rule: Rule, owner: number): Set<string> {
  const said = new Set<string>();
  for (const [at, text] of rule.entries(policy)) {
    if (said.has(text)) continue;
    said.add(text);
    for (const tree of pattern(rule, at, text)) {
      const plain = literal(tree);
      const folded = plain === undefined ? "" : tool(plain);
      if (folded !== "") {
        tables.add(tables.literals, folded, owner);
      } else {
        tables.trees.push(tree);
        tables.treeOwner.push([owner, text]);
      }
    }
  }
  return said;
}

function allowlist(tables: Tables, policy: Policy, name: string, owner: number): Content {
  const said: string[][] = [];
  for (const [key, table, wanted] of [
    ["publishers", tables.allowPublishers, tables.wantPublisher],
    ["tools", tables.allowTools, tables.wantTool],
  ] as const) {
    const names = new Set([...new Rule(name, key).entries(policy)].map(([, text]) => permitted(text)));
    for (const one of names) tables.add(table, one, owner);
    if (names.size === 0) continue;
    said.push([key, ...sorted(names)]);
    tables.count += names.size;
    wanted.push(owner);
  }
  return said;
}

/** Fill the tables with one policy that was checked; what is in force of it, in one order. */
export function fill(tables: Tables, policy: Policy, name: string, owner: number): Content {
  if (policy.mode === "blocklist") return blocklist(tables, policy, name, owner);
  if (policy.mode === "allowlist") return allowlist(tables, policy, name, owner);
  tables.count += 1;
  return [["risky_sequence", "read_then_connect"]];
}
