"""What payload inspection reads from files: the authority, the canaries, the documents."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.egress.proxy import Proxy
from kaizen_security.interception import clock, documents
from kaizen_security.interception.authority import load
from kaizen_security.interception.documents import Documents
from kaizen_security.interception.interceptor import Interceptor
from kaizen_security.interception.readings import Readings
from kaizen_security.interception.scan import Scanner
from kaizen_security.observer import canaries
from kaizen_security.observer.canaries import Canaries

MOST_TEXT = 64 << 20
"""Bytes of one document."""

T = TypeVar("T")


def opening(proxy: Proxy) -> Interceptor:
    """What opens the tunnels of ``proxy``, by its settings. Raises Misconfigured naming what cannot be used."""
    settings = proxy.config.inspect
    assert settings is not None
    bait = _in(settings.canaries, "inspect.canaries", canaries.from_json) if settings.canaries else Canaries()
    marked = _in(settings.documents, "inspect.documents", documents.from_json) if settings.documents else Documents()
    readings = None
    if settings.readings:
        if not proxy.config.sidecar:
            raise Misconfigured("inspect.readings: the sidecar knows what an agent has read; name it in `sidecar`")
        readings = Readings(proxy.config.sidecar, proxy.config.api_key)
        readings.of(proxy.config.agent)  # what it reads before its first request is known, too
    return Interceptor(
        proxy,
        settings,
        authority=load(settings.ca_cert, settings.ca_key, clock.now()),
        scanner=Scanner(bait, marked, readings.of if readings is not None else None),
        clock=clock.now,
    )


def add_documents(path: Path, names: Sequence[Path]) -> int:
    """Put fingerprints of text files into the file of documents, which is made when it is missing: how many it holds then.

    One that is there already under its name is replaced. Raises Misconfigured.
    """
    if path.exists():
        known = _json(path, "--file")
        _in(str(path), "--file", documents.from_json)
        assert isinstance(known, dict)
    else:
        known = {"key": secrets.token_hex(32), "documents": []}
    rows = known["documents"]
    assert isinstance(rows, list)
    for name in names:
        rows[:] = [one for one in rows if not (isinstance(one, dict) and one["name"] == name.name)]
        room = documents.MOST_ROWS - documents.size(rows)
        try:
            rows.append(documents.row(bytes.fromhex(str(known["key"])), name.name, _text(name), room=room))
        except InvalidInput as err:
            raise Misconfigured(str(err)) from err
    # The key is in it: for its owner alone, never half written, and not into a file that somebody else put there before.
    try:
        write_whole(path, json.dumps(known).encode())
    except OSError as err:
        raise Misconfigured(f"{path} cannot be written: {err.strerror}") from err
    return len(rows)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_TEXT + 1)
    except OSError as err:
        raise Misconfigured(f"{path}: {err.strerror}") from err
    if len(data) > MOST_TEXT:
        raise Misconfigured(f"{path}: has more than {MOST_TEXT} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise Misconfigured(f"{path}: is no text in UTF-8; give the text that is in it") from err


def _json(path: Path, name: str) -> Json:
    try:
        document: Json = json.loads(path.read_text())
    except OSError as err:
        raise Misconfigured(f"{name}: {path}: {err.strerror}") from err
    except ValueError as err:
        raise Misconfigured(f"{name}: {path} is no JSON") from err
    return document


def _in(path: str, name: str, read: Callable[[Json], T]) -> T:
    try:
        return read(_json(Path(path), name))
    except InvalidInput as err:
        raise Misconfigured(f"{name}: {path}: {err}") from err
