/** Punycode (RFC 3492). Both functions throw a RangeError on what cannot be written or read. */
import { codeOf } from "./text.js";

const BASE = 36;

function adapted(delta: number, first: boolean, count: number): number {
  let rest = first ? Math.floor(delta / 700) : delta >> 1;
  rest += Math.floor(rest / count);
  let k = 0;
  while (rest > 455) {
    rest = Math.floor(rest / 35);
    k += BASE;
  }
  return k + Math.floor((36 * rest) / (rest + 38));
}

function threshold(k: number, bias: number): number {
  return k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
}

/** The label as ASCII, without `xn--`. */
export function encode(text: string): string {
  const codes = [...text].map((char) => codeOf(char));
  const basic = codes.filter((code) => code < 128);
  let out = basic.length ? `${String.fromCharCode(...basic)}-` : "";
  let [code, delta, bias, done] = [128, 0, 72, basic.length];
  while (done < codes.length) {
    const next = Math.min(...codes.filter((one) => one >= code));
    delta += (next - code) * (done + 1);
    code = next;
    for (const one of codes) {
      if (one < code) delta++;
      if (one !== code) continue;
      let rest = delta;
      for (let k = BASE; ; k += BASE) {
        const t = threshold(k, bias);
        if (rest < t) break;
        out += digit(t + ((rest - t) % (BASE - t)));
        rest = Math.floor((rest - t) / (BASE - t));
      }
      out += digit(rest);
      bias = adapted(delta, done === basic.length, done + 1);
      delta = 0;
      done++;
    }
    delta++;
    code++;
  }
  return out;
}

function digit(value: number): string {
  return "abcdefghijklmnopqrstuvwxyz0123456789"[value] as string;
}

/** What an A-label spells, given without its `xn--`; ASCII only. */
export function decode(text: string): string {
  const at = text.lastIndexOf("-");
  const out = [...text.slice(0, Math.max(at, 0))].map((char) => char.charCodeAt(0));
  const extended = text.slice(at + 1).toLowerCase();
  let [code, place, bias] = [128, -1, 72];
  let first = true;
  for (let next = 0; next < extended.length; ) {
    let [delta, weight] = [0, 1];
    for (let k = BASE; ; k += BASE) {
      const char = extended[next++] ?? "";
      const value = "abcdefghijklmnopqrstuvwxyz0123456789".indexOf(char);
      if (char === "" || value < 0) throw new RangeError("punycode that ends early or holds no digit");
      const t = threshold(k, bias);
      delta += value * weight;
      if (value < t) break;
      weight *= BASE - t;
      // No label of 63 characters needs more, and what is above names no character.
      if (weight > 2 ** 45) throw new RangeError("punycode of a character that there is not");
    }
    place += delta + 1;
    code += Math.floor(place / (out.length + 1));
    if (code > 0x10ffff) throw new RangeError("punycode of a character that there is not");
    place %= out.length + 1;
    out.splice(place, 0, code);
    bias = adapted(delta, first, out.length);
    first = false;
  }
  return out.map((one) => String.fromCodePoint(one)).join("");
}
