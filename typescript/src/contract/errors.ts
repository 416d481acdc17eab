/** Errors, named for what the caller can do about them. */
import type { Pending, Verdict } from "./verdict.js";

/** The root of everything that Kaizen throws on purpose. Names are stated: the build shortens those of classes, and logs show them. */
export class KaizenError extends Error {
  static override get name(): string {
    return "KaizenError";
  }
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** A document does not have the shape of the contract: `field` is its path. The problem never repeats the value. */
export class InvalidInput extends KaizenError {
  static override get name(): string {
    return "InvalidInput";
  }
  readonly field: string;
  readonly problem: string;
  constructor(field: string, problem: string) {
    super(field ? `${field}: ${problem}` : problem);
    this.field = field;
    this.problem = problem;
  }
}

/** A document or a field is over its bound (HTTP 413). */
export class TooLarge extends InvalidInput {
  static override get name(): string {
    return "TooLarge";
  }
}

/** Nobody answered within the deadline; asking again later may help. `slow`: somebody is there, and took too long. */
export class Unreachable extends KaizenError {
  static override get name(): string {
    return "Unreachable";
  }
  readonly slow: boolean;
  constructor(message: string, slow = false) {
    super(message);
    this.slow = slow;
  }
}

/** The other side answered and said no (`status` is its HTTP status); asking again unchanged will not help. */
export class Refused extends KaizenError {
  static override get name(): string {
    return "Refused";
  }
  readonly status: number;
  readonly field: string;
  constructor(message: string, status: number, field = "") {
    super(message);
    this.status = status;
    this.field = field;
  }
}

/** A setting, a policy or a declaration cannot be used as it stands; the message names it and says how to mend it. */
export class Misconfigured extends KaizenError {
  static override get name(): string {
    return "Misconfigured";
  }
}

/** The action was refused; `verdict` says why. The text is what a model that was refused gets to read. */
export class KaizenBlocked extends KaizenError {
  static override get name(): string {
    return "KaizenBlocked";
  }
  readonly verdict: Verdict;
  constructor(verdict: Verdict) {
    super(`Blocked by Kaizen: ${verdict.reason}`);
    this.verdict = verdict;
  }

  /** The hold that still waits for a person: the same call, made again, joins it. Null: the verdict is final. */
  get pending(): Pending | null {
    return this.verdict.pending;
  }
}
