/** Tool names, publishers and hashes in one spelling each. */
import { casefold, codeOf, isAscii, isAssigned, isPrintable, isSpace, nfc, nfkc, strip, words } from "./text.js";

const REMEMBERED = 4096;
let remembered = new Map<string, string>();

/**
 * The form in which names are compared to DENY: NFKC, format and other invisible characters gone, case folded, white space collapsed
 * and trimmed. Idempotent, never throws. Look-alikes of other scripts stay what they are.
 */
export function tool(name: string): string {
  if (/^[a-z0-9_.:-]*$/.test(name)) return name;
  if (name.length > 256) return folded(name);
  let found = remembered.get(name);
  if (found === undefined) {
    found = folded(name);
    if (remembered.size >= REMEMBERED) remembered = new Map();
    remembered.set(name, found);
  }
  return found;
}

/** The same for a publisher. */
export const publisher = tool;

function folded(stated: string): string {
  if (isAscii(stated) && isPrintable(stated)) return words(stated.toLowerCase()).join(" ");
  let name = stated;
  for (let round = 0; round < 8; round++) {
    let once = "";
    for (const char of casefold(nfkc(name))) {
      if (isSpace(char)) once += " ";
      else if (!isInvisible(char)) once += char;
    }
    once = nfkc(words(once).join(" "));
    if (once === name) break;
    name = once;
  }
  return name;
}

/** Default-ignorable characters (Unicode, DerivedCoreProperties) that are neither Cf nor variation selectors. */
const IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0";

function isInvisible(char: string): boolean {
  const code = codeOf(char);
  if (code >= 0xe0000 || (code >= 0xfe00 && code <= 0xfe0f) || IGNORABLE.includes(char)) return true;
  return /^[\p{Cf}\p{Cc}]$/u.test(char) && isAssigned(char);
}

/** The form in which names are compared to PERMIT: trimmed and case folded, nothing else, so that no look-alike is permitted. */
export function permitted(name: string): string {
  const text = strip(name);
  return isAscii(text) ? text.toLowerCase() : strip(casefold(nfc(text)));
}

const DIGEST = /^(?:md5|sha-?(?:1|224|256|384|512))[:=-]/;

/** A hash: trimmed, lower case, without the algorithm's name in front (`sha256:…`). Idempotent, never throws. */
export function digest(stated: string): string {
  let text = tool(stated);
  for (let match = DIGEST.exec(text); match !== null; match = DIGEST.exec(text)) text = strip(text.slice(match[0].length));
  return text;
}
