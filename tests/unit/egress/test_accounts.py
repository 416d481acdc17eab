"""Peers and proxy credentials."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from kaizen_security.egress.accounts import Accounts, NeedsCredentials, is_private


def basic(text: str) -> list[bytes]:
    return [b"Basic " + b64encode(text.encode())]


def accounts(**more: object) -> Accounts:
    settings: dict[str, object] = {"default": "egress-agent", "own_key": "kz_own", "credentials": {}, "required": False}
    return Accounts(**{**settings, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "peer",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1", "fd12::1", "::ffff:10.0.0.1"],
)
def test_private_peers(peer: str):
    assert is_private(peer)
    assert accounts().agent(peer, []) == "egress-agent"


@pytest.mark.parametrize(
    "peer",
    ["8.8.8.8", "172.32.0.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8", "169.254.1.1", "fe80::1%eth0", "", "x"],
)
def test_other_peers_need_credentials(peer: str):
    assert not is_private(peer)
    with pytest.raises(NeedsCredentials) as caught:
        accounts().agent(peer, [])
    assert caught.value.possible
    assert accounts().agent(peer, basic("bot:kz_own")) == "bot"


def test_without_any_key_no_credentials_would_do():
    with pytest.raises(NeedsCredentials) as caught:
        accounts(own_key="").agent("8.8.8.8", [])
    assert not caught.value.possible


@pytest.mark.parametrize(
    "text", ["bot:", "bot", ":kz_own", "bot:KZ_OWN", "bot:kz_own ", "b\x07t:kz_own", "x" * 300 + ":kz_own"]
)
def test_wrong_credentials_are_refused_even_where_none_are_needed(text: str):
    with pytest.raises(NeedsCredentials):
        accounts().agent("127.0.0.1", basic(text))


@pytest.mark.parametrize(
    "value", [b"Basic", b"Basic !!!", b"Bearer kz_own", b"", b"Basic " + b64encode(b"\xff\xfe:kz_own")]
)
def test_malformed_credentials_are_refused(value: bytes):
    with pytest.raises(NeedsCredentials):
        accounts().agent("127.0.0.1", [value])


def test_two_credentials_are_refused():
    with pytest.raises(NeedsCredentials):
        accounts().agent("127.0.0.1", basic("a:kz_own") + basic("b:kz_own"))


@pytest.mark.parametrize("stored", ["k1", "sha256:" + hashlib.sha256(b"k1").hexdigest()])
def test_a_listed_key_is_good_for_its_agent_only(stored: str):
    these = accounts(credentials={"bot": stored}, required=True)
    assert these.agent("127.0.0.1", basic("bot:k1")) == "bot"
    with pytest.raises(NeedsCredentials):
        these.agent("127.0.0.1", basic("other:k1"))
    with pytest.raises(NeedsCredentials):
        these.agent("127.0.0.1", [])


def test_a_digest_that_is_none_is_no_key():
    these = accounts(own_key="", credentials={"bot": "sha256:zz"})
    with pytest.raises(NeedsCredentials):
        these.agent("127.0.0.1", basic("bot:sha256:zz"))
