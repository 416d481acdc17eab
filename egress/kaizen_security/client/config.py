"""Settings of the client: an argument wins over the environment, the environment over the file, the file over the default."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kaizen_security.client.dial import place
from kaizen_security.client.files import write_first
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode

BASE_URL = "http://127.0.0.1:8000"
"""Our own default, on this machine: nothing goes to a third party because somebody forgot a setting."""
FILE = "client.toml"
LOOPBACK = "http://127.0.0.1:8001"
"""The sidecar's default port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is in force.

    ``origins`` says of each setting what won (argument, environment, file, default), ``places`` which variable or line of the file.

    ``api_key``      empty: nothing is fetched from or reported to the control plane
    ``base_url``     the control plane
    ``sidecar``      ``unix:///path`` or a loopback address; empty: none
    ``in_tenant``    the sidecar's address is the owner's own, so arguments may go there (a Unix socket always is)
    ``mode``         None: what the organisation says, else observe. A stated mode can only tighten the organisation's
    ``fail_open``    allow where an enforcing client would block because nobody could answer, or because our own code failed
    ``deadline``     seconds that one question to the sidecar may take
    ``hold_seconds`` how long an action that is held waits for a person; 0: not at all, it is blocked and pending at once
    ``data``         directory for spool, cached policy and boundary key; empty: keep nothing on disk
    ``spool_bytes``  bytes on disk for reports that are not delivered
    ``audit``        hear what this process opens, connects to and starts (``client.audit``); the hook cannot be removed
    ``tenant_key``   secret behind the keyed hashes, in hex; empty: one is made and kept in ``data``
    """

    api_key: str = field(default="", repr=False)
    base_url: str = BASE_URL
    agent: str = "default"
    sidecar: str = ""
    in_tenant: bool = False
    mode: Mode | None = None
    fail_open: bool = False
    report: bool = True
    sync: bool = True
    deadline: float = 2.0
    hold_seconds: float = 60.0
    data: str = ""
    spool_bytes: int = 64 << 20
    audit: bool = False
    tenant_key: str = field(default="", repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or len(value) > 4096:
        raise ValueError("must be printable text")
    return value.strip()


def _agent(value: object) -> str:
    text = _text(value)
    if not text or len(text) > 256:
        raise ValueError("must be a name of 1 to 256 characters")
    return text


def _key(value: object) -> str:
    text = _text(value)
    if not text.isascii() or " " in text:
        raise ValueError("must be a key as `kaizen keys` prints it")
    return text


def _url(value: object) -> str:
    text = _text(value).rstrip("/")
    if text:
        place(text)
    return text


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text not in _SWITCH:
        raise ValueError("must be true or false")
    return _SWITCH[text]


_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
    "": False,
}


def _mode(value: object) -> Mode | None:
    text = str(value).strip().lower()
    if text not in ("", "observe", "enforce"):
        raise ValueError("must be observe or enforce")
    return Mode(text) if text else None


def _within(least: float, most: float) -> Callable[[object], float]:
    def seconds(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("must be a number of seconds")  # noqa: TRY004  # one kind of error for every setting
        found = float(value)
        if not least <= found <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return found

    return seconds


def _bytes(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a whole number of bytes")  # noqa: TRY004  # one kind of error for every setting
    size = int(value)
    if not 64 << 10 <= size <= 1 << 40:
        raise ValueError("must be from 65536 bytes to 1 TB")
    return size


def _secret(value: object) -> str:
    text = _text(value)
    if text and len(bytes.fromhex(text)) < 16:
        raise ValueError("must be at least 32 hex digits")
    return text


_READ: dict[str, tuple[tuple[str, ...], Callable[[object], object]]] = {
    "api_key": (("KAIZEN_API_KEY",), _key),
    "base_url": (("KAIZEN_API_URL", "KAIZEN_BASE_URL"), _url),
    "agent": (("KAIZEN_AGENT",), _agent),
    "sidecar": (("KAIZEN_SIDECAR",), _url),
    "in_tenant": (("KAIZEN_IN_TENANT",), _switch),
    "mode": (("KAIZEN_MODE",), _mode),
    "fail_open": (("KAIZEN_FAIL_OPEN",), _switch),
    "report": (("KAIZEN_REPORT",), _switch),
    "sync": (("KAIZEN_SYNC",), _switch),
    "deadline": (("KAIZEN_DEADLINE",), _within(0.001, 600)),
    "hold_seconds": (("KAIZEN_HOLD_SECONDS",), _within(0, 86_400)),
    "data": (("KAIZEN_DATA",), _text),
    "spool_bytes": (("KAIZEN_SPOOL_BYTES",), _bytes),
    "audit": (("KAIZEN_AUDIT",), _switch),
    "tenant_key": (("KAIZEN_TENANT_KEY",), _secret),
}

ENVIRONMENT: dict[str, tuple[str, ...]] = {name: names for name, (names, _) in _READ.items()}
"""Every setting with the variables that are read for it, the first one first."""


def load(arguments: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. An argument that is None, and a variable that is empty, states nothing.

    The file is ``KAIZEN_CONFIG``, or ``client.toml`` in the data directory; never one in the working directory, which the agent can
    write. Raises Misconfigured naming the setting and where it was stated.
    """
    env = os.environ if environment is None else environment
    data = arguments.get("data")
    if data is None:
        data = env.get("KAIZEN_DATA") or default_data(env)
    path = file_of(env, str(_convert("data", data, "KAIZEN_DATA")))
    stated = _file(path)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    places: dict[str, str] = {}
    for name, (variables, _) in _READ.items():
        variable = next((variable for variable in variables if env.get(variable)), "")
        if arguments.get(name) is not None:
            values[name], origins[name] = _convert(name, arguments[name], f"the argument {name}"), "argument"
        elif variable:
            values[name], origins[name] = _convert(name, env[variable], variable), "environment"
            places[name] = variable
        elif name in stated:
            value, line = stated[name]
            places[name] = f"{path}, line {line}"
            values[name], origins[name] = _convert(name, value, f"{places[name]}: {name}"), "file"
        else:
            origins[name] = "default"
    values.setdefault("data", data)
    if not values.get("base_url", BASE_URL):
        del values["base_url"]
    return Settings(**values, origins=origins, places=places)  # type: ignore[arg-type]  # each was converted to its own type


def _convert(name: str, value: object, where: str) -> object:
    try:
        return _READ[name][1](value)
    except (ValueError, Misconfigured) as err:
        problem = "must be hex digits" if name == "tenant_key" and "hex" in str(err) else str(err)
        raise Misconfigured(f"{where}: {problem}") from err


def file_of(environment: Mapping[str, str], data: str) -> str:
    """The settings file that is read: the one that is named, else the one in the data directory if it is there; empty for none."""
    named = environment.get("KAIZEN_CONFIG", "")
    path = named or (os.path.join(data, FILE) if data else "")
    return path if named or (path and os.path.exists(path)) else ""


def _file(path: str) -> dict[str, tuple[object, int]]:
    """Each setting with the number of its line."""
    if not path:
        return {}
    import tomllib

    try:
        with open(path, "rb") as file:
            text = file.read(1 << 20).decode()
        stated = tomllib.loads(text)
    except OSError as err:
        raise Misconfigured(f"cannot read the settings in {path}: {err.strerror}") from err
    except UnicodeDecodeError as err:
        raise Misconfigured(f"{path} is not UTF-8 text") from err
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"{path} is not TOML: {err}") from err
    lines = {name: _line(text, name) for name in stated}
    unknown = sorted(name for name in stated if name not in _READ or name == "data")
    if unknown:
        places = ", ".join(f"{name!r} (line {lines[name]})"[:100] for name in unknown)
        known = ", ".join(name for name in _READ if name != "data")
        raise Misconfigured(f"{path}: unknown settings {places}; known are {known}")
    return {name: (value, lines[name]) for name, value in stated.items()}


def _line(text: str, name: str) -> int:
    """Where a key of the top level is stated; 1 when it is spelled in a way that only a TOML reader finds."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().lstrip("[").lstrip().lstrip("\"'").startswith(name):
            return number
    return 1


def default_data(environment: Mapping[str, str]) -> str:
    """``$XDG_DATA_HOME/kaizen`` or ``~/.local/share/kaizen`` (Windows: ``%LOCALAPPDATA%\\kaizen``); empty when there is no home."""
    if sys.platform == "win32":
        base = environment.get("LOCALAPPDATA", "")
        return os.path.join(base, "kaizen") if base else ""
    base = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):
        home = environment.get("HOME", "") or os.path.expanduser("~")
        base = os.path.join(home, ".local", "share") if os.path.isabs(home) else ""
    return os.path.join(base, "kaizen") if base else ""


def data_folder(environment: Mapping[str, str], part: str = "") -> str:
    """Where a part of Kaizen keeps things: its folder in ``KAIZEN_DATA``, else in ``default_data``.

    Raises Misconfigured where there is neither.
    """
    base = environment.get("KAIZEN_DATA") or default_data(environment)
    if not base:
        raise Misconfigured("KAIZEN_DATA: there is no home directory, so say where things are to be kept")
    return os.path.join(base, part) if part else base


def control_plane(environment: Mapping[str, str]) -> str:
    """The control plane that the environment names, by either of the names for it; else our own default."""
    return environment.get("KAIZEN_API_URL") or environment.get("KAIZEN_BASE_URL") or BASE_URL


def default_sidecar(settings: Settings) -> str:
    """Where `kaizen sidecar` with the same data directory listens; loopback on a system without Unix sockets."""
    import socket

    if not hasattr(socket, "AF_UNIX"):
        return LOOPBACK
    return f"unix://{os.path.join(os.path.abspath(settings.data), 'sidecar', 'kaizen.sock')}" if settings.data else ""


def tenant_secret(settings: Settings) -> bytes:
    """The secret behind the boundary's hashes: as stated, else kept in the data directory (mode 0600), else this process's own."""
    if settings.tenant_key:
        return bytes.fromhex(settings.tenant_key)
    fresh = os.urandom(32)
    if not settings.data:
        return fresh
    path = os.path.join(settings.data, "boundary.key")
    try:
        os.makedirs(settings.data, mode=0o700, exist_ok=True)
        kept = _secret_in(path)
        if kept is None:
            write_first(path, fresh)
            kept = _secret_in(path)
    except OSError:
        return fresh
    return kept or fresh


def _secret_in(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            secret = file.read(64)
    except FileNotFoundError:
        return None
    return secret if len(secret) >= 16 else None
