/**
 * Spool: what has to be delivered, kept on disk until it is; bounded, crash-safe, shared by many processes (ADR 0003).
 *
 * Every process (and every worker thread) writes a journal of its own in the directory and takes over those of dead ones. When the disk
 * takes nothing (full, read-only, no directory) records are kept in memory, bounded too, and moved to disk as soon as it does. When the
 * spool is full, what is new is refused and counted; what was accepted is never pushed out, so that a flood cannot wash away evidence.
 * A tenth of the space is kept for urgent records (blocks and flags).
 */
import fs from "node:fs";
import { framedSize, MAX_RECORD } from "./framing.js";
import { Journal, leftovers, type Mark } from "./journal.js";
import { count, type Lost } from "./lost.js";

const MAX_MEMORY = 8 << 20;
/** Seconds before a disk that refused is tried again, and between looks for what dead processes left. */
const RETRY_DISK = 1;
const LOOK_AROUND = 10;
const MAX_ADOPTED = 16;
const MEMORY = "memory";

/** `records` in order, and the `position` behind them for `Spool.done`. */
export interface Batch {
  readonly records: readonly Uint8Array[];
  readonly position: Mark;
}

function monotonic(): number {
  return performance.now() / 1000;
}

/**
 * See the module. `directory` empty means memory only. `lost` counts records by reason; `problem` says why the disk is not used just
 * now, empty when it is.
 */
export class Spool {
  readonly lost: Lost = new Map();
  problem = "";
  private readonly segmentBytes: number;
  private own: Journal | undefined;
  private adopted: Journal[] = [];
  private others = 0;
  private othersAfter = 0;
  private memory: Uint8Array[] = [];
  private memorySize = 0;
  private memoryFirst = 0;
  private diskAfter: number;
  private lookAfter = 0;
  private isClosed = false;

  constructor(
    private readonly directory: string,
    private readonly maxBytes: number,
    private readonly maxMemory = MAX_MEMORY,
  ) {
    this.segmentBytes = Math.max(4096, Math.min(1 << 20, Math.floor(maxBytes / 8)));
    this.diskAfter = directory === "" ? Number.POSITIVE_INFINITY : 0;
  }

  // --- keeping

  /** Keep several with one `write(2)` a segment; how many were kept. They are with the operating system when this returns. */
  extend(records: Iterable<Uint8Array>, isUrgent = false): number {
    const limit = isUrgent ? this.maxBytes : this.maxBytes - Math.floor(this.maxBytes / 10);
    if (this.memory.length > 0 && monotonic() >= this.diskAfter) this.toDisk();
    let kept = 0;
    let chunk: Uint8Array[] = [];
    let size = 0;
    for (const record of records) {
      if (record.length > MAX_RECORD) {
        count(this.lost, "record too large");
        continue;
      }
      const framed = framedSize(record);
      if (chunk.length > 0 && size + framed > Math.max(this.own?.room ?? this.segmentBytes, 1)) {
        kept += this.keep(chunk, size, limit);
        chunk = [];
        size = 0;
      }
      chunk.push(record);
      size += framed;
    }
    return kept + (chunk.length > 0 ? this.keep(chunk, size, limit) : 0);
  }

  /** `more` records wait to be kept: if the process dies before they are, whoever takes over can count them. */
  promise(more: number): void {
    this.onDisk(() => this.journal()?.promise(more));
  }

  private keep(chunk: Uint8Array[], stated: number, limit: number): number {
    let size = stated;
    if (this.memory.length > 0) return this.remember(chunk); // behind what waits there already
    if (this.used() + size > limit) {
      this.countOthers();
      while (chunk.length > 0 && this.used() + size > limit) {
        size -= framedSize(chunk.pop() as Uint8Array);
        count(this.lost, "spool full");
      }
      if (chunk.length === 0) return 0;
    }
    const own = this.journal();
    if (own === undefined || !this.onDisk(() => own.write(chunk))) return this.remember(chunk);
    return chunk.length;
  }

  /** Those of dead processes first, then our own. */
  private get journals(): readonly Journal[] {
    return this.own === undefined ? this.adopted : [...this.adopted, this.own];
  }

  private used(): number {
    return this.journals.reduce((sum, journal) => sum + journal.size, this.others);
  }

  private leftovers(): [files: string[], bytes: number] {
    return leftovers(this.directory, new Set(this.journals.map((journal) => journal.owner)), Date.now() / 1000);
  }

  /** What other processes have on disk; looked up at most once a second. */
  private countOthers(): void {
    const now = monotonic();
    if (this.directory === "" || now < this.othersAfter) return;
    this.othersAfter = now + RETRY_DISK;
    this.onDisk(() => {
      this.others = this.leftovers()[1];
    });
  }

  /** This process's own journal; undefined when the disk does not take one now. */
  private journal(): Journal | undefined {
    if (this.isClosed || monotonic() < this.diskAfter) return undefined;
    const isThere = this.onDisk(() => {
      if (this.own?.isTaken) {
        // Whoever took it over delivers what was in it.
        this.own.abandon();
        this.own = undefined;
      }
      if (this.own === undefined) {
        privateDirectory(this.directory);
        this.own = Journal.create(this.directory, this.segmentBytes);
        this.problem = "";
        this.countOthers();
      }
    });
    return isThere ? this.own : undefined;
  }

  /** Whether `work` succeeded; a disk that refuses is left alone for a while. */
  private onDisk(work: () => void): boolean {
    const isDone = this.attempt(work);
    if (!isDone) this.diskAfter = monotonic() + RETRY_DISK;
    return isDone;
  }

  private attempt(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (err) {
      this.problem = (err as Error).message;
      return false;
    }
  }

  private remember(chunk: Uint8Array[]): number {
    if (this.isClosed) {
      count(this.lost, "exit without disk", chunk.length);
      return 0;
    }
    let kept = 0;
    for (const record of chunk) {
      if (this.memorySize + record.length > this.maxMemory) {
        count(this.lost, "no disk, memory full");
        continue;
      }
      this.memory.push(record);
      this.memorySize += record.length;
      kept++;
    }
    return kept;
  }

  private toDisk(): void {
    const own = this.journal();
    while (own !== undefined && this.memory.length > 0) {
      const chunk: Uint8Array[] = [];
      let size = 0;
      for (const record of this.memory) {
        if (chunk.length > 0 && size + framedSize(record) > Math.max(own.room, 1)) break;
        chunk.push(record);
        size += framedSize(record);
      }
      if (this.used() + size > this.maxBytes) return;
      if (!this.onDisk(() => own.write(chunk))) return;
      this.problem = "";
      this.forget(chunk.length);
    }
  }

  private forget(some: number): void {
    for (const record of this.memory.splice(0, some)) this.memorySize -= record.length;
    this.memoryFirst += some;
  }

  // --- delivering

  /** Records that wait for delivery in this process; leftovers of dead processes count one each until they are read. */
  get pending(): number {
    return this.journals.reduce((sum, journal) => sum + journal.pending, this.memory.length);
  }

  /** The oldest records that are not done: leftovers of dead processes first, then our own, then those in memory. */
  read(most: number, maxBytes: number): Batch {
    this.lookAround();
    for (const journal of this.journals) {
      const batch = this.readFrom(journal, most, maxBytes);
      if (batch !== undefined) return batch;
      if (journal !== this.own && journal.pending === 0) this.retire(journal);
    }
    const records: Uint8Array[] = [];
    let size = 0;
    for (const record of this.memory) {
      if (records.length >= most || size >= maxBytes) break;
      records.push(record);
      size += record.length;
    }
    return { records, position: { owner: MEMORY, index: this.memoryFirst + records.length, sequence: 0, offset: 0 } };
  }

  private readFrom(journal: Journal, most: number, maxBytes: number): Batch | undefined {
    try {
      const [records, position] = journal.read(most, maxBytes);
      for (const [reason, missing] of journal.gaps) count(this.lost, reason, missing);
      journal.gaps.clear();
      return records.length > 0 ? { records, position } : undefined;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === "ENOENT") this.giveUp(journal);
      else this.problem = (err as Error).message;
      return undefined;
    }
  }

  /** Somebody has removed the files: what was in them is lost, what comes goes into a new journal. */
  private giveUp(journal: Journal): void {
    count(this.lost, "files removed", journal.pending);
    if (journal === this.own) this.own = undefined;
    else this.adopted = this.adopted.filter((one) => one !== journal);
    journal.abandon();
  }

  /** Everything up to `position` is delivered and need not be kept. */
  done(position: Mark): void {
    if (position.owner === MEMORY) {
      this.forget(Math.max(Math.min(position.index - this.memoryFirst, this.memory.length), 0));
      return;
    }
    for (const journal of this.journals) {
      // What fails is delivered again after a restart, which is harmless: reports are idempotent by id.
      if (journal.owner === position.owner) this.attempt(() => journal.done(position));
    }
  }

  /** An adopted journal with nothing more to read: remove its files. */
  private retire(journal: Journal): void {
    this.adopted = this.adopted.filter((one) => one !== journal);
    this.attempt(() => journal.close());
  }

  /** Take over what dead processes left. */
  private lookAround(): void {
    const now = monotonic();
    if (this.directory === "" || now < this.lookAfter || this.adopted.length >= MAX_ADOPTED) return;
    this.lookAfter = now + LOOK_AROUND;
    let files: string[];
    try {
      [files] = this.leftovers();
    } catch {
      return; // no directory yet, so nobody left anything
    }
    for (const name of files) {
      if (this.adopted.length >= MAX_ADOPTED) break;
      this.attempt(() => {
        const journal = Journal.adopt(this.directory, name, this.segmentBytes);
        if (journal !== undefined) this.adopted.push(journal);
      });
    }
  }

  // --- ending

  /** Let go. What is not delivered stays on disk for the next process; what is only in memory is tried on disk once more. */
  close(): void {
    this.diskAfter = this.directory === "" ? Number.POSITIVE_INFINITY : 0;
    if (this.memory.length > 0) this.toDisk();
    count(this.lost, "exit without disk", this.memory.length);
    this.memory = [];
    this.memorySize = 0;
    this.isClosed = true;
    for (const journal of this.journals) this.attempt(() => journal.close());
    this.adopted = [];
    this.own = undefined;
  }
}

/** Make it with mode 0700, or see that it is ours and nobody else's. */
function privateDirectory(directory: string): void {
  fs.mkdirSync(directory, { mode: 0o700, recursive: true });
  if (process.geteuid === undefined) return;
  const found = fs.lstatSync(directory);
  if (found.uid !== process.geteuid()) throw new Error(`${directory} belongs to another user`);
  if (found.mode & 0o077) fs.chmodSync(directory, 0o700);
}
