/** Settings of the client: an option wins over the environment, the environment over the file, the file over the default. */
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import { isAbsolute, join } from "node:path";
import { Misconfigured } from "../contract/errors.js";
import { isAscii, isLonger, isPrintable, strip } from "../contract/text.js";
import type { Mode } from "../contract/verdict.js";
import { writeWhole } from "./files.js";
import { placeOf } from "./place.js";

/**
 * What is in force. `deadline` and `holdSeconds` are in seconds: what one question to the sidecar may take, and how long an action that
 * is held waits for a person. `data` is the directory for spool, cached policy and boundary key; empty: nothing is kept on disk.
 */
export interface Settings {
  readonly apiKey: string;
  readonly baseUrl: string;
  readonly agent: string;
  readonly sidecar: string;
  readonly inTenant: boolean;
  readonly mode: Mode | "";
  readonly failOpen: boolean;
  readonly report: boolean;
  readonly sync: boolean;
  readonly deadline: number;
  readonly holdSeconds: number;
  readonly data: string;
  readonly spoolBytes: number;
  readonly tenantKey: string;
}

type Reader = (value: unknown) => unknown;

function text(value: unknown): string {
  if (typeof value !== "string" || !isPrintable(value) || isLonger(value, 4096)) throw new RangeError("must be printable text");
  return strip(value);
}

function name(value: unknown): string {
  const found = text(value);
  if (found === "" || isLonger(found, 256)) throw new RangeError("must be a name of 1 to 256 characters");
  return found;
}

function key(value: unknown): string {
  const found = text(value);
  if (!isAscii(found) || found.includes(" ")) throw new RangeError("must be a key as `kaizen keys` prints it");
  return found;
}

function url(value: unknown): string {
  const found = text(value).replace(/\/+$/, "");
  if (found !== "") placeOf(found);
  return found;
}

function onOff(value: unknown): boolean {
  if (typeof value === "boolean") return value;
  const said = typeof value === "string" ? value.trim().toLowerCase() : "?";
  if (["1", "true", "yes", "on"].includes(said)) return true;
  if (["0", "false", "no", "off", ""].includes(said)) return false;
  throw new RangeError("must be true or false");
}

function mode(value: unknown): Mode | "" {
  const said = String(value).trim().toLowerCase();
  if (said !== "" && said !== "observe" && said !== "enforce") throw new RangeError("must be observe or enforce");
  return said;
}

function between(low: number, high: number, problem: string, isWhole = false): Reader {
  return (value) => {
    const number =
      typeof value === "number" ? value : typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
    if (!(number >= low && number <= high) || (isWhole && !Number.isInteger(number))) throw new RangeError(problem);
    return number;
  };
}

function secret(value: unknown): string {
  const found = text(value);
  if (found !== "" && !/^(?:[0-9a-fA-F]{2}){16,}$/.test(found)) throw new RangeError("must be at least 32 hex digits");
  return found;
}

// How each is read, and what holds when nobody states it.
const READ: { readonly [Key in keyof Settings]: readonly [read: Reader, fallback: Settings[Key]] } = {
  apiKey: [key, ""],
  baseUrl: [url, "http://127.0.0.1:8000"], // on this machine: nothing goes to a third party because somebody forgot a setting
  agent: [name, "default"],
  sidecar: [url, ""],
  inTenant: [onOff, false],
  mode: [mode, ""],
  failOpen: [onOff, false],
  report: [onOff, true],
  sync: [onOff, true],
  deadline: [between(0.001, 600, "must be a number of seconds from 0.001 to 600"), 2],
  holdSeconds: [between(0, 86_400, "must be a number of seconds from 0 to 86400"), 60],
  data: [text, ""],
  spoolBytes: [between(64 << 10, 2 ** 40, "must be from 65536 bytes to 1 TB", true), 64 << 20],
  tenantKey: [secret, ""],
};
const NAMES = Object.keys(READ) as readonly (keyof Settings)[];

/** `apiKey` as files call it: `api_key`. */
function inFile(setting: string): string {
  return setting.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The settings in force. An option that is null or undefined, and a variable that is empty, states nothing. The file is `KAIZEN_CONFIG`,
 * or `client.toml` in the data directory; never one in the working directory, which the agent can write.
 * Throws Misconfigured naming the setting and where it was stated.
 */
export function load(options: Partial<Record<keyof Settings, unknown>>, environment: Environment = process.env): Settings {
  const data = options.data ?? (environment["KAIZEN_DATA"] || defaultData(environment));
  const path = fileOf(environment, String(converted("data", data, "KAIZEN_DATA")));
  const stated = path === "" ? new Map<string, [unknown, number]>() : fileSettings(path);
  const values: Record<string, unknown> = {};
  for (const setting of NAMES) {
    const written = inFile(setting);
    const named = `KAIZEN_${written.toUpperCase()}`;
    const variable = setting === "baseUrl" && environment["KAIZEN_API_URL"] ? "KAIZEN_API_URL" : named;
    const [option, line] = [options[setting] ?? undefined, stated.get(written)];
    let value: unknown = setting === "data" ? data : undefined;
    if (option !== undefined) value = converted(setting, option, `the option ${setting}`);
    else if (environment[variable]) value = converted(setting, environment[variable], variable);
    else if (line !== undefined) value = converted(setting, line[0], `${path}, line ${line[1]}: ${written}`);
    // No address states none. Whoever logs or copies the settings does not get the keys by accident.
    if (setting === "baseUrl") value ||= undefined;
    Object.defineProperty(values, setting, { value: value ?? READ[setting][1], enumerable: !setting.endsWith("Key") });
  }
  return values as unknown as Settings;
}

function converted(setting: keyof Settings, value: unknown, where: string): unknown {
  try {
    return READ[setting][0](value);
  } catch (err) {
    throw new Misconfigured(`${where}: ${(err as Error).message}`);
  }
}

function fileOf(environment: Environment, data: string): string {
  const named = environment["KAIZEN_CONFIG"];
  if (named) return named;
  const path = data === "" ? "" : join(data, "client.toml");
  return path !== "" && fs.existsSync(path) ? path : "";
}

/** Each setting with its line. The file is TOML; only what settings need of it is read: `name = value`, and comments. */
function fileSettings(path: string): Map<string, [unknown, number]> {
  let content: string;
  try {
    content = fs.readFileSync(path, "utf8");
  } catch (err) {
    throw new Misconfigured(`cannot read the settings in ${path}: ${(err as Error).message}`);
  }
  const known = NAMES.map(inFile);
  const found = new Map<string, [unknown, number]>();
  for (const [at, line] of content.split(/\r?\n/).entries()) {
    if (/^\s*(?:#.*)?$/.test(line)) continue;
    const match =
      /^\s*([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|true|false|[+-]?[0-9][0-9_]*(?:\.[0-9]+)?)\s*(?:#.*)?$/.exec(line);
    if (match === null)
      throw new Misconfigured(`${path}, line ${at + 1}: must be name = value, with a text, a number, true or false`);
    const [, setting, value] = match as unknown as [string, string, string];
    if (!known.includes(setting) || setting === "data") {
      const others = known.filter((one) => one !== "data").join(", ");
      // One file serves the clients of every language: what only another one knows is no mistake.
      if (setting === "audit") continue;
      throw new Misconfigured(`${path}: unknown settings '${setting}' (line ${at + 1}); known are ${others}`);
    }
    found.set(setting, [tomlValue(value, path, at + 1), at + 1]);
  }
  return found;
}

function tomlValue(value: string, path: string, line: number): unknown {
  if (value.startsWith("'")) return value.slice(1, -1);
  if (value === "true" || value === "false") return value === "true";
  if (!value.startsWith('"')) return Number(value.replaceAll("_", ""));
  try {
    return JSON.parse(value);
  } catch {
    throw new Misconfigured(`${path}, line ${line}: the text holds an escape that there is not`);
  }
}

/** `$XDG_DATA_HOME/kaizen` or `~/.local/share/kaizen` (Windows: `%LOCALAPPDATA%\kaizen`); empty when there is no home. */
function defaultData(environment: Environment): string {
  if (process.platform === "win32") return environment["LOCALAPPDATA"] ? join(environment["LOCALAPPDATA"], "kaizen") : "";
  const base = environment["XDG_DATA_HOME"] ?? "";
  if (isAbsolute(base)) return join(base, "kaizen");
  let home = environment["HOME"] ?? "";
  try {
    home ||= os.homedir();
  } catch {
    // a user without an entry has no home
  }
  return isAbsolute(home) ? join(home, ".local", "share", "kaizen") : "";
}

/** The secret behind the boundary's hashes: as stated, else kept in the data directory (mode 0600), else this process's own. */
export function tenantSecret(settings: Settings): Buffer {
  if (settings.tenantKey !== "") return Buffer.from(settings.tenantKey, "hex");
  const fresh = randomBytes(32);
  if (settings.data === "") return fresh;
  const path = join(settings.data, "boundary.key");
  try {
    const kept = secretIn(path);
    if (kept !== undefined) return kept;
    writeWhole(path, fresh, true);
    return secretIn(path) ?? fresh;
  } catch {
    return fresh;
  }
}

function secretIn(path: string): Buffer | undefined {
  try {
    const secret = fs.readFileSync(path);
    return secret.length >= 16 ? secret.subarray(0, 64) : undefined;
  } catch {
    return undefined;
  }
}
