"""``kaizen up``: control plane, sidecar and egress proxy together, a process each; with ``--demo`` also the demonstration."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from kaizen_security.client.files import write_whole
from kaizen_security.contract.bundle import key_hash
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.fields import rfc3339
from kaizen_security.contract.verdict import Mode
from kaizen_security.demo.feed import Feed, Servers
from kaizen_security.demo.line import (
    AGENT,
    CONTROL,
    EGRESS,
    SERVERS,
    SIDECAR,
    Line,
    choose_ports,
    inherited,
)
from kaizen_security.demo.ports import choose
from kaizen_security.demo.programme import DEMO_AGENT, Programme, programme
from kaizen_security.demo.services import Config
from kaizen_security.demo.stage import AgentLine, Stage
from kaizen_security.demo.view import Lines, Plain, View
from kaizen_security.redteam.corpus import folder, load, misses
from kaizen_security.runtime.clock import now
from kaizen_security.server.setup import first_start, mint_key, sign_in_link
from kaizen_security.store.sqlite import SqliteStore

WATCH = 0.5
"""Seconds between two looks at the children."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument(
        "--demo", action="store_true", help="learn from benign tasks, meet injected runs, print the scorecard"
    )
    parser.add_argument(
        "--once", action="store_true", help="with --demo: end afterwards; status 0 only if the scorecard is good"
    )
    parser.add_argument("--seed", type=int, help="makes a demonstration repeatable (default: a new one each time)")
    parser.add_argument("--data", type=Path, help="data directory (default: KAIZEN_DATA, else ./.kaizen)")
    parser.add_argument(
        "--port", type=int, default=8000, help="control plane (default 8000; 0: any free one; moved when taken)"
    )
    parser.add_argument("--sidecar-port", type=int, default=8001, help="sidecar on loopback (default 8001)")
    parser.add_argument("--proxy-port", type=int, default=8080, help="egress proxy (default 8080)")
    parser.add_argument(
        "--model-config", metavar="FILE", help="the sidecar's reasoning model (without it nobody is asked)"
    )
    parser.add_argument(
        "--permit-export",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="an internal destination that exports may reach (may be repeated)",
    )
    parser.add_argument("--corpus", type=Path, help="folder of the red-team corpus (default: the checkout's)")
    parser.add_argument(
        "--json", action="store_true", help="one JSON document a line; a demonstration's last is its summary"
    )


def run(args: argparse.Namespace) -> int:
    """Start, play, stay up until Ctrl-C."""
    if args.once and not args.demo:
        raise Misconfigured("--once is about a demonstration: use it with --demo")
    if args.demo:
        importlib.import_module("trustme")  # missed now, before anything has started
    # What ends a terminal's session or a container ends us as Ctrl-C does: in order. SIGINT too, which a script's background
    # job begins with ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    data = (args.data or Path(os.environ.get("KAIZEN_DATA") or ".kaizen")).absolute()
    view = _view(as_json=args.json)
    line = Line(
        data=data,
        ports=choose_ports(args.port, args.sidecar_port, args.proxy_port),
        environ=inherited(os.environ),
        permitted=tuple(args.permit_export),
    )
    try:
        return Up(args, line, view).run()
    except KeyboardInterrupt:
        view.close()
        view.say("\nstopping")
        return 0 if not args.once else 130
    finally:
        view.close()
        line.stop()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _view(*, as_json: bool) -> View:
    if as_json:
        return Lines()
    if not sys.stdout.isatty():
        return Plain()
    from kaizen_security.demo.live import Live

    return Live()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """API keys of the parts; ``own`` is the one for the user's own agents."""

    own: str
    agent: str
    observer: str


class Up:
    """One run of ``kaizen up``."""

    def __init__(self, args: argparse.Namespace, line: Line, view: View) -> None:
        self._args = args
        self._line = line
        self._view = view

    def run(self) -> int:
        """The whole of it; the exit status."""
        play = self._programme() if self._args.demo else None
        self._say_moved()
        keys = self._set_up(play)
        status = 0
        if play is None:
            self._start(keys, agent="egress-agent", hosts={}, credentials={})
        else:
            status = self._demonstrate(play, keys)
        if self._args.once:
            return status
        self._tell(keys)
        self._stay()
        return status

    def _programme(self) -> Programme:
        seed = self._args.seed if self._args.seed is not None else secrets.randbelow(1_000_000)
        place = self._args.corpus or folder()
        return programme(seed, load(place), misses(place))

    def _say_moved(self) -> None:
        ports = self._line.ports
        for name, port in ((CONTROL, ports.control), (SIDECAR, ports.sidecar), (EGRESS, ports.egress)):
            if port.moved:
                self._view.say(
                    f"{port.wanted} is taken by {port.holder or 'another part'}; the {name} uses {port.number}"
                )

    # --- setting up -------------------------------------------------------------------------------------------------------

    def _set_up(self, play: Programme | None) -> Keys:
        """Organisation, person and keys, straight into the store, before the control plane opens it."""
        data = self._line.data
        store = SqliteStore(data)
        try:
            first = first_start(store, now)
            if first.created:
                self._view.say("First start. The password is shown this once:")
                self._view.secret(user=first.user, password=first.password)
            else:
                self._view.say(f"Data from before is kept ({data}).")
            keys = self._keys(store)
            if play is not None:
                at = now()
                for policy in play.policies:
                    store.put_policy(first.organisation.id, policy, at=at)
                for member in play.members:
                    store.settings(first.organisation.id, member.name, at=at, mode=Mode.ENFORCE)
            return keys
        except OSError as err:
            raise Misconfigured(f"the data directory {data} cannot be used: {err.strerror}") from err
        finally:
            store.close()

    def _keys(self, store: SqliteStore) -> Keys:
        """The keys of an earlier start while they are good: what is attached stays attached, and what was signed stays readable."""
        path = self._line.data / "keys.json"
        kept = _read_keys(path)
        minted = {
            name: _still_good(store, kept.get(name, "")) or mint_key(store, name=said, scope=scope, replace=True)
            for name, said, scope in (
                ("own", "first key", "agent"),
                ("agent", "demonstration agent", "agent"),
                ("observer", "sidecar and proxy of kaizen up", "observer"),
            )
        }
        write_whole(path, json.dumps(minted).encode())
        self._write_env(minted["own"])
        return Keys(**minted)

    def _write_env(self, key: str) -> None:
        """A file for the user's shell, readable by nobody else."""
        text = (
            "# Written by `kaizen up`. To attach an agent of your own: `. this file`, then start it.\n"
            f"export KAIZEN_API_KEY={key}\n"
            f"export KAIZEN_API_URL={self._line.control_url}\n"
            f"export KAIZEN_SIDECAR={shlex.quote(self._line.sidecar_url)}\n"
            f"export KAIZEN_DATA={shlex.quote(str(self._line.data))}\n"
            "# For HTTP_PROXY and HTTPS_PROXY of an agent, so that its connections are seen where they leave.\n"
            f"export KAIZEN_PROXY={self._line.proxy_url()}\n"
        )
        write_whole(self._line.data / "env", text.encode())

    # --- starting ---------------------------------------------------------------------------------------------------------

    def _start(self, keys: Keys, *, agent: str, hosts: dict[str, str], credentials: dict[str, str]) -> None:
        line, view = self._line, self._view
        control = line.start_control()
        line.ready(control)
        view.started(CONTROL, line.control_url)
        sidecar = line.start_sidecar(keys.observer, model=self._args.model_config or "", asking=not self._args.demo)
        egress = line.start_egress(keys.observer, agent=agent, hosts=hosts, credentials=credentials)
        line.ready(sidecar)
        view.started(SIDECAR, f"{line.sidecar_url} and 127.0.0.1:{line.ports.sidecar.number}")
        line.ready(egress)
        view.started(EGRESS, f"127.0.0.1:{line.ports.egress.number}")

    # --- the demonstration --------------------------------------------------------------------------------------------------

    def _demonstrate(self, play: Programme, keys: Keys) -> int:
        line, view = self._line, self._view
        view.say(
            f"Demonstration with seed {play.seed}: {len(play.learning)} tasks to learn from, {play.attacks} attacks to meet."
        )
        place = line.data / "demo"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        authority = place / "authority.pem"
        http = choose(0).number
        ports = {"http": http, "https": choose(0, avoid={http}).number}
        config = Config(
            seed=play.seed,
            hosts=tuple(sorted({host for host, _, _ in play.hosts})),
            pages=dict(play.pages),
            http=ports["http"],
            https=ports["https"],
            authority=str(authority),
        )
        where = line.ready(line.start_servers(config))
        view.started(
            SERVERS, f"{where}: api.internal, docs.internal, attacker.example and {len(config.hosts) - 3} more names"
        )
        hosts = {f"{host}:{port}": f"127.0.0.1:{ports[scheme]}" for host, port, scheme in play.hosts}
        # The proxy must know whose connection it is; these are only for it, and only for this run.
        passwords = {member.name: secrets.token_urlsafe(16) for member in play.members}
        self._start(keys, agent=DEMO_AGENT, hosts=hosts, credentials=passwords)
        since = rfc3339(now())
        agent = line.start_agent(keys.agent, authority=authority)
        view.started(AGENT, f"pid {agent.process.pid}, its files in {place / 'work'}")
        stage = Stage(
            programme=play,
            agent=AgentLine(agent),
            feed=Feed(line.control_url, keys.agent, since=str(since)),
            servers=Servers(ports["http"]),
            view=view,
            check=line.household.check,
            proxy_of=lambda name: line.proxy_url(name, passwords[name]),
        )
        card, _ = stage.play()
        line.household.release(AGENT)
        return 0 if card.good else 1

    # --- staying up -------------------------------------------------------------------------------------------------------

    def _tell(self, keys: Keys) -> None:
        line, view = self._line, self._view
        store = SqliteStore(line.data, exclusive=False)
        try:
            token = sign_in_link(store)
        finally:
            store.close()
        view.up(
            console=line.control_url,
            sign_in=f"{line.control_url}/sign-in?token={token}",
            environment=shlex.quote(_short(line.data / "env")),
        )

    def _stay(self) -> None:
        household = self._line.household
        while True:
            gone = household.dead()
            if gone is not None:
                self._view.say(gone.obituary())
                household.restart(gone)
                self._view.say(f"{gone.name} is started again")
            time.sleep(WATCH)


def _read_keys(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {name: str(key) for name, key in kept.items()} if isinstance(kept, dict) else {}


def _still_good(store: SqliteStore, token: str) -> str:
    key = store.key_by_hash(key_hash(token)) if token else None
    return token if key is not None and not key.revoked_at else ""


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
