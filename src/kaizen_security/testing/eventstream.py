"""Amazon's event stream encoding (``application/vnd.amazon.eventstream``), as Bedrock answers in it.

A message: total length, length of the headers, CRC-32 of these two, headers, payload, CRC-32 of all; numbers are big-endian.
Source: AWS, "Event stream encoding".
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping

from kaizen_security.contract.action import Json

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7
"""The type of a header's value that is text."""


def message(payload: bytes, headers: Mapping[str, str]) -> bytes:
    """One message. Header names of at most 255 bytes, values of at most 64 KiB."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def event(name: str, document: Mapping[str, Json]) -> bytes:
    """An event with a JSON payload, as the services send them; bytes in it are base64, as in all of JSON at AWS."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(json.dumps(document).encode(), headers)


def exception(name: str, text: str) -> bytes:
    """What a service sends when a stream goes wrong after it began; ``name`` is a member of the service model's stream."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(json.dumps({"message": text}).encode(), headers)


def stream(events: Iterable[tuple[str, Mapping[str, Json]]]) -> bytes:
    """A whole stream of events."""
    return b"".join(event(name, document) for name, document in events)


def _header(name: str, value: str) -> bytes:
    key, said = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(said)) + said
