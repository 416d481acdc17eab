/** JSON documents to values and back. Shapes are those of `spec/schema`. What arrives is hostile: every field is bounded and checked. */
import type { Action, Json } from "./action.js";
import type { Declaration } from "./declared.js";
import { InvalidInput } from "./errors.js";
import { array, checkJson, instant, MAX_NAME, type Obj, obj, rfc3339, sparse, text, texts } from "./fields.js";
import { decodeScore, encodeScore } from "./score.js";
import { type Finding, type Pending, Verdict } from "./verdict.js";

type Document = { [key: string]: Json };

/** An action in any shape of the wire contract. `agent`, told by key or channel, wins over the document's own. */
export function decodeAction(document: unknown, agent = "", field = "action"): Action {
  const doc = obj(document, field);
  const path = `${field}.`;
  const metadata = obj(doc["metadata"] ?? {}, `${path}metadata`);
  checkJson(doc["metadata"], `${path}metadata`);
  const name = (key: string) => text(doc, key, path, MAX_NAME);
  return {
    kind: name("kind") || "tool_call",
    tool: name("tool"),
    publisher: name("publisher"),
    target: text(doc, "target", path),
    hash: name("hash"),
    metadata,
    id: name("id"),
    runId: name("run_id"),
    actId: name("act_id"),
    at: instant(doc, "at", path),
    agent: agent || name("agent") || "default",
    organisation: name("organisation"),
    delegation: texts(doc, "delegation", path, MAX_NAME),
    seenBy: texts(doc, "seen_by", path, MAX_NAME),
  };
}

/** The six keys of the wire contract, nulls kept, then what is ours and stated. */
export function encodeAction(action: Action): Document {
  return {
    kind: action.kind,
    tool: action.tool || null,
    publisher: action.publisher || null,
    target: action.target || null,
    hash: action.hash || null,
    metadata: { ...action.metadata } as Document,
    ...sparse({
      id: action.id,
      run_id: action.runId,
      act_id: action.actId,
      agent: action.agent,
      organisation: action.organisation,
      at: rfc3339(action.at),
      delegation: [...action.delegation],
      seen_by: [...action.seenBy],
    }),
  };
}

/** One thing in a run besides an action: what the user asked, what a tool returned, what was said, the end. Times in Unix seconds. */
export type Step = { readonly runId: string; readonly agent: string; readonly at: number } & (
  | { readonly step: "request"; readonly text: string }
  | { readonly step: "result"; readonly actionId: string; readonly content: Json; readonly failed: boolean }
  | { readonly step: "message"; readonly text: string; readonly to: string }
  | { readonly step: "claim" | "effect"; readonly action: Action }
  | { readonly step: "end"; readonly completed: boolean }
);

/** A step as its document. */
export function encodeStep(step: Step): Document {
  const head: Document = { step: step.step, run_id: step.runId, agent: step.agent };
  if (step.at) head["at"] = rfc3339(step.at);
  switch (step.step) {
    case "request":
      return { ...head, text: step.text };
    case "result":
      return { ...head, action_id: step.actionId, content: step.content, failed: step.failed };
    case "message":
      return { ...head, text: step.text, to: step.to };
    case "claim":
    case "effect":
      return { ...head, action: encodeAction(step.action) };
    case "end":
      return { ...head, completed: step.completed };
  }
}

const FINDING = ["kind", "value", "source", "detection", "field", "expected", "observed", "advice", "attack"] as const;

function decodeFinding(document: Json, field: string): Finding {
  const doc = obj(document, field);
  return Object.fromEntries(FINDING.map((key) => [key, text(doc, key, `${field}.`)])) as unknown as Finding;
}

/** `kind`, `value` and `source` always, the rest when stated. */
export function encodeFinding(finding: Finding): Document {
  const { kind, value, source } = finding;
  return { kind, value, source, ...sparse(Object.fromEntries(FINDING.slice(3).map((key) => [key, finding[key]]))) };
}

/** A verdict; keys that are not ours (`blocked`, `flagged`) are derived, so they are not read. */
export function decodeVerdict(document: unknown, field = "verdict"): Verdict {
  const doc = obj(document, field);
  const path = `${field}.`;
  const decision = text(doc, "decision", path, 16);
  if (decision !== "allow" && decision !== "block") throw new InvalidInput(`${path}decision`, "must be allow or block");
  const confidence = doc["confidence"] ?? null;
  if (confidence !== null && !(typeof confidence === "number" && confidence >= 0 && confidence <= 1)) {
    throw new InvalidInput(`${path}confidence`, "must be null or a number from 0 to 1");
  }
  const evidence = array(doc, "evidence", path);
  return new Verdict({
    decision,
    reason: text(doc, "reason", path),
    evidence: evidence.map((item, at) => decodeFinding(item, `${path}evidence[${at}]`)),
    confidence,
    notes: texts(doc, "notes", path),
    actionId: text(doc, "action_id", path, MAX_NAME),
    policyVersion: text(doc, "policy_version", path, MAX_NAME),
    pending: decodePending(doc["pending"], `${path}pending`),
    at: instant(doc, "at", path),
    score: doc["score"] == null ? null : decodeScore(doc["score"], `${path}score`),
  });
}

function decodePending(document: Json | undefined, field: string): Pending | null {
  if (document === null || document === undefined) return null;
  const doc = obj(document, field);
  return { id: text(doc, "id", `${field}.`, MAX_NAME), expiresAt: instant(doc, "expires_at", `${field}.`) };
}

/** The four keys of the wire contract, then ours. */
export function encodeVerdict(verdict: Verdict): Document {
  const { pending, score } = verdict;
  return {
    decision: verdict.decision,
    reason: verdict.reason,
    evidence: verdict.evidence.map(encodeFinding),
    confidence: verdict.confidence,
    flagged: verdict.flagged,
    ...sparse({
      notes: [...verdict.notes],
      action_id: verdict.actionId,
      policy_version: verdict.policyVersion,
      pending: pending && { id: pending.id, expires_at: rfc3339(pending.expiresAt) },
      at: rfc3339(verdict.at),
      score: score && encodeScore(score),
    }),
  };
}

/** An action as a client reports it, with the verdict that the client CLAIMS (null when it states none). */
export interface Report {
  readonly action: Action;
  readonly verdict: Verdict | null;
}

/** Any of the four shapes of `POST /v1/verdicts`. */
export function decodeReport(document: unknown, agent = ""): Report {
  const doc = obj(document, "document");
  const said = agent || text(doc, "agent", "", MAX_NAME);
  return {
    action: decodeAction(doc["action"], said, "action"),
    verdict: doc["verdict"] == null ? null : decodeVerdict(doc["verdict"], "verdict"),
  };
}

/** A report in the wire contract's first shape. */
export function encodeReport(report: Report): Document {
  return {
    schema_version: "1",
    agent: report.action.agent,
    action: encodeAction(report.action),
    verdict: report.verdict === null ? null : encodeVerdict(report.verdict),
  };
}

/** A declaration. */
export function decodeDeclaration(document: unknown, field = "manifest"): Declaration {
  const doc: Obj = obj(document, field);
  const path = `${field}.`;
  return {
    tools: texts(doc, "tools", path, MAX_NAME),
    destinations: texts(doc, "destinations", path),
    purpose: text(doc, "purpose", path),
    data: texts(doc, "data", path, MAX_NAME),
  };
}
