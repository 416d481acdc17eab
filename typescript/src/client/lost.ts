/** What was lost, by reason: every part of the client counts it in the same way. */
export type Lost = Map<string, number>;

/** Count `more` that were lost for `reason`. */
export function count(lost: Lost, reason: string, more = 1): void {
  if (more > 0) lost.set(reason, (lost.get(reason) ?? 0) + more);
}
