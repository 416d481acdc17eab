"""Replay: which documents it takes, recorded runs, determinism, the recorded runs of real models."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from kaizen_security.cli import main
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.runtime.replay import RecordedRun, Replayer

TRACES = Path(__file__).parents[4] / "shared" / "traces"


def replayer(**settings):
    return Replayer(Bundle(agent="", version=1, declaration=Declaration(tools=("search",))), **settings)


def recorded(tools, **changes):
    steps = []
    for i, tool in enumerate(tools):
        steps.append({"role": "call", "tool": tool, "args": {"q": i}, "id": f"c{i}", "attack": tool == "wire"})
        steps.append({"role": "result", "tool": tool, "content": "text", "id": f"c{i}", "error": None})
    base = {"id": "r1", "agent": "bank", "user_task": "do it", "steps": steps, "label": "benign", "meta": {}}
    return base | changes


def test_an_action_a_report_and_a_step_are_told_apart():
    one = replayer()
    action = {"tool": "search", "id": "x", "agent": "a"}
    (asked,) = one.take({"agent": "a", "action": action})
    assert one.inspector.profile("a")["seen"] == 0
    (told,) = one.take({"agent": "a", "action": action, "verdict": {"decision": "allow", "reason": "ok"}})
    assert told.verdict == asked.verdict
    assert one.inspector.profile("a")["seen"] == 1
    (stepped,) = one.take({"step": "action", "tool": "search", "agent": "a"})
    assert stepped.verdict.allowed
    assert list(one.take({"step": "end", "run_id": "r", "agent": "a"})) == []
    (bare,) = one.take({"tool": "upload"})
    assert (bare.action.agent, bare.verdict.flagged) == ("default", True)


def test_what_a_client_refused_is_not_learned():
    one = replayer()
    list(one.take({"agent": "a", "action": {"tool": "search"}, "verdict": {"decision": "block", "reason": "no"}}))
    list(one.take({"tool": "search", "agent": "a", "at": "2030-01-01T00:00:00Z"}))
    assert one.inspector.profile("a")["seen"] == 0


def test_a_recorded_run_goes_the_whole_way_from_request_to_end():
    one = replayer()
    (run,) = one.take(recorded(["search", "wire"]))
    assert isinstance(run, RecordedRun)
    assert [judged.key for judged in run.judged] == [False, True]
    assert run.judged[1].verdict.reason.startswith("undeclared: ")
    assert one.inspector.profile("bank")["seen"] == 0, "a flagged run teaches nothing"
    list(one.take(recorded(["search", "search"], id="r2")))
    assert one.inspector.profile("bank")["learned"]["tool"] == [{"value": "search", "count": 1}]


def test_without_learning_baselines_stay_empty():
    one = replayer(learn=False)
    for n in range(5):
        list(one.take(recorded(["search"], id=f"r{n}")))
    assert one.inspector.profile("bank")["seen"] == 0


def test_only_one_agent_is_taken_when_one_is_named():
    one = replayer(only="a")
    assert len(list(one.take({"tool": "x", "agent": "a"}))) == 1
    assert len(list(one.take({"tool": "x"}))) == 1
    assert list(one.take({"tool": "x", "agent": "b"})) == []
    assert list(one.take(recorded(["search"]))) == []


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"tool": 7},
        {"step": "dance"},
        {"user_task": "x", "steps": [7]},
        {"user_task": "x", "steps": [{"role": "singer"}]},
        {"user_task": "x", "steps": "many"},
        {"user_task": "x", "steps": [{"role": "call", "tool": 7}]},
    ],
)
def test_what_is_none_of_these_is_refused(document):
    with pytest.raises(InvalidInput):
        list(replayer().take(document))


def test_the_answer_key_names_the_outcome_and_no_detection_sees_it():
    def outcome(**changes):
        (run,) = replayer().take(recorded(["search"], **changes))
        return run.outcome

    assert outcome() == "benign"
    assert outcome(meta={"kind": "authorised_injection_goal"}) == "authorised goal"
    assert outcome(label="attack", meta={"success_clean": True, "exposure_step": 1}) == "attack succeeded"
    assert outcome(label="attack", meta={"exposure_step": 1}) == "attack failed"
    assert outcome(label="attack", meta={"exposure_step": None}) == "attack never read"
    assert outcome(label="attack", meta={"label_void": True}) == "void"


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_command_goes_on_after_a_bad_line_names_it_and_ends_with_1(tmp_path, capsys):
    file = tmp_path / "x.jsonl"
    file.write_text('{"tool": "a"}\n{"tool": 7}\nnonsense\n\n{"tool": "b"}\n')
    assert main(["replay", str(file)]) == 1
    said = capsys.readouterr()
    assert "2 actions: 2 allowed" in said.out
    assert f"{file}:2: action.tool: must be text" in said.err
    assert f"{file}:3: " in said.err


def test_the_command_reads_gz_and_standard_input(tmp_path, capsys, monkeypatch):
    line = b'{"tool": "a"}\n'
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(line * 3))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line * 2)))
    assert main(["replay", str(tmp_path / "x.jsonl.gz"), "-", "--json"]) == 0
    out = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert out[-1]["summary"]["actions"] == 5
    assert {one["decision"] for one in out[:-1]} == {"allow"}


def test_policy_and_declaration_may_be_toml(tmp_path, capsys):
    (tmp_path / "p.toml").write_text('[[policies]]\nmode = "blocklist"\nrules = {domains = ["attacker.example"]}\n')
    (tmp_path / "d.toml").write_text('tools = ["search"]\n')
    (tmp_path / "x.jsonl").write_text('{"tool": "upload"}\n{"kind": "connect", "target": "attacker.example:443"}\n')
    flags = ["--policy", str(tmp_path / "p.toml"), "--declaration", str(tmp_path / "d.toml")]
    assert main(["replay", str(tmp_path / "x.jsonl"), *flags]) == 0
    assert "2 actions: 0 allowed, 1 flagged, 1 blocked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl cannot be read"),
        (["x.jsonl", "--policy", "nowhere.json"], "nowhere.json cannot be read"),
        (["x.jsonl", "--policy", "bad.json"], "policies[0].mode"),
        (["x.jsonl", "--declaration", "bad.toml"], "bad.toml"),
        (["cut.jsonl.gz"], "cut.jsonl.gz cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, capsys, monkeypatch, flags, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text('{"tool": "a"}\n')
    (tmp_path / "bad.json").write_text('[{"mode": 7}]')
    (tmp_path / "bad.toml").write_text("= = =")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"tool": "a"}\n' * 1000)[:-20])
    assert main(["replay", *flags]) == 1
    assert says in capsys.readouterr().err


def test_a_terminal_is_not_driven_by_what_an_agent_writes(tmp_path, capsys):
    (tmp_path / "x.jsonl").write_text(json.dumps({"tool": "a\x1b[2J", "agent": "b\x07"}) + "\n")
    main(["replay", str(tmp_path / "x.jsonl")])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.skipif(not TRACES.is_dir(), reason="the recorded runs are not beside this checkout (../shared/traces)")
def test_recorded_runs_of_real_models_go_through_and_give_the_same_each_time(tmp_path, capsys):
    with gzip.open(TRACES / "agentdyn.dev.jsonl.gz") as file:
        some = [next(file) for _ in range(60)]
    (tmp_path / "some.jsonl").write_bytes(b"".join(some))
    outputs = []
    for _ in range(2):
        assert main(["replay", str(tmp_path / "some.jsonl"), "--json", "--all"]) == 0
        out = capsys.readouterr().out.splitlines()
        summary = json.loads(out[-1])["summary"]
        outputs.append(out[:-1])
    assert outputs[0] == outputs[1]
    calls = sum(step["role"] == "call" for line in some for step in json.loads(line)["steps"])
    assert summary["actions"] == calls == len(outputs[0])
    assert summary["recorded_runs"]["shopping"]["runs"] == 60
