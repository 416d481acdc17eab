"""``kaizen explain`` against a real control plane: contributions, origins, the timeline of the run, at eighty columns."""

from __future__ import annotations

import json

import pytest

from kaizen_security.cli import main
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Came, Part, Score
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.store.base import Origin
from tests.unit.console.site import running

SCORE = Score(
    value=3.5,
    threshold=1.25,
    probability=0.93,
    bias=-4.5,
    parts=(Part(name="place_far", weight=6.0, value=1.0), Part(name="told_far", weight=4.0, value=0.5)),
    steered=True,
    asked=0.2,
    effects=("paying",),
    told=0.8,
    came=(
        Came(field="recipient", kind="account", origin="text", tool="read_bill", path=".*"),
        Came(field="amount", kind="number", origin="user"),
    ),
)
FOUND = Finding(
    "value of untrusted origin",
    "~0123456789abcdef",
    "baseline",
    detection="provenance",
    advice="Look.",
    attack="injection",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("explain")) as started:
        yield started


@pytest.fixture
def explain(site, monkeypatch, capsys):
    monkeypatch.setenv("KAIZEN_API_URL", site.url)
    monkeypatch.setenv("KAIZEN_API_KEY", site._key)

    def run(*words):
        status = main(["explain", *words])
        return status, capsys.readouterr()

    return run


def step(n, tool="read_bill", **more):
    metadata = more.pop("metadata", {"source": "sdk"})
    return Action(tool=tool, run_id="r1", id=f"s{n}", agent="payer", at=1_900_000_000.0 + n, metadata=metadata, **more)


@pytest.fixture(scope="module")
def flagged(site):
    """The id of the flagged verdict of a run of five actions."""
    allowed = Verdict(Decision.ALLOW, "no policy matched")
    reason = "provenance: value of untrusted origin (~0123456789abcdef)."
    for n in (0, 1):
        site.keep(step(n), allowed)
    id_ = site.keep(step(2, "send_money"), Verdict(Decision.ALLOW, reason, (FOUND,), score=SCORE))
    site.keep(step(2, "send_money"), allowed, origin=Origin.CLAIM)
    site.keep(step(3, "", kind="connect", target="bank.example:443", metadata={"source": "egress"}), allowed)
    site.keep(step(4, "evil\x1b[2Jtool", target="x" * 300), allowed)
    return id_


def test_each_contribution_is_shown_with_weight_value_and_share(explain, flagged):
    status, said = explain(flagged)
    assert status == 0
    assert "score 3.50 (flagged above 1.25), probability 0.93 of serving somebody else" in said.out
    assert "place_far          +6.00 =  6.00 x 1.00   75%" in said.out
    assert "told_far           +2.00 =  4.00 x 0.50   25%" in said.out
    assert "base               -4.50" in said.out
    assert "the request speaks of nothing of the kind; the call is paying" in said.out
    assert "by its score of 3.50; flags by itself; blocks in enforce mode" in said.out


def test_where_each_value_came_from_is_said_in_words(explain, flagged):
    _, said = explain(flagged)
    assert "recipient              account      only free text of a result of read_bill" in said.out
    assert "amount                 number       the user said it" in said.out


def test_the_timeline_has_every_action_of_the_run_once_and_marks_this_one(explain, flagged):
    _, said = explain(flagged)
    lines = said.out[said.out.index("Its run, 5 actions") :].splitlines()[1:]
    steps = [line for line in lines if line[2:4].isdigit()]
    assert [line.split()[-1] if "+" not in line else "flag" for line in steps] == ["allow"] * 2 + ["flag"] + [
        "allow"
    ] * 2
    (marked,) = [line for line in steps if line.startswith(">")]
    assert "send_money" in marked
    assert marked.endswith(("flag  +3.5/1.2", "flag  +3.5/1.3"))
    assert "3 egress" in steps[3]
    assert any("recipient from only free text of a result of read_bill" in line for line in lines)


def test_it_fits_eighty_columns_and_drives_no_terminal(explain, flagged):
    _, said = explain(flagged)
    timeline = said.out[said.out.index("Its run") :].splitlines()[1:]
    assert max(map(len, timeline)) <= 80
    assert "\x1b" not in said.out
    assert "evil\\x1b[2Jtool" in said.out


def test_for_machines_the_same_is_one_document(explain, flagged):
    status, said = explain(flagged, "--json")
    told = json.loads(said.out)
    assert status == 0
    assert told["contributions"][0] == {"name": "place_far", "weight": 6.0, "value": 1.0, "points": 6.0, "share": 0.75}
    assert told["verdict"]["score"]["came"][0]["origin"] == "text"
    assert len(told["run"]) == 6
    assert len(told["same_action"]) == 2


def test_a_lone_verdict_without_a_score_is_explained_too(explain, site):
    blocked = Finding("malicious domain", "a.example", "policy:list", detection="policy", field="target")
    verdict = Verdict(Decision.BLOCK, "blocked by policy: malicious domain", (blocked,))
    status, said = explain(site.keep(Action(tool="get", target="a.example", id="alone"), verdict))
    assert status == 0
    assert said.out.startswith("BLOCK  blocked by policy: malicious domain")
    assert "blocks by itself, in every mode" in said.out
    assert "Its run" not in said.out
    assert "score" not in said.out


def test_a_verdict_that_is_not_there_is_said(explain):
    status, said = explain("0000000000000000")
    assert status == 1
    assert "there is no such verdict" in said.err
