"""Only verdicts leave: whatever a run holds, no piece of it is in what the sandbox sends."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import decode_report, encode_report
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import End, Message, Request, Result
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.gap import words
from kaizen_security.observer.gap.expectation import read_expectation
from kaizen_security.observer.gap.ledger import Ledger
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sandbox.outgoing import closed, fields
from tests.architecture.tree import ROOT

KEY = boundary_key(b"k" * 32)
CANARIES = (
    "zebra-quartz-41-vexing",
    "AKIAIOSFODNN7EXAMPLE",
    "s3cr3t pass phrase",
    "hunter2hunter2",
    "Grüße an alle 77",
)
TEXTS = st.sampled_from(CANARIES)
NAMES = st.sampled_from(["note", "path", "url", "to", "body", "password", "file"])
TEMPLATES = st.sampled_from(
    [
        "{}",
        "x {} y",
        "https://api.internal/{}?q={}#{}",
        "/home/agent/{}/x",
        "{}@api.internal",
        "https://u:{}@api.internal/",
        "a\n{}",
    ]
)
VALUES = st.builds(lambda template, text: template.format(text, text, text), TEMPLATES, TEXTS)
DOCUMENTS = st.recursive(
    VALUES, lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES | VALUES, below, max_size=3), max_leaves=6
)
EXPECTED = read_expectation({"reach": {"lookup_order": {"hosts": ["api.internal"], "always": True}}})


def leaving(steps, mode):
    """Every report of these steps, as bytes."""
    inspector = Inspector(Agents(boundary=KEY))
    declared = Declaration(tools=("lookup_order",), destinations=("api.internal",))
    inspector.configure("a", Bundle(agent="a", version=1, mode=mode, declaration=declared))
    ledger = Ledger("a", EXPECTED)
    sent = []

    def leave(action, verdict):
        sent.append(json.dumps(encode_report(closed(action, verdict, KEY)), ensure_ascii=False))

    for number, step in enumerate(steps):
        ledger.note(step, 1000.0 + number)
        if isinstance(step, Action):
            leave(step, inspector.observe(step))
        else:
            inspector.note(step)
    for gap in ledger.wake(5000.0):
        leave(words.action(gap), words.verdict(gap, mode))
    return sent


@given(
    arguments=DOCUMENTS,
    result=DOCUMENTS,
    said=VALUES,
    target=VALUES,
    tool=st.sampled_from(["lookup_order", "exfiltrate"]),
    mode=st.sampled_from(list(Mode)),
    extra=st.dictionaries(NAMES | TEXTS, DOCUMENTS, max_size=2),
)
def test_no_argument_result_rationale_or_secret_leaves(arguments, result, said, target, tool, mode, extra):
    call = Action(
        tool=tool,
        target=target,
        metadata={
            **extra,
            "source": "bedrock-trace",
            "arguments": arguments,
            "input": said,
            "params": {"command": "git log"},
        },
        id="c1",
        run_id="r",
        agent="a",
        at=1001.0,
    )
    effects = [
        Action("connect", target=host, metadata={"source": "egress", "note": said}, id=host, agent="a", at=1002.0)
        for host in ("attacker.example:443", "api.internal:443")
    ]
    file = Action("file", target=f"/home/agent/{said}", metadata={"source": "ebpf"}, id="f", agent="a", at=1002.0)
    ran = {"source": "ebpf", "argv": [said], "pid": 2, "ppid": 1}
    program = Action("exec", target=f"/home/agent/{said}", metadata=ran, id="p", agent="a", at=1002.0)
    steps = [
        Request(run_id="r", text=said, agent="a", at=1000.0),
        call,
        *effects,
        file,
        program,
        Message(run_id="r", text=said, agent="a", at=1003.0),
        Result(run_id="r", action_id="c1", content=result, agent="a", at=1003.0),
        End(run_id="r", agent="a", at=1004.0),
    ]
    sent = leaving(steps, mode)
    assert len(sent) >= 6
    assert any("unreported program" in text for text in sent)
    for text in sent:
        for canary in CANARIES:
            assert canary not in text
            assert json.dumps(canary)[1:-1] not in text


@given(said=VALUES, name=TEXTS)
def test_a_verdict_that_was_talked_into_it_says_nothing_either(said, name):
    verdict = Verdict(
        Decision.BLOCK,
        f"reasoning judge (malicious, confidence 0.9): {said}",
        (
            Finding(
                name, said, "policy", detection=name, field=name, expected=said, observed=said, advice=said, attack=name
            ),
            Finding(
                "undeclared tool",
                said,
                "declaration",
                detection="declaration",
                field=said,
                expected=said,
                observed=said,
            ),
        ),
        notes=(said,),
        confidence=0.9,
    )
    action = Action(target=said, metadata={"source": name, "method": name, "outcome": said, name: said}, agent="a")
    text = json.dumps(encode_report(closed(action, verdict, KEY)), ensure_ascii=False)
    assert [canary for canary in CANARIES if canary in text] == []


@given(said=VALUES)
def test_what_has_left_once_leaves_the_same_again(said):
    verdict = Verdict(Decision.ALLOW, "ok", (Finding("undeclared tool", said, detection="declaration", field="tool"),))
    action = Action(tool="t", target=said, metadata={"source": "sdk", "arguments": {"a": said}})
    once = closed(action, verdict, KEY)
    assert once.verdict is not None
    assert closed(once.action, once.verdict, KEY) == once


def test_the_schema_of_what_leaves_is_closed_and_published():
    import jsonschema

    schema = json.loads((ROOT / "spec/schema/sandbox-report.json").read_text())
    verdict = Verdict(
        Decision.BLOCK,
        "blocked by policy: malicious domain",
        (
            Finding(
                "malicious domain", "x.example", "policy:p", detection="policy", field="target", attack="blocked-host"
            ),
        ),
        confidence=0.95,
        at=1000.0,
    )
    action = Action(
        tool="t",
        target="x.example:443",
        metadata={"source": "egress", "bytes_up": 3, "sni": "x.example", "arguments": {"a": "b"}},
        id="1",
        run_id="r",
        agent="a",
        at=1000.0,
    )
    document = encode_report(closed(action, verdict, KEY))
    jsonschema.validate(document, schema)
    assert decode_report(document).action.target == "x.example:443"
    for path in ("action", "verdict"):
        broken = json.loads(json.dumps(document))
        broken[path]["arguments"] = {"a": "b"}
        try:
            jsonschema.validate(broken, schema)
        except jsonschema.ValidationError:
            continue
        raise AssertionError(f"{path} takes a field that is not listed")
    assert "action.metadata.facts[].hmac" in fields(document)


def test_all_advice_that_leaves_is_ours():
    assert all(one.ABOUT.advice == "" or one.ABOUT.advice.isprintable() for one in BUILTIN)
