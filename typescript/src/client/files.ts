/** Files that are there whole or not at all, whoever reads them meanwhile and whenever we are killed. */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { dirname } from "node:path";

/**
 * Write so that a crash leaves the old file or the new one, never half of it. `first`: unless there is a file already; of several
 * processes that start at once, the first one's stays. Throws; then what was there stands.
 */
export function writeWhole(path: string, data: Uint8Array, first = false): void {
  fs.mkdirSync(dirname(path), { mode: 0o700, recursive: true });
  const made = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    fs.writeFileSync(made, data, { mode: 0o600, flag: "wx" });
    if (!first || !isThere(made, path)) fs.renameSync(made, path);
  } finally {
    fs.rmSync(made, { force: true });
  }
}

/** Whether `path` is a file now: that of `made`, or one that was there already. It is neither where there are no hard links. */
function isThere(made: string, path: string): boolean {
  try {
    fs.linkSync(made, path);
    return true;
  } catch {
    return fs.existsSync(path);
  }
}
