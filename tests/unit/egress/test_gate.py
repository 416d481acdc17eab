"""The gate, names to addresses, and the policies behind it."""

from __future__ import annotations

import json
import threading
from ipaddress import ip_network
from pathlib import Path

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured, Refused, Unreachable
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.egress.dns import MAX_WAITING, Address, Answer, Resolver, interleaved, lookup
from kaizen_security.egress.gate import MAX_REMEMBERED, Gate
from kaizen_security.egress.loop import Loop
from kaizen_security.egress.policies import UNPROTECTED, Policies
from kaizen_security.egress.rules import Refusal, Rules, of_bundle, of_list
from kaizen_security.egress.supply import ControlPlane, Fetched

POLICY = Rules(
    compiled=compile_policies(
        [
            Policy("blocklist", {"domains": ["evil.example"], "ips": ["203.0.113.0/24"]}, "no exfiltration"),
            Policy("allowlist", {"tools": ["search"], "publishers": []}, "tools"),
        ]
    )
)
DECLARED = Declaration(destinations=("api.example", "*.docs.example", "198.51.100.7"))
ENFORCED = of_bundle(Bundle(agent="a", version=1, declaration=DECLARED, mode=Mode.ENFORCE), strict=False)


def code(refusal: object) -> str:
    return getattr(refusal, "code", "")


def test_policy_is_applied_to_names_and_to_addresses_and_lists_of_tools_are_not():
    gate = Gate(rules=lambda agent: POLICY)
    assert code(gate.name("a", "evil.example", 443)) == "policy"
    assert code(gate.name("a", "below.evil.example", 443)) == "policy"
    assert gate.name("a", "good.example", 443) is None
    assert code(gate.address("a", "203.0.113.9", 443)) == "policy"
    assert code(gate.address("a", "::ffff:203.0.113.9", 443)) == "policy"
    assert gate.address("a", "198.51.100.1", 443) is None


def test_a_policy_that_changes_is_not_remembered():
    current = [POLICY]
    gate = Gate(rules=lambda agent: current[0])
    assert gate.name("a", "evil.example", 443)
    current[0] = Rules(compiled=compile_policies([]))
    assert gate.name("a", "evil.example", 443) is None


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "fd00:ec2::254", "x"]
)
def test_addresses_that_nobody_should_reach_are_refused_without_any_policy(address: str):
    assert Gate(rules=lambda agent: None).address("a", address, 80)


def test_what_the_owner_allows_or_maps_is_not_refused():
    gate = Gate(rules=lambda agent: None, allow=[ip_network("169.254.169.254/32")], allow_loopback=True)
    assert gate.address("a", "169.254.169.254", 80) is None
    assert gate.address("a", "127.0.0.1", 80) is None
    assert gate.address("a", "169.254.1.1", 80)
    assert Gate(rules=lambda agent: None).address("a", "127.0.0.1", 80, mapped=True) is None


def test_the_own_address_is_refused_even_when_it_is_mapped():
    gate = Gate(rules=lambda agent: None)
    gate.own("127.0.0.1", 8080)
    assert code(gate.address("a", "127.0.0.1", 8080, mapped=True)) == "the-proxy-itself"
    assert gate.address("a", "127.0.0.1", 8081, mapped=True) is None


@pytest.mark.parametrize("where", ["0.0.0.0", "::"])
def test_a_proxy_that_listens_everywhere_is_reached_at_no_address_of_its_machine(where: str):
    gate = Gate(rules=lambda agent: None, allow_loopback=True)
    gate.own(where, 8080)
    assert code(gate.address("a", "127.0.0.7", 8080)) == "the-proxy-itself"
    assert gate.address("a", "127.0.0.7", 8081) is None
    assert gate.address("a", "192.0.2.1", 8080) is None


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("2002:a9fe:a9fe::1", "cloud-metadata-address"),  # 6to4
        ("2002:7f00:1::", "loopback-address"),
        ("2001:0:a9fe:a9fe::1", "cloud-metadata-address"),  # Teredo: its server
        ("2001:0:c000:201::5601:5601", "cloud-metadata-address"),  # and its client, whose bits are turned round
        ("64:ff9b:1::a9fe:a9fe", "cloud-metadata-address"),  # a NAT64 of the network's own (RFC 8215)
        ("64:ff9b:1:a9fe:a9:fe00::", "cloud-metadata-address"),  # of the prefixes that it may have (RFC 6052), /48
        ("64:ff9b:1:a9:fe:a9fe::", "cloud-metadata-address"),  # /56
        ("64:ff9b:1:0:a9:fea9:fe00::", "cloud-metadata-address"),  # /64
        ("64:ff9b:1:7f00:0:100::", "loopback-address"),
        ("::ffff:0:a9fe:a9fe", "cloud-metadata-address"),  # IPv4-translated
        ("fd00::5efe:169.254.1.1", "link-local-address"),  # ISATAP
        ("2002:c633:640a::1", ""),
        ("64:ff9b:1:c633:64:a00::", ""),
    ],
)
def test_what_a_network_may_carry_to_a_reserved_address_is_refused_as_that_is(address: str, refused: str):
    assert code(Gate(rules=lambda agent: None).address("a", address, 80)) == refused


def test_what_is_remembered_is_bounded_and_counted():
    gate = Gate(rules=lambda agent: POLICY)
    for n in range(MAX_REMEMBERED + 10):
        gate.name("a", f"h{n}.example", 443)
    assert gate.dropped == MAX_REMEMBERED


def test_an_enforced_agent_is_refused_what_it_never_declared():
    gate = Gate(rules=lambda agent: ENFORCED)
    refusal = gate.name("a", "evil.example", 443)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "undeclared: this agent connected to a destination it never declared (evil.example)."
    assert refusal.code == "undeclared"
    assert [finding.detection for finding in refusal.evidence] == ["declaration"]
    assert code(gate.name("a", "docs.example", 443)) == "undeclared"
    assert code(gate.name("a", "203.0.113.9", 443)) == "undeclared"
    assert [gate.name("a", host, 443) for host in ("api.example", "x.docs.example", "198.51.100.7")] == [None] * 3


def test_where_a_declared_name_leads_is_not_looked_for_in_the_declaration():
    gate = Gate(rules=lambda agent: ENFORCED)
    assert gate.address("a", "192.0.2.1", 443) is None


def test_a_hidden_name_has_to_be_declared_too_unless_the_tunnel_leads_to_a_declared_address():
    gate = Gate(rules=lambda agent: ENFORCED)
    assert code(gate.hidden_name("api.example", "a", "evil.example", 443)) == "undeclared"
    assert gate.hidden_name("198.51.100.7", "a", "evil.example", 443) is None
    assert code(Gate(rules=lambda agent: POLICY).hidden_name("198.51.100.7", "a", "evil.example", 443)) == "policy"


@pytest.mark.parametrize(
    "bundle",
    [
        Bundle(agent="a", version=1, declaration=DECLARED),
        Bundle(agent="a", version=1, declaration=DECLARED, mode=Mode.ENFORCE, paused=True),
        Bundle(agent="a", version=1, declaration=Declaration(tools=("search",)), mode=Mode.ENFORCE),
    ],
    ids=["observe", "paused", "no destinations declared"],
)
def test_an_agent_that_is_not_enforced_may_go_where_it_likes(bundle: Bundle):
    rules = of_bundle(bundle, strict=False)
    assert Gate(rules=lambda agent: rules).name("a", "evil.example", 443) is None


def test_a_strict_proxy_enforces_whatever_the_bundle_says():
    rules = of_bundle(Bundle(agent="a", version=1, declaration=DECLARED), strict=True)
    assert code(Gate(rules=lambda agent: rules).name("a", "evil.example", 443)) == "undeclared"


# --- names ------------------------------------------------------------------------------------------------------------------


def test_families_take_turns():
    four = [Address(family=2, text=f"10.0.0.{n}") for n in range(2)]
    six = [Address(family=10, text=f"2001:db8::{n}") for n in range(3)]
    assert interleaved((*six, *four)) == (six[0], four[0], six[1], four[1], six[2])
    assert interleaved(()) == ()


def test_localhost_resolves_and_a_name_that_cannot_does_not():
    found = lookup("localhost")
    assert {address.text for address in found} <= {"127.0.0.1", "::1"}
    assert isinstance(lookup("no-such-name.invalid"), str)
    assert isinstance(lookup("a" * 300), str)


def asked(resolver: Resolver, loop: Loop, *names: str) -> list[Answer]:
    answers: list[Answer] = []

    def done(answer: Answer) -> None:
        answers.append(answer)
        if len(answers) == len(names):
            loop.stop()

    for name in names:
        resolver.resolve(name, done)
    loop.run()
    return answers


def test_a_name_is_asked_once_for_all_who_wait_and_for_those_who_come_soon():
    loop = Loop()
    calls: list[str] = []
    go = threading.Event()
    address = (Address(family=2, text="10.0.0.1"),)

    def ask(host: str) -> Answer:
        calls.append(host)
        go.wait(60)
        return address

    resolver = Resolver(loop, ask=ask)
    threading.Timer(0.05, go.set).start()
    assert asked(resolver, loop, "a.example", "a.example", "a.example") == [address] * 3
    later: list[Answer] = []
    resolver.resolve("a.example", later.append)
    assert (later, calls) == ([address], ["a.example"])
    resolver.close()
    loop.close()


def test_a_flood_of_names_is_refused_and_counted():
    loop = Loop()
    go = threading.Event()
    resolver = Resolver(loop, ask=lambda host: "no" if go.wait(60) else "late", threads=2)
    answers: list[Answer] = []
    for n in range(MAX_WAITING + 5):
        resolver.resolve(f"h{n}.example", answers.append)
    assert answers == ["too many names are being resolved"] * 5
    assert resolver.refused == 5
    go.set()
    resolver.close()
    loop.close()


# --- policies ---------------------------------------------------------------------------------------------------------------


def document(*domains: str) -> bytes:
    policy = {"mode": "blocklist", "rules": {"domains": list(domains)}, "name": "p", "enabled": True}
    return json.dumps({"policies": [policy]}).encode()


class Source:
    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked = threading.Semaphore(0)

    def fetch(self, agent: str, held: Fetched | None, wait: int) -> Fetched | None:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.release()
        if isinstance(answer, Exception):
            raise answer
        return None if held is not None and held.document == answer else self.read(agent, answer, signed=False)

    def read(self, agent: str, document: bytes, *, signed: bool) -> Fetched:
        if signed:
            raise InvalidInput("signature", "does not match")
        return Fetched(rules=of_list(document), document=document)

    def mark(self, agent: str, document: bytes) -> str:
        return ControlPlane("http://127.0.0.1:1", "kz_live_" + "k" * 43, strict=False, clock=lambda: 0.0).mark(
            agent, document
        )


def policies(source: Source, folder: Path, **more: object) -> Policies:
    settings: dict[str, object] = {"clock": lambda: 0.0, "fail_closed": False, "refresh": 0.01, "max_age": 60.0}
    return Policies(lambda: source, folder=folder, **{**settings, **more})  # type: ignore[arg-type]


def asked_times(source: Source, n: int) -> None:
    for _ in range(n):
        assert source.asked.acquire(timeout=10)


def test_a_failure_keeps_the_policy_in_force(tmp_path: Path):
    source = Source(document("evil.example"), Unreachable("no"), b"nonsense", b'{"policies": 5}', Unreachable("no"))
    held = policies(source, tmp_path)
    held.start("a")
    asked_times(source, 6)
    found = held.of("a")
    held.stop()
    assert not isinstance(found, type(None))
    assert code(Gate(rules=held.of).name("a", "evil.example", 443)) == "policy"
    assert held.state()["trouble"] == "no"


def test_what_was_fetched_is_there_after_a_restart_but_is_not_fresh(tmp_path: Path):
    source = Source(document("evil.example"))
    first = policies(source, tmp_path)
    first.start("a")
    asked_times(source, 2)
    first.stop()
    away = Source(Unreachable("no"))
    opened = policies(away, tmp_path)
    opened.start("a")
    asked_times(away, 1)
    closed = policies(away, tmp_path, fail_closed=True)
    closed.start("a")
    assert code(Gate(rules=opened.of).name("a", "evil.example", 443)) == "policy"
    assert closed.of("a") is UNPROTECTED
    opened.stop()
    closed.stop()
    assert [path.stat().st_mode & 0o777 for path in tmp_path.glob("policy-*.json")] == [0o600]


@pytest.mark.parametrize(
    "about",
    [{}, {"signed": False}, {"signed": True}, {"mark": "00"}, {"agent": "b", "signed": False, "mark": None}, [1]],
)
@pytest.mark.parametrize("kept", [b"", b"other"])
def test_a_list_on_disk_that_is_not_as_it_was_left_is_not_used(tmp_path: Path, about: object, kept: bytes):
    source = Source(document("evil.example"))
    first = policies(source, tmp_path)
    first.start("a")
    asked_times(source, 2)
    first.stop()
    [file] = tmp_path.glob("policy-*.json")
    said, _, was = file.read_bytes().partition(b"\n")
    # What is there is kept and its list replaced; or it says another thing of itself, a signature taken away among them.
    file.write_bytes(said + b"\n" + b'{"policies": []}' if kept else json.dumps(about).encode() + b"\n" + was)
    away = Source(Unreachable("no"))
    held = policies(away, tmp_path)
    held.start("a")
    asked_times(away, 1)
    held.stop()
    assert held.of("a") is None


def test_an_agent_that_finds_no_place_is_still_held_to_what_is_blocked_for_all(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("kaizen_security.egress.policies.MAX_AGENTS", 2)
    source = Source(document("evil.example"))
    held = policies(source, tmp_path)
    held.start("own", "another")
    assert held.settled("made-up")
    asked_times(source, 4)
    held.stop()
    gate = Gate(rules=held.of)
    assert code(gate.name("made-up", "evil.example", 443)) == "policy"
    assert gate.name("made-up", "good.example", 443) is None
    assert held.left_out == 1


def test_an_agent_whose_name_is_refused_is_still_held_to_what_is_blocked_for_all(tmp_path: Path):
    class Strict(Source):
        def fetch(self, agent, held, wait):
            if not agent.strip():
                raise Refused("the control plane answers 400 to /v1/bundle", status=400)
            return super().fetch(agent, held, wait)

    told = threading.Semaphore(0)
    held = policies(Strict(document("evil.example")), tmp_path, told=lambda agent: told.release())
    held.start("own")
    assert not held.settled(" ")
    assert all(told.acquire(timeout=10) for _ in range(2))
    held.stop()
    gate = Gate(rules=held.of)
    assert held.settled(" ")
    assert code(gate.name(" ", "evil.example", 443)) == "policy"
    assert gate.name(" ", "good.example", 443) is None


def test_a_policy_grows_old(tmp_path: Path):
    now = [0.0]
    source = Source(document("evil.example"), Unreachable("no"))
    held = policies(source, tmp_path, fail_closed=True, max_age=5.0, clock=lambda: now[0])
    held.start("a")
    asked_times(source, 2)
    assert held.of("a") is not UNPROTECTED
    now[0] = 6.0
    assert held.of("a") is UNPROTECTED
    held.stop()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"policies": [{"mode": "no such"}]}',
        b'{"policies": [{"mode": "blocklist", "rules": {"ips": ["x"]}}]}',
    ],
)
def test_a_document_that_is_no_policy_is_refused(text: bytes):
    with pytest.raises((InvalidInput, Misconfigured)):
        of_list(text)
