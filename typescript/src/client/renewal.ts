/**
 * Renewal: the organisation's policy for this agent, fetched, verified, kept on disk and kept up to date.
 *
 * From `GET /v1/bundle` (signed, see `contract/bundle.ts`); from a server that has none, `GET /v1/policy`, but never again once a signed
 * bundle was seen: whoever stands between must not be able to take the signature away.
 */
import fs from "node:fs";
import { type Bundle, decodePolicy, keyHash, MAX_BUNDLE, signingKey, unseal, unsigned } from "../contract/bundle.js";
import { InvalidInput, KaizenError } from "../contract/errors.js";
import { array, obj } from "../contract/fields.js";
import { writeWhole } from "./files.js";
import { type Reply, type Upstream, understood } from "./http.js";
import { now } from "./ids.js";

/** Seconds that the first verdict waits for the policy. */
const FIRST = 3;
/** Seconds that the server may hold a question back until something changes. */
const WAIT = 25;
/** Seconds between questions to a server that answers at once, and the longest pause after a failure. */
const PACE = 10;
const LONGEST_PAUSE = 60;

/** Where a policy came from. */
export type Origin = "bundle" | "cache" | "policy";

/** `apply` puts a policy into force (it throws Misconfigured for one that cannot be used); `missing` says that there is none. */
export interface Renewing {
  readonly agent: string;
  readonly apiKey: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly cache: string;
  readonly apply: (bundle: Bundle, origin: Origin) => void;
  readonly missing: (why: string) => void;
}

/** See the module. `problem` is why the newest attempt failed. */
export class Renewal {
  problem = "";
  private readonly key: Uint8Array;
  private readonly isSigned: boolean;
  /** Of the bundles seen; -1: none, since a bundle may have version 0. */
  private newest = -1;
  private etag = "";
  private isInForce = false;
  private isStopped = false;
  private timer: NodeJS.Timeout | undefined;
  private looked: Promise<void> | undefined;
  private pause = 1;

  constructor(
    private readonly upstream: Upstream,
    private readonly how: Renewing,
  ) {
    this.key = signingKey(keyHash(how.apiKey));
    // Over a Unix socket without a key the channel says who is there, and the sidecar seals with the empty key.
    this.isSigned = how.apiKey !== "" || upstream.place.scheme === "unix";
    this.fromCache();
    if (!this.isInForce) how.missing("the organisation's policy has not been fetched yet");
  }

  /** The first look, once for all who wait for it; after it the policy is renewed in the background. */
  first(): Promise<void> {
    this.looked ??= this.once(FIRST, 0, false).then((isGood) => this.next(isGood ? 0 : this.pause));
    return this.looked;
  }

  /** Ask no more. */
  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private next(seconds: number): void {
    if (this.isStopped) return;
    this.timer = setTimeout(() => void this.work(), seconds * 1000);
    this.timer.unref();
  }

  private async work(): Promise<void> {
    const began = performance.now();
    if (!(await this.once(WAIT + 5, WAIT, true))) {
      this.next(this.pause);
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
      return;
    }
    this.pause = 1;
    this.next(performance.now() - began < 1000 ? PACE : 0);
  }

  /** Ask once; true when the policy in force is known to be the newest. */
  private async once(within: number, wait: number, inBackground: boolean): Promise<boolean> {
    try {
      const fetched = await this.fetch(within, wait, inBackground);
      if (fetched !== undefined && !this.isStopped) {
        this.how.apply(...fetched);
        this.isInForce = true;
      }
      this.problem = "";
      return true;
    } catch (err) {
      // Whatever it is: nobody waits for this promise, and a rejection would end the agent's process.
      this.problem = err instanceof KaizenError ? err.message : `our own code failed (${(err as Error).name})`;
      if (!this.isInForce) this.how.missing(`the organisation's policy could not be had: ${this.problem}`);
      return false;
    }
  }

  /** The newest policy and where it is from; undefined when it is the one in force. */
  private async fetch(within: number, wait: number, inBackground: boolean): Promise<[Bundle, Origin] | undefined> {
    const agent = encodeURIComponent(this.how.agent);
    if (this.isSigned) {
      const held = wait && this.isInForce ? `&wait=${wait}` : "";
      const reply = await this.get(`/v1/bundle?agent=${agent}${held}`, within, inBackground);
      if (reply.status === 304 && this.isInForce) return undefined;
      if (![404, 405, 501].includes(reply.status) || this.newest >= 0) {
        understood(reply, MAX_BUNDLE);
        const bundle = this.unsealed(reply.body, Math.max(this.newest, 0));
        if (bundle.expiresAt > 0 && bundle.expiresAt <= now()) throw new InvalidInput("bundle.expires_at", "has passed");
        this.newest = bundle.version;
        this.keep(reply.body);
        return [bundle, "bundle"];
      }
    }
    const reply = await this.get(`/v1/policy?agent=${agent}`, within, inBackground);
    if (reply.status === 304 && this.isInForce) return undefined;
    const document = obj(understood(reply, MAX_BUNDLE), "policy");
    const policies = array(document, "policies").map((item, at) => decodePolicy(item, `policies[${at}]`));
    return [unsigned(this.how.agent, policies), "policy"];
  }

  private async get(path: string, within: number, inBackground: boolean): Promise<Reply> {
    const headers: Record<string, string> = { ...this.how.headers, Accept: "application/json" };
    if (this.etag !== "" && this.isInForce) headers["If-None-Match"] = this.etag;
    const reply = await this.upstream.exchange({ method: "GET", path, headers, within, inBackground, maxBytes: MAX_BUNDLE });
    if (reply.status >= 200 && reply.status < 300) {
      const etag = String(reply.headers["etag"] ?? "");
      this.etag = /^[ -~]{1,256}$/.test(etag) ? etag : "";
    }
    return reply;
  }

  private unsealed(data: Uint8Array, newest: number): Bundle {
    return unseal(data, this.key, this.how.agent, newest);
  }

  // --- on disk

  /** What was in force when an earlier process ran. Expired is still taken: it may block, and says that it has expired. */
  private fromCache(): void {
    if (this.how.cache === "" || !this.isSigned) return;
    let data: Buffer;
    try {
      data = fs.readFileSync(this.how.cache);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== "ENOENT")
        this.problem = `the policy kept on disk cannot be used: ${(err as Error).message}`;
      return;
    }
    try {
      const bundle = this.unsealed(data, 0);
      this.how.apply(bundle, "cache");
      this.newest = bundle.version;
      this.isInForce = true;
    } catch (err) {
      if (!(err instanceof KaizenError)) throw err;
      this.problem = `the policy kept on disk cannot be used: ${err.message}`;
    }
  }

  private keep(data: Uint8Array): void {
    if (this.how.cache === "") return;
    try {
      writeWhole(this.how.cache, data);
    } catch (err) {
      this.problem = `the policy cannot be kept on disk: ${(err as Error).message}`;
    }
  }
}
