/** Framing: bytes of the spool's files, as `journal.ts` has them. */
import fs from "node:fs";
import { crc32 } from "./crc.js";

/** Bytes of one record. */
export const MAX_RECORD = 4 << 20;
/** Bytes of a segment's head, and of a record's. */
export const HEAD = 16;
export const FRAME = 8;

/** Bytes that a record takes on disk. */
export function framedSize(record: Uint8Array): number {
  return FRAME + record.length;
}

/** Whole records at the start of `data`, at most `most`, and the bytes they take. */
export function frames(data: Buffer, index: number, most: number): [found: Buffer[], used: number] {
  const found: Buffer[] = [];
  let at = 0;
  while (found.length < most && at + FRAME <= data.length) {
    const end = at + FRAME + data.readUInt32LE(at);
    if (end - at - FRAME > MAX_RECORD || end > data.length) break;
    const record = data.subarray(at + FRAME, end);
    if (crc32(record, (index + found.length) >>> 0) !== data.readUInt32LE(at + 4)) break;
    found.push(record);
    at = end;
  }
  return [found, at];
}

/** A file's first bytes: its magic, then numbers. */
export function headed(magic: string, ...numbers: number[]): Uint8Array {
  const head = Buffer.alloc(8 + 8 * numbers.length, magic);
  for (const [at, number] of numbers.entries()) head.writeBigUInt64LE(BigInt(number), 8 + 8 * at);
  return head;
}

/** The numbers behind the magic; none when it is another one. */
export function numbersIn(fd: number, magic: string, count: number): number[] {
  const head = readAt(fd, 8 + 8 * count, 0);
  if (head.length < 8 + 8 * count || head.toString("latin1", 0, 8) !== magic) return [];
  return Array.from({ length: count }, (_, at) => Number(head.readBigUInt64LE(8 + 8 * at)));
}

/** What is there of `size` bytes from `offset` on. */
export function readAt(fd: number, size: number, offset: number): Buffer {
  const data = Buffer.allocUnsafe(Math.max(size, 0));
  let filled = 0;
  while (filled < size) {
    const got = fs.readSync(fd, data, filled, size - filled, offset + filled);
    if (got === 0) break;
    filled += got;
  }
  return data.subarray(0, filled);
}
