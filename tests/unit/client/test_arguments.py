"""Any Python value as a bounded JSON document."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.client.arguments import MAX_TEXT, MAX_TOTAL, _Budget, _plain, plain
from kaizen_security.client.fields import completed, is_complete
from kaizen_security.contract.action import Action, altered
from kaizen_security.contract.fields import check_json
from tests.properties.strategies import actions, documents


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]


class Subclass(str):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, [2.5, None]), [1, [2.5, None]]),
        ({1: True, "a": b"\xff"}, {"1": True, "a": "\\xff"}),
        (Colour.RED, "red"),
        (Point(1, {"a"}), {"x": 1, "tags": ["a"]}),
        (Subclass("text"), "text"),
        (collections.OrderedDict(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (float("inf"), "inf"),
        ("a\0b\ud800", "a\ufffdb?"),
        (object(), "<builtins.object>"),
        (print, "<builtins.builtin_function_or_method>"),
        (10**400, "…"),
    ],
)
def test_values_become_documents(value, expected):
    assert plain(value) == expected


@given(documents)
def test_documents_stay_what_they_are(document):
    assert plain(document) == document


@given(st.text() | st.dictionaries(st.text() | st.integers(), st.none() | st.booleans() | st.integers() | st.text()))
def test_the_short_way_through_a_small_document_leads_where_the_long_one_does(value):
    assert plain(value) == _plain(value, 0, _Budget())
    assert json.dumps(plain(value)) == json.dumps(_plain(value, 0, _Budget()))


def test_a_document_is_a_copy_of_what_was_given():
    given = {"query": "a"}
    made = plain(given)
    given["query"] = "b"
    assert made == {"query": "a"}


@given(actions)
def test_an_action_that_says_that_it_is_complete_would_be_made_again_as_it_is(action):
    action = dataclasses.replace(action, at=action.at or 1.0, seen_by=(), hash="", organisation="")
    whole = is_complete(action, action.agent, action.run_id)
    assert whole == bool(action.id and action.kind)
    if whole:
        metadata = action.metadata
        again = completed(action, metadata, id_="other", agent=action.agent, at=2.0, run_id=action.run_id)
        assert again == action


def test_an_action_is_not_complete_with_a_long_field_or_one_that_is_no_text():
    whole = {"kind": "tool_call", "tool": "t", "id": "i", "at": 1.0, "agent": "a"}
    assert is_complete(Action(**whole), "a", "")
    for field, value in (
        ("tool", "t" * 5000),
        ("tool", Subclass("t")),
        ("id", "i" * 5000),
        ("agent", "b"),
        ("at", 0.0),
    ):
        assert not is_complete(Action(**{**whole, field: value}), "a", "")


@given(
    st.recursive(
        st.binary() | st.text() | st.complex_numbers() | st.floats(), lambda x: st.lists(x) | st.sets(st.integers())
    )
)
def test_whatever_comes_can_be_sent(value):
    document = plain(value)
    check_json(document, "x")
    json.dumps(document, allow_nan=False).encode()


def test_size_and_depth_are_bounded_and_say_so():
    assert plain("x" * (MAX_TEXT + 1)) == "x" * MAX_TEXT + "…"
    deep = current = []
    for _ in range(1000):
        current.append([])
        current = current[0]
    assert json.dumps(plain(deep)).count("[") < 40
    assert len(json.dumps(plain([["x" * 1000] * 100] * 1000))) < 2 * MAX_TOTAL
    assert plain(list(range(100_000)))[-1] == "…"
    loop = {}
    loop["self"] = loop
    assert "…" in json.dumps(plain(loop), ensure_ascii=False)


@given(actions, actions)
def test_an_altered_action_is_what_replacing_its_fields_makes(action, other):
    fields = ("id", "run_id", "act_id", "metadata", "organisation", "seen_by")
    for some in (fields, fields[:1], ()):
        given_ = {name: getattr(other, name) for name in some}
        assert altered(action, **given_) == dataclasses.replace(action, **given_)
