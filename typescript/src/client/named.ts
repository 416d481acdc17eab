/** Named: the sub-agents of one process, each a client with an identity, a baseline and a declaration of its own. */
import { cut } from "../contract/text.js";
import type { Kaizen, Options } from "./kaizen.js";

/** Sub-agents with a client of their own; names may come from a model, so they must be bounded. */
const MOST = 32;

/** The clients of `owner`'s sub-agents, with its settings and its own policies. `make`: made when they are first named. */
export class Named {
  private readonly known = new Map<string, Kaizen>();

  constructor(
    private readonly owner: Kaizen,
    private readonly make: (options: Options) => Kaizen,
  ) {}

  /** The client of `OWNER/name`. Beyond `MOST` the owner's own: nothing goes unjudged because a name is new. */
  get(name: string): Kaizen {
    const known = this.known.get(name);
    if (known !== undefined || this.known.size >= MOST) return known ?? this.owner;
    const { settings, rules, onVerdict } = this.owner;
    // The keys are not enumerable.
    const { apiKey, tenantKey } = settings;
    const agent = cut(`${settings.agent}/${name}`, 256);
    const made = this.make({ ...settings, apiKey, tenantKey, agent, policies: rules.policies, onVerdict });
    this.known.set(name, made);
    return made;
  }

  /** Those that were named. */
  get all(): Kaizen[] {
    return [...this.known.values()];
  }
}
