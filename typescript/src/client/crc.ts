/** CRC-32 (ISO 3309), as zlib computes it: Node's own came with 20.15 and 22.2. */

type Crc = (data: Uint8Array, seed: number) => number;

let table: Uint32Array | undefined;

/** Eight table look-ups would be quicker; an older Node pays 2 µs a report. */
export function crc32InSteps(data: Uint8Array, seed: number): number {
  if (table === undefined) {
    table = new Uint32Array(256);
    for (let byte = 0; byte < 256; byte++) {
      let value = byte;
      for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
      table[byte] = value;
    }
  }
  let crc = ~seed;
  for (const byte of data) crc = (table[(crc ^ byte) & 255] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

let known: Crc | undefined;

/** The checksum of `data` that goes on from `seed`. */
export function crc32(data: Uint8Array, seed: number): number {
  // Not imported: zlib is 2 ms of every agent's start, and this is needed with the first report.
  known ??= (process.getBuiltinModule?.("node:zlib") as { crc32?: Crc } | undefined)?.crc32 ?? crc32InSteps;
  return known(data, seed);
}
