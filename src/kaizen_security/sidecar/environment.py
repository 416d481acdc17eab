"""What deployments of the sidecar state by the names that they have always used; what of it is not done is said, not swallowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kaizen_security.contract.errors import Misconfigured

DATABASE, ADDRESS, ENC_KEY = "TENANT_DATABASE_URL", "OBSERVER_URL", "KAIZEN_ENC_KEY"
_LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "::1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """``data``      the directory to keep everything in; None: not stated
    ``host``, ``port``  where to listen; ``""`` and 0: not stated
    ``notices``   what is not done as stated, for whoever starts it
    """

    data: Path | None = None
    host: str = ""
    port: int = 0
    notices: tuple[str, ...] = ()


def stated(environment: Mapping[str, str]) -> Stated:
    """The settings of these names. Raises Misconfigured for an address that is none. What was stated may hold secrets: none of it
    is repeated.
    """
    notices = []
    data, problem = _data(environment.get(DATABASE, "").strip())
    notices += [problem] if problem else []
    host, port, problem = _address(environment.get(ADDRESS, "").strip())
    notices += [problem] if problem else []
    if environment.get(ENC_KEY):
        notices.append(
            f"{ENC_KEY} seals nothing here: what a sidecar keeps holds no text of a run and no API key, and only its user may "
            "read it"
        )
    return Stated(data=data, host=host, port=port, notices=tuple(notices))


def _data(said: str) -> tuple[Path | None, str]:
    if not said:
        return None, ""
    scheme, _, rest = said.partition("://")
    if scheme.split("+")[0] != "sqlite":
        return None, (
            f"{DATABASE} names a database of another kind than SQLite, in which a sidecar cannot keep its state yet: it is kept in "
            "files in the data directory, which has to be on a disk that stays"
        )
    path = unquote(rest.partition("?")[0]).removeprefix("/")
    if path in ("", ":memory:"):
        return (
            None,
            f"{DATABASE} names a database in memory, and what an agent normally does has to stay: it is kept in files",
        )
    # Not in that very file: baselines are rewritten whole, by one process each.
    return Path(path).parent / "sidecar", ""


def _address(said: str) -> tuple[str, int, str]:
    if not said:
        return "", 0, ""
    try:
        parts = urlsplit(said if "://" in said else f"http://{said}")
        host, port = parts.hostname or "", parts.port or 8000
    except ValueError as err:
        raise Misconfigured(f"{ADDRESS} must be an address, like http://127.0.0.1:8000") from err
    if not host:
        raise Misconfigured(f"{ADDRESS} must be an address, like http://127.0.0.1:8000")
    if host in _LOOPBACK:
        return _LOOPBACK[host], port, ""
    return (
        "127.0.0.1",
        port,
        (
            f"{ADDRESS} names another address than loopback, where a sidecar does not listen: it listens on 127.0.0.1, for agents "
            "of this machine or pod"
        ),
    )
