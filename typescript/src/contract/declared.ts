/** A declaration compiled once: what an agent said that it is for, and what of an action goes beyond that. */
import type { Action } from "./action.js";
import { addressOf, canonicalAddress } from "./address.js";
import { Misconfigured } from "./errors.js";
import { host, trimmed } from "./host.js";
import { permitted } from "./names.js";
import { parseRange } from "./policy.js";
import { type Range, Ranges } from "./ranges.js";
import { destination, type Target, target } from "./target.js";
import { cut, isDecimal, strip } from "./text.js";
import { type Finding, finding } from "./verdict.js";

/** What an agent is for. An empty list means "not declared in this dimension", so nothing is undeclared there. */
export interface Declaration {
  readonly tools: readonly string[];
  readonly destinations: readonly string[];
  readonly purpose: string;
  /** Classes of data (`DATA_CLASSES`) that it may read and send; the sidecar tells when another one is met. */
  readonly data: readonly string[];
}

/** The classes of data that a declaration may name. */
export const DATA_CLASSES: readonly string[] = Object.freeze(["credentials", "cards", "bank_accounts", "contacts", "marked"]);

/** Nothing is undeclared. */
export const NOTHING_DECLARED: Declaration = Object.freeze({ tools: [], destinations: [], purpose: "", data: [] });

const REMEMBERED = 4096;
const SHORT = 512;
const NOT_STATED = 0;

/**
 * Made from a declaration. A destination is `host` (any port), `host:port`, an address, a CIDR range, `*.suffix` (names below it, not
 * itself) or a URL (its host and port); one that names no host is compared with the whole target. Throws Misconfigured.
 */
export class CompiledDeclaration {
  private readonly tools: Set<string>;
  private readonly hosts = new Map<string, Set<number>>();
  private readonly below = new Map<string, Set<number>>();
  private readonly texts = new Set<string>();
  private readonly ranges: { readonly 4: Ranges; readonly 6: Ranges };
  private readonly said: readonly [tools: number, destinations: number];
  private known = new Map<string, readonly Finding[]>();

  constructor(declaration: Declaration) {
    this.tools = new Set(
      declaration.tools.map((text, at) => {
        const name = permitted(text);
        if (name === "") throw new Misconfigured(`declaration: tools[${at}] is empty, so it would declare nothing`);
        return name;
      }),
    );
    for (const [at, text] of declaration.data.entries()) {
      if (!DATA_CLASSES.includes(permitted(text))) {
        throw new Misconfigured(`declaration: data[${at}] is no class of data that is known: ${DATA_CLASSES.join(", ")}`);
      }
    }
    const spans: [Range, number][] = [];
    for (const [at, text] of declaration.destinations.entries()) this.declare(at, text, spans);
    this.ranges = { 4: new Ranges(4, spans), 6: new Ranges(6, spans) };
    this.said = [declaration.tools.length, declaration.destinations.length];
  }

  /** Whether the tool is declared (or no tools are). Case and surrounding white space aside, spelled as declared. */
  tool(name: string): boolean {
    return this.tools.size === 0 || this.tools.has(name) || this.tools.has(permitted(name));
  }

  /** Findings `undeclared tool` and `undeclared destination`, tool first. */
  undeclared(action: Action): readonly Finding[] {
    const { kind, tool, target } = action;
    if (tool.length > SHORT || target.length > SHORT) return this.judge(action);
    const key = `${kind.length},${tool.length},${kind}${tool}${target}`;
    let known = this.known.get(key);
    if (known === undefined) {
      known = this.judge(action);
      if (this.known.size >= REMEMBERED) this.known = new Map();
      this.known.set(key, known);
    }
    return known;
  }

  private judge(action: Action): readonly Finding[] {
    const found: Finding[] = [];
    if (action.tool !== "" && !this.tool(action.tool)) found.push(this.toolFinding(action.tool));
    if (this.said[1] > 0 && action.target !== "") {
      const place = destination(action.kind, action.target);
      if (place !== undefined && !this.permits(place, action.target)) found.push(this.placeFinding(place, action.target));
    }
    return found;
  }

  private declare(index: number, text: string, spans: [Range, number][]): void {
    const stated = strip(text);
    const where = `declaration: destinations[${index}]`;
    if (stated === "") throw new Misconfigured(`${where} is empty, so it would declare nothing`);
    if (stated === "*") throw new Misconfigured(`${where} is *; to declare no destinations, leave the list empty`);
    if (stated.startsWith("*.")) {
      const found = target(stated.slice(2));
      if (found.host === "" || !found.readable || found.isAddress || found.host.includes("*")) {
        throw new Misconfigured(`${where} must be a host name behind *.`);
      }
      portsOf(this.below, found.host).add(found.port);
      return;
    }
    if (stated.includes("*")) throw new Misconfigured(`${where} may hold a * only in front, as in *.example.com`);
    const range = rangeOf(stated, where);
    if (range !== undefined) {
      spans.push([range, 0]);
      return;
    }
    const found = target(stated);
    if (found.host !== "" && found.readable) {
      // Whatever a client dials for the very text that was declared.
      for (const name of [found.host, ...found.also]) portsOf(this.hosts, name).add(found.port);
    } else {
      this.texts.add(permitted(stated));
    }
  }

  private permits(place: Target, text: string): boolean {
    if (this.texts.size > 0 && this.texts.has(permitted(text))) return true;
    if (place.host === "" || !place.readable) return false;
    // Where clients disagree about the host, each reading has to be declared. A folded spelling of the same address is no other one.
    if (!this.host(place.host, place.port)) return false;
    return place.also.every((other) => isSame(other, place.host) || this.host(other, place.port));
  }

  private host(name: string, port: number): boolean {
    if (covers(this.hosts.get(name), port)) return true;
    const last = name.charCodeAt(name.length - 1);
    if ((last >= 48 && last <= 57) || name.includes(":")) {
      const address = canonicalAddress(name);
      return address !== undefined && this.ranges[address[0]].holds(address[1]);
    }
    if (this.below.size === 0) return false;
    for (let at = name.indexOf("."); at >= 0; at = name.indexOf(".", at + 1)) {
      if (covers(this.below.get(name.slice(at + 1)), port)) return true;
    }
    return false;
  }

  private toolFinding(name: string): Finding {
    const value = cut(name, SHORT);
    return undeclared("tool", value, `one of the ${this.said[0]} declared tools`, value, "tool");
  }

  private placeFinding(place: Target, text: string): Finding {
    const name = cut(place.host || trimmed(text), SHORT);
    const expected =
      place.readable && this.hosts.has(place.host)
        ? `a declared port of ${name}`
        : `one of the ${this.said[1]} declared destinations`;
    let observed = place.port ? `${name}:${place.port}` : name;
    if (!place.readable || place.host === "") observed = `${name}, which is not a well-formed host`;
    return undeclared("destination", name, expected, observed, "target");
  }
}

function undeclared(what: string, value: string, expected: string, observed: string, field: string): Finding {
  return finding({
    kind: `undeclared ${what}`,
    value,
    source: "declaration",
    detection: "declaration",
    field,
    expected,
    observed,
    advice: `If the agent needs this ${what}, declare it.`,
    attack: "undeclared",
  });
}

function portsOf(table: Map<string, Set<number>>, name: string): Set<number> {
  let ports = table.get(name);
  if (ports === undefined) {
    ports = new Set();
    table.set(name, ports);
  }
  return ports;
}

/** The range when `stated` is one: an address, a slash and a number. */
function rangeOf(stated: string, where: string): Range | undefined {
  const slash = stated.indexOf("/");
  const bits = stated.slice(slash + 1);
  if (slash < 0 || bits === "" || ![...bits].every(isDecimal)) return undefined;
  if (addressOf(stated.slice(0, slash).replace(/^[[\]]+|[[\]]+$/g, "")) === undefined) return undefined;
  try {
    return parseRange(stated);
  } catch (err) {
    throw new Misconfigured(`${where} ${(err as Error).message}`);
  }
}

/** An action that states no port does not go beyond a declared one. */
function covers(ports: Set<number> | undefined, port: number): boolean {
  return ports !== undefined && (port === NOT_STATED || ports.has(port) || ports.has(NOT_STATED));
}

function isSame(other: string, name: string): boolean {
  try {
    return host(other) === name;
  } catch {
    return false;
  }
}
