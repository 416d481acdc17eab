"""The line as child processes: control plane, sidecar, egress proxy, and the demonstration's servers and agent."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from kaizen_security.client.files import write_whole
from kaizen_security.demo.ports import Port, choose
from kaizen_security.demo.processes import Child, Command, Household
from kaizen_security.demo.services import Config

CONTROL, SIDECAR, EGRESS, SERVERS, AGENT = "control plane", "sidecar", "egress proxy", "demo servers", "demo agent"

ORDER = (AGENT, SERVERS, EGRESS, SIDECAR, CONTROL)
"""Who ends first: each hands over to the ones behind it."""

MAX_SOCKET = 100
"""Bytes: a Unix socket's path must fit into sockaddr_un (unix(7)), which has 108."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the parts listen on 127.0.0.1."""

    control: Port
    sidecar: Port
    egress: Port


def choose_ports(control: int, sidecar: int, egress: int) -> Ports:
    """Free ports, the wanted ones where possible; what moves does not take a place that another part wants."""
    wanted = {control, sidecar, egress} - {0}
    first = choose(control, avoid=wanted - {control})
    second = choose(sidecar, avoid=(wanted - {sidecar}) | {first.number})
    third = choose(egress, avoid=(wanted - {egress}) | {first.number, second.number})
    return Ports(control=first, sidecar=second, egress=third)


def socket_path(data: Path) -> Path:
    """The sidecar's socket: in the data directory, or in a folder of this user when that path would be too long for a socket."""
    path = data.resolve() / "kaizen.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET:
        return path
    folder = Path(tempfile.gettempdir()) / f"kaizen-{os.getuid()}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        return Path(tempfile.mkdtemp(prefix="kaizen-")) / "kaizen.sock"
    return folder / "kaizen.sock"


@dataclass(slots=True)
class Line:
    """Starts the parts and knows where they are. ``environ``: what children inherit, without what is ours to set; ``permitted``:
    internal destinations that exports may reach.
    """

    data: Path
    ports: Ports
    environ: Mapping[str, str]
    permitted: tuple[str, ...] = ()
    household: Household = field(default_factory=Household)
    socket: Path = field(init=False)

    def __post_init__(self) -> None:
        self.socket = socket_path(self.data)

    @property
    def control_url(self) -> str:
        """Of API and console."""
        return f"http://127.0.0.1:{self.ports.control.number}"

    @property
    def sidecar_url(self) -> str:
        """For clients on this machine: the Unix socket."""
        return f"unix://{self.socket}"

    def proxy_url(self, agent: str = "", key: str = "") -> str:
        """The egress proxy, with an agent's credentials where they are given."""
        credentials = f"{quote(agent, safe='')}:{quote(key, safe='')}@" if agent else ""
        return f"http://{credentials}127.0.0.1:{self.ports.egress.number}"

    def log(self, name: str) -> Path:
        """Where a part writes."""
        return self.data / "logs" / f"{name.replace(' ', '-')}.log"

    def start_control(self) -> Child:
        """The control plane."""
        words = ["server", "--host", "127.0.0.1", "--port", str(self.ports.control.number), "--data", str(self.data)]
        words += [word for place in self.permitted for word in ("--permit-export", place)]
        return self._kaizen(CONTROL, words, {})

    def start_sidecar(self, key: str, *, model: str = "", asking: bool = True) -> Child:
        """The sidecar, with a key of scope ``observer``; ``model``: a reasoning model's configuration, if there is one; ``asking``:
        somebody is there to answer what is held.
        """
        words = ["sidecar", "--socket", str(self.socket), "--port", str(self.ports.sidecar.number)]
        words += ["--api-url", self.control_url, "--data", str(self.data / "sidecar")]
        words += ["--model-config", model] if model else []
        words += [] if asking else ["--hold-seconds", "0"]
        return self._kaizen(SIDECAR, words, {"KAIZEN_API_KEY": key})

    def start_egress(self, key: str, *, agent: str, hosts: Mapping[str, str], credentials: Mapping[str, str]) -> Child:
        """The egress proxy, with a key of scope ``observer``; ``hosts`` and ``credentials`` as in its documentation."""
        config = self.data / "egress.json"
        write_whole(config, json.dumps({"hosts": dict(hosts), "credentials": dict(credentials)}).encode())
        words = ["egress", "--host", "127.0.0.1", "--port", str(self.ports.egress.number), "--agent", agent]
        words += ["--config", str(config), "--sidecar", self.sidecar_url, "--data", str(self.data / "egress")]
        return self._kaizen(EGRESS, words, {"KAIZEN_API_KEY": key})

    def start_servers(self, config: Config) -> Child:
        """The demonstration's servers."""
        path = self.data / "demo" / "servers.json"
        config.write(path)
        words = [sys.executable, "-m", "kaizen_security.demo.services", "--config", str(path)]
        return self._start(SERVERS, words, {})

    def start_agent(self, key: str, *, authority: Path) -> Child:
        """The demonstration agent, attached as any agent would be: by its environment."""
        work = self.data / "demo" / "work"
        words = [sys.executable, "-m", "kaizen_security.demo.agent", "--work", str(work), "--authority", str(authority)]
        env = {"KAIZEN_API_KEY": key, "KAIZEN_API_URL": self.control_url, "KAIZEN_SIDECAR": self.sidecar_url}
        return self._start(AGENT, words, env, talks=True)

    def ready(self, child: Child, pulse: Callable[[], None] = lambda: None) -> str:
        """Wait until it listens, and give its address."""
        return self.household.ready(child, pulse=pulse)

    def stop(self) -> None:
        """End everything, in order."""
        self.household.stop(ORDER)

    def _kaizen(self, name: str, words: list[str], env: Mapping[str, str]) -> Child:
        return self._start(name, [sys.executable, "-m", "kaizen_security.cli", *words], env)

    def _start(self, name: str, words: list[str], env: Mapping[str, str], *, talks: bool = False) -> Child:
        env = {**self.environ, "KAIZEN_DATA": str(self.data), "PYTHONUNBUFFERED": "1", **env}
        return self.household.start(Command(name=name, words=words, env=env, log=self.log(name), talks=talks))


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What children get of our environment: not our own settings, no proxy that would come between the parts, and no model: a
    demonstration is the same for everybody.
    """
    names = ("KAIZEN_", "KZ_", "OBSERVER_")
    ours = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "port")
    return {name: value for name, value in environ.items() if not name.startswith(names) and name.lower() not in ours}
