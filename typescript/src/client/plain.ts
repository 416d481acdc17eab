/** What a tool was called with, and what it returned, as JSON: bounded, and without running the agent's own code. */
import { types } from "node:util";
import { type Action, action, type Json, TEXTS } from "../contract/action.js";
import type { Declaration } from "../contract/declared.js";
import { Misconfigured } from "../contract/errors.js";
import { isObject } from "../contract/fields.js";
import type { Policy } from "../contract/policy.js";
import { cut } from "../contract/text.js";

/** Characters of one text, values and characters of one document, levels. */
const MAX_TEXT = 256 << 10;
const MAX_NODES = 5000;
const MAX_TOTAL = 256 << 10;
const MAX_DEPTH = 16;

interface Budget {
  nodes: number;
  text: number;
}

/**
 * `value` as a JSON document that the codec takes. No getter, no `toJSON` and no trap of a proxy is called: they may be slow, have
 * effects, or throw. What is over a bound is cut, and says so with `…`.
 */
export function plain(value: unknown): Json {
  return plainAt(value, 0, { nodes: MAX_NODES, text: MAX_TOTAL });
}

function plainAt(value: unknown, depth: number, budget: Budget): Json {
  budget.nodes -= 1;
  switch (typeof value) {
    case "string":
      return plainText(value, budget);
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "boolean":
      return value;
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : cut(String(value), 400);
    case "undefined":
      return null;
    case "object":
      return value === null ? null : plainObject(value, depth, budget);
    default:
      return `<${typeof value}>`;
  }
}

function plainObject(value: object, depth: number, budget: Budget): Json {
  if (types.isProxy(value)) return "<Proxy>";
  if (ArrayBuffer.isView(value)) {
    const view = new Uint8Array(value.buffer, value.byteOffset, Math.min(value.byteLength, MAX_TEXT));
    return plainText(Buffer.from(view).toString("utf8"), budget);
  }
  if (types.isDate(value)) {
    const at = Date.prototype.getTime.call(value);
    return Number.isNaN(at) ? "Invalid Date" : new Date(at).toISOString();
  }
  if (depth >= MAX_DEPTH || budget.nodes <= 0) return "…";
  if (Array.isArray(value)) return several(Array.prototype.values.call(value), depth, budget);
  if (types.isSet(value)) return several(Set.prototype.values.call(value), depth, budget);
  if (types.isMap(value)) return mapping(Map.prototype.entries.call(value), depth, budget);
  return mapping(stored(value), depth, budget);
}

/** Own properties that are stored, not computed; of an error its message too. */
function* stored(value: object): Generator<[string, unknown]> {
  if (types.isNativeError(value)) yield ["message", Object.getOwnPropertyDescriptor(value, "message")?.value];
  for (const key of Object.keys(value)) {
    const found = Object.getOwnPropertyDescriptor(value, key);
    if (found !== undefined) yield [key, "value" in found ? found.value : "<computed>"];
  }
}

function mapping(entries: Iterable<[unknown, unknown]>, depth: number, budget: Budget): Json {
  const found: { [key: string]: Json } = {};
  for (const [key, below] of entries) {
    if (budget.nodes <= 0) {
      found["…"] = "…";
      break;
    }
    const name = plainText(typeof key === "string" ? key : String(plainAt(key, MAX_DEPTH, budget)), budget);
    // A key of this name would set the prototype.
    Object.defineProperty(found, cut(name, 256), {
      value: plainAt(below, depth + 1, budget),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return found;
}

function several(values: Iterable<unknown>, depth: number, budget: Budget): Json {
  const found: Json[] = [];
  for (const below of values) {
    if (budget.nodes <= 0) {
      found.push("…");
      break;
    }
    found.push(plainAt(below, depth + 1, budget));
  }
  return found;
}

function plainText(stated: string, budget: Budget): string {
  const limit = Math.min(MAX_TEXT, Math.max(budget.text, 0));
  let text = stated.length > limit ? `${cut(stated, limit)}…` : stated;
  budget.text -= text.length;
  if (text.includes("\0")) text = text.replaceAll("\0", "\ufffd");
  return text.isWellFormed() ? text : text.toWellFormed();
}

// --- what callers pass, as values of the contract ---------------------------------------------------------------------------

/** What a caller states of an action: its fields, and `arguments`, `sensitive` and `source`, which go into its metadata. */
export type Stated = {
  readonly [Key in keyof Action]?: Action[Key] | null | undefined;
} & {
  readonly arguments?: unknown;
  readonly sensitive?: boolean | null | undefined;
  readonly source?: string | null | undefined;
};

const METADATA = ["arguments", "sensitive", "source"] as const;
const FIELDS: ReadonlySet<string> = new Set([...TEXTS, ...METADATA, "metadata", "at", "delegation", "seenBy"]);

/** An action of what a caller states. Throws TypeError for a field that there is not. */
export function actionOf(stated: Stated): Action {
  if (typeof stated !== "object" || stated === null) throw new TypeError("an action is an object with the fields of an action");
  for (const key of Object.keys(stated)) {
    if (!FIELDS.has(key)) throw new TypeError(`an action has no field ${cut(key, 64)}; it has ${[...FIELDS].sort().join(", ")}`);
  }
  const text = (value: unknown, empty = "") => (value === null || value === undefined ? empty : textOf(value));
  let metadata = (typeof stated.metadata === "object" && stated.metadata) || undefined;
  for (const key of METADATA) {
    const value = stated[key];
    if (value !== null && value !== undefined) metadata = { ...metadata, [key]: value };
  }
  return action({
    kind: text(stated.kind, "tool_call"),
    tool: text(stated.tool),
    publisher: text(stated.publisher),
    target: text(stated.target),
    hash: text(stated.hash),
    id: text(stated.id),
    runId: text(stated.runId),
    actId: text(stated.actId),
    agent: text(stated.agent, "default"),
    organisation: text(stated.organisation),
    at: typeof stated.at === "number" ? stated.at : 0,
    ...(metadata && { metadata }),
    ...(stated.delegation && { delegation: namesOf(stated.delegation) }),
    ...(stated.seenBy && { seenBy: namesOf(stated.seenBy) }),
  });
}

function namesOf(value: unknown): string[] {
  return [value].flat().map(textOf);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  const found = plain(value);
  return typeof found === "string" ? found : JSON.stringify(found);
}

/** `action` with what its caller need not state, and with nothing in it that is not JSON. */
export function completed(action: Action, metadata: Json, id: string, agent: string, at: number, runId: string): Action {
  const full: { -readonly [Key in keyof Action]: Action[Key] } = { ...action, agent, organisation: "", at: action.at || at };
  for (const key of TEXTS) full[key] = bounded(full[key]);
  full.kind ||= "tool_call";
  full.id ||= id;
  full.runId ||= runId;
  full.metadata = isObject(metadata) ? metadata : {};
  full.delegation = action.delegation.map(bounded);
  full.seenBy = action.seenBy.map(bounded);
  return full;
}

function bounded(text: string): string {
  return cut(text, 4096);
}

/** What a caller gives as a policy. */
export interface StatedPolicy {
  readonly mode: string;
  readonly rules?: Readonly<Record<string, unknown>>;
  readonly name?: string | null;
  readonly enabled?: boolean;
}

/** Policies of the shape of the wire contract. Throws Misconfigured naming the one that is not. */
export function policiesOf(policies: Iterable<StatedPolicy>): Policy[] {
  return [...policies].map((stated, at) => {
    const { mode, rules = {}, name, enabled = true } = stated ?? {};
    if (typeof mode !== "string" || !isObject(rules) || typeof (name ?? "") !== "string") {
      throw new Misconfigured(`policies[${at}]: mode and name must be text, rules an object`);
    }
    return { mode, rules: { ...rules }, name: name ?? "", enabled: Boolean(enabled) };
  });
}

/** What a caller says that the agent is for. */
export interface StatedDeclaration {
  readonly tools?: readonly string[] | undefined;
  readonly destinations?: readonly string[] | undefined;
  readonly purpose?: string | undefined;
  readonly data?: readonly string[] | undefined;
}

/** A declaration. Throws Misconfigured for what is no list of names. */
export function declarationOf(stated: StatedDeclaration): Declaration {
  const names = (what: "tools" | "destinations" | "data"): readonly string[] => {
    const found: unknown = stated[what] ?? [];
    if (!Array.isArray(found)) throw new Misconfigured(`declare: ${what} must be a list of names`);
    for (const [at, name] of found.entries()) {
      if (typeof name !== "string") throw new Misconfigured(`declare: ${what}[${at}] must be text, not ${typeof name}`);
    }
    return [...found];
  };
  return { tools: names("tools"), destinations: names("destinations"), purpose: stated.purpose ?? "", data: names("data") };
}
