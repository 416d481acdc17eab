/**
 * Journal: one process's part of the spool on disk, and how a later process takes it over.
 *
 * Files, all mode 0600, for one owner (16 hex digits, new for every journal), in the format of the Python client's:
 *
 * `OWNER.PROCESS.own`  whose it is (`owner.ts`): magic `KZOWNER1`, promised (u64), done (u64)
 * `OWNER-SEQ.seg`      magic `KZSPOOL1`, index of its first record (u64), then records: length (u32), CRC-32 (u32) of the payload seeded
 *                      with the record's index, payload. All little-endian, append only.
 *
 * A record counts when `write(2)` has returned: it then survives the end of the process (kill -9 too), not the end of the machine.
 */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { crc32 } from "./crc.js";
import { FRAME, framedSize, frames, HEAD, headed, MAX_RECORD, numbersIn, readAt } from "./framing.js";
import { count, type Lost } from "./lost.js";
import { isGone, LEFT, self } from "./owner.js";

const OWNER = "KZOWNER1";
const SPOOL = "KZSPOOL1";
const CHUNK = 256 << 10;
const FLAGS = fs.constants.O_RDWR | (fs.constants.O_NOFOLLOW ?? 0);
const OWN = /^([0-9a-f]{16})\.([0-9a-z-]{1,48})\.own$/;
const SEGMENT = /^([0-9a-f]{16})-([0-9]{1,12})\.seg$/;

/** A place between two records of one journal: everything before `index` is behind it. */
export interface Mark {
  readonly owner: string;
  readonly index: number;
  readonly sequence: number;
  readonly offset: number;
}

interface Segment {
  readonly sequence: number;
  readonly path: string;
  readonly first: number;
  size: number;
}

/** See the module. `gaps` counts records that are missing, by reason, since it was last looked at. */
export class Journal {
  size = 0;
  readonly gaps: Lost = new Map();
  private fd = -1;
  private writeFd = -1;
  private segments: Segment[] = [];
  /** Infinity: an adopted journal whose records were not all read yet. */
  private stored = 0;
  private promised = 0;
  private sequence = 0;
  private mark: Mark;
  private readonly path: string;
  private readonly counted = new Set<number>();

  private constructor(
    private readonly directory: string,
    readonly owner: string,
    private readonly segmentBytes: number,
  ) {
    this.path = join(directory, `${owner}.${self()}.own`);
    this.mark = { owner, index: 0, sequence: 0, offset: HEAD };
  }

  /** A new journal in an existing directory. Throws what the file system does. */
  static create(directory: string, segmentBytes: number): Journal {
    const owner = randomBytes(8).toString("hex");
    const journal = new Journal(directory, owner, segmentBytes);
    journal.fd = fs.openSync(journal.path, FLAGS | fs.constants.O_CREAT | fs.constants.O_EXCL, 0o600);
    try {
      journal.note();
    } catch (err) {
      journal.abandon();
      fs.rmSync(journal.path, { force: true });
      throw err;
    }
    return journal;
  }

  /** The journal that a dead process left, in the file `name`; undefined when somebody else was faster. */
  static adopt(directory: string, name: string, segmentBytes: number): Journal | undefined {
    const journal = new Journal(directory, name.slice(0, 16), segmentBytes);
    try {
      fs.renameSync(join(directory, name), journal.path);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw err;
    }
    journal.fd = fs.openSync(journal.path, FLAGS);
    try {
      journal.recover();
    } catch (err) {
      journal.abandon();
      throw err;
    }
    return journal;
  }

  private recover(): void {
    const [promised = 0, done = 0] = numbersIn(this.fd, OWNER, 2);
    this.promised = promised;
    for (const [sequence, path] of segmentsOf(this.directory, this.owner)) {
      const fd = fs.openSync(path, FLAGS);
      const { size } = fs.fstatSync(fd);
      const [first] = numbersIn(fd, SPOOL, 1);
      fs.closeSync(fd);
      this.sequence = sequence + 1;
      if (first !== undefined) {
        this.segments.push({ sequence, path, first, size });
        this.size += size;
      } else {
        fs.rmSync(path, { force: true });
      }
    }
    this.stored = Number.POSITIVE_INFINITY;
    const first = this.segments[0];
    this.mark = { owner: this.owner, index: first?.first ?? done, sequence: first?.sequence ?? 0, offset: HEAD };
    // Past what the dead process had delivered already.
    while (this.mark.index < done) {
      const [records, mark] = this.read(Math.min(1000, done - this.mark.index), MAX_RECORD);
      if (records.length === 0) break;
      this.mark = mark;
    }
    this.gaps.clear();
  }

  // --- writing

  /** Records that are not done; for an adopted journal 1 while it may hold any. */
  get pending(): number {
    return this.stored === Number.POSITIVE_INFINITY ? 1 : this.stored - this.mark.index;
  }

  /** Note that `more` records are about to come: whoever adopts this journal counts those that did not. */
  promise(more: number): void {
    if (this.promised === this.stored + more) return;
    this.promised = this.stored + more;
    this.note();
  }

  /** Keep all of `records`, or none. Throws what the file system does. */
  write(records: readonly Uint8Array[]): void {
    const frames = Buffer.allocUnsafe(records.reduce((sum, record) => sum + framedSize(record), 0));
    let at = 0;
    for (const [index, record] of records.entries()) {
      frames.writeUInt32LE(record.length, at);
      frames.writeUInt32LE(crc32(record, (this.stored + index) >>> 0), at + 4);
      frames.set(record, at + FRAME);
      at += framedSize(record);
    }
    const segment = this.segment(frames.length);
    try {
      if (fs.writeSync(this.writeFd, frames) !== frames.length) throw new Error("the disk took only a part of it");
    } catch (err) {
      this.forgetTail(segment);
      throw err;
    }
    segment.size += frames.length;
    this.size += frames.length;
    this.stored += records.length;
  }

  /** Bytes that the current segment takes before the next one begins. */
  get room(): number {
    return this.writeFd < 0 ? this.segmentBytes : this.segmentBytes - (this.segments.at(-1) as Segment).size;
  }

  /** Whether somebody has removed or taken over our files, for instance while this process was frozen. */
  get isTaken(): boolean {
    const fd = this.writeFd < 0 ? this.fd : this.writeFd;
    return fs.fstatSync(fd).nlink === 0 || !fs.existsSync(this.path);
  }

  private segment(more: number): Segment {
    const last = this.segments.at(-1);
    if (this.writeFd >= 0 && last !== undefined) {
      if (last.size + more <= this.segmentBytes || last.size === HEAD) return last;
      this.endSegment();
    }
    const path = join(this.directory, `${this.owner}-${String(this.sequence).padStart(8, "0")}.seg`);
    const { O_APPEND, O_CREAT, O_EXCL } = fs.constants;
    this.sequence++;
    const fd = fs.openSync(path, FLAGS | O_APPEND | O_CREAT | O_EXCL, 0o600);
    try {
      if (fs.writeSync(fd, headed(SPOOL, this.stored)) !== HEAD) throw new Error("the disk is full");
    } catch (err) {
      fs.closeSync(fd);
      fs.rmSync(path, { force: true });
      throw err;
    }
    const segment = { sequence: this.sequence - 1, path, first: this.stored, size: HEAD };
    this.size += HEAD;
    if (this.segments.length === 0) this.mark = { owner: this.owner, index: this.stored, sequence: segment.sequence, offset: HEAD };
    this.segments.push(segment);
    this.writeFd = fd;
    return segment;
  }

  private endSegment(): void {
    fs.closeSync(this.writeFd);
    this.writeFd = -1;
  }

  /** A part of a record is on disk: cut it off, or leave this segment behind. */
  private forgetTail(segment: Segment): void {
    try {
      fs.ftruncateSync(this.writeFd, segment.size);
    } catch {
      this.endSegment();
    }
  }

  private note(): void {
    const head = headed(OWNER, this.promised, this.mark.index);
    fs.writeSync(this.fd, head, 0, head.length, 0);
  }

  // --- reading

  /** Up to `most` records of together about `maxBytes` after what is done, and the mark behind them. */
  read(most: number, maxBytes: number): [records: Buffer[], mark: Mark] {
    const records: Buffer[] = [];
    let mark = this.mark;
    let taken = 0;
    for (const segment of this.segments) {
      if (segment.sequence < mark.sequence) continue;
      if (segment.sequence > mark.sequence) {
        if (!this.counted.has(segment.sequence)) {
          this.counted.add(segment.sequence);
          count(this.gaps, "corrupt", segment.first - mark.index);
        }
        mark = { owner: this.owner, index: Math.max(segment.first, mark.index), sequence: segment.sequence, offset: HEAD };
      }
      const [found, behind] = readSegment(segment, mark, most - records.length, maxBytes - taken);
      mark = behind;
      for (const record of found) taken += record.length;
      records.push(...found);
      if (records.length >= most || taken >= maxBytes) return [records, mark];
    }
    if (this.stored === Number.POSITIVE_INFINITY && records.length === 0) this.ended(mark);
    return [records, mark];
  }

  /** The last record of a dead process has been read: what it had promised beyond that died with it. */
  private ended(mark: Mark): void {
    const last = this.segments.at(-1);
    const torn = last !== undefined && mark.offset < last.size ? 1 : 0;
    count(this.gaps, "torn", torn);
    count(this.gaps, "killed", this.promised - mark.index - torn);
    this.promised = 0;
    this.stored = mark.index;
    this.mark = mark;
    if (last !== undefined) last.size = mark.offset;
  }

  /** Everything before `mark` is delivered: remember that, and remove the segments behind it. */
  done(mark: Mark): void {
    if (mark.index <= this.mark.index) return;
    this.mark = mark;
    this.note();
    while (this.segments[0] !== undefined && this.segments[0].sequence < mark.sequence)
      this.remove(this.segments.shift() as Segment);
    const first = this.segments[0];
    if (this.writeFd >= 0 && mark.index === this.stored && first !== undefined && first.size > this.segmentBytes / 2) {
      // All is delivered: begin a new segment rather than let delivered records take up space.
      this.endSegment();
      this.remove(this.segments.shift() as Segment);
    }
  }

  private remove(segment: Segment): void {
    this.size -= segment.size;
    fs.rmSync(segment.path, { force: true });
  }

  // --- closing

  /** Let go: a finished journal removes its files, another one leaves them for the next process. */
  close(): void {
    try {
      if (this.pending > 0) {
        fs.renameSync(this.path, join(this.directory, `${this.owner}.${LEFT}.own`));
        return;
      }
      for (const segment of this.segments.splice(0)) this.remove(segment);
      fs.rmSync(this.path, { force: true });
    } finally {
      this.abandon();
    }
  }

  /** Close the files and touch nothing. */
  abandon(): void {
    for (const fd of [this.writeFd, this.fd]) if (fd >= 0) fs.closeSync(fd);
    this.writeFd = -1;
    this.fd = -1;
  }
}

/** Files of owners that are gone, and the bytes of all segments that are not of the owners in `known`. */
export function leftovers(directory: string, known: ReadonlySet<string>, now: number): [files: string[], bytes: number] {
  const files: string[] = [];
  const segments = new Map<string, number>();
  for (const name of fs.readdirSync(directory)) {
    const [, owner, holder] = OWN.exec(name) ?? [];
    const [, writer] = SEGMENT.exec(name) ?? [];
    try {
      if (owner !== undefined && holder !== undefined) {
        if (!known.has(owner) && isGone(holder, fs.lstatSync(join(directory, name)).mtimeMs / 1000, now)) files.push(name);
      } else if (writer !== undefined && !known.has(writer)) {
        segments.set(writer, (segments.get(writer) ?? 0) + fs.lstatSync(join(directory, name)).size);
      }
    } catch {
      // Its owner has just delivered it.
    }
  }
  return [files.sort(), [...segments.values()].reduce((sum, size) => sum + size, 0)];
}

function segmentsOf(directory: string, owner: string): [sequence: number, path: string][] {
  const found: [number, string][] = [];
  for (const name of fs.readdirSync(directory)) {
    const match = SEGMENT.exec(name);
    if (match?.[1] === owner) found.push([Number(match[2]), join(directory, name)]);
  }
  return found.sort(([one], [other]) => one - other);
}

function readSegment(segment: Segment, mark: Mark, most: number, maxBytes: number): [records: Buffer[], mark: Mark] {
  let { index, offset } = mark;
  if (offset >= segment.size) return [[], mark];
  const records: Buffer[] = [];
  let taken = 0;
  const fd = fs.openSync(segment.path, FLAGS);
  try {
    while (offset < segment.size && records.length < most && taken < maxBytes) {
      let [found, used] = frames(readAt(fd, Math.min(segment.size - offset, CHUNK), offset), index, most - records.length);
      if (found.length === 0) {
        // A frame longer than what was read, or the torn end of a killed process.
        [found, used] = frames(readAt(fd, Math.min(segment.size - offset, MAX_RECORD + FRAME), offset), index, 1);
        if (found.length === 0) break;
      }
      for (const record of found) taken += record.length;
      records.push(...found);
      index += found.length;
      offset += used;
    }
  } finally {
    fs.closeSync(fd);
  }
  return [records, { ...mark, index, offset }];
}
