"""What leaves the tenant: no text of a run, under any disguise that we can undo."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import (
    MAX_FACTS,
    boundary_key,
    outward,
    outward_learned,
    outward_verdict,
)
from kaizen_security.contract.boundary_target import outward_target
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import decode_action, encode_action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from tests.properties.strategies import actions, documents

KEY = boundary_key(b"a secret of the tenant")
OTHER = boundary_key(b"a secret of another tenant")

canaries = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=20, max_size=28).map(
    lambda text: "Kz" + text + "7q"
)
disguises = st.sampled_from(
    [
        lambda text: text,
        lambda text: quote(text, safe=""),
        lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
        lambda text: text.encode().hex(),
        lambda text: f"please send {text} to bob",
    ]
)
places = st.sampled_from(
    [
        "https://{}:pw@api.example:8443/v1",
        "https://bob:{}@api.example/v1",
        "https://api.example/v1/orders/{}",
        "https://api.example/v1/{}/items?x=1",
        "https://api.example/v1?token={}",
        "https://api.example/v1?a=1&{}=2#top",
        "https://api.example/v1#{}",
        "https://api.example/a;{}",
        "//api.example/{}",
        "/home/alice/{}/x.csv",
        "C:\\Users\\{}\\x.txt",
        "curl -H 'Authorization: Bearer {}' https://api.example",
        "{} is the password",
        "mailto:{}@example.org",
        "{}@example.org",
        "data:text/plain,{}",
    ]
)


def everything_inside(text: str) -> str:
    """The text, and whatever decoding of any part of it gives."""
    found = [text, unquote(text)]
    for run in re.findall(r"[A-Za-z0-9+/_=-]{12,}", text):
        for start in range(4):
            piece = run[start:].rstrip("=").replace("-", "+").replace("_", "/")
            piece = piece[: len(piece) // 4 * 4]
            found.append(base64.b64decode(piece + "==").decode("latin-1"))
    found += [bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1") for run in re.findall(r"[0-9a-fA-F]{8,}", text)]
    return "\n".join(found)


def plant(document, leaf: str):
    """The same document with ``leaf`` in place of every text, key and scalar."""
    if isinstance(document, dict):
        return {f"{leaf}{i}": plant(below, leaf) for i, below in enumerate(document.values())} or {leaf: leaf}
    if isinstance(document, list):
        return [plant(below, leaf) for below in document] or [leaf]
    return leaf


@given(
    canaries, disguises, places, documents, st.sampled_from(["arguments", "input", "params", "query", "note", "facts"])
)
def test_a_canary_in_any_field_is_in_nothing_that_leaves(canary, disguise, place, document, name):
    hidden = disguise(canary)
    action = Action(
        tool="send_mail",
        # A bare slash would end the authority, and the canary would be a host, which is kept whole.
        target=place.format(hidden.replace("/", "%2F") if "@api" in place else hidden),
        metadata={
            "source": "sdk",
            name: plant(document, hidden),
            "arguments" + name: {"deep": [{"er": [hidden]}], hidden: 1},
            hidden: True,
            "sensitive": hidden,
            "status": hidden,
            "method": hidden,
            "sni": hidden,
            "facts_omitted": hidden,
        },
    )
    text = json.dumps(encode_action(outward(action, KEY)))
    inside = everything_inside(text)
    assert canary not in inside
    assert canary.lower() not in inside.lower()


@given(actions, documents)
def test_what_has_left_once_leaves_unchanged_under_any_key(action, document):
    once = outward(replace(action, metadata={**action.metadata, "arguments": document}), KEY)
    assert outward(once, KEY) == once
    assert outward(once, OTHER) == once
    assert decode_action(encode_action(once)) == once


@given(documents)
def test_facts_are_bounded_and_what_is_left_out_is_counted(document):
    many = {f"k{i}": document for i in range(100)}
    metadata = outward(Action(metadata={"arguments": many}), KEY).metadata
    assert len(metadata["facts"]) == MAX_FACTS
    assert metadata["facts_omitted"] >= 100 - MAX_FACTS


@pytest.mark.parametrize(
    "target",
    [
        "api.stripe.com:443",
        "https://api.example:8443/v1/orders/list.json",
        "[::1]:80",
        "203.0.113.7",
        "/etc/passwd",
        "s3://reports/daily/2024-10-01.csv",
        "localhost:8000",
        "orders",
        "",
    ],
)
def test_places_are_kept_whole(target):
    assert outward_target(target, KEY) == target


def test_a_url_keeps_its_place_and_hides_the_rest():
    left = outward_target("https://bob:pw@api.example:8443/v1/orders/9f8e7d6c5b4a3f21?q=x#y", KEY)
    assert re.fullmatch(r"https://api\.example:8443/v1/orders/~[0-9a-f]{16}", left)


def test_typed_facts_say_where_what_and_how_long_but_not_which():
    action = Action(
        tool="pay",
        target="https://api.example/pay?iban=DE89",
        metadata={
            "source": "sdk",
            "sensitive": True,
            "arguments": {"to": "bob@corp.example", "amount": 12.5, "n": [None]},
        },
    )
    metadata = outward(action, KEY).metadata
    assert metadata["source"] == "sdk"
    assert metadata["sensitive"] is True
    assert [(fact["field"], fact["type"], fact["length"]) for fact in metadata["facts"]] == [
        ("arguments.to", "email", 16),
        ("arguments.amount", "number", 4),
        ("arguments.n[0]", "null", 0),
        ("target_query", "text", 9),
    ]


def test_equal_values_are_equal_facts_and_another_tenant_cannot_compare_them():
    def digest(value, key):
        return outward(Action(metadata={"arguments": {"to": value}}), key).metadata["facts"][0]["hmac"]

    assert digest("a", KEY) == digest("a", KEY)
    assert digest("a", KEY) != digest("b", KEY)
    assert digest("a", KEY) != digest("a", OTHER)


@given(canaries)
def test_findings_carry_no_text_of_the_run_out(canary):
    verdict = Verdict(
        decision=Decision.BLOCK,
        reason="blocked by policy: malicious domain",
        evidence=(
            Finding(
                kind="malicious domain",
                value="evil.example",
                source="policy:p",
                field="target",
                observed="evil.example",
            ),
            Finding(kind="x", value=f"https://u:{canary}@evil.example/?{canary}", source="policy:p", field="target"),
            Finding(kind="secret", value=canary, source="secrets", field="metadata.arguments.q", observed=canary),
        ),
    )
    left = outward_verdict(verdict, KEY)
    assert left.evidence[0] == verdict.evidence[0]
    assert canary not in repr(left)
    assert "evil.example" in left.evidence[1].value
    assert outward_verdict(left, OTHER) == left


@pytest.mark.parametrize("length", [256, 257, 512, 4096])
def test_what_leaves_is_never_refused_for_the_length_of_its_names(length):
    long = "x" * length
    action = Action(kind=long, tool=long, publisher=long, hash=long, delegation=(long,), seen_by=(long,), agent="a")
    left = outward(action, KEY)
    assert decode_action(encode_action(left)) == left
    assert (left.tool == long) is (length == 256)


SECRET = "kz9q07x7canary4fe1"


@pytest.mark.parametrize("kind", ["tool_call", "http", "connect", "dns", "file", "exec", "message"])
@pytest.mark.parametrize(
    "target",
    [
        SECRET,
        SECRET.upper(),
        f"sk-ant-api03-{SECRET}",
        f"a {SECRET} b",
        f"/x/{SECRET}",
        f"u:{SECRET}@h.example",
        f"https://u:{SECRET}@h.example/{SECRET}?k={SECRET}",
    ],
)
def test_a_verdict_says_nothing_of_a_target_that_the_target_does_not_show(kind: str, target: str):
    inspector = Inspector(Agents(), clock=iter(range(1_000_000, 2_000_000)).__next__)
    declared = Declaration(tools=("t",), destinations=("api.example",))
    inspector.configure("a", Bundle(agent="a", version=1, declaration=declared))
    action = Action(agent="a", kind=kind, tool="t", target=target)
    verdict = inspector.inspect(action)
    told = outward_verdict(verdict, KEY)
    assert SECRET not in str((outward(action, KEY), told)).lower()
    assert outward_verdict(told, OTHER) == told
    for finding in verdict.evidence:
        if finding.field == "target" and finding.value in verdict.reason:
            assert told.evidence[0].value in told.reason


def test_a_host_that_a_target_shows_and_what_a_list_has_stay_readable_in_the_verdict():
    finding = Finding(
        kind="malicious domain",
        value="*.evil.example",
        source="mine",
        field="target",
        observed="a-7f3c9d1b2e.evil.example:443",
    )
    verdict = Verdict(decision=Decision.BLOCK, reason="connected to kz9q07x7c (kz9q07x7c:443)", evidence=(finding,))
    assert outward_verdict(verdict, KEY) == verdict
    single = replace(finding, value="kz9q07x7c", observed="kz9q07x7c:443")
    assert outward_verdict(replace(verdict, evidence=(single,)), KEY).evidence == (single,)


@pytest.mark.parametrize(
    ("dimension", "value", "shown"),
    [
        ("destination", "api.example", True),
        ("destination", "db-01", True),
        ("destination", "api.example|unreadable", True),
        ("destination", SECRET, False),
        ("source", "langchain", True),
        ("source", SECRET, False),
        ("tool", SECRET, True),
    ],
)
def test_what_was_learned_shows_what_an_action_would(dimension: str, value: str, shown: bool):
    assert (outward_learned(dimension, value, KEY) == value) is shown
    assert shown or SECRET not in outward_learned(dimension, value, KEY)
