"""The organisation's policy: signed, kept on disk, renewed, and never rolled back."""

from __future__ import annotations

import stat
import time

import pytest

from kaizen_security import Kaizen, Policy
from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Mode
from tests.unit.client.upstream import free_port, until

KEY = "kz_live_" + "k" * 43


def sealed(
    *,
    version=1,
    mode="observe",
    domains=("bad.example",),
    tools=(),
    agent="default",
    expires=3600.0,
    key=KEY,
    paused=False,
):
    now = time.time()
    bundle = Bundle(
        agent=agent,
        version=version,
        policies=(Policy("blocklist", {"domains": list(domains)}, "org"),),
        declaration=Declaration(tools=tuple(tools)),
        mode=Mode(mode),
        paused=paused,
        issued_at=now - 10,
        expires_at=now + expires,
    )
    return seal(bundle, signing_key(key_hash(key))), f'"{version}"'


def test_a_signed_bundle_is_in_force_and_named_in_every_verdict(upstream):
    upstream.bundle = sealed(tools=("search",))
    with Kaizen(KEY, upstream.url) as kaizen:
        assert kaizen.rules.origin == "bundle"
        assert kaizen.rules.version == 1
        verdict = kaizen.inspect(target="bad.example")
        assert verdict.blocked
        assert verdict.policy_version == kaizen.rules.compiled.version
        assert kaizen.inspect(tool="pay").flagged


def test_a_paused_agent_is_not_flagged_but_policy_holds(upstream):
    upstream.bundle = sealed(tools=("search",), paused=True)
    with Kaizen(KEY, upstream.url) as kaizen:
        assert not kaizen.inspect(tool="pay").flagged
        assert kaizen.inspect(target="bad.example").blocked


def test_a_new_bundle_comes_into_force_while_the_agent_runs(upstream, monkeypatch):
    monkeypatch.setattr("kaizen_security.client.renewal.PACE", 0.02)
    upstream.bundle = sealed()
    with Kaizen(KEY, upstream.url) as kaizen:
        assert kaizen.inspect(target="new.example").allowed
        upstream.bundle = sealed(version=2, domains=("new.example",))
        until(lambda: kaizen.inspect(target="new.example").blocked)
        assert kaizen.inspect(target="bad.example").allowed
    asked = [headers.get("If-None-Match") for _, path, headers, _ in upstream.seen if "bundle" in path]
    assert asked[0] is None
    assert '"1"' in asked


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"key": "kz_live_" + "x" * 43, "version": 9}, "signature"),
        ({"agent": "other", "version": 9}, "agent"),
        ({"version": 2}, "rollback"),
        ({"version": 9, "expires": -1.0}, "expires_at"),
    ],
)
def test_a_bundle_that_is_not_the_newest_of_ours_changes_nothing(upstream, wrong, problem):
    upstream.bundle = sealed(version=3)
    with Kaizen(KEY, upstream.url) as kaizen:
        upstream.bundle = sealed(**{"domains": ("other.example",), **wrong})
        assert not kaizen._renewal.once(3, wait=0)
        assert problem in kaizen.problem
        assert kaizen.inspect(target="bad.example").blocked
        assert kaizen.inspect(target="other.example").evidence == ()


def test_the_bundle_on_disk_holds_while_the_server_is_gone(upstream, tmp_path):
    upstream.bundle = sealed(mode="enforce")
    Kaizen(KEY, upstream.url).close()
    upstream.faults = lambda *_: (503, {}, b"")
    with Kaizen(KEY, upstream.url) as kaizen:
        assert kaizen.rules.origin == "cache"
        assert kaizen.inspect(target="bad.example").blocked
        verdict = kaizen.inspect(target="good.example")
        assert verdict.allowed
        assert verdict.evidence == ()
        upstream.faults = None
    [kept] = tmp_path.rglob("bundle-*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_rollback_is_refused_across_restarts(upstream):
    upstream.bundle = sealed(version=5)
    Kaizen(KEY, upstream.url).close()
    upstream.bundle = sealed(version=4, domains=("other.example",))
    with Kaizen(KEY, upstream.url) as kaizen:
        assert "rollback" in kaizen.problem
        assert kaizen.rules.version == 5


@pytest.mark.parametrize("version", [0, 1])
def test_the_signature_cannot_be_taken_away_once_it_was_seen(upstream, version):
    upstream.bundle = sealed(version=version)
    Kaizen(KEY, upstream.url).close()
    upstream.bundle = None
    upstream.policies = []
    with Kaizen(KEY, upstream.url) as kaizen:
        assert kaizen.inspect(target="bad.example").blocked
        assert kaizen.rules.origin == "cache"


def test_who_says_that_nothing_has_changed_before_there_was_anything_is_no_policy(upstream):
    upstream.faults = lambda *_: (304, {}, b"")
    with Kaizen(KEY, upstream.url) as kaizen:
        assert "304" in kaizen.problem
        assert kaizen.rules.origin == "local"
        upstream.faults = None


def test_an_expired_bundle_still_blocks_but_its_allow_is_nobodys_word(upstream):
    upstream.bundle = sealed(expires=0.5, mode="enforce")
    with Kaizen(KEY, upstream.url, report=False) as kaizen:
        upstream.faults = lambda *_: (503, {}, b"")
        until(lambda: kaizen.inspect(target="good.example").blocked)
        assert kaizen.inspect(target="good.example").evidence[0].kind == "unprotected"
        assert kaizen.inspect(target="bad.example").reason == "blocked by policy: malicious domain"
        upstream.faults = None


@pytest.mark.parametrize("spoil", [b"", b"{}", b"\xff" * 100])
def test_a_spoiled_file_is_as_good_as_none(upstream, tmp_path, spoil):
    upstream.bundle = sealed()
    Kaizen(KEY, upstream.url).close()
    [kept] = tmp_path.rglob("bundle-*.json")
    kept.write_bytes(spoil)
    with Kaizen(KEY, upstream.url) as kaizen:
        assert kaizen.rules.origin == "bundle"


def test_a_file_of_another_key_is_not_even_looked_at(upstream):
    upstream.bundle = sealed()
    Kaizen(KEY, upstream.url).close()
    upstream.faults = lambda *_: (503, {}, b"")
    with Kaizen("kz_live_" + "z" * 43, upstream.url) as kaizen:
        assert kaizen.rules.missing
        upstream.faults = None


def test_a_server_that_comes_up_later_is_found(upstream, monkeypatch):
    monkeypatch.setattr("kaizen_security.client.renewal.PACE", 0.02)
    upstream.bundle = sealed()
    upstream.faults = lambda *_: (503, {}, b"")
    with Kaizen(KEY, upstream.url, report=False) as kaizen:
        assert kaizen.inspect(tool="x").flagged
        upstream.faults = None
        until(lambda: not kaizen.inspect(tool="x").flagged)
        assert kaizen.inspect(target="bad.example").blocked


def test_a_constructor_waits_three_seconds_at_the_most(upstream):
    upstream.delay = 30.0
    began = time.monotonic()
    kaizen = Kaizen(KEY, upstream.url, report=False)
    assert time.monotonic() - began < 25, "it did not wait for the answer, which takes 30"
    assert "within" in kaizen.problem
    upstream.delay = 0
    kaizen.close()


def test_without_a_server_construction_is_quick():
    kaizen = Kaizen(KEY, f"http://127.0.0.1:{free_port()}", report=False)
    assert kaizen.rules.missing
    assert "within" not in kaizen.problem, "no deadline passed"
    kaizen.close()
