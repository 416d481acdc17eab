/**
 * Judge: the way of one action to its verdict. Own policy first, then the sidecar or the declaration, then the report.
 *
 * Two opinions never loosen each other: what either side blocks is blocked, and the stricter mode holds.
 */
import type { Action } from "../contract/action.js";
import type { Bundle } from "../contract/bundle.js";
import { Correlation } from "../contract/correlation.js";
import type { Declaration } from "../contract/declared.js";
import { Refused, Unreachable } from "../contract/errors.js";
import type { Policy } from "../contract/policy.js";
import type { Verdict } from "../contract/verdict.js";
import type { Ids } from "./ids.js";
import type { Link } from "./link.js";
import type { Manifest } from "./manifest.js";
import { completed, plain } from "./plain.js";
import type { Origin } from "./renewal.js";
import type { Reporter } from "./reporter.js";
import * as rulesOf from "./rules.js";
import type { Settings } from "./settings.js";
import { unlessAborted } from "./waiting.js";

/** Whom to ask and where reports go. */
export interface Judging {
  readonly settings: Settings;
  readonly link: Link | undefined;
  readonly reporter: Reporter | undefined;
  readonly manifest: Manifest;
  readonly ids: Ids;
  readonly key: Uint8Array;
}

/** One agent's rules, and whom to ask. */
export class Judge {
  rules: rulesOf.CompiledRules;
  readonly sequence = new Correlation();
  private local: rulesOf.CompiledRules;
  private bundle: readonly [Bundle, Origin] | undefined;

  constructor(
    private readonly how: Judging,
    policies: readonly Policy[],
  ) {
    this.local = rulesOf.localRules(policies, how.settings.mode);
    this.rules = this.local;
  }

  // --- one action

  /** The verdict, reported. `at` in Unix seconds. Throws the reason of `signal` when that is aborted while the sidecar is asked. */
  judge(action: Action, at: number, runId: string, signal?: AbortSignal): Verdict | Promise<Verdict> {
    const { rules } = this;
    const { link } = this.how;
    const verdict = this.alone(rules, action, at, runId, link !== undefined);
    return verdict ?? this.together(link as Link, rules, action, at, runId, signal);
  }

  /** The verdict of this process alone: where a sidecar should have been asked, an allow is nobody's word. */
  judgeAlone(action: Action, at: number, runId: string): Verdict {
    const { rules } = this;
    const verdict = this.alone(rules, action, at, runId, this.how.link !== undefined);
    if (verdict !== undefined) return verdict;
    const said = rulesOf.nobodyAnswered(
      rules,
      "the sidecar cannot be asked without waiting: use inspect",
      this.how.settings.failOpen,
    );
    this.report(action, said, at, runId);
    return said;
  }

  /** What needs nobody else, reported; undefined when the sidecar is to be asked. */
  private alone(rules: rulesOf.CompiledRules, stated: Action, at: number, runId: string, hasLink: boolean): Verdict | undefined {
    const { settings } = this.how;
    // A run is the agent's own: an agent that the caller names does not split its memory, as it does not split its reports.
    const action = rules.compiled.correlates ? { ...stated, runId, agent: settings.agent, organisation: "" } : stated;
    let verdict = rulesOf.knownBad(rules, action, this.sequence);
    if (verdict.allowed) {
      if (hasLink) return undefined;
      const why = rulesOf.unanswered(rules, at);
      if (why !== "") verdict = rulesOf.nobodyAnswered(rules, why, settings.failOpen);
      else if (rules.declaration !== undefined) verdict = rulesOf.beyondDeclared(rules, action) ?? verdict;
    }
    this.report(stated, verdict, at, runId);
    return verdict;
  }

  /** The verdict when our own code failed, reported. */
  failed(err: unknown, action: Action, at: number, runId: string): Verdict {
    const kind = err instanceof Error ? err.name : typeof err;
    const verdict = rulesOf.engineError(kind, this.how.settings.failOpen);
    this.report(action, verdict, at, runId);
    return verdict;
  }

  /** The sidecar's word, by our mode. It reports what it judged, so we report only what it could not know. */
  private async together(
    link: Link,
    rules: rulesOf.CompiledRules,
    action: Action,
    at: number,
    runId: string,
    signal: AbortSignal | undefined,
  ): Promise<Verdict> {
    const { settings, ids, manifest } = this.how;
    const { failOpen } = settings;
    const full = completed(action, plain(action.metadata), ids.next(), settings.agent, at, runId);
    let said: Verdict;
    try {
      said = await unlessAborted(this.asked(link, full, rules.mode === "enforce", signal), signal);
    } catch (err) {
      if (signal?.aborted) {
        // Nobody waits any more: the action will not happen, so it must not be learned from.
        link.note({ step: "result", runId: full.runId, actionId: full.id, content: null, failed: true, agent: full.agent, at });
        throw signal.reason;
      }
      if (!(err instanceof Unreachable) && !(err instanceof Refused)) throw err;
      const verdict = rulesOf.nobodyAnswered(rules, err.message, failOpen).with({ actionId: full.id });
      this.report(full, verdict, at, runId);
      return verdict;
    }
    let verdict = said;
    if (rules.declaration !== undefined && (manifest.isWaiting || rulesOf.isWithoutPolicy(said))) {
      verdict = rulesOf.joined(said, rulesOf.beyondDeclared(rules, action));
    }
    verdict = rulesOf.tightened(rules, verdict, failOpen);
    // The same id: for the sidecar this says that the action did not happen, so it is not learned from.
    if (verdict !== said) this.report(full, verdict.with({ actionId: full.id }), at, runId);
    return verdict;
  }

  /** What the sidecar says, after a person has said it if it asks one. */
  private async asked(link: Link, full: Action, isPatient: boolean, signal: AbortSignal | undefined): Promise<Verdict> {
    const { deadline, holdSeconds } = this.how.settings;
    const said = await link.ask(full, deadline, isPatient, signal);
    return said.pending === null ? said : link.answered(full, said, holdSeconds, deadline, signal);
  }

  /** Send it to where reports go, if they go anywhere; what was blocked or flagged is on disk when this returns. */
  report(action: Action, verdict: Verdict, at: number, runId: string): void {
    const { reporter } = this.how;
    if (reporter === undefined) return;
    const isUrgent = verdict.flagged && (verdict.blocked || verdict.evidence[0]?.kind !== rulesOf.UNPROTECTED);
    if (isUrgent) reporter.urgent(action, verdict, at, runId);
    else reporter.add(action, verdict, at, runId);
  }

  // --- what is in force

  /** Put the organisation's policy into force beside our own. Throws Misconfigured; then nothing has changed. */
  apply(bundle: Bundle, origin: Origin): void {
    this.rules = rulesOf.withOrganisation(this.local, bundle, this.how.settings.mode, origin, this.how.key);
    this.bundle = [bundle, origin];
  }

  /** The organisation's policy could not be had. */
  missing(why: string): void {
    this.rules = { ...this.rules, missing: why };
  }

  /** Put our own declaration into force. Throws Misconfigured; then nothing has changed. */
  declare(declared: Declaration): void {
    const local = rulesOf.redeclared(this.local, declared);
    this.local = local;
    if (this.bundle === undefined) this.rules = rulesOf.redeclared(this.rules, declared);
    else this.apply(...this.bundle);
  }
}
