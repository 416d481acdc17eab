"""The coverage meter: canaries through each way out of an agent, under each rung, and whether each was seen and was stopped.

*Seen* means that a report about this very canary arrived where reports go. *Stopped* means that nothing of it arrived at the
listener. Nothing leaves the machine: the listener is on one of its own addresses.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import AF_INET, AF_INET6

from kaizen_security.collectors.kernel.collector import NotHere
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.verdict import Mode
from kaizen_security.launch.canaries import CANARIES, Place
from kaizen_security.launch.clock import new_id, now
from kaizen_security.launch.plan import Plan, Way
from kaizen_security.launch.sink import Collecting, Sink, outward_address
from kaizen_security.launch.supervise import NotStarted, Run

AGENT = "kaizen-coverage"
DECLARED = "declared.kaizen-canary.invalid"
"""What the canaries' agent declares, and no canary goes to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What became of one canary. ``tried`` False: its way does not exist here (no curl, a port that could not be had)."""

    name: str
    seen: bool
    stopped: bool
    tried: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One rung in one mode. ``why`` says why there are no canaries, or what the rung lacked."""

    way: Way
    mode: Mode
    canaries: tuple[Canary, ...] = ()
    why: str = ""

    @property
    def figure(self) -> tuple[int, int]:
        """Canaries seen (in enforce mode: seen or stopped), of those that were tried."""
        tried = [one for one in self.canaries if one.tried]
        good = [one for one in tried if one.seen or (self.mode is Mode.ENFORCE and one.stopped)]
        return len(good), len(tried)


@contextmanager
def _listening(folder: Path) -> Iterator[tuple[Sink, dict[str, Place]]]:
    """The sink, and where each canary goes."""
    sink, places = Sink(), dict[str, Place]()
    host, six = outward_address(AF_INET), outward_address(AF_INET6)
    fixed = {"quic": 443, "dns-labels": 53}
    for name in CANARIES:
        listen = sink.udp if name in ("udp", "quic", "dns-labels") else sink.tcp
        at = six if name == "ipv6" else host
        # Names over HTTPS can be asked for at any port; the others are what they are by theirs.
        ports = (443, 0) if name == "doh" else (fixed.get(name, 0),)
        try:
            if name == "unix":
                path = folder / "canary.sock"
                sink.unix(name, path)
                places[name] = Place(host="", port=0, token=new_id()[:16], path=str(path))
            else:
                places[name] = Place(host=at, port=_first(listen, name, at, ports), token=new_id()[:16])
        except OSError:
            continue  # that port is another's, or takes root: this canary cannot be tried
    sink.start()
    try:
        yield sink, places
    finally:
        sink.close()


def _first(listen: Callable[[str, str, int], int], name: str, host: str, ports: tuple[int, ...]) -> int:
    """Listen at the first of ``ports`` that can be had. Raises OSError."""
    for port in ports[:-1]:
        with suppress(OSError):
            return listen(name, host, port)
    return listen(name, host, ports[-1])


def measure(way: Way, mode: Mode, environ: Mapping[str, str]) -> Coverage:
    """One rung in one mode: about five seconds."""
    with ExitStack() as after:
        folder = Path(after.enter_context(tempfile.TemporaryDirectory(prefix="kaizen-canaries-")))
        folder.chmod(0o755)
        bundle = Bundle(
            agent=AGENT,
            version=1,
            declaration=Declaration(destinations=(DECLARED,)),
            mode=mode,
            issued_at=now(),
            expires_at=now() + 3600,
        )
        upstream = Collecting(bundle)
        after.callback(upstream.close)
        sink, places = after.enter_context(_listening(folder))
        plan = Plan(
            agent=AGENT,
            mode=mode,
            command=(sys.executable, "-m", "kaizen_security.launch.canaries", _document(places)),
            environ=_environ(environ, upstream, folder),
            data=folder / "run",
            want=way,
        )
        try:
            with _silent():
                Run(plan, lambda text: None).run()
        except (NotStarted, NotHere, KaizenError) as err:
            return Coverage(way=way, mode=mode, why=str(err))
        canaries = tuple(_became(name, places.get(name), sink.arrived, upstream.reports) for name in CANARIES)
        return Coverage(way=way, mode=mode, canaries=canaries)


def _document(places: Mapping[str, Place]) -> str:
    import json

    return json.dumps({name: asdict(place) for name, place in places.items()})


def _environ(environ: Mapping[str, str], upstream: Collecting, folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("KAIZEN_") and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "KAIZEN_API_URL": upstream.url,
        "KAIZEN_API_KEY": upstream.key,
        "KAIZEN_SIDECAR": upstream.url,
        "KAIZEN_IN_TENANT": "true",
        "KAIZEN_DATA": str(folder / "client"),
        "PYTHONPATH": os.pathsep.join(sys.path[1:]),
    }


def _became(name: str, place: Place | None, arrived: Iterable[str], reports: Iterable[Mapping[str, Json]]) -> Canary:
    if place is None:
        return Canary(name=name, seen=False, stopped=False, tried=False)
    return Canary(
        name=name, seen=any(_about(name, place, report) for report in reports), stopped=name not in set(arrived)
    )


_BY_CALL = {
    "unix": "unix-socket",
    "io_uring": "io_uring_setup",
    "udp": "udp-socket",
    "quic": "udp-socket",
    "dns-labels": "udp-socket",
}
"""Canaries that are over before there is an address: refused when they ask for the means."""


def _about(name: str, place: Place, report: Mapping[str, Json]) -> bool:
    """Whether a report is about this very canary: by its port, which is its own, or by the token that it carries."""
    target, metadata = str(report.get("target") or ""), report.get("metadata")
    transport = metadata.get("transport") if isinstance(metadata, dict) else ""
    if target == _BY_CALL.get(name) or place.token in target or (place.path and place.path in target):
        return True
    if name == "quic":
        return target.endswith(":443") and transport == "quic"
    if name == "doh":
        return target.endswith(f":{place.port}") and transport != "quic"
    return bool(place.port) and target.endswith(f":{place.port}")


@contextmanager
def _silent() -> Iterator[None]:
    """The canaries' own words go nowhere."""
    null, kept = os.open(os.devnull, os.O_WRONLY), os.dup(1)
    sys.stdout.flush()
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(null)
        os.close(kept)


def everything(ways: Iterable[Way], environ: Mapping[str, str], said: Callable[[str], None]) -> list[Coverage]:
    """These rungs in both modes. ``said`` gets a line before each."""
    found = []
    for way in ways:
        for mode in (Mode.OBSERVE, Mode.ENFORCE):
            said(f"{way.value}, {mode.value} …")
            found.append(measure(way, mode, environ))
            if found[-1].why:
                break
    return found
