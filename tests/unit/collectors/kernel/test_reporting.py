"""From the ring's bytes to what is reported: each deed once a window, whatever a flood is made of, and all else counted."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.decode import decode
from kaizen_security.collectors.kernel.reporting import Reporting
from kaizen_security.collectors.kernel.shapes import EXEC_LENGTHS, HEAD, NAME_LENGTH, NAME_MAX, PLACE, Kind, Reason
from kaizen_security.contract.action import Action

NOBODY = 1 << 22
"""The number of no process."""
HOST = bytes.fromhex("00000000000000000000ffffc0000207")
OTHER = bytes.fromhex("00000000000000000000ffffc0000208")


def placed(
    kind: Kind = Kind.CONNECT, at: bytes = HOST, port: int = 443, cookie: int = 5, reason: Reason = Reason.PASSED
) -> bytes:
    """The bytes of a connection, of a datagram."""
    head = HEAD.pack(1_000_000_000, 7, kind, 0, 11, 11, 10, 1000, reason, 0, b"python")
    return head + PLACE.pack(cookie, at, port, 2, 6, 0)


def named(kind: Kind, name: str, cookie: int = 5, reason: Reason = Reason.PASSED) -> bytes:
    """The bytes of a hello, of an answer."""
    return (
        placed(kind, cookie=cookie, reason=reason) + NAME_LENGTH.pack(len(name)) + name.encode().ljust(NAME_MAX, b"\0")
    )


def executed(n: int) -> bytes:
    """The bytes of an execution that are as long as those of a connection."""
    return execution(f"/bin/tool-{n:014}", 11)


def execution(path: str, pid: int) -> bytes:
    """The bytes of an execution without arguments."""
    words = path.encode()
    data = HEAD.pack(1_000_000_000, 7, Kind.EXEC, 0, pid, pid, 10, 1000, Reason.PASSED, 0, b"python")
    return data + EXEC_LENGTHS.pack(len(words), 0) + words


class World:
    """A Reporting, what it reported, and the names that addresses have."""

    def __init__(self, *, resolve: bool = False, **settings: int) -> None:
        ids = count(1)
        self.names = {"192.0.2.7": "api.example"}
        self.reported: list[Action] = []
        translator = Translator(
            agent="a",
            run_id="r",
            ids=lambda: f"id-{next(ids)}",
            name_of=lambda address: self.names.get(address, ""),
            own={("192.0.2.8", 8080)},
            resolve=resolve,
        )
        self.reporting = Reporting(translator, decode, lambda action, verdict: self.reported.append(action), **settings)

    def take(self, *records: bytes, at: float = 100.0) -> list[str]:
        """What is reported of these, by target."""
        self.reported.clear()
        for record in records:
            self.reporting.take(memoryview(record), at)
        return [action.target for action in self.reported]


@pytest.fixture
def world() -> World:
    return World()


def test_the_same_place_is_reported_once_a_window_and_counted_else(world: World):
    assert world.take(*[placed(cookie=n) for n in range(5)]) == ["api.example:443"]
    assert world.take(placed(port=80), placed(at=OTHER), placed(kind=Kind.SEND), at=100.5) == [
        "api.example:80",
        "192.0.2.8:443",
    ]
    assert world.take(placed(), at=101.0) == ["api.example:443"]
    assert world.reporting.counts == {"repeated within a second": 5}


def test_a_refusal_is_not_a_repetition_of_what_passed(world: World):
    assert len(world.take(placed(), placed(reason=Reason.REFUSED_DENIED), placed(reason=Reason.REFUSED_DENIED))) == 2


def test_an_answer_gives_the_next_connection_its_name(world: World):
    assert world.take(placed(), placed()) == ["api.example:443"]
    world.names["192.0.2.7"] = "other.example"
    assert world.take(named(Kind.ANSWER, "other.example"), placed()) == ["other.example:443"]


def test_a_hello_of_a_repeated_connection_belongs_to_the_one_that_was_reported(world: World):
    world.take(placed(cookie=5), placed(cookie=6))
    assert world.take(named(Kind.HELLO, "api.example", cookie=6)) == []
    assert world.take(named(Kind.HELLO, "evil.example", cookie=6, reason=Reason.REFUSED_NAME)) == ["evil.example:443"]
    assert world.reported[0].act_id == "id-1"


@pytest.mark.parametrize("make", [lambda n: placed(port=1000 + n), lambda n: placed(at=OTHER, port=1000 + n, cookie=n)])
def test_a_flood_is_counted_to_the_last_and_hides_nothing_of_another_kind(make: Callable[[int], bytes]):
    world = World(most=20)
    assert len(world.take(*map(make, range(70)))) == 20
    assert world.take(*map(make, range(20)), placed(at=OTHER, port=8080)) == []
    assert world.reporting.counts == {
        "lost: flood": 50,
        "repeated within a second": 20,
        "connections to the proxy": 1,
    }
    assert world.take(executed(1), executed(1), executed(2)) == ["/bin/tool-00000000000001", "/bin/tool-00000000000002"]


def test_a_flood_of_refusals_hides_nothing_that_passed():
    world = World(most=20)
    world.take(*[placed(at=OTHER, port=1000 + n, reason=Reason.REFUSED_UNDECLARED) for n in range(50)])
    assert world.take(placed(at=OTHER, port=25)) == ["192.0.2.8:25"]


def test_tls_of_a_flood_is_joined_with_its_hello_still():
    world = World(most=1)
    world.take(placed(port=1), placed(at=HOST, cookie=9))
    assert world.take(named(Kind.HELLO, "api.example", cookie=9)) == []
    assert world.reporting.counts == {"lost: flood": 1}


def test_a_program_that_was_replaced_is_no_repetition(tmp_path: Path):
    world, tool, hashes = World(resolve=True), tmp_path / "tool", []
    for content in (b"one", b"another", b"one"):
        tool.write_bytes(content)
        world.take(execution(str(tool), NOBODY))
        hashes += [action.hash for action in world.reported]
    assert hashes == [sha256(content).hexdigest() for content in (b"one", b"another")]
