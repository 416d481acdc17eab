/** Hold: an action that waits for a person's word. On the wire the decision stays `block` until the word has come. */
import type { Action, Json } from "./action.js";
import { decodeAction, decodeVerdict, encodeAction, encodeVerdict } from "./codec.js";
import { InvalidInput } from "./errors.js";
import { instant, MAX_NAME, obj, rfc3339, text, texts } from "./fields.js";
import type { Verdict } from "./verdict.js";

const STATES = ["waiting", "released", "blocked", "expired"] as const;
const ANSWERS = ["allow_once", "allow_run", "learn", "block"] as const;

/** `verdict` is what stands if nobody answers. Times in Unix seconds, 0 for not yet. `calls`: how many the same were. */
export interface Hold {
  readonly id: string;
  readonly action: Action;
  readonly verdict: Verdict;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly state: (typeof STATES)[number];
  readonly answer: (typeof ANSWERS)[number] | null;
  readonly answeredBy: string;
  readonly answeredAt: number;
  readonly calls: number;
  readonly notes: readonly string[];
}

function oneOf<T extends string>(said: string, known: readonly T[], field: string): T {
  if (!(known as readonly string[]).includes(said)) throw new InvalidInput(field, `must be one of ${known.join(", ")}`);
  return said as T;
}

/** A hold. Throws InvalidInput naming the field. */
export function decodeHold(document: unknown, field = "hold"): Hold {
  const doc = obj(document, field);
  const path = `${field}.`;
  const id = text(doc, "id", path, MAX_NAME);
  if (id === "") throw new InvalidInput(`${path}id`, "is missing");
  const calls = doc["calls"] === undefined ? 1 : doc["calls"];
  if (typeof calls !== "number" || !Number.isInteger(calls) || calls < 1 || calls >= 2 ** 31) {
    throw new InvalidInput(`${path}calls`, "must be a whole number from 1");
  }
  const answer = text(doc, "answer", path, 16);
  return {
    id,
    action: decodeAction(doc["action"], text(doc, "agent", path, MAX_NAME), `${path}action`),
    verdict: decodeVerdict(doc["verdict"], `${path}verdict`),
    createdAt: instant(doc, "created_at", path),
    expiresAt: instant(doc, "expires_at", path),
    state: oneOf(text(doc, "state", path, 16) || "waiting", STATES, `${path}state`),
    answer: answer === "" ? null : oneOf(answer, ANSWERS, `${path}answer`),
    answeredBy: text(doc, "answered_by", path, MAX_NAME),
    answeredAt: instant(doc, "answered_at", path),
    calls,
    notes: texts(doc, "notes", path),
  };
}

/** `decodeHold` gives it back. */
export function encodeHold(hold: Hold): { [key: string]: Json } {
  return {
    id: hold.id,
    agent: hold.action.agent,
    state: hold.state,
    created_at: rfc3339(hold.createdAt),
    expires_at: rfc3339(hold.expiresAt),
    calls: hold.calls,
    action: encodeAction(hold.action),
    verdict: encodeVerdict(hold.verdict),
    answer: hold.answer,
    answered_by: hold.answeredBy || null,
    answered_at: rfc3339(hold.answeredAt) || null,
    notes: [...hold.notes],
  };
}
