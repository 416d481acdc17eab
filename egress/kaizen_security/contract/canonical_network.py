"""Where a canonical host lies: in public, or in a network that an agent must not be pointed at by accident.

Sources: RFC 6890 and the IANA special-purpose registries; the metadata services' own documentation (AWS, Google Cloud, Azure,
Oracle, Alibaba, Tencent, Scaleway, DigitalOcean); RFC 6761 (``localhost``).
"""

from __future__ import annotations

from bisect import bisect_right
from enum import StrEnum

from kaizen_security.contract.canonical_address import embedded, fold, ipv4, ipv6, number


class Network(StrEnum):
    """What kind of network a host is in. ``NAME``: a name that has to be resolved before anyone can say."""

    PUBLIC = "public"
    NAME = "name"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    METADATA = "cloud metadata"
    PRIVATE = "private"
    MULTICAST = "multicast"
    RESERVED = "reserved"


METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.internal",
        "metadata.tencentyun.com",
        "metadata.azure.internal",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "instance-data",
        "instance-data.ec2.internal",
        "rancher-metadata",
    }
)

_METADATA = frozenset(
    {
        (4, ipv4("169.254.169.254")),  # AWS, Google Cloud, Azure, Oracle, DigitalOcean, OpenStack
        (4, ipv4("169.254.169.253")),  # AWS resolver
        (4, ipv4("169.254.169.123")),  # AWS time
        (4, ipv4("169.254.170.2")),  # AWS ECS task credentials
        (4, ipv4("169.254.170.23")),  # AWS EKS pod identity
        (4, ipv4("169.254.0.23")),  # Tencent
        (4, ipv4("169.254.42.42")),  # Scaleway
        (4, ipv4("100.100.100.200")),  # Alibaba
        (4, ipv4("168.63.129.16")),  # Azure's host agent
        (4, ipv4("192.0.0.192")),  # Oracle Cloud, classic
        (6, ipv6("fd00:ec2::254")),
        (6, ipv6("fd00:ec2::23")),
        (6, ipv6("fd20:ce::254")),  # Google Cloud
        (6, ipv6("fd00:42::42")),  # Scaleway
    }
)

_RANGES4 = (
    ("0.0.0.0", 8, Network.LOOPBACK),  # noqa: S104 no binding: Linux connects it to itself
    ("10.0.0.0", 8, Network.PRIVATE),
    ("100.64.0.0", 10, Network.PRIVATE),
    ("127.0.0.0", 8, Network.LOOPBACK),
    ("169.254.0.0", 16, Network.LINK_LOCAL),
    ("172.16.0.0", 12, Network.PRIVATE),
    ("192.0.0.0", 24, Network.RESERVED),
    ("192.0.2.0", 24, Network.RESERVED),
    ("192.88.99.0", 24, Network.RESERVED),
    ("192.168.0.0", 16, Network.PRIVATE),
    ("198.18.0.0", 15, Network.RESERVED),
    ("198.51.100.0", 24, Network.RESERVED),
    ("203.0.113.0", 24, Network.RESERVED),
    ("224.0.0.0", 4, Network.MULTICAST),
    ("240.0.0.0", 4, Network.RESERVED),
)
_RANGES6 = (
    ("::", 127, Network.LOOPBACK),  # the unspecified address, and ::1
    ("64:ff9b:1::", 48, Network.PRIVATE),
    ("100::", 64, Network.RESERVED),
    ("2001:2::", 48, Network.RESERVED),
    ("2001:10::", 28, Network.RESERVED),
    ("2001:db8::", 32, Network.RESERVED),
    ("3fff::", 20, Network.RESERVED),
    ("5f00::", 16, Network.RESERVED),
    ("fc00::", 7, Network.PRIVATE),
    ("fe80::", 10, Network.LINK_LOCAL),
    ("fec0::", 10, Network.PRIVATE),
    ("ff00::", 8, Network.MULTICAST),
)


def _table(rows: tuple[tuple[str, int, Network], ...], bits: int) -> tuple[list[int], list[tuple[int, Network]]]:
    spans = []
    for text, length, kind in rows:
        first = (ipv4(text) if bits == 32 else ipv6(text)) or 0
        spans.append((first, first | (1 << bits - length) - 1, kind))
    spans.sort()
    return [first for first, _, _ in spans], [(last, kind) for _, last, kind in spans]


_TABLES = {4: _table(_RANGES4, 32), 6: _table(_RANGES6, 128)}


def network(host: str) -> Network:
    """Where ``host`` (canonical) lies. An IPv6 address that leads to an IPv4 one lies where that one does, if that is not in
    public.
    """
    address = number(host)
    if address is None:
        if host == "localhost" or host.endswith((".localhost", ".localdomain")):
            return Network.LOOPBACK
        return Network.METADATA if host in METADATA_NAMES else Network.NAME
    version, value = address
    if version == 6 and (four := fold(value)) is not None:
        version, value = 4, four
    inner = [_in_table(4, four) for four in embedded(value)] if version == 6 else []
    return next((kind for kind in [_in_table(version, value), *inner] if kind is not Network.PUBLIC), Network.PUBLIC)


def _in_table(version: int, value: int) -> Network:
    if (version, value) in _METADATA:
        return Network.METADATA
    firsts, spans = _TABLES[version]
    at = bisect_right(firsts, value) - 1
    if at >= 0 and value <= spans[at][0]:
        return spans[at][1]
    return Network.PUBLIC


def is_internal(host: str) -> bool:
    """Whether ``host`` (canonical) is known to lie anywhere but in public. A name says nothing until it is resolved: ask again
    with the address that is dialled.
    """
    return network(host) not in (Network.PUBLIC, Network.NAME)
