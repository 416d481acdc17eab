/**
 * Where a canonical host lies: in public, or in a network that an agent must not be pointed at by accident.
 *
 * Sources: RFC 6890 and the IANA special-purpose registries; the metadata services' own documentation; RFC 6761 (`localhost`).
 */
import { addressOf, embedded, fold, ipv4, ipv6 } from "./address.js";

/** What kind of network a host is in. `name`: a name that has to be resolved before anyone can say. */
export type Network = "public" | "name" | "loopback" | "link-local" | "cloud metadata" | "private" | "multicast" | "reserved";

const METADATA_NAMES = new Set(
  (
    "metadata metadata.google.internal metadata.goog metadata.internal metadata.tencentyun.com metadata.azure.internal " +
    "metadata.platformequinix.com metadata.packet.net instance-data instance-data.ec2.internal rancher-metadata"
  ).split(" "),
);
/** AWS, Google Cloud, Azure, Oracle, DigitalOcean, Tencent, Scaleway, Alibaba. */
const METADATA = new Set(
  (
    "169.254.169.254 169.254.169.253 169.254.169.123 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42 100.100.100.200 " +
    "168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42"
  )
    .split(" ")
    .map((text) => `${text.includes(":") ? ipv6(text) : ipv4(text)}`),
);

function spans(rows: string, width: bigint): [first: bigint, last: bigint, kind: Network][] {
  return rows.split(", ").map((row) => {
    const [text, length, kind] = row.split(/[/ ]/) as [string, string, Network];
    const first = (width === 32n ? ipv4(text) : ipv6(text)) as bigint;
    return [first, first | ((1n << (width - BigInt(length))) - 1n), kind];
  });
}

const SPANS = {
  4: spans(
    "0.0.0.0/8 loopback, 10.0.0.0/8 private, 100.64.0.0/10 private, 127.0.0.0/8 loopback, 169.254.0.0/16 link-local, " +
      "172.16.0.0/12 private, 192.0.0.0/24 reserved, 192.0.2.0/24 reserved, 192.88.99.0/24 reserved, 192.168.0.0/16 private, " +
      "198.18.0.0/15 reserved, 198.51.100.0/24 reserved, 203.0.113.0/24 reserved, 224.0.0.0/4 multicast, 240.0.0.0/4 reserved",
    32n,
  ),
  6: spans(
    "::/127 loopback, 64:ff9b:1::/48 private, 100::/64 reserved, 2001:2::/48 reserved, 2001:10::/28 reserved, 2001:db8::/32 reserved, " +
      "3fff::/20 reserved, 5f00::/16 reserved, fc00::/7 private, fe80::/10 link-local, fec0::/10 private, ff00::/8 multicast",
    128n,
  ),
};

/** Where `host` (canonical) lies. An IPv6 address that leads to an IPv4 one lies where that one does, if that is not in public. */
export function network(host: string): Network {
  const address = addressOf(host);
  if (address === undefined) {
    if (host === "localhost" || host.endsWith(".localhost") || host.endsWith(".localdomain")) return "loopback";
    return METADATA_NAMES.has(host) ? "cloud metadata" : "name";
  }
  let [family, value] = address;
  const four = family === 6 ? fold(value) : undefined;
  if (four !== undefined) [family, value] = [4, four];
  const kinds = [span(family, value), ...(family === 6 ? embedded(value).map((inner) => span(4, inner)) : [])];
  return kinds.find((kind) => kind !== "public") ?? "public";
}

function span(family: 4 | 6, value: bigint): Network {
  if (METADATA.has(`${value}`)) return "cloud metadata";
  return SPANS[family].find(([first, last]) => first <= value && value <= last)?.[2] ?? "public";
}
