/** The spool: whatever happens to its files and its processes, a record is delivered, still there, or counted. */
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import zlib from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { crc32, crc32InSteps } from "../src/client/crc.js";
import { isGone, LEFT, self } from "../src/client/owner.js";
import { Spool } from "../src/client/spool.js";

const SIZE = 1 << 20;
let directory: string;
beforeEach(() => {
  directory = join(fs.mkdtempSync(join(tmpdir(), "kaizen-spool-")), "spool");
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

function records(first: number, count: number, bytes = 20): Buffer[] {
  return Array.from({ length: count }, (_, at) => Buffer.from(`${first + at}`.padEnd(bytes, ".")));
}

/** Everything that can be read, delivered batch by batch. */
function delivered(spool: Spool, most = 7): number[] {
  const found: number[] = [];
  for (let batch = spool.read(most, SIZE); batch.records.length > 0; batch = spool.read(most, SIZE)) {
    found.push(...batch.records.map((record) => Number.parseInt(Buffer.from(record).toString(), 10)));
    spool.done(batch.position);
  }
  return found;
}

function files(ending: string): string[] {
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(directory, name));
}

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

test("what is kept is delivered once, in order, and its files go", () => {
  const spool = new Spool(directory, SIZE);
  expect(spool.extend(records(0, 100))).toBe(100);
  expect(spool.pending).toBe(100);
  expect(spool.read(5, SIZE)).toEqual(spool.read(5, SIZE));
  expect(delivered(spool)).toEqual(numbers(100));
  spool.close();
  expect(fs.readdirSync(directory)).toEqual([]);
  expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
});

test("what is left is taken over by the next, segment after segment", () => {
  const first = new Spool(directory, 64 << 10);
  first.extend(records(0, 300, 100));
  expect(delivered(first, 50).slice(0, 1)).toEqual([0]);
  first.extend(records(300, 300, 100));
  first.promise(4);
  first.close();
  const next = new Spool(directory, 64 << 10);
  expect(delivered(next)).toEqual(numbers(300).map((at) => at + 300));
  expect(Object.fromEntries(next.lost)).toEqual({ killed: 4 });
  next.close();
  expect(fs.readdirSync(directory)).toEqual([]);
});

test("a record that was torn or changed is counted, and what follows in other segments still arrives", () => {
  const first = new Spool(directory, 64 << 10);
  for (let at = 0; at < 300; at += 10) first.extend(records(at, 10, 100));
  first.close();
  const [one, two] = files(".seg") as [string, string];
  const content = fs.readFileSync(one);
  content[content.length - 50] = 0;
  fs.writeFileSync(one, content);
  fs.truncateSync(files(".seg").at(-1) as string, fs.statSync(files(".seg").at(-1) as string).size - 3);
  const next = new Spool(directory, 64 << 10);
  const found = delivered(next);
  const lost = Object.fromEntries(next.lost);
  expect(two).not.toBe(one);
  expect(lost).toEqual({ corrupt: 1, torn: 1 });
  expect(found.length + 2).toBe(300);
  expect(found).toEqual([...found].sort((left, right) => left - right));
});

test("a full spool refuses what is new, keeps a tenth for what is urgent, and counts", () => {
  const spool = new Spool(directory, 64 << 10);
  const kept = spool.extend(records(0, 1000, 100));
  expect(kept).toBeLessThan(1000);
  expect(Object.fromEntries(spool.lost)).toEqual({ "spool full": 1000 - kept });
  const urgent = spool.extend(records(1000, 100, 100), true);
  expect(urgent).toBeGreaterThan(20);
  expect(delivered(spool)).toEqual([...numbers(kept), ...numbers(urgent).map((at) => at + 1000)]);
  expect(spool.extend(records(0, 10))).toBe(10);
});

test("without a disk records wait in memory, bounded", () => {
  const spool = new Spool("", SIZE, 1000);
  expect(spool.extend(records(0, 60))).toBe(50);
  expect(Object.fromEntries(spool.lost)).toEqual({ "no disk, memory full": 10 });
  expect(spool.extend([Buffer.alloc((4 << 20) + 1)])).toBe(0);
  expect(delivered(spool)).toEqual(numbers(50));
  spool.extend(records(0, 3));
  spool.close();
  expect(Object.fromEntries(spool.lost)).toMatchObject({ "exit without disk": 3, "record too large": 1 });
});

test("a directory that comes later takes what waited in memory", async () => {
  fs.writeFileSync(directory, "a file in its place");
  const spool = new Spool(directory, SIZE);
  expect(spool.extend(records(0, 3))).toBe(3);
  expect(spool.problem).not.toBe("");
  fs.rmSync(directory);
  const isThere = () => spool.extend([]) === 0 && fs.existsSync(directory);
  await expect.poll(isThere, { timeout: 5000 }).toBe(true);
  expect(spool.problem).toBe("");
  expect(delivered(spool)).toEqual(numbers(3));
});

test("files that somebody removed or took over are not written to any more", () => {
  const spool = new Spool(directory, SIZE);
  spool.extend(records(0, 3));
  fs.rmSync(directory, { recursive: true });
  expect(spool.extend(records(3, 2))).toBe(2);
  expect(delivered(spool)).toEqual([3, 4]);
  const [own] = files(".own") as [string];
  fs.renameSync(own, own.replace(self(), LEFT));
  const other = new Spool(directory, SIZE);
  spool.extend(records(5, 2));
  expect([...delivered(other), ...delivered(spool)]).toEqual([5, 6]);
});

test("a directory that others can read is made private", () => {
  fs.mkdirSync(directory, { mode: 0o777 });
  fs.chmodSync(directory, 0o777);
  const spool = new Spool(directory, SIZE);
  spool.extend(records(0, 1));
  expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
  for (const file of [...files(".seg"), ...files(".own")]) expect(fs.statSync(file).mode & 0o777).toBe(0o600);
});

test("an owner is gone when its process is, and not before", () => {
  const [space, pid, start] = self().split("-") as [string, string, string];
  const now = 1000;
  expect(isGone(self(), 0, now)).toBe(false);
  expect(isGone(`${space}-${pid}-${Number(start) + 1}`, now, now)).toBe(true); // the number was given to another process
  expect(isGone(`${space}-4194303-${start}`, now, now)).toBe(true);
  expect(isGone(`${space}-${pid}-0`, 0, now)).toBe(false);
  expect(isGone(`${space}-4194303-0`, now, now)).toBe(true);
  expect(isGone(LEFT, now, now)).toBe(true);
  // Another container's process cannot be seen: only time tells.
  expect(isGone(`00000000-1-${start}`, now - 5, now)).toBe(false);
  expect(isGone(`00000000-1-${start}`, now - 601, now)).toBe(true);
  expect(isGone("what-is-this", now, now)).toBe(false);
});

test("the checksum is zlib's, with and without zlib", () => {
  for (const [text, seed] of [
    ["", 0],
    ["a", 7],
    ["hello world".repeat(100), 0xffff_ffff],
  ] as const) {
    const data = Buffer.from(text);
    const expected = (zlib as unknown as { crc32: typeof crc32 }).crc32(data, seed);
    expect([crc32(data, seed), crc32InSteps(data, seed)]).toEqual([expected, expected]);
  }
});
