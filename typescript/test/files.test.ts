import fs from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeWhole } from "../src/client/files.js";

function folder(): string {
  return fs.mkdtempSync(join(os.tmpdir(), "kaizen-files-"));
}

test("a file is written whole, the first one of several stays, and nothing stays beside either", () => {
  const place = folder();
  writeWhole(join(place, "bundle"), Buffer.from("old"));
  writeWhole(join(place, "bundle"), Buffer.from("new"));
  writeWhole(join(place, "boundary.key"), Buffer.from("first"), true);
  writeWhole(join(place, "boundary.key"), Buffer.from("second"), true);
  const names = fs.readdirSync(place).sort(); // Bun lists them as the disk has them
  const kept = names.map((name) => [name, fs.readFileSync(join(place, name), "utf8")]);
  expect(kept).toEqual([
    ["boundary.key", "first"],
    ["bundle", "new"],
  ]);
  expect(fs.statSync(join(place, "bundle")).mode & 0o777).toBe(0o600);
});

test("a write that fails leaves what was there and nothing beside it", () => {
  const place = folder();
  fs.mkdirSync(join(place, "bundle"));
  expect(() => writeWhole(join(place, "bundle"), Buffer.from("new"))).toThrow();
  expect(fs.readdirSync(place)).toEqual(["bundle"]);
});
