"""Filters: from an address to a query and back."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.verdict import Decision
from kaizen_security.server.console.filters import Filters, filters
from kaizen_security.store.base import Status
from tests.unit.console.rows import NOW

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
chosen = st.builds(
    Filters,
    agent=words,
    decision=st.sampled_from(["", "allow", "block"]),
    status=st.sampled_from(["", *Status]),
    source=words,
    since=st.sampled_from(["", "15m", "1h", "24h", "7d", "2026-11-21T00:00:00Z"]),
    q=words.map(str.strip),
    flagged=st.booleans(),
)


@given(chosen)
def test_an_address_says_what_was_chosen(made):
    said = dict(parse_qsl(urlsplit(made.address()).query, keep_blank_values=True))
    assert filters(said) == made


def test_a_query_holds_what_the_address_says():
    query = filters(
        {"agent": "a", "decision": "block", "status": "open", "flagged": "1", "q": " exfil ", "since": "1h"}
    ).query(NOW)
    assert (query.agent, query.decision, query.status, query.flagged) == ("a", Decision.BLOCK, Status.OPEN, True)
    assert (query.q, query.since) == ("exfil", NOW - 3600)


def test_nothing_chosen_is_every_verdict():
    query = filters({}).query(NOW)
    assert (query.decision, query.status, query.flagged, query.since) == (None, None, None, 0.0)
    assert not filters({}).any


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decision", "maybe"),
        ("status", "closed"),
        ("since", "yesterday"),
        ("since", "2026-11-21T00:00:00"),
        ("flagged", "yes"),
        ("agent", "a" * 300),
        ("q", "a" * 300),
        ("q", "\0"),
        ("before", "1" * 100),
    ],
)
def test_what_cannot_be_used_is_named(name, value):
    with pytest.raises(InvalidInput) as refused:
        filters({name: value})
    assert refused.value.field == name
