/** Addresses of our own services. */
import { canonicalAddress } from "../contract/address.js";
import { Misconfigured } from "../contract/errors.js";

/** Where to connect: `path` is the socket for unix, else a prefix of every request. */
export interface Place {
  readonly scheme: "http" | "https" | "unix";
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly shown: string;
}

/** `http://host[:port][/prefix]`, `https://…` or `unix:///path/to/socket`. Throws Misconfigured saying what is wrong. */
export function placeOf(stated: string): Place {
  const [, scheme = "", rest = ""] = /^([A-Za-z]+):\/\/([\s\S]*)$/.exec(stated.trim()) ?? [];
  switch (scheme.toLowerCase()) {
    case "unix":
      if (!rest.startsWith("/")) {
        throw new Misconfigured(`'${stated}' must be unix:// and an absolute path, as in unix:///run/kaizen.sock`);
      }
      return { scheme: "unix", host: "localhost", port: 0, path: rest, shown: `unix://${rest}` };
    case "http":
    case "https":
      return network(scheme.toLowerCase() as "http" | "https", rest);
    default:
      // What has no scheme may be a key in the place of an address, which is not to be read in a log.
      throw new Misconfigured(`${scheme ? `'${shown(stated)}'` : "what is given"} must start with http://, https:// or unix://`);
  }
}

function network(scheme: "http" | "https", rest: string): Place {
  const slash = rest.indexOf("/");
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  if (authority.includes("@")) {
    throw new Misconfigured(
      `the address of ${scheme}://${authority.slice(authority.lastIndexOf("@") + 1)} must not carry a name or password`,
    );
  }
  if (!/^[!-~]*$/.test(rest) || /[?#]/.test(rest)) {
    throw new Misconfigured(`'${scheme}://${shown(rest)}' must be printable ASCII without a query or a fragment`);
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]+))?$/.exec(authority);
  const port = match?.[3] === undefined ? (scheme === "http" ? 80 : 443) : Number(match[3]);
  if (match === null || port < 1 || port > 65535) {
    throw new Misconfigured(`'${scheme}://${shown(rest)}' has no host, or no port from 1 to 65535`);
  }
  const path = slash < 0 ? "" : rest.slice(slash).replace(/\/+$/, "");
  return { scheme, host: (match[1] ?? match[2]) as string, port, path, shown: `${scheme}://${authority}${path}` };
}

/** An address for an error message: whatever might be a password or a token is cut off. */
function shown(url: string): string {
  return (url.slice(url.lastIndexOf("@") + 1).split(/[?#]/, 1)[0] as string).slice(0, 200);
}

/**
 * Throws Misconfigured when requests to `url` would carry `key` over a network that others can read. Plain HTTP is for this machine:
 * 127.0.0.0/8, ::1 and names of localhost (RFC 6761, section 6.3).
 */
export function checkKeyMayGo(url: string, key: string): void {
  if (key === "" || url === "") return;
  const place = placeOf(url);
  if (place.scheme !== "http" || isLocal(place.host)) return;
  throw new Misconfigured(
    `${place.shown} would carry the API key unencrypted over the network: use https://, an address of this machine ` +
      "(a tunnel will do), or a Unix socket",
  );
}

function isLocal(host: string): boolean {
  const name = host.toLowerCase().replace(/\.+$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  const address = canonicalAddress(host);
  return address !== undefined && (address[0] === 4 ? address[1] >> 24n === 127n : address[1] === 1n);
}
