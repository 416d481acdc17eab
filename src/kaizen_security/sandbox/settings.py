"""What the sandbox is told when it starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kaizen_security.client.config import BASE_URL
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import parse
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.canaries import NO_CANARIES, Canaries
from kaizen_security.observer.gap.expectation import NOTHING_EXPECTED, Expectation, read_expectation
from kaizen_security.reasoners.config import NOT_STATED, Configured

MAX_FILE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``agent``         whose sandbox it is; every trace and every connection that comes here is this agent's
    ``host``          where both ports listen; beyond loopback only with a token, which is always asked for
    ``trace_port``    ``POST /v1/traces``; ``egress_port`` the proxy. 0: any free one
    ``data``          baselines, spools, what was learned, the token
    ``token``         what a trace's sender and the agent's proxy user present; empty: made at the first start, in ``data/token``
    ``api_url``, ``api_key``  the control plane; without a key nothing leaves at all
    ``mode``          without a control plane; with one, the agent's mode is what it says
    ``expectation``   what the agent is for (``observer.gap.expectation``)
    ``declared``      whether one was stated; without it the control plane says what is declared
    ``environ``       of the proxy's process
    ``egress``        further settings of the proxy, as in its configuration file
    ``watch``         folders whose files are watched (``collectors.files``), where no kernel collector reports to us
    ``open_egress``   the proxy asks peers on private networks for no credentials
    ``confined``      the judging process can reach control plane and model only (``sandbox.confine``)
    """

    agent: str
    data: Path
    host: str = "127.0.0.1"
    trace_port: int = 8081
    egress_port: int = 8080
    token: str = ""
    api_url: str = BASE_URL
    api_key: str = ""
    mode: Mode = Mode.OBSERVE
    expectation: Expectation = NOTHING_EXPECTED
    declared: bool = False
    model: Configured = NOT_STATED
    canaries: Canaries = NO_CANARIES
    egress: Mapping[str, Json] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    watch: tuple[str, ...] = ()
    open_egress: bool = False
    confined: bool = True


def read_declaration(stated: str) -> Expectation:
    """A declaration as a path or as the JSON itself. Raises Misconfigured naming file and field."""
    document: Json
    if stated.lstrip().startswith("{"):
        where, data = "KZ_DECLARATION", stated.encode()
    else:
        where, data = stated, _read(Path(stated))
    try:
        document = parse(data, limit=MAX_FILE)
        return read_expectation(document)
    except InvalidInput as err:
        raise Misconfigured(f"{where}: {err}") from err


def read_egress(path: str) -> dict[str, Json]:
    """Further settings of the proxy out of a JSON file. Raises Misconfigured."""
    try:
        found = json.loads(_read(Path(path)))
    except ValueError as err:
        raise Misconfigured(f"{path} is no JSON") from err
    if not isinstance(found, dict):
        raise Misconfigured(f"{path} must hold an object")
    return found


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as err:
        raise Misconfigured(f"{path} cannot be read: {err.strerror}") from err
    if len(data) > MAX_FILE:
        raise Misconfigured(f"{path} is longer than {MAX_FILE} bytes")
    return data
