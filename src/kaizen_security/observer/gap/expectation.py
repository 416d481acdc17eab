"""What is expected of an agent's traffic: what it is for, what each tool connects to, and what belongs to no tool at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import MAX_NAME, boolean, obj, texts
from kaizen_security.observer.gap.place import place_of

LIVE = 1.5
"""Seconds that an effect waits for its call to be told, where the account arrives while the agent works."""
AFTERWARDS = 120.0
"""The same where it arrives when the run is over."""
LONGEST = 86_400.0
MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one tool connects to.

    ``hosts``          as in a declaration; these are the tool's own: no other tool may connect there unless it says so too
    ``always``         each call that succeeds is seen there, so one that is not seen was made up
    ``most_bytes_up``  bytes that one call sends at most, TLS included; 0: not stated
    """

    hosts: tuple[str, ...] = ()
    always: bool = False
    most_bytes_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """``infrastructure``  hosts that no call tells of: model, telemetry, package mirror
    ``reach``           by tool
    ``files``           paths, with what is below them, that a call which names no file may touch
    ``programs``        names of programs that no command has to tell of: what a runtime starts by itself
    ``patience``        seconds that an effect waits for its call to be told
    ``learn_runs``      runs from which further places are learned, where destinations are not declared or allow them; 0: none
    ``forced``          whether all of the agent's traffic has to pass where it is seen, so that what was not seen was not done
    """

    declaration: Declaration = NOTHING_DECLARED
    infrastructure: tuple[str, ...] = ()
    reach: Mapping[str, Reach] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    patience: float = LIVE
    learn_runs: int = 0
    forced: bool = False

    @property
    def permitted(self) -> Declaration:
        """The declaration as the other detections have it: the agent goes to its infrastructure too. One that names no
        destinations permits all of them, and stays so.
        """
        declared = self.declaration
        if not declared.destinations:
            return declared
        both = dict.fromkeys((*declared.destinations, *self.infrastructure))
        return replace(declared, destinations=tuple(both))


NOTHING_EXPECTED = Expectation()


def read_expectation(document: Json, field: str = "declaration") -> Expectation:
    """A declaration with what the sandbox adds to it. Raises InvalidInput naming the field, Misconfigured naming the entry."""
    doc = obj(document, field)
    path = field + "."
    reach = {
        canonical.permitted(name): _reach(value, f"{path}reach.{name[:64]}")
        for name, value in _few(
            {} if doc.get("reach") is None else obj(doc["reach"], path + "reach"), path + "reach"
        ).items()
    }
    made = Expectation(
        declaration=decode_declaration(doc, field=field),
        infrastructure=texts(doc, "infrastructure", path, limit=MAX_NAME),
        reach=reach,
        files=texts(doc, "files", path),
        programs=texts(doc, "programs", path, limit=MAX_NAME),
        patience=_patience(doc, path),
        learn_runs=_count(doc, "learn_runs", path, most=100_000),
        forced=boolean(doc, "forced", path),
    )
    Compiled(made)
    return made


def _few(found: dict[str, Json], field: str) -> dict[str, Json]:
    if len(found) > MOST:
        raise InvalidInput(field, f"has more than {MOST} entries")
    return found


def _reach(value: Json, field: str) -> Reach:
    if isinstance(value, list):
        value = {"hosts": value}
    doc = obj(value, field)
    return Reach(
        hosts=texts(doc, "hosts", field + ".", limit=MAX_NAME),
        always=boolean(doc, "always", field + "."),
        most_bytes_up=_count(doc, "most_bytes_up", field + ".", most=1 << 40),
    )


def _count(doc: Mapping[str, Json], key: str, path: str, *, most: int) -> int:
    value = doc.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InvalidInput(path + key, f"must be a whole number from 0 to {most}")
    return value


def _patience(doc: Mapping[str, Json], path: str) -> float:
    said = doc.get("trace")
    if said in (None, "", "live"):
        return LIVE
    if said == "afterwards":
        return AFTERWARDS
    if isinstance(said, bool) or not isinstance(said, int | float) or not LIVE <= said <= LONGEST:
        raise InvalidInput(
            path + "trace", f"must be live, afterwards, or the seconds that it takes to arrive, from {LIVE:g}"
        )
    return float(said)


class Compiled:
    """An expectation made fast. Raises Misconfigured naming the entry that would mean nothing or everything."""

    def __init__(self, expectation: Expectation) -> None:
        self.expectation = expectation
        self._declared = compile_declaration(expectation.declaration)
        self._infrastructure = _places(expectation.infrastructure, "infrastructure")
        self._reach = {
            tool: place
            for tool, reach in expectation.reach.items()
            if (place := _places(reach.hosts, f"reach.{tool[:64]}")) is not None
        }
        stated = (
            *expectation.declaration.destinations,
            *expectation.infrastructure,
            *(host for reach in expectation.reach.values() for host in reach.hosts),
        )
        self._names = frozenset(found.host for one in stated if "*" not in one and (found := place_of(one)) is not None)
        self._files = tuple(canonical_path(path) for path in expectation.files)

    def infrastructure(self, place: str) -> bool:
        """Whether no call has to tell of it."""
        return self._infrastructure is not None and self._infrastructure.destination(place)

    def reach(self, tool: str) -> Reach | None:
        """What is stated of that tool."""
        return self.expectation.reach.get(canonical.permitted(tool))

    def reaches(self, tool: str, place: str) -> bool:
        """Whether that place is one of the tool's own."""
        own = self._reach.get(canonical.permitted(tool))
        return own is not None and own.destination(place)

    def owned(self, place: str) -> bool:
        """Whether it is some tool's own, and so not any tool's."""
        return any(own.destination(place) for own in self._reach.values())

    def permits(self, place: str) -> bool:
        """Whether destinations are declared, and this is one."""
        return bool(self.expectation.declaration.destinations) and self._declared.destination(place)

    def forbids(self, place: str) -> bool:
        """Whether destinations are declared, and this is none of them."""
        return not self._declared.destination(place)

    def program(self, name: str) -> bool:
        """Whether no command has to tell of it."""
        return name in self.expectation.programs

    def names(self, host: str) -> bool:
        """Whether exactly that name is stated: to ask for its address tells nobody anything."""
        return host in self._names

    def file(self, path: str) -> bool:
        """Whether a call that names no file may touch it."""
        return any(below(path, folder) for folder in self._files)


def _places(hosts: Iterable[str], what: str) -> CompiledDeclaration | None:
    stated = tuple(hosts)
    if not stated:
        return None
    try:
        return compile_declaration(Declaration(destinations=stated))
    except Misconfigured as err:
        raise Misconfigured(f"{what}: {err}") from err


def canonical_path(path: str) -> str:
    """A path in one spelling: ``/a//b/../c/`` is ``/a/c``. Links are not followed: nothing here looks at a disk."""
    parts: list[str] = []
    for part in path.replace("\\", "/").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return ("/" if path[:1] in ("/", "\\") else "") + "/".join(parts)


def below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
