"""The codec on the shapes of the wire contract and on hostile ones."""

from __future__ import annotations

import pickle

import pytest

from kaizen_security.contract import codec, fields, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.errors import InvalidInput, KaizenBlocked, TooLarge
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Severity, Verdict


def test_absent_null_and_empty_fields_are_the_same():
    empty = {"kind": "", "tool": None, "publisher": "", "target": "", "hash": None, "metadata": None}
    assert codec.decode_action({}) == codec.decode_action(empty) == Action()


def test_an_encoded_action_keeps_all_six_keys_and_their_nulls():
    encoded = codec.encode_action(Action(tool="search"))
    assert {key: encoded[key] for key in ("kind", "tool", "publisher", "target", "hash", "metadata")} == {
        "kind": "tool_call",
        "tool": "search",
        "publisher": None,
        "target": None,
        "hash": None,
        "metadata": {},
    }


def test_the_agent_of_the_channel_wins_over_the_one_in_the_document():
    assert codec.decode_action({"agent": "somebody-else"}, agent="told-by-key").agent == "told-by-key"


@pytest.mark.parametrize(
    "report",
    [
        {
            "schema_version": "1",
            "agent": "a",
            "action": {
                "kind": "connect",
                "tool": None,
                "publisher": None,
                "target": "x:1",
                "hash": None,
                "metadata": {},
            },
            "verdict": {"decision": "allow", "reason": "no policy matched", "evidence": []},
        },
        {
            "agent": "a",
            "action": {"kind": "connect", "target": "x:1"},
            "verdict": {"decision": "allow", "reason": "r", "evidence": [], "blocked": False},
        },
        {
            "agent": "a",
            "action": {"kind": "connect", "target": "x:1", "metadata": {"source": "egress"}},
            "verdict": None,
        },
        {"agent": "a", "action": {"kind": "connect", "target": ""}},
    ],
    ids=["all keys", "extra blocked", "egress proxy", "empty target"],
)
def test_the_four_report_shapes_in_the_wild_are_understood(report):
    assert codec.decode_report(report).action.agent == "a"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "action"),
        ("text", "action"),
        ({"tool": 7}, "action.tool"),
        ({"tool": {}}, "action.tool"),
        ({"target": ["x"]}, "action.target"),
        ({"metadata": []}, "action.metadata"),
        ({"at": "yesterday"}, "action.at"),
        ({"at": "2026-01-01T00:00:00"}, "action.at"),
        ({"tool": "\ud800"}, "action.tool"),
        ({"tool": "a\0b"}, "action.tool"),
        ({"metadata": {"a": {"b": ["\udfff"]}}}, "action.metadata.a.b[0]"),
        ({"metadata": {"\ud800": 1}}, "action.metadata"),
        ({"delegation": "a"}, "action.delegation"),
        ({"delegation": ["a", 1]}, "action.delegation[1]"),
    ],
)
def test_a_wrong_field_is_named(document, field):
    with pytest.raises(InvalidInput) as said:
        codec.decode_action(document)
    assert said.value.field == field


def test_an_error_never_repeats_the_value():
    with pytest.raises(InvalidInput) as said:
        codec.decode_action({"at": "hunter2-secret"})
    assert "hunter2" not in str(said.value)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"tool": "x" * 257}, "action.tool"),
        ({"target": "x" * 4097}, "action.target"),
        ({"delegation": ["a"] * 1001}, "action.delegation"),
    ],
)
def test_every_field_is_bounded(document, field):
    with pytest.raises(TooLarge) as said:
        codec.decode_action(document)
    assert said.value.field == field


def test_metadata_nested_too_deeply_is_refused():
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidInput, match="nested deeper than 32"):
        codec.decode_action({"metadata": {"arguments": deep}})


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b'{"a":1}x'])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(InvalidInput, match="not valid JSON"):
        fields.parse(data)


def test_a_document_over_its_bound_is_refused_before_it_is_parsed():
    with pytest.raises(TooLarge):
        fields.parse(b" " * (fields.MAX_DOCUMENT + 1))


@pytest.mark.parametrize("confidence", [True, -0.1, 1.1, "0.5", float("nan")])
def test_a_confidence_is_null_or_a_number_from_0_to_1(confidence):
    with pytest.raises(InvalidInput) as said:
        codec.decode_verdict({"decision": "allow", "confidence": confidence})
    assert said.value.field == "verdict.confidence"


@pytest.mark.parametrize("decision", ["", None, "ask", "ALLOW", 1])
def test_a_decision_is_allow_or_block(decision):
    with pytest.raises(InvalidInput) as said:
        codec.decode_verdict({"decision": decision})
    assert said.value.field == "verdict.decision"


def test_a_step_of_an_unknown_name_is_refused():
    with pytest.raises(InvalidInput) as said:
        codec.decode_step({"step": "wish"})
    assert said.value.field == "step.step"


def test_the_rung_comes_from_the_source_and_an_unknown_source_is_the_agents_own_word():
    sources = {"egress": 3, "sandbox": 3, "ebpf": 4, "mcp": 2, "langchain": 1, "made-up": 1, "": 1}
    assert {source: Action(metadata={"source": source}).rung for source in sources} == sources
    assert Action(metadata={"source": ["egress"]}).rung is Rung.COOPERATIVE


def test_severity_follows_decision_and_findings():
    finding = Finding(kind="k", value="v", source="s")
    allowed = Verdict(decision=Decision.ALLOW, reason="ok")
    assert allowed.severity is Severity.INFO
    assert Verdict(decision=Decision.ALLOW, reason="r", evidence=(finding,)).severity is Severity.LOW
    attack = Finding(kind="k", value="v", source="s", attack="undeclared")
    assert Verdict(decision=Decision.ALLOW, reason="r", evidence=(attack,)).severity is Severity.MEDIUM
    assert Verdict(decision=Decision.BLOCK, reason="r").severity is Severity.HIGH


def test_a_decision_compares_with_the_words_of_the_wire():
    assert Decision.BLOCK == "block"
    assert Verdict(decision=Decision.BLOCK, reason="r").blocked


def test_blocked_crosses_a_process_pool():
    err = KaizenBlocked(Verdict(decision=Decision.BLOCK, reason="because"))
    back = pickle.loads(pickle.dumps(err))
    assert back.verdict == err.verdict
    assert str(back) == "Blocked by Kaizen: because"


def test_reason_strings_are_those_of_the_wire_contract():
    assert reasons.blocked_by_policy(["malicious domain", "blacklisted publisher", "malicious domain"]) == (
        "blocked by policy: blacklisted publisher, malicious domain"
    )
    assert reasons.undeclared(tool="T") == "undeclared: this agent used a tool it never declared (T)."
    assert (
        reasons.undeclared(destination="D")
        == "undeclared: this agent connected to a destination it never declared (D)."
    )
    both = reasons.undeclared(tool="T", destination="D")
    assert both.index("(T)") < both.index("(D)")
    assert reasons.anomaly(tool="T") == "behavioral anomaly: this agent did a tool it has never used (T)."
    assert (
        reasons.anomaly(destination="D")
        == "behavioral anomaly: this agent did a destination it has never connected to (D)."
    )
    assert "a kind of action it has never done (K)" in reasons.anomaly(kind="K", tool="T")


@pytest.mark.parametrize(
    "said",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59.999999Z", "2026-01-01T00:00:00"],
)
def test_an_instant_that_could_not_be_written_out_again_is_refused_by_name(said):
    with pytest.raises(InvalidInput) as info:
        codec.decode_action({"tool": "search", "at": said})
    assert info.value.field == "action.at"


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.5-11:00"])
def test_an_instant_at_the_edge_is_written_out_again(said):
    action = codec.decode_action({"tool": "search", "at": said})
    assert codec.decode_action(codec.encode_action(action)) == action


def test_metadata_of_too_many_values_is_refused_before_anybody_looks_at_them():
    action = {"tool": "t", "metadata": {"x": [0] * (fields.MAX_VALUES - 1)}}
    assert len(codec.decode_action(action).metadata["x"]) == fields.MAX_VALUES - 1
    with pytest.raises(InvalidInput, match="more than 20000 values") as said:
        codec.decode_action({"tool": "t", "metadata": {"x": [0] * fields.MAX_VALUES}})
    assert said.value.field == "action.metadata"
    with pytest.raises(InvalidInput, match="more than 20000 values"):
        codec.decode_action({"tool": "t", "metadata": {str(i): {} for i in range(fields.MAX_VALUES + 1)}})
