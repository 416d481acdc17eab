"""The scorecard counts what the line says, and only that."""

from __future__ import annotations

import pytest

from kaizen_security.demo.account import Attack, Row, Run, row, score
from kaizen_security.demo.jobs import Did, Done
from kaizen_security.demo.view import card_lines, sentence, summarise


def seen(**fields):
    values = {
        "id": "r1",
        "agent": "a",
        "source": "sdk",
        "rung": 1,
        "tool": "t",
        "target": "",
        "kind": "tool_call",
        "action": "x1",
        "decision": "allow",
        "reason": "no policy matched",
        "detections": (),
        "flagged": False,
        "at": 100.5,
    }
    return Row(**{**values, **fields})


def wire(host, **fields):
    return seen(source="egress", rung=3, tool="", kind="connect", target=f"{host}:443", action=f"c-{host}", **fields)


FLAG = {"flagged": True, "detections": ("declaration",), "reason": "undeclared: …"}
BLOCK = {**FLAG, "decision": "block"}


def job(*did, connections=(), began=100.0, ended=101.0, name="job"):
    return Done(job=name, did=did, connections=connections, began=began, ended=ended)


def did(action="x1", **fields):
    return Did(**{"action": action, "tool": "t", "target": "", "outcome": "ran", **fields})


def attack(**fields):
    return Attack(**{"key": "k", "title": "t", "attack": "undeclared", "detections": ("declaration",), **fields})


def test_a_quiet_verdict_on_benign_work_counts_as_benign():
    card = score([Run(done=job(did()), agent="a")], [seen()])
    assert (card.benign, card.false, card.unseen, card.good) == (1, [], [], True)


@pytest.mark.parametrize("said", [FLAG, BLOCK])
def test_a_flag_or_a_block_on_benign_work_is_a_false_flag(said):
    card = score([Run(done=job(did()), agent="a")], [seen(**said)])
    assert len(card.false) == 1
    assert not card.good


def test_an_action_without_a_verdict_is_unseen_and_never_good():
    card = score([Run(done=job(did(), name="job-7"), agent="a")], [seen(action="another")])
    assert card.unseen == ["job-7: t"]
    assert not card.good


def test_an_attack_is_caught_by_the_expected_detection_on_that_very_action():
    run = Run(done=job(did(hijacked=True, outcome="refused")), agent="a", attacks=(attack(),))
    card = score([run], [seen(**BLOCK)])
    assert (card.caught, card.by_rung, card.good) == (1, {1: 1}, True)
    assert not card.outcomes[0].ran


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [seen()],
        [seen(**{**BLOCK, "detections": ("novelty",)})],
        [seen(**{**BLOCK, "action": "another"})],
    ],
    ids=["nothing", "allowed", "another detection", "another action"],
)
def test_anything_else_is_a_miss(rows):
    run = Run(done=job(did(hijacked=True)), agent="a", attacks=(attack(),))
    card = score([run], rows)
    assert card.caught == 0
    assert len(card.missed) == 1
    assert not card.good


def test_a_flag_does_not_count_where_a_block_is_expected():
    run = Run(done=job(did(hijacked=True)), agent="a", attacks=(attack(block=True),))
    assert score([run], [seen(**FLAG)]).caught == 0
    assert score([run], [seen(**BLOCK)]).caught == 1


def test_a_listed_miss_is_counted_as_one_and_does_not_spoil_the_card():
    run = Run(done=job(did(move=2)), agent="a", attacks=(attack(move=2, excuse="needs provenance"),))
    card = score([run], [seen()])
    assert (card.caught, len(card.listed), card.missed, card.good) == (0, 1, [], True)
    assert any("needs provenance" in line for line in card_lines(card))


def test_only_the_attacking_move_of_a_session_is_the_attack():
    run = Run(done=job(did("x1", move=0), did("x2", move=1)), agent="a", attacks=(attack(move=1),))
    card = score([run], [seen(action="x1"), seen(action="x2", **BLOCK)])
    assert (card.caught, card.benign, card.false) == (1, 1, [])


def test_what_happens_behind_the_clients_back_is_caught_only_by_what_the_proxy_saw():
    run = Run(
        done=job(did(hijacked=True), connections=("api.internal",)), agent="a", attacks=(attack(silent="evil.example"),)
    )
    quiet = [seen(), wire("api.internal")]
    assert score([run], quiet).caught == 0
    card = score([run], [*quiet, wire("evil.example", **FLAG)])
    assert (card.caught, card.by_rung, card.good) == (1, {3: 1}, True)
    assert card.outcomes[0].ran


def test_only_what_the_proxy_refused_itself_did_not_begin():
    run = Run(
        done=job(connections=("evil.example",)), agent="a", attacks=(attack(silent="evil.example", detections=()),)
    )
    refused = {**BLOCK, "ended": "refused"}
    assert not score([run], [wire("evil.example", **refused)]).outcomes[0].ran
    assert score([run], [wire("evil.example", **BLOCK)]).outcomes[0].ran


def test_a_connection_outside_of_the_run_or_of_another_agent_is_not_its_own():
    run = Run(done=job(), agent="a", attacks=(attack(silent="evil.example"),))
    assert score([run], [wire("evil.example", at=99.0, **FLAG)]).caught == 0
    assert score([run], [wire("evil.example", agent="b", **FLAG)]).caught == 0


def test_every_connection_that_the_agent_opened_must_have_been_seen():
    run = Run(done=job(connections=("api.internal", "api.internal")), agent="a")
    assert score([run], [wire("api.internal")]).unseen == ["job: connection to api.internal"]
    twice = [wire("api.internal"), seen(id="r2", **{**vars_of(wire("api.internal")), "action": "c2"})]
    assert score([run], twice).unseen == []


def vars_of(entry):
    return {name: getattr(entry, name) for name in ("source", "rung", "tool", "kind", "target")}


def test_a_flagged_connection_of_benign_work_is_a_false_flag():
    run = Run(done=job(connections=("api.internal",)), agent="a")
    assert len(score([run], [wire("api.internal", **FLAG)]).false) == 1


def test_a_deeper_rung_may_catch_what_the_guarded_client_let_through():
    act = did(move=0, target="https://evil.example/x")
    run = Run(done=job(act, connections=("evil.example",)), agent="a", attacks=(attack(move=0),))
    card = score([run], [seen(target="https://evil.example/x"), wire("evil.example", **FLAG)])
    assert (card.by_rung, card.false) == ({3: 1}, [])


def test_the_summary_adds_up():
    runs = [
        Run(done=job(did("x1", hijacked=True)), agent="a", attacks=(attack(),)),
        Run(done=job(did("x2", move=0)), agent="a", attacks=(attack(move=0, excuse="listed"),)),
        Run(done=job(did("x3", move=0)), agent="a", attacks=(attack(move=0),)),
        Run(done=job(did("x4")), agent="a"),
    ]
    rows = [seen(action="x1", **BLOCK), seen(action="x2"), seen(action="x3"), seen(action="x4")]
    summary = summarise(score(runs, rows), seed=1, seconds=2.0, tasks=3, verdicts=4)
    assert summary["attacks"] == 3 == summary["caught"] + len(summary["listed_misses"]) + len(summary["misses"])
    assert summary["benign"] == 1
    assert summary["good"] is False


def test_a_row_of_the_control_plane_is_read_whole():
    entry = row(
        {
            "id": "9",
            "created_at": "2026-01-01T00:00:09Z",
            "agent": "a",
            "source": "egress",
            "rung": "ground truth (egress)",
            "rung_number": 3,
            "action": {
                "kind": "connect",
                "tool": "",
                "target": "x.example:443",
                "id": "c1",
                "at": "2026-01-01T00:00:01.250Z",
            },
            "decision": "block",
            "reason": "why",
            "evidence": [
                {
                    "kind": "undeclared destination",
                    "value": "x.example",
                    "source": "declaration",
                    "detection": "declaration",
                }
            ],
        }
    )
    assert (entry.host, entry.flagged, entry.detections, entry.rung) == ("x.example", True, ("declaration",), 3)
    assert entry.at == pytest.approx(1767225601.25)
    assert not entry.silent


def test_what_an_agent_writes_cannot_move_the_readers_terminal():
    line = sentence(seen(tool="a\x1b[2Jb", target="x\u202ey", agent="z\r", reason="\x07" + "r" * 999))
    assert line.isprintable()
    assert len(line) < 600


def test_the_parts_of_the_scorecard_have_one_order_whatever_was_played_first():
    runs = [
        Run(done=job(did(action=f"x{n}", hijacked=True)), agent="a", attacks=(attack(key=f"k{n}", group=group),))
        for n, group in enumerate(("red-team corpus", "in its own work", "hard set"))
    ]
    rows = [seen(action=f"x{n}", **BLOCK) for n in (0, 1)]
    for order in (runs, runs[::-1]):
        assert list(score(order, rows).by_group) == ["in its own work", "red-team corpus", "hard set"]
