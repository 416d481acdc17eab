"""``kaizen baseline`` over a sidecar's data directory."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from kaizen_security.cli import main
from kaizen_security.contract.action import Action
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.observer.learners.rate import Flow
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.sidecar.shelf import DiskShelf

AGENT = "orders-agent"


@pytest.fixture
def data(tmp_path):
    shelf = DiskShelf(tmp_path / "data", "")
    baseline = Baseline(replica=shelf.replica)
    for n in range(30):
        baseline.learn(features(Action(tool=("search", "order")[n % 2], target="https://shop.example/")))
    shelf.save(AgentKey("", AGENT), baseline.to_json())
    return tmp_path / "data"


def kaizen(capsys, data, *words):
    status = main(["baseline", *words, "--data", str(data)])
    return status, capsys.readouterr()


def stored(data, agent=AGENT):
    return Baseline.from_json(DiskShelf(data, "").load(AgentKey("", agent)))


def lines(path, *tools, run="r1"):
    with path.open("w") as file:
        for n, tool in enumerate(tools):
            action = {"id": f"{run}-{n}", "kind": "tool_call", "tool": tool, "run_id": run}
            file.write(json.dumps({"agent": AGENT, "action": action}) + "\n")
    return str(path)


def test_show_says_what_was_learned_and_what_moving_it_costs(capsys, data):
    status, said = kaizen(capsys, data, "show")
    assert status == 0
    assert f"{AGENT}: 30 observations" in said.out
    assert "order (15), search (15)" in said.out
    assert "told.tool          1; it abstains for" in said.out
    _, said = kaizen(capsys, data, "show", "--json")
    document = json.loads(said.out)
    assert document["seen"] == 30
    assert document["bytes"] < 64 * 1024
    assert document["poisoning_budget"]["told.amounts"] == {"known": 0, "doubling": None}


def test_what_is_exported_is_imported_once_however_often(capsys, data, tmp_path):
    out = tmp_path / "base.json"
    assert kaizen(capsys, data, "export", "--output", str(out))[0] == 0
    other = tmp_path / "other"
    shelf = DiskShelf(other, "")
    mine = Baseline(replica=shelf.replica)
    mine.learn(features(Action(tool="mail")))
    shelf.save(AgentKey("", AGENT), mine.to_json())
    for _ in range(3):
        assert kaizen(capsys, other, "import", str(out), "--yes")[0] == 0
    assert stored(other).seen == 31
    assert {row["value"] for row in stored(other).profile()["tool"]} == {"search", "order", "mail"}


def test_nothing_is_written_without_yes(capsys, data):
    before = stored(data).to_json()
    status, said = kaizen(capsys, data, "reset")
    assert status == 1
    assert "- tool search" in said.out
    assert "Nothing was written" in said.out
    assert stored(data).to_json() == before
    assert kaizen(capsys, data, "reset", "--yes")[0] == 0
    assert stored(data).seen == 0


def test_a_new_agent_starts_from_its_roles_baseline(capsys, data, tmp_path):
    out = tmp_path / "base.json"
    kaizen(capsys, data, "export", "--output", str(out))
    words = ("import", str(out), str(out), "--agent", "orders-agent-2", "--start", "--yes")
    assert kaizen(capsys, data, *words)[0] == 0
    assert stored(data, "orders-agent-2").seen == 60
    assert kaizen(capsys, data, *words)[0] == 2


def test_learning_takes_what_nobody_flags_and_never_an_attack(capsys, data, tmp_path):
    status, said = kaizen(capsys, data, "learn", lines(tmp_path / "a.jsonl", "search", "refund"), "--yes", "--json")
    assert status == 0
    assert json.loads(said.out)["learned"]["tool"] == ["refund"]
    run = {
        "id": "x",
        "agent": AGENT,
        "user_task": "do",
        "label": "attack",
        "steps": [{"role": "call", "tool": "steal", "args": {}}],
    }
    (tmp_path / "b.jsonl").write_text(json.dumps(run) + "\n")
    kaizen(capsys, data, "learn", str(tmp_path / "b.jsonl"), "--yes")
    assert "steal" not in {row["value"] for row in stored(data).profile()["tool"]}


def test_diff_names_what_only_one_knows(capsys, data, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    kaizen(capsys, data, "export", "--output", str(first))
    kaizen(capsys, data, "learn", lines(tmp_path / "a.jsonl", "refund"), "--yes")
    kaizen(capsys, data, "export", "--output", str(second))
    status, said = kaizen(capsys, data, "diff", str(first), str(second))
    assert (status, said.out) == (1, "+ tool refund\n")
    assert kaizen(capsys, data, "diff", str(first), str(first))[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("diff", "one"), "diff takes two files"),
        (("import",), "import takes files"),
        (("import", "no-such-file"), "there is no such file"),
        (("learn", "no-such-file", "--yes"), "no-such-file"),
    ],
)
def test_wrong_use_is_said(capsys, data, words, says):
    status, said = kaizen(capsys, data, *words)
    assert status == 2
    assert says in said.err


def test_a_folder_that_is_no_data_directory_is_refused(capsys, tmp_path):
    assert kaizen(capsys, tmp_path, "show")[0] == 2


@pytest.mark.parametrize(("year", "status"), [(2024, 0), (2999, 2), (9999, 2)])
def test_what_states_times_that_are_still_to_come_is_not_read_in(capsys, data, tmp_path, year, status):
    # Until that year nothing new would count as recent: neither a slow change nor a flow over time would be seen.
    runs, exported = tmp_path / "a.jsonl", tmp_path / "other.json"
    action = {"kind": "http", "tool": "order", "target": "https://shop.example/", "run_id": "r", "id": "1"}
    line = {"agent": AGENT, "action": {**action, "at": f"{year}-01-01T00:00:00Z", "metadata": {"bytes_up": 9}}}
    runs.write_text(json.dumps(line))
    before = stored(data).to_json()
    found, said = kaizen(capsys, data, "learn", str(runs), "--yes")
    assert (found, "still to come" in said.err) == (status, status == 2)
    assert (stored(data).to_json() == before) is (status == 2)
    theirs = Baseline(replica="theirs")
    theirs.behaviour.rate.learn_one(Flow(1, 9.0, datetime(year, 1, 1, tzinfo=UTC).timestamp()))
    exported.write_text(json.dumps(theirs.to_json()))
    assert kaizen(capsys, data, "import", str(exported), "--yes")[0] == status


def test_a_sidecar_is_asked_at_the_address_that_was_stated(capsys, data, tmp_path):
    status, said = kaizen(capsys, data, "show", "--agent", AGENT, "--sidecar", f"unix://{tmp_path}/elsewhere.sock")
    assert (status, said.out) == (3, "")
    assert f"cannot reach unix://{tmp_path}/elsewhere.sock" in said.err
