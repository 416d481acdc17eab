"""What a score is made of: bounded and checked on arrival, and no name of anybody's choice leaves in it."""

from __future__ import annotations

import pytest

from kaizen_security.contract.boundary import boundary_key, outward_verdict
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.score import EFFECTS, KINDS, Came, Part, Score, decode_score, encode_score
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.effects import Effect
from kaizen_security.observer.entities import Kind

KEY = boundary_key(b"sixteen bytes and more")
CANARY = "kz-canary-8f3e2b1a"
SCORE = Score(value=3.5, threshold=1.25, bias=-4.0, parts=(Part(name="place_far", weight=5.0, value=1.0),))


def test_parts_are_shares_of_all_that_speaks_against_the_call():
    score = Score(value=1.0, parts=(Part(name="a", weight=3.0, value=1.0), Part(name="b", weight=2.0, value=0.5)))
    assert [score.share(one) for one in score.parts] == [0.75, 0.25]
    assert Score(value=0.0).share(Part(name="a", weight=0.0, value=0.0)) == 0.0


def test_the_kinds_of_the_wire_are_those_of_the_observer():
    assert set(KINDS) == {kind.value for kind in Kind}
    assert set(EFFECTS) == {effect.value for effect in Effect}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"value": "high"}, "score.value"),
        ({"value": True}, "score.value"),
        ({"value": 1e9}, "score.value"),
        ({"value": float("nan")}, "score.value"),
        ({"probability": 1.5}, "score.probability"),
        ({"parts": [{"name": "words of mine", "weight": 1, "value": 1}]}, "score.parts[0].name"),
        ({"parts": [{"name": "a", "weight": -1, "value": 1}]}, "score.parts[0].weight"),
        ({"parts": [{"name": "a"}] * 33}, "score.parts"),
        ({"came": [{"kind": "secret", "origin": "user"}]}, "score.came[0].kind"),
        ({"came": [{"kind": "host", "origin": "somewhere"}]}, "score.came[0].origin"),
        ({"came": [7]}, "score.came[0]"),
        ({"wanted": ["my own words"]}, "score.wanted"),
        ({"effects": "paying"}, "score.effects"),
    ],
)
def test_what_is_no_score_is_refused_by_field(change, field):
    with pytest.raises(InvalidInput) as caught:
        decode_score(encode_score(SCORE) | change, "score")
    assert caught.value.field == field


def test_names_that_an_agent_or_a_third_party_chose_leave_as_hashes():
    came = Came(field=f"headers.{CANARY}[]", kind="text", origin="field", tool=CANARY, path=f"rows[].{CANARY}.to")
    verdict = Verdict(Decision.ALLOW, "ok", score=Score(value=1.0, came=(came,)))
    (sent,) = outward_verdict(verdict, KEY).score.came
    assert CANARY not in repr(sent)
    assert (sent.field.split(".")[0], sent.path.split(".")[0], sent.path.split(".")[2]) == ("headers", "rows[]", "to")
    assert sent.field.endswith("[]")
    again = outward_verdict(outward_verdict(verdict, KEY), boundary_key(b"another secret of somebody"))
    assert again.score.came == (sent,)
