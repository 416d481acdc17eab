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
    try {
      if (first) return fs.linkSync(made, path);
    } catch {
      // It is there already, or there are no hard links here.
      if (fs.existsSync(path)) return;
    }
    fs.renameSync(made, path);
  } finally {
    fs.rmSync(made, { force: true });
  }
}
