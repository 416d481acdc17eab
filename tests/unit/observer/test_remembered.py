"""What is worked out once for each deed is what would be worked out anew, whatever the deed is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.observer import baseline, carried, conduct, entities, tenants

names = st.sampled_from(["", "search", "sendMail", "log_in", "http", "connect", "file", "Ünï", "x" * 300]) | st.text(
    max_size=12
)
targets = st.sampled_from(
    [
        "",
        "api.example:443",
        "https://user:secret@a.b.example/path/x?token=abc&q=1#f",
        "https://github.com/acme/repo",
        "s3://bucket/key",
        "/etc/passwd",
        "https://hooks.slack.com/services/T0/B0/x",
        "[::1]:443",
        "https://" + "a" * 300 + ".example/",
    ]
) | st.text(max_size=40)
metadata = st.sampled_from(
    [
        {},
        {"source": "egress"},
        {"source": 7},
        {"sensitive": True},
        {"phase": "end", "facts": []},
        {"bytes_up": 12},
        {"arguments": {"q": "https://github.com/other/repo"}},
        {"source": "sdk", "input": "token=abcdef"},
    ]
)
actions = st.builds(Action, kind=names, tool=names, target=targets, metadata=metadata)


@given(actions)
def test_what_an_action_carries_names_and_shows(action):
    for _ in range(2):
        assert carried.carried(action) == carried._carried(action)
        assert tenants.tenants(action) == tenants._tenants(action)
        where = baseline.destination(action)
        assert conduct.trait_of(action, where) == conduct._trait_of(action, where)


@given(names)
def test_the_words_of_a_name(name):
    assert entities.words_of_name(name) == entities._words_of_name.__wrapped__(name)


def features_anew(action):
    """By the words of ``features``, with nothing remembered."""
    place = canonical.target(action.target)
    reached = canonical.reached(action.kind, action.target, place) if action.target else None
    values = (
        ("kind", canonical.permitted(action.kind)),
        ("tool", canonical.permitted(action.tool)),
        ("source", action.source),
        ("destination", baseline.shown(reached) if reached is not None else ""),
    )
    return tuple(baseline.Feature(baseline.side(action), dimension, value) for dimension, value in values if value)


@given(actions)
def test_the_features_of_an_action(action):
    for _ in range(2):
        assert baseline.features(action) == features_anew(action)
