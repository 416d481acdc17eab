/** Score: what a verdict's score is made of. It says why; it decides nothing for whoever reads it. */
import type { Json } from "./action.js";
import { InvalidInput } from "./errors.js";
import { array, boolean, MAX_NAME, type Obj, obj, sparse, text, texts } from "./fields.js";

const KINDS = "address,host,URL,account,phone number,file,date,number,id,words,text".split(",");
const ORIGINS = "user,used,field,text,unknown".split(",");
const EFFECTS = "sending,paying,changing,creating,removing,giving access,credentials,doing what a source says".split(",");

/** One signal: `weight` (log odds) times `value` (0 to 1) is its contribution. */
export interface Part {
  readonly name: string;
  readonly weight: number;
  readonly value: number;
}

/** Where a value came from: `field` of the arguments, its `kind`, its `origin`; of a result whose, and where in it. */
export interface Came {
  readonly field: string;
  readonly kind: string;
  readonly origin: string;
  readonly tool: string;
  readonly path: string;
}

/** `value` and `threshold` in log odds, `probability` of serving somebody else, `parts` the largest first. */
export interface Score {
  readonly value: number;
  readonly threshold: number | null;
  readonly probability: number;
  readonly bias: number;
  readonly parts: readonly Part[];
  readonly steered: boolean;
  readonly asked: number;
  readonly told: number;
  readonly came: readonly Came[];
  readonly wanted: readonly string[];
  readonly effects: readonly string[];
}

function round(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}

/** `decodeScore` gives it back, rounded to four digits. */
export function encodeScore(score: Score): { [key: string]: Json } {
  return {
    value: round(score.value),
    threshold: score.threshold === null ? null : round(score.threshold),
    probability: round(score.probability),
    bias: round(score.bias),
    steered: score.steered,
    asked: round(score.asked),
    told: round(score.told),
    ...sparse({
      parts: score.parts.map(({ name, weight, value }) => ({ name, weight: round(weight), value: round(value) })),
      came: score.came.map((one) => sparse({ ...one })),
      wanted: [...score.wanted],
      effects: [...score.effects],
    }),
  };
}

/** A score. Throws InvalidInput naming the field. */
export function decodeScore(document: unknown, field: string): Score {
  const doc = obj(document, field);
  const path = `${field}.`;
  const effects = (name: string) => {
    const found = texts(doc, name, path, 48);
    if (!found.every((one) => EFFECTS.includes(one))) throw new InvalidInput(path + name, `must be some of ${EFFECTS.join(", ")}`);
    return found;
  };
  const [wanted, had] = [effects("wanted"), effects("effects")];
  return {
    value: number(doc, "value", path),
    threshold: doc["threshold"] == null ? null : number(doc, "threshold", path),
    probability: number(doc, "probability", path, 0, 1),
    bias: number(doc, "bias", path),
    parts: array(doc, "parts", path, 32).map((one, at) => part(one, `${path}parts[${at}]`)),
    steered: boolean(doc, "steered", path),
    asked: number(doc, "asked", path, 0, 1),
    told: number(doc, "told", path, 0, 1),
    came: array(doc, "came", path, 24).map((one, at) => came(one, `${path}came[${at}]`)),
    wanted,
    effects: had,
  };
}

function part(document: Json, field: string): Part {
  const doc = obj(document, field);
  const name = text(doc, "name", `${field}.`, 48);
  if (!/^[A-Za-z_]+$/.test(name)) throw new InvalidInput(`${field}.name`, "must be the name of a signal");
  return { name, weight: number(doc, "weight", `${field}.`, 0), value: number(doc, "value", `${field}.`, 0, 1) };
}

function came(document: Json, field: string): Came {
  const doc = obj(document, field);
  const said = (key: string) => text(doc, key, `${field}.`, MAX_NAME);
  const found = { field: said("field"), kind: said("kind"), origin: said("origin"), tool: said("tool"), path: said("path") };
  if (!ORIGINS.includes(found.origin)) throw new InvalidInput(`${field}.origin`, `must be one of ${ORIGINS.join(", ")}`);
  if (!KINDS.includes(found.kind)) throw new InvalidInput(`${field}.kind`, `must be one of ${KINDS.join(", ")}`);
  return found;
}

function number(doc: Obj, key: string, path: string, low = -1e6, high = 1e6): number {
  const value = doc[key];
  if (value === null || value === undefined) return 0;
  if (typeof value !== "number" || !(low <= value && value <= high)) {
    throw new InvalidInput(path + key, `must be a number from ${low} to ${high}`);
  }
  return value;
}

/** With every name that an agent or a third party may have chosen put through `clean`. */
export function renamed(score: Score, clean: (name: string) => string): Score {
  // `[]` and `*` stand for the places of a list, `$` for a document that is a single value.
  const path = (stated: string) =>
    stated
      .split(".")
      .map((whole) => {
        const part = whole.endsWith("[]") ? whole.slice(0, -2) : whole;
        return (part === "" || part === "$" || part === "*" ? part : clean(part)) + (part === whole ? "" : "[]");
      })
      .join(".");
  const came = score.came.map((one) => ({
    ...one,
    field: path(one.field),
    path: path(one.path),
    tool: one.tool && clean(one.tool),
  }));
  return { ...score, came };
}
