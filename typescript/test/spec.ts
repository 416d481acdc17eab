/** The law for all languages: `spec/`. */
import { readFileSync } from "node:fs";

/** A file of `spec/`, parsed. */
export function spec<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(`../../spec/${path}`, import.meta.url), "utf8")) as T;
}
