"""Which model a sidecar asks, out of a file and the environment of its process. The key stays there: it is read, never passed on.

The file is TOML with the fields of ``POST /v1/llm-config``, and instead of ``api_key`` better ``key_env`` (a variable's name) or
``key_file`` (a path, read again when it changes, as mounted secrets and tokens do).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import check_json, text
from kaizen_security.net import outbound
from kaizen_security.observer.question import Question
from kaizen_security.reasoners import entra, google, google_tokens
from kaizen_security.reasoners.base import Attempt, Judge, Outcome
from kaizen_security.reasoners.choice import MAX_KEY, OFF, Choice, Provider, judge_of, read_choice
from kaizen_security.reasoners.tokens import Flow, NoToken, Tokens

FILE = "KAIZEN_MODEL_CONFIG"
SWITCH = "OBSERVER_RUN_JUDGE"
MAX_FILE = 64 << 10
_ON = frozenset("1 true yes on".split())
_OFF = frozenset("0 false no off".split())
_VARIABLES = {
    "KZ_MODEL_BACKEND": "provider",
    "KZ_MODEL": "model",
    "KAIZEN_MODEL_URL": "base_url",
    "KAIZEN_MODEL_KEY": "api_key",
    "KAIZEN_MODEL_REGION": "region",
    "KAIZEN_MODEL_IDENTITY": "identity",
}
TO_COME = "a-token-to-come"
"""Stands for the key while a choice is checked whose key is a token that a cloud gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """``origin`` says where it was stated; ``key_file`` is read again when it changes; ``identity`` gives a key that is a token."""

    choice: Choice = OFF
    origin: str = "nothing was stated"
    key_file: Path | None = None
    identity: Flow | None = field(default=None, repr=False)


NOT_STATED = Configured()


def read_config(environment: Mapping[str, str], file: str = "") -> Configured:
    """``file`` (else KAIZEN_MODEL_CONFIG), and over it the variables. Raises Misconfigured, naming the field and never a key.

    OBSERVER_RUN_JUDGE: ``0`` asks nobody whatever else is stated; ``1`` with nothing else stated asks the local judge.
    """
    switch = _switch(environment.get(SWITCH, ""))
    if switch is False:
        return Configured(origin=f"{SWITCH} switches it off")
    path = file or environment.get(FILE, "")
    stated, key_file = _of_file(Path(path), environment) if path else ({}, None)
    named = {field: environment[name] for name, field in _VARIABLES.items() if environment.get(name)}
    if named.get("provider", "").lower() == "none":
        named["provider"] = Provider.OFF.value
    document: dict[str, Json] = {**stated, **named}
    if not document:
        if switch:
            return Configured(choice=Choice(provider=Provider.LOCAL), origin=f"{SWITCH}, and no model is stated")
        return NOT_STATED
    if document.get("provider") == Provider.BEDROCK and not document.get("region"):
        document["region"] = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    identity = _identity(document, environment)
    if identity is not None and (key_file is not None or document.get("api_key")):
        raise Misconfigured("the model's configuration: a key and an identity are stated: which is meant?")
    if identity is not None:
        document |= {"api_key": TO_COME, "entra": True}
    if key_file is not None and not document.get("api_key"):
        document["api_key"] = read_key(key_file)
    try:
        choice = read_choice(document)
    except InvalidInput as err:
        raise Misconfigured(f"the model's configuration: {err}") from err
    origin = " and ".join([*([path] if path else []), *(["the environment"] if named else [])])
    return Configured(choice=choice, origin=origin, key_file=key_file, identity=identity)


def _identity(document: dict[str, Json], environment: Mapping[str, str]) -> Flow | None:
    """Which identity of this machine, or of its owner, is asked for a token; None: a key is used."""
    said = document.pop("identity", None)
    if not said:
        return None
    provider, url = document.get("provider"), document.get("base_url")
    kinds: tuple[str, ...]
    if provider == Provider.AZURE:
        flows, kinds = entra.flow, entra.KINDS
    elif provider == Provider.GOOGLE and isinstance(url, str) and url.rstrip("/").endswith(google.VERTEX):
        flows, kinds = google_tokens.flow, google_tokens.KINDS
    else:
        raise Misconfigured(
            "the model's configuration: identity is for Azure and Vertex AI; Bedrock has one without it"
        )
    if said != "auto" and said not in kinds:
        raise Misconfigured(f"the model's configuration: identity must be auto, {', '.join(kinds)}")
    return flows(str(said), environment, _read_text)


def _read_text(path: str) -> str:
    try:
        return _read(Path(path), MAX_FILE).decode()
    except UnicodeDecodeError as err:
        raise Misconfigured(f"{path} is no text") from err


def _switch(said: str) -> bool | None:
    word = said.strip().lower()
    if word and word not in _ON | _OFF:
        raise Misconfigured(f"{SWITCH} must be 1 or 0")
    return None if not word else word in _ON


def _of_file(path: Path, environment: Mapping[str, str]) -> tuple[dict[str, Json], Path | None]:
    data = _read(path, MAX_FILE)
    try:
        document: dict[str, Json] = tomllib.loads(data.decode())
        check_json(document, "file")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, InvalidInput) as err:
        raise Misconfigured(f"the model's configuration {path} is not TOML of plain values") from err
    try:
        name, key_file = text(document, "key_env", limit=256), text(document, "key_file", limit=4096)
    except InvalidInput as err:
        raise Misconfigured(f"the model's configuration {path}: {err}") from err
    if document.get("api_key"):
        _private(path)
    if name:
        if not environment.get(name):
            raise Misconfigured(f"the model's configuration {path}: key_env: the variable {name} is not set")
        document["api_key"] = environment[name]
    rest = {field: value for field, value in document.items() if field not in ("key_env", "key_file")}
    return rest, (path.parent / key_file if key_file else None)


def read_key(path: Path) -> str:
    """The key in a file that only its owner may read. Raises Misconfigured."""
    _private(path)
    try:
        return _read(path, MAX_KEY).decode("ascii").strip()
    except UnicodeDecodeError as err:
        raise Misconfigured(f"the key file {path} holds no key") from err


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as err:
        raise Misconfigured(f"{path} cannot be read: {err.strerror}") from err
    if len(data) > limit:
        raise Misconfigured(f"{path} is longer than {limit} bytes")
    return data


def _private(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as err:
        raise Misconfigured(f"{path} cannot be read: {err.strerror}") from err
    if os.name == "posix" and mode & 0o077:
        raise Misconfigured(f"others than its owner may use {path}, which holds a key: chmod 600 {path}")


def judge_from(
    configured: Configured, key: bytes, *, chance: Callable[[], float], clock: Callable[[], float]
) -> Judge | None:
    """Who is asked. ``key`` keys the hashes of a case, ``clock`` gives Unix seconds. Raises Misconfigured.

    Whoever writes this process's configuration owns the machine: the address that is stated may be an internal one, and Bedrock may
    be asked with the machine's role.
    """
    choice = configured.choice
    permitted: tuple[str, ...] = ()
    if choice.place:
        _, host, port, _ = outbound.split(choice.place)
        permitted = (f"{host}:{port}",)

    def make(said: str) -> Judge | None:
        return judge_of(replace(choice, key=said), key, permitted=permitted, chance=chance, role=True)

    first = make(choice.key)
    if first is not None and configured.identity is not None:
        return Identified(first, Tokens(configured.identity, clock), make)
    if first is None or configured.key_file is None:
        return first
    return Renewed(first, choice.key, configured.key_file, make)


class Identified:
    """A ``Judge`` whose key is a token that its cloud gives, renewed before it ends."""

    def __init__(self, first: Judge, tokens: Tokens, make: Callable[[str], Judge | None]) -> None:
        self.name = first.name
        self.local = first.local
        self._judge = first
        self._tokens = tokens
        self._make = make
        self._key = ""

    def attempt(self, question: Question, deadline: float) -> Attempt:
        """Ask with the token of now; what getting it takes is taken from the deadline."""
        ends = monotonic() + deadline
        try:
            key = self._tokens.get(deadline)
        except (NoToken, Misconfigured) as err:
            return Attempt(outcome=Outcome.FAILED, problem=str(err))
        if key != self._key:
            self._judge = self._make(key) or self._judge
            self._key = key
        left = ends - monotonic()
        if left <= 0:
            return Attempt(outcome=Outcome.LATE, problem="the token took all of the time")
        return self._judge.attempt(question, left)


class Renewed:
    """A ``Judge`` whose key is read again before each question: tokens and mounted secrets are replaced while we run."""

    def __init__(self, first: Judge, key: str, path: Path, make: Callable[[str], Judge | None]) -> None:
        self.name = first.name
        self.local = first.local
        self._judge = first
        self._key = key
        self._path = path
        self._make = make

    def attempt(self, question: Question, deadline: float) -> Attempt:
        """Ask with the key that is in the file now."""
        try:
            key = read_key(self._path)
        except Misconfigured as err:
            return Attempt(outcome=Outcome.REFUSED, problem=str(err))
        if key != self._key:
            self._judge = self._make(key) or self._judge
            self._key = key
        return self._judge.attempt(question, deadline)
