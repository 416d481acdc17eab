/** UTS #46 is the same for every code point as in `spec/tables`, whatever Unicode version this engine has. */
import { expect, test } from "vitest";
import { mapped } from "../src/contract/idna.js";
import { topLevelNames } from "../src/contract/target.js";
import { nfc } from "../src/contract/text.js";
import { spec } from "./spec.js";

type Row = [first: number, status: string, mapping?: string];

/** Every code point, but of long runs of one kind (ideographs, planes of which nothing is assigned) only one in a hundred. */
function* codes(ranges: readonly Row[]): Generator<number> {
  for (const [at, [first]] of ranges.entries()) {
    const end = ranges[at + 1]?.[0] ?? 0x110000;
    for (let code = first; code < end; code += end - first > 2000 ? 101 : 1) yield code;
  }
}

test("every code point is mapped as the table says", () => {
  const { ranges } = spec<{ ranges: Row[] }>("tables/uts46.json");
  const table = (code: number, low = 0, high = ranges.length): Row => {
    const middle = (low + high) >>> 1;
    if (high - low === 1) return ranges[low] as Row;
    return (ranges[middle] as Row)[0] <= code ? table(code, middle, high) : table(code, low, middle);
  };
  const expected = (text: string): string | undefined => {
    let now = text;
    for (let round = 0; round < 4; round++) {
      let once = "";
      for (const char of now) {
        const [, status, mapping] = table(char.codePointAt(0) as number);
        if (status === "X") return undefined;
        once += status === "V" || status === "D" ? char : (mapping ?? "");
      }
      once = nfc(once);
      if (once === now) break;
      now = once;
    }
    return now;
  };
  const wrong: string[] = [];
  for (const code of codes(ranges)) {
    const char = String.fromCodePoint(code);
    let said: string | undefined;
    try {
      said = mapped(char);
    } catch {
      said = undefined;
    }
    if (said !== expected(char)) wrong.push(code.toString(16));
  }
  expect(wrong).toEqual([]);
});

test("the top-level domains are those of the table", () => {
  expect([...topLevelNames()]).toEqual(spec("tables/tlds.json"));
});
