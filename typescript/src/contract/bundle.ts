/**
 * Bundle: policy and declaration of one agent, versioned and signed, so that a client may keep it on disk and trust it later.
 *
 * Signed with HMAC-SHA256 (RFC 2104) under a key derived from the API key's hash, which is what the control plane keeps.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { Json } from "./action.js";
import { decodeDeclaration } from "./codec.js";
import { type Declaration, NOTHING_DECLARED } from "./declared.js";
import { InvalidInput } from "./errors.js";
import { array, boolean, instant, obj, parse, plainText, text, whole } from "./fields.js";
import type { Policy } from "./policy.js";
import type { Mode } from "./verdict.js";

/** Bytes: 100,000 policy entries are about 3 MB. */
export const MAX_BUNDLE = 64 << 20;
const MAX_SUPPRESSED = 5000;

/** `version` only ever grows; `expiresAt` is in Unix seconds, 0 for never; `paused` means: record, do not flag. */
export interface Bundle {
  readonly agent: string;
  readonly version: number;
  readonly policies: readonly Policy[];
  readonly declaration: Declaration;
  readonly mode: Mode;
  readonly paused: boolean;
  readonly expiresAt: number;
  readonly suppressed: readonly string[];
}

/** What the control plane stores of an API key: SHA-256, hex. */
export function keyHash(apiKey: string): string {
  return createHash("sha256").update(apiKey).digest("hex");
}

/** The key under which bundles for the owner of that API key are signed. */
export function signingKey(apiKeyHash: string): Buffer {
  return createHmac("sha256", apiKeyHash).update("kaizen bundle v1").digest();
}

/**
 * The bundle in a signed document. Throws InvalidInput naming the field when the signature is wrong, when it is another agent's, or
 * older than version `newest` (a rollback). Its expiry is looked at whenever it is used.
 */
export function unseal(data: Uint8Array, key: Uint8Array, agent: string, newest = 0): Bundle {
  const doc = obj(parse(data, MAX_BUNDLE), "document");
  const body = text(doc, "bundle", "", MAX_BUNDLE);
  const said = Buffer.from(text(doc, "signature", "", 128));
  const made = Buffer.from(createHmac("sha256", key).update(body).digest("hex"));
  if (said.length !== made.length || !timingSafeEqual(said, made)) {
    throw new InvalidInput("signature", "does not match: not signed for this API key, or changed on the way");
  }
  const bundle = decodeBundle(parse(Buffer.from(body), MAX_BUNDLE));
  if (bundle.agent !== agent) throw new InvalidInput("bundle.agent", "is another agent's");
  if (bundle.version < newest) {
    throw new InvalidInput("bundle.version", `is ${bundle.version}, but ${newest} was seen already (rollback)`);
  }
  return bundle;
}

/** A policy's shape; whether its rules can be used is decided when they are compiled. */
export function decodePolicy(document: unknown, field = "policy"): Policy {
  const doc = obj(document, field);
  return {
    mode: text(doc, "mode", `${field}.`, 64),
    rules: obj(doc["rules"] ?? {}, `${field}.rules`),
    name: text(doc, "name", `${field}.`, 256),
    enabled: boolean(doc, "enabled", `${field}.`, true),
  };
}

/** A bundle without its signature. What people folded into a baseline is a sidecar's to read. */
export function decodeBundle(document: Json): Bundle {
  const doc = obj(document, "bundle");
  const mode = text(doc, "mode", "bundle.", 16);
  if (mode !== "observe" && mode !== "enforce") throw new InvalidInput("bundle.mode", "must be observe or enforce");
  return {
    agent: plainText(doc["agent"], "bundle.agent", 256),
    version: whole(doc["version"], "bundle.version"),
    policies: array(doc, "policies", "bundle.").map((item, at) => decodePolicy(item, `bundle.policies[${at}]`)),
    declaration: decodeDeclaration(doc["declaration"], "bundle.declaration"),
    mode,
    paused: boolean(doc, "paused", "bundle."),
    expiresAt: instant(doc, "expires_at", "bundle."),
    suppressed: array(doc, "suppressed", "bundle.", MAX_SUPPRESSED).map((value, at) => {
      if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) {
        throw new InvalidInput(`bundle.suppressed[${at}]`, "must be 64 hex digits");
      }
      return value;
    }),
  };
}

/** The unsigned list of policies of the wire contract, as a bundle that never expires. */
export function unsigned(agent: string, policies: readonly Policy[]): Bundle {
  return {
    agent,
    version: 0,
    policies,
    declaration: NOTHING_DECLARED,
    mode: "observe",
    paused: false,
    expiresAt: 0,
    suppressed: [],
  };
}
