/**
 * Policies compiled once, so that a decision costs microseconds however many entries there are: maps for names, a walk over a host's
 * suffixes, bisection for address ranges, one automaton for patterns. What is compared is canonical; ADR 0002 says where and why that
 * is stricter than the deployed clients.
 */
import { createHash } from "node:crypto";
import type { Action } from "./action.js";
import { type Address, canonicalAddress, embedded, fold, format4, format6 } from "./address.js";
import { Automaton } from "./automaton.js";
import { Correlation } from "./correlation.js";
import { Misconfigured } from "./errors.js";
import { digest, permitted, publisher, tool } from "./names.js";
import { check, fill, MAX_ENTRIES, nameOf, type Owners, type Policy, Tables } from "./policy.js";
import { Ranges } from "./ranges.js";
import { blockedByPolicy, NO_POLICY_MATCHED } from "./reasons.js";
import { target } from "./target.js";
import { asciiJson, compare, cut } from "./text.js";
import { type Finding, Verdict } from "./verdict.js";

const REMEMBERED = 4096;
const SHORT = 512;
const LOOPBACK: readonly Address[] = [
  [4, 0x7f00_0001n],
  [6, 1n],
];

/** One finding to be: which policy, which rule (in the order of the deployed clients), about what. */
interface Hit {
  readonly owner: number;
  readonly rule: number;
  readonly value: string;
  readonly entry: string;
}

const [PUBLISHER, ADDRESS, DOMAIN, HASH, PATTERN, ALLOW_PUBLISHER, ALLOW_TOOL] = [0, 1, 2, 3, 4, 5, 6] as const;
// kind, field, rule key, attack
const RULES = [
  ["blacklisted publisher", "publisher", "publishers", ""],
  ["known-bad address", "target", "ips", "blocked-host"],
  ["malicious domain", "target", "domains", "blocked-host"],
  ["known-bad hash", "hash", "hashes", ""],
  ["malicious skill pattern", "tool", "skill_patterns", ""],
  ["publisher not on the allowlist", "publisher", "publishers", ""],
  ["tool not on the allowlist", "tool", "tools", ""],
] as const;

/** Policies, ready to decide. Made by `compilePolicies`. */
export class Compiled {
  /** 16 hex digits of the content: the same whatever the order of policies and entries. */
  readonly version: string;
  /** A correlation policy is on: ask `correlation()` for what remembers the sequence. */
  readonly correlates: boolean;
  /** How many entries are in force. */
  readonly entries: number;
  private readonly names: readonly string[];
  private readonly correlating: Policy | undefined;
  private readonly ranges: { readonly 4: Ranges; readonly 6: Ranges };
  private readonly exact: Automaton | undefined;
  private readonly folded: Automaton | undefined;
  private readonly anyRange: boolean;
  private readonly anyTool: boolean;
  private readonly anyDomain: boolean;
  private readonly anyOther: boolean;
  private readonly allow: Verdict;
  private known = new Map<string, Verdict>();
  private knownTools = new Map<string, readonly Hit[]>();

  constructor(
    policies: readonly Policy[],
    private readonly tables: Tables,
    version: string,
  ) {
    this.version = version;
    this.entries = tables.count;
    this.names = policies.map((policy) => policy.name || policy.mode);
    this.correlating = policies.find((policy) => policy.mode === "correlation");
    this.correlates = this.correlating !== undefined;
    this.ranges = { 4: new Ranges(4, tables.ranges), 6: new Ranges(6, tables.ranges) };
    this.exact = tables.trees.length ? new Automaton(tables.trees) : undefined;
    this.folded = tables.trees.length ? new Automaton(tables.trees, true) : undefined;
    // What was built from them says it all: 100,000 entries are held once.
    tables.ranges.length = 0;
    tables.trees.length = 0;
    this.anyRange = !this.ranges[4].isEmpty || !this.ranges[6].isEmpty;
    this.anyTool = tables.literals.size > 0 || this.exact !== undefined;
    this.anyDomain = tables.domains.size > 0 || tables.below.size > 0;
    const wanted = tables.wantPublisher.length > 0 || tables.wantTool.length > 0;
    this.anyOther = wanted || tables.publishers.size > 0 || tables.hashes.size > 0;
    this.allow = new Verdict({ reason: NO_POLICY_MATCHED, policyVersion: version });
  }

  /** Block with the findings, or allow because `no policy matched`. Sequences are `correlation()`'s. Never throws. */
  decide(action: Action): Verdict {
    const { tool, publisher, target, hash } = action;
    const size = tool.length + publisher.length + target.length + hash.length;
    if (size > SHORT) return named(this.judge(tool, publisher, target, hash), action.id);
    // Lengths first, so that no two actions have the same key.
    const key = `${tool.length},${publisher.length},${target.length},${tool}${publisher}${target}${hash}`;
    let verdict = this.known.get(key);
    if (verdict === undefined) {
      verdict = this.judge(tool, publisher, target, hash);
      if (this.known.size >= REMEMBERED) this.known = new Map();
      this.known.set(key, verdict);
    }
    return named(verdict, action.id);
  }

  /** A fresh memory for the sequence that the correlation policy forbids. */
  correlation(): Correlation {
    return new Correlation(`policy:${this.correlating?.name || "correlation"}`);
  }

  private judge(name: string, from: string, place: string, hash: string): Verdict {
    const hits: Hit[] = [];
    if (place !== "" && (this.anyRange || this.anyDomain)) this.target(hits, place);
    if (name !== "" && this.anyTool) hits.push(...this.tool(name));
    if (this.anyOther) this.other(hits, name, from, hash);
    return hits.length === 0 ? this.allow : this.block(hits);
  }

  private block(hits: Hit[]): Verdict {
    hits.sort((one, other) => one.owner - other.owner || one.rule - other.rule);
    const evidence = hits.map((hit) => this.finding(hit));
    const reason = blockedByPolicy(evidence.map((finding) => finding.kind));
    return new Verdict({ decision: "block", reason, evidence, policyVersion: this.version });
  }

  /** What few actions state and few policies ask for: publishers, hashes, allowlists. */
  private other(hits: Hit[], name: string, from: string, hash: string): void {
    const { tables } = this;
    if (from !== "" && tables.publishers.size) listed(hits, tables.publishers, PUBLISHER, publisher(from));
    if (hash !== "" && tables.hashes.size) listed(hits, tables.hashes, HASH, digest(hash));
    if (tables.wantPublisher.length) missing(hits, tables.allowPublishers, tables.wantPublisher, ALLOW_PUBLISHER, from);
    if (tables.wantTool.length) missing(hits, tables.allowTools, tables.wantTool, ALLOW_TOOL, name);
  }

  private target(hits: Hit[], text: string): void {
    const found = target(text);
    const name = found.host;
    if (name !== "") {
      if (this.anyRange && (found.isAddress || name.endsWith("localhost"))) this.address(hits, name);
      if (this.anyDomain && !found.isAddress) this.domain(hits, name);
    }
    for (const other of found.also) {
      this.address(hits, other);
      this.domain(hits, other);
    }
  }

  private domain(hits: Hit[], name: string): void {
    const { domains, below } = this.tables;
    for (let suffix = name, at = 0; at >= 0 && suffix !== ""; ) {
      const owners = domains.get(suffix);
      if (owners !== undefined) add(hits, owners, DOMAIN, name, suffix);
      const above = suffix.length < name.length ? below.get(suffix) : undefined;
      if (above !== undefined) add(hits, above, DOMAIN, name, `*.${suffix}`);
      at = suffix.indexOf(".");
      suffix = suffix.slice(at + 1);
    }
  }

  private address(hits: Hit[], name: string): void {
    const address = canonicalAddress(name);
    if (address !== undefined) {
      this.range(hits, name, address);
      if (address[0] === 4 && address[1]) return;
    }
    for (const other of beyond(name, address)) this.range(hits, name, other);
  }

  private range(hits: Hit[], name: string, [family, value]: Address): void {
    for (const [owner, length] of this.ranges[family].find(value)) {
      add(hits, [owner], ADDRESS, name, rangeText(family, value, length));
    }
  }

  private tool(name: string): readonly Hit[] {
    let known = this.knownTools.get(name);
    if (known === undefined) {
      known = this.match(name);
      if (name.length <= SHORT) {
        if (this.knownTools.size >= REMEMBERED) this.knownTools = new Map();
        this.knownTools.set(name, known);
      }
    }
    return known;
  }

  private match(name: string): readonly Hit[] {
    const folded = tool(name);
    const shown = cut(folded, SHORT);
    const hits: Hit[] = [];
    add(hits, this.tables.literals.get(folded) ?? [], PATTERN, shown, shown);
    if (this.exact !== undefined && this.folded !== undefined) {
      const matched = new Set([...this.exact.match(name), ...this.folded.match(folded)]);
      for (const at of [...matched].sort((one, other) => one - other)) {
        const [owner, text] = this.tables.treeOwner[at] as [number, string];
        add(hits, [owner], PATTERN, shown, text);
      }
    }
    return hits;
  }

  private finding(hit: Hit): Finding {
    const [kind, field, rule, attack] = RULES[hit.rule] as (typeof RULES)[number];
    const name = this.names[hit.owner] as string;
    const stated = `rule ${rule} of policy ${name}`;
    const isMissing = hit.rule === ALLOW_PUBLISHER || hit.rule === ALLOW_TOOL;
    const value = cut(hit.value, SHORT);
    const expected = isMissing ? `one that ${stated} lists` : `none that ${stated} lists`;
    return {
      kind,
      value,
      source: `policy:${name}`,
      detection: "policy",
      field,
      expected: hit.entry ? `${expected} (${cut(hit.entry, SHORT)})` : expected,
      observed: value,
      advice: isMissing ? `If this is wanted, add it to ${stated}.` : `If this is wanted, take the entry out of ${stated}.`,
      attack,
    };
  }
}

function named(verdict: Verdict, actionId: string): Verdict {
  return actionId === "" ? verdict : verdict.with({ actionId });
}

function listed(hits: Hit[], table: Map<string, Owners>, rule: number, value: string): void {
  for (const owner of table.get(value) ?? []) hits.push({ owner, rule, value, entry: value });
}

/** Every allowlist has to list it; the deployed clients say `none` for what is not stated. */
function missing(hits: Hit[], table: Map<string, Owners>, wanted: Owners, rule: number, value: string): void {
  const owners = value === "" ? [] : (table.get(permitted(value)) ?? []);
  if (owners.length === wanted.length) return;
  // One finding for each allowlist: a publisher that is missing says enough.
  const said = new Set([...hits.filter((hit) => hit.rule === ALLOW_PUBLISHER).map((hit) => hit.owner), ...owners]);
  for (const owner of wanted) {
    if (!said.has(owner)) hits.push({ owner, rule, value: cut(value, SHORT) || "none", entry: "" });
  }
}

/** One finding for each policy and rule, the first that is found, as the deployed clients do. */
function add(hits: Hit[], owners: Owners, rule: number, value: string, entry: string): void {
  for (const owner of owners) {
    if (!hits.some((hit) => hit.owner === owner && hit.rule === rule)) hits.push({ owner, rule, value, entry });
  }
}

function rangeText(family: 4 | 6, value: bigint, length: number): string {
  const shift = BigInt((family === 4 ? 32 : 128) - length);
  const first = (value >> shift) << shift;
  const text = family === 4 ? format4(first) : format6(first);
  return shift ? `${text}/${length}` : text;
}

/** Further addresses that dialling `host` may reach; none for a name that has to be resolved. */
function beyond(host: string, address: Address | undefined): readonly Address[] {
  if (address === undefined) return host === "localhost" || host.endsWith(".localhost") ? LOOPBACK : [];
  const [family, value] = address;
  // Linux connects the unspecified address to itself.
  if (value === 0n) return [LOOPBACK[family === 4 ? 0 : 1] as Address];
  const four = fold(value);
  return (four === undefined ? embedded(value) : [four]).map((inner) => [4, inner] as const);
}

/** Make `policies` fast. Those that are not enabled are left out. Throws Misconfigured naming policy and rule. */
export function compilePolicies(policies: Iterable<Policy>): Compiled {
  const tables = new Tables();
  const enabled: Policy[] = [];
  const names: string[] = [];
  const content: [mode: string, name: string, rules: unknown][] = [];
  let index = 0;
  for (const policy of policies) {
    const name = nameOf(policy, index++);
    check(policy, name);
    if (!policy.enabled) continue;
    content.push([policy.mode, policy.name, fill(tables, policy, name, enabled.length)]);
    enabled.push(policy);
    names.push(name);
    if (tables.count > MAX_ENTRIES) {
      throw new Misconfigured(`policy ${name}: more than ${MAX_ENTRIES} entries in all policies together`);
    }
  }
  const body = asciiJson(content.sort(order));
  const version = createHash("sha256").update(body).digest("hex").slice(0, 16);
  try {
    return new Compiled(enabled, tables, version);
  } catch (err) {
    if (!(err instanceof RangeError)) throw err;
    const owners = [...new Set(tables.treeOwner.map(([owner]) => names[owner]))].join(", ");
    throw new Misconfigured(`policy ${cut(owners, 200)}: rule skill_patterns: ${err.message}`);
  }
}

/** Lists by their first difference, texts by code points. */
function order(one: unknown, other: unknown): number {
  if (!Array.isArray(one) || !Array.isArray(other)) return compare(String(one), String(other));
  for (const [at, value] of one.entries()) {
    if (at >= other.length) return 1;
    const found = order(value, other[at]);
    if (found !== 0) return found;
  }
  return one.length - other.length;
}
