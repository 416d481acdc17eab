"""Events become actions of the contract: one for a deed, with what is known of who did it, and nothing that is a secret."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from kaizen_security.collectors.kernel import actions
from kaizen_security.collectors.kernel.actions import OBSERVED, Translator, redacted, verdict_on
from kaizen_security.collectors.kernel.decode import Event
from kaizen_security.collectors.kernel.files import FileEvent
from kaizen_security.collectors.kernel.shapes import Kind, Reason
from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report, decode_report, encode_report
from kaizen_security.contract.verdict import Decision

BASE = Event(
    kind=Kind.CONNECT,
    at=1000.0,
    agent=0,
    pid=11,
    tid=11,
    parent=10,
    uid=1000,
    cgroup=7,
    comm="python",
    reason=Reason.PASSED,
    address="192.0.2.7",
    port=443,
    protocol="tcp",
    cookie=5,
)
NAMES = {"192.0.2.7": "api.example"}


@pytest.fixture
def translator() -> Translator:
    ids = count(1)
    return Translator(
        agent="a",
        run_id="r",
        ids=lambda: f"id-{next(ids)}",
        name_of=lambda address: NAMES.get(address, ""),
        own={("127.0.0.1", 8080)},
        services={"/run/kaizen.sock"},
        resolve=False,
    )


def told(translator: Translator, **changes: object) -> Action | None:
    found = translator.actions(replace(BASE, **changes))
    return found[0] if found else None


def test_a_connection_has_the_name_that_its_address_was_the_answer_for(translator: Translator):
    action = told(translator)
    assert action is not None
    assert (action.kind, action.target, action.source, action.rung.value) == ("connect", "api.example:443", "ebpf", 4)
    assert action.metadata["address"] == "192.0.2.7"
    assert (action.metadata["pid"], action.metadata["ppid"], action.metadata["comm"]) == (11, 10, "python")
    assert (action.id, action.act_id, action.run_id, action.agent) == ("id-1", "id-1", "r", "a")
    assert told(translator, address="2001:db8::1", port=80).target == "[2001:db8::1]:80"


def test_what_kaizens_parts_and_its_own_processes_hear_is_counted_only(translator: Translator):
    assert told(translator, address="127.0.0.1", port=8080) is None
    assert told(translator, reason=Reason.PASSED_OWN) is None
    assert told(translator, kind=Kind.UNIX, name="/run/kaizen.sock") is None
    assert translator.counts == {"connections to the proxy": 1, "connections among its own processes": 1}


def test_a_hello_speaks_up_only_where_it_names_another_host_or_was_refused(translator: Translator):
    first = told(translator)
    assert told(translator, kind=Kind.HELLO, name="api.example") is None
    other = told(translator, kind=Kind.HELLO, name="other.example")
    assert (other.target, other.act_id) == ("other.example:443", first.id)
    assert told(translator, kind=Kind.HELLO, name="api.example", reason=Reason.REFUSED_NAME) is not None


def test_a_question_is_told_once_and_whenever_it_was_refused(translator: Translator):
    asked = {"kind": Kind.QUESTION, "address": "127.0.0.53", "port": 53, "protocol": "udp", "name": "api.example"}
    assert told(translator, **asked).target == "api.example"
    assert told(translator, **asked) is None
    assert told(translator, **asked, reason=Reason.REFUSED_NAME) is not None
    assert told(translator, kind=Kind.CONNECT, address="127.0.0.53", port=53, protocol="udp") is None
    assert told(translator, **{**asked, "kind": Kind.ANSWER}) is None


def test_quic_and_odd_sockets_say_what_they_are(translator: Translator):
    assert told(translator, kind=Kind.SEND, protocol="udp").metadata["transport"] == "quic"
    assert told(translator, kind=Kind.SOCKET, protocol="icmp", port=0).target == "icmp"
    assert told(translator, kind=Kind.UNIX, name="/run/docker.sock").target == "unix:/run/docker.sock"


def test_an_execution_has_its_arguments_without_secrets(translator: Translator):
    action = told(
        translator,
        kind=Kind.EXEC,
        file="/usr/bin/curl",
        args=("curl", "--token", "s3cr3tValue99", "https://api.example"),
    )
    assert (action.kind, action.target) == ("exec", "/usr/bin/curl")
    assert action.metadata["argv"] == ["curl", "--token", "[redacted]", "https://api.example"]


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        (("--password=hunter2xyz9",), ("--password=[redacted]",)),
        (("-H", "Authorization: Bearer abc.def"), ("-H", "Authorization: [redacted]")),
        (("API_KEY=abc123def456", "run"), ("API_KEY=[redacted]", "run")),
        (
            ("psql", "postgresql://bob:Tr0ub4dor&3xyz@db.example/x"),
            ("psql", "postgresql://bob:[redacted]@db.example/x"),
        ),
        (("ls", "-la", "/srv"), ("ls", "-la", "/srv")),
        ((), ()),
    ],
)
def test_redaction(words: tuple[str, ...], clean: tuple[str, ...]):
    assert redacted(words) == clean


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_a_verdict_that_travels(reason: Reason):
    action = Action(kind="connect", target="attacker.example:443", id="x", agent="a", metadata={"source": "ebpf"})
    verdict = verdict_on(reason, action)
    assert verdict.blocked is reason.refused
    assert bool(verdict.evidence) is reason.refused
    assert verdict.reason == OBSERVED or verdict.decision is Decision.BLOCK
    again = decode_report(encode_report(Report(action=action, verdict=verdict)))
    assert again.verdict is not None
    assert (again.verdict.reason, again.verdict.evidence) == (verdict.reason, verdict.evidence)


def test_the_reasons_are_those_of_the_contract():
    action = Action(kind="connect", target="attacker.example:443", id="x")
    assert verdict_on(Reason.REFUSED_DENIED, action).reason == "blocked by policy: malicious domain"
    undeclared = "undeclared: this agent connected to a destination it never declared (attacker.example)."
    assert verdict_on(Reason.REFUSED_UNDECLARED, action).reason == undeclared
    number = Action(kind="connect", target="[2001:db8::1]:443", id="x")
    assert verdict_on(Reason.REFUSED_DENIED, number).reason == "blocked by policy: known-bad address"


def test_what_was_done_to_a_file(translator: Translator):
    action, verdict = translator.file(FileEvent(pid=3, method="open", path="/etc/shadow", refused=True), 1000.0)
    assert (action.kind, action.target, action.metadata["method"], action.sensitive) == (
        "file",
        "/etc/shadow",
        "open",
        True,
    )
    assert verdict.blocked
    assert translator.file(FileEvent(pid=3, method="execute", path="/bin/nc"), 1000.0)[0].kind == "exec"


def test_a_processes_container_is_asked_for_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def container(pid: int) -> str | None:
        asked.append(pid)
        return None if pid == 3 else f"container-of-{pid}"

    monkeypatch.setattr(actions, "container_of", container)
    translator = Translator(agent="a", run_id="r", ids=lambda: "id")
    found = [told(translator, pid=pid, cookie=n) for n, pid in enumerate((1, 1, 2, 3, 3, 1))]
    assert [one.metadata.get("container") for one in found if one] == [
        "container-of-1",
        "container-of-1",
        "container-of-2",
        None,
        None,
        "container-of-1",
    ]
    assert asked == [1, 2, 3, 3]  # of one that is gone nothing is known, and nothing is kept


def test_a_program_that_was_written_over_has_another_hash_whatever_its_times_say(tmp_path: Path):
    program = tmp_path / "tool"
    translator = Translator(agent="a", run_id="r", ids=lambda: "id")
    found = []
    for content in (b"first", b"other"):
        program.write_bytes(content)
        os.utime(program, ns=(1, 1))
        for _ in range(2):
            action = told(translator, kind=Kind.EXEC, pid=1 << 22, file=str(program))
            assert action is not None
            found.append(action.hash)
    assert found == [hashlib.sha256(content).hexdigest() for content in (b"first", b"first", b"other", b"other")]


def test_an_addresses_name_is_asked_for_again_when_an_answer_came_and_every_second():
    asked: list[str] = []

    def name_of(address: str) -> str:
        asked.append(address)
        return f"host-{len(asked)}.example"

    translator = Translator(agent="a", run_id="r", ids=lambda: "id", name_of=name_of, resolve=False)

    def target(**changes: object) -> str:
        found = told(translator, **changes)
        return found.target if found else ""

    assert [target(), target(cookie=6)] == ["host-1.example:443"] * 2
    assert target(address="192.0.2.8") == "host-2.example:443"
    assert told(translator, kind=Kind.ANSWER, name="new.example") is None
    assert target() == "host-3.example:443"
    assert target(at=BASE.at + 0.9) == "host-3.example:443"
    assert target(at=BASE.at + 1.0) == "host-4.example:443"
    assert target(at=BASE.at - 1.0) == "host-5.example:443"
