/** Paths in one spelling. */
const ESCAPES = /(?:%[0-9a-fA-F]{2})+/g;
const NESTED = /%(?:25)+(?=[0-9a-fA-F]{2})/g;
const DRIVE = /^[A-Za-z]:/;
const HOME = /\$(?:HOME|\{HOME\})(?=\/|$)/g;
const TELLING = /^(?:~|f[i\u0130\u0131]le:|[A-Za-z\u0130\u0131\u017f\u212a]:|\$HOME$|\$\{HOME\}$)/i;
const PROCESS = /^\/proc\/(?:self|thread-self|[0-9]+)(?:\/task\/[0-9]+)?\/(root|cwd)$/;
const CWD = "\0cwd"; // no path holds a NUL

/**
 * The canonical path: percent-encoding undone until nothing is encoded, `file://` and doubled slashes gone, backslash as slash, dot
 * segments resolved from the left, `/proc/self/root` (and any process's) as `/`, `/proc/self/cwd` as the relative path, `$HOME` as
 * `~`. The file system is not asked. Idempotent. Throws RangeError when it holds a NUL, which C would cut it at.
 */
export function path(stated: string): string {
  let text = unescaped(stated);
  if (text.includes("\0")) throw new RangeError("a path holds a NUL");
  text = withoutScheme(text.replaceAll("\\", "/")).replace(HOME, "~");
  let root = DRIVE.exec(text)?.[0].toLowerCase() ?? "";
  text = text.slice(root.length);
  if (text.startsWith("/")) root += "/";
  const home = root === "" && text.startsWith("~");
  let stack = walk(root, text.split("/"), home);
  if (stack[0] === CWD) {
    root = "";
    stack = stack.slice(1);
  }
  // ./~ is a file in this directory; without its dot it would be the home directory.
  const guard = root === "" && !home && stack[0] !== undefined && TELLING.test(stack[0]) ? "./" : "";
  return guard + root + stack.join("/") || ".";
}

function withoutScheme(stated: string): string {
  let text = stated;
  while (/^file:/i.test(text)) {
    text = text.slice(5);
    if (text.startsWith("//") && !text.startsWith("///")) {
      const rest = text.slice(2);
      text = `//${rest.startsWith("localhost") ? rest.slice(9) : rest}`;
    }
  }
  return text;
}

function unescaped(stated: string): string {
  let text = stated;
  while (text.includes("%")) {
    const once = text.replace(NESTED, "%").replace(ESCAPES, bytes);
    if (once === text) break;
    text = once;
  }
  return text;
}

function bytes(escapes: string): string {
  try {
    return decodeURIComponent(escapes);
  } catch {
    return escapes;
  }
}

/** The segments that are left; `home`: the first one is the home directory, which nobody here can resolve. */
function walk(root: string, parts: string[], home: boolean): string[] {
  let stack: string[] = [];
  for (const part of parts) {
    if (part === "" || part === ".") continue;
    if (part !== "..") {
      stack.push(part);
      if (root === "/" && (part === "root" || part === "cwd") && stack.length <= 5) {
        const link = PROCESS.exec(`/${stack.join("/")}`);
        if (link) stack = link[1] === "root" ? [] : [CWD];
      }
      continue;
    }
    const last = stack.at(-1);
    if (last !== undefined && last !== ".." && last !== CWD && !(home && stack.length === 1)) stack.pop();
    else if (!root.endsWith("/") || last !== undefined) stack.push("..");
  }
  return stack;
}
