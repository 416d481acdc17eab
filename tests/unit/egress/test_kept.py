"""A connection that is kept saves deciding again only while everything that was decided by is the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.policy import Policy
from kaizen_security.egress.dial import Origin
from kaizen_security.egress.gate import Gate
from kaizen_security.egress.http1 import Destination
from kaizen_security.egress.kept import decided
from kaizen_security.egress.rules import Refusal, Rules, of_bundle

PLACE = Destination("api.example", 80, "api.example:80", b"/")


def rules(*denied: str) -> Rules:
    ips = [one for one in denied if one[0].isdigit()]
    policy = Policy("blocklist", {"domains": [one for one in denied if one not in ips], "ips": [*ips]}, "test")
    return of_bundle(Bundle(agent="a", version=1, policies=(policy,)), strict=False)


@dataclass
class Deciding:
    """What ``decided`` asks of a proxy, over a real gate. ``asked`` counts the decisions on names."""

    now: dict[str, Rules | Refusal | None]
    config: object = field(default_factory=lambda: SimpleNamespace(hosts={}))
    asked: int = 0
    killed: bool = False

    def __post_init__(self):
        self.gate = Gate(rules=self.now.get)

    def permit(self, agent, where, *, known=False):
        if self.killed:
            return Refusal(code="kill-switch", reason="", advice="")
        if known:
            return ()
        self.asked += 1
        return self.gate.name(agent, where.host, where.port) or ()


@pytest.fixture
def proxy() -> Deciding:
    return Deciding({"a": rules("bad.example"), "b": rules("bad.example")})


@pytest.fixture
def kept(proxy: Deciding) -> Origin:
    """Used once already, so that it is known by which rules it passed."""
    origin = Origin(SimpleNamespace(), ("a", "api.example", 80), "192.0.2.7")  # type: ignore[arg-type]
    assert decided(proxy, "a", PLACE, origin) == ((), origin)  # type: ignore[arg-type]
    assert proxy.asked == 1
    return origin


def test_the_same_rules_are_not_asked_again(proxy: Deciding, kept: Origin):
    assert decided(proxy, "a", PLACE, kept) == ((), kept)
    assert proxy.asked == 1


def test_a_name_that_is_denied_meanwhile_is_refused_on_the_kept_connection(proxy: Deciding, kept: Origin):
    proxy.now["a"] = rules("api.example")
    assert isinstance(decided(proxy, "a", PLACE, kept)[0], Refusal)


def test_an_address_that_is_denied_meanwhile_is_not_used_again(proxy: Deciding, kept: Origin):
    proxy.now["a"] = rules("192.0.2.7")
    assert decided(proxy, "a", PLACE, kept) == ((), None)


def test_rules_that_nobody_vouches_for_any_more_stop_it(proxy: Deciding, kept: Origin):
    proxy.now["a"] = Refusal(code="no-policy", reason="", advice="")
    assert isinstance(decided(proxy, "a", PLACE, kept)[0], Refusal)


def test_a_reload_makes_another_gate_and_that_is_asked(proxy: Deciding, kept: Origin):
    proxy.gate = Gate(rules=proxy.now.get)
    assert decided(proxy, "a", PLACE, kept) == ((), kept)
    assert proxy.asked == 2


def test_the_kill_switch_is_asked_every_time(proxy: Deciding, kept: Origin):
    proxy.killed = True
    assert isinstance(decided(proxy, "a", PLACE, kept)[0], Refusal)


@pytest.mark.parametrize(
    ("agent", "place"),
    [("b", PLACE), ("a", Destination("other.example", 80, "", b"/")), ("a", Destination("api.example", 81, "", b"/"))],
    ids=["another agent", "another host", "another port"],
)
def test_it_is_kept_for_one_agent_and_one_place(proxy: Deciding, kept: Origin, agent: str, place: Destination):
    assert decided(proxy, agent, place, kept) == ((), None)
