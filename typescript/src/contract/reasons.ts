/** The reason strings. They are an interface: dashboards and runners match on them. */
import { compare } from "./text.js";

export const NO_POLICY_MATCHED = "no policy matched";
export const CORRELATION = "blocked by correlation: sensitive read then outbound connect";
export const FAILED_CLOSED = "engine error, failed closed";
/** A note on a sidecar's verdict, not a reason: clients that enforce match on it. */
export const NO_POLICY_YET = "no policy received yet: judged without policy and declaration";
/** Notes on a verdict that a person released: clients that enforce match on them. */
export const RELEASING: ReadonlySet<string> = new Set([
  "released once by a person",
  "released for this run by a person",
  "released and learned as normal by a person",
]);

/** `blocked by policy: <finding kinds, sorted>`; each kind once. */
export function blockedByPolicy(kinds: Iterable<string>): string {
  return `blocked by policy: ${[...new Set(kinds)].sort(compare).join(", ")}`;
}

/** What was used without having been declared; names both, tool first. `destination` is a host without its port. */
export function undeclared(tool: string, destination: string): string {
  const said: string[] = [];
  if (tool) said.push(`used a tool it never declared (${tool})`);
  if (destination) said.push(`connected to a destination it never declared (${destination})`);
  return `undeclared: this agent ${said.join(", ")}.`;
}
