"""The quick way of a batch is the codec's way, only quicker; what it remembers is what the boundary would say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward
from kaizen_security.contract.codec import decode_report, encode_report
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.server import kept, quick
from kaizen_security.server.auth import Principal
from kaizen_security.server.reports import read_batch
from kaizen_security.store.base import Key, Scope
from tests.properties import strategies as s

KEY = b"k" * 32


def caller(scope=Scope.AGENT, agent=""):
    key = Key(id="1", organisation=1, name="k", prefix="p", hash="h", scope=scope, agent=agent, created_at=1.0)
    return Principal(organisation=1, key=key)


@given(st.lists(s.reports, max_size=3))
def test_a_good_batch_is_read_as_the_codec_reads_it(reports):
    documents = [encode_report(report) for report in reports]
    data = json.dumps({"reports": documents}).encode()
    found = quick.decode_batch(data, "1")
    if found is None:
        return
    for mine, document in zip(found, documents, strict=True):
        theirs = decode_report(document)
        # The key says whose agent it is, so the organisation that a document names is not even read.
        assert mine == replace(theirs, action=replace(theirs.action, organisation="1"))


def test_an_ordinary_batch_does_go_the_quick_way():
    report = {"agent": "a", "action": {"tool": "x", "metadata": {"source": "egress", "n": {"deep": [1]}}}}
    assert quick.decode_batch(json.dumps({"reports": [report, report]}).encode(), "1") is not None


ODD = [
    {"action": {"tool": 7}},
    {"action": {"tool": "x" * 257}},
    {"action": {"tool": "a\0b"}},
    {"action": {"metadata": {"x": "a\0b"}}},
    {"action": {"metadata": []}},
    {"action": {"at": "yesterday"}},
    {"action": {"delegation": ["x", 1]}},
    {"action": {"metadata": {"x": json.loads("[" * 40 + "]" * 40)}}},
    {"action": None},
    {"action": {}, "verdict": {"decision": "ask"}},
    {"action": {}, "verdict": {"decision": "allow", "confidence": True}},
    {"action": {}, "verdict": {"decision": "allow", "confidence": 1.5}},
    {"action": {}, "verdict": {"decision": "allow", "pending": {"id": 7}}},
    {"action": {}, "verdict": {"decision": "allow", "evidence": {"kind": "x"}}},
    {"action": {}, "agent": 7},
    {"action": {}, "agent": "  "},
    "text",
    None,
    [],
]


@pytest.mark.parametrize("document", ODD, ids=repr)
def test_what_is_odd_is_refused_by_name_and_its_neighbours_are_taken(document):
    good = {"agent": "a", "action": {"tool": "x"}}
    taken, refused = read_batch(json.dumps({"reports": [good, document, good]}).encode(), caller())
    assert [index for index, _ in taken] == [0, 2]
    assert [one.index for one in refused] == [1]
    assert refused[0].field.startswith("reports[1]")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "allow", "agent", "x" * 300]),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["reports", "action", "verdict", "decision", "agent", "tool", "metadata", "evidence", "kind", "at"]
                ),
                below,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_the_document_both_ways_take_the_same(document):
    data = json.dumps({"reports": [document]}).encode()
    found = quick.decode_batch(data, "1")
    try:
        expected = decode_report(document)
    except InvalidInput:
        expected = None
    if found is not None:
        assert expected is not None
        assert found[0] == replace(expected, action=replace(expected.action, organisation="1"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"reports": 1}',
        b'{"reports": {}}',
        b"\xff",
        b"null",
        b'{"reports": null}',
        b"[" * 9999,
    ],
)
def test_a_body_that_is_no_batch_is_refused(data):
    with pytest.raises(InvalidInput):
        read_batch(data, caller())


def test_a_bound_key_and_an_observer_keep_their_rules():
    bound = json.dumps(
        {"reports": [{"action": {}}, {"agent": "b", "action": {}}, {"agent": "c", "action": {}}]}
    ).encode()
    taken, refused = read_batch(bound, caller(agent="b"))
    assert [(i, report.action.agent) for i, report in taken] == [(0, "b"), (1, "b")]
    assert refused[0].field == "reports[2].agent"
    taken, refused = read_batch(bound, caller(Scope.OBSERVER))
    assert taken == []
    assert {one.field for one in refused} == {f"reports[{i}].verdict" for i in range(3)}


@given(st.lists(s.actions, min_size=1, max_size=4))
def test_what_is_remembered_is_what_the_boundary_says(actions):
    remembering = kept.Outward(KEY)
    for action in [*actions, *actions]:
        # A row is its organisation's by where it is kept.
        assert remembering.action(action) == replace(outward(action, KEY), organisation="")


@pytest.mark.parametrize("value", [1, 1.0, True, "1", None, "secret words here", 0, False])
def test_values_that_are_equal_but_not_the_same_are_told_apart(value):
    remembering = kept.Outward(KEY)
    for other in (1, True, 1.0, 0, False, "1", value):
        action = Action(tool="x", metadata={"sensitive": other, "status": other, "unknown": other})
        assert remembering.action(action) == outward(action, KEY)
        assert repr(remembering.action(action).metadata) == repr(outward(action, KEY).metadata)


def test_ids_are_each_actions_own():
    remembering = kept.Outward(KEY)
    for id_ in ("one", "two", "white space", "é", "x" * 400, "~" + "0" * 16):
        action = Action(tool="x", id=id_, run_id=id_, act_id=id_, at=5.0, agent=id_)
        assert remembering.action(action) == outward(action, KEY)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(kept, "REMEMBERED", 10)
    remembering = kept.Outward(KEY)
    for i in range(35):
        remembering.action(Action(tool=f"t{i}"))
    assert len(remembering._known) <= 10
    assert remembering.forgotten == 30
