/**
 * Owners: which process a file of the spool belongs to, and whether that process lives.
 *
 * Node has no locks on files that end with their process, so an owner is told by its name: the machine's start and process namespace,
 * the process id and when that process began. Taking over is a rename, which one process at a time can do.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";

/** Seconds after which a file of a process that cannot be seen (another container's) counts as left behind. */
const UNSEEN = 600;
/** What a process that ends puts in the place of its own name: anybody may take over. */
export const LEFT = "left";

function read(path: string): string {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function namespace(): string {
  let pids = "";
  try {
    pids = fs.readlinkSync("/proc/self/ns/pid");
  } catch {
    // a system without process namespaces
  }
  const machine = `${os.hostname()}\n${read("/proc/sys/kernel/random/boot_id")}\n${pids}`;
  return createHash("sha256").update(machine).digest("hex").slice(0, 8);
}

/** When the process began, in ticks since the machine's start; empty where that is not told, or when it is gone. */
function began(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  // The name stands in brackets and may hold anything, brackets too.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

let own: string | undefined;

/** The name of this process. */
export function self(): string {
  own ??= `${namespace()}-${process.pid}-${began(process.pid) || 0}`;
  return own;
}

/** Whether the process of that name is gone. `touched`: when it last wrote, in Unix seconds; `now` likewise. */
export function isGone(name: string, touched: number, now: number): boolean {
  if (name === LEFT) return true;
  const match = /^([0-9a-f]{8})-([0-9]{1,10})-([0-9]{1,20})$/.exec(name);
  if (match === null) return now - touched > UNSEEN;
  const [, space, pid, start] = match;
  if (space !== self().slice(0, 8)) return now - touched > UNSEEN;
  if (start !== "0") return began(Number(pid)) !== start;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === "ESRCH";
  }
}
