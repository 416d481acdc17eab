"""``kaizen canary``: bait. A value that nobody has a use for; wherever an agent sends it, something has gone wrong."""

from __future__ import annotations

import argparse
import json
import secrets
import string
from pathlib import Path

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.observer.canaries import MOST, Canaries, from_json, row
from kaizen_security.observer.credential_rules import crc32_base62

_LETTERS = string.ascii_letters + string.digits
FORMS = ("plain", "aws", "password")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument("action", choices=("new", "list"), help="mint one and print it, this once; or list the names")
    parser.add_argument("--file", required=True, help="where their keyed hashes are kept (made when it is missing)")
    parser.add_argument("--name", default="", help="what findings call it: where you put it, say")
    parser.add_argument("--like", choices=FORMS, default="plain", help="what it looks like (default plain)")
    parser.epilog = (
        "Give the file to the sidecar (--canaries FILE or KAIZEN_CANARIES). The values themselves are kept nowhere."
    )


def run(args: argparse.Namespace) -> int:
    """Mint or list."""
    path = Path(args.file)
    document = _read(path) if args.action == "list" else _document(path)
    assert isinstance(document, dict)
    rows = document["canaries"]
    assert isinstance(rows, list)
    if args.action == "list":
        for one in rows:
            print(one["name"] if isinstance(one, dict) else "")
        return 0
    if not args.name.strip() or len(args.name) > 128 or not args.name.isprintable():
        raise Misconfigured("--name must be printable text of at most 128 characters")
    if len(rows) >= MOST:
        raise Misconfigured(f"{path} holds {MOST} canaries already")
    value = mint(args.like)
    rows.append(row(bytes.fromhex(str(document["key"])), args.name, value))
    _write(path, document)
    print(value)
    return 0


def mint(like: str) -> str:
    """A fresh value: random, and of a form that somebody who looks for credentials takes."""
    if like == "aws":
        return "AKIA" + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
    body = "".join(secrets.choice(_LETTERS) for _ in range(20 if like == "password" else 34))
    return body if like == "password" else body + crc32_base62(body)


def read_canaries(path: str) -> Canaries:
    """The canaries in a file, none without one. Raises Misconfigured naming file and field."""
    if not path:
        return Canaries()
    return from_json(_read(Path(path)))


def _document(path: Path) -> Json:
    return _read(path) if path.exists() else {"key": secrets.token_hex(32), "canaries": []}


def _read(path: Path) -> Json:
    try:
        document: Json = json.loads(path.read_text())
        from_json(document)
    except OSError as err:
        raise Misconfigured(f"{path} cannot be read: {err.strerror}") from err
    except (ValueError, InvalidInput) as err:
        raise Misconfigured(f"{path} is no file of canaries: {err}") from err
    return document


def _write(path: Path, document: dict[str, Json]) -> None:
    # The key is in it: for its owner alone, never half written, and not into a file that somebody else put there before.
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, json.dumps(document, indent=1).encode())
    except OSError as err:
        raise Misconfigured(f"{path} cannot be written: {err.strerror}") from err
