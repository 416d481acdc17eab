"""``kaizen replay`` as a command: what would change, exit status, several processes, rows of a control plane."""

from __future__ import annotations

import gzip
import json
import random

import pytest

from kaizen_security.cli import main
from kaizen_security.cli.recorded.served import moment
from kaizen_security.contract.errors import Misconfigured

BLOCK = '[[policies]]\nmode = "blocklist"\nname = "new list"\nrules = {domains = ["attacker.example"]}\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAIZEN_API_KEY", raising=False)
    (tmp_path / "new.toml").write_text(BLOCK)
    return tmp_path


def row(n, target, agent="billing", tool="get"):
    return {
        "id": f"row-{n}",
        "created_at": "2030-01-01T00:00:00Z",
        "agent": agent,
        "action": {"tool": tool, "target": target, "id": f"a{n}"},
        "decision": "allow",
        "reason": "no policy matched",
    }


def write(path, documents):
    path.write_text("".join(json.dumps(one) + "\n" for one in documents))
    return str(path)


def test_what_a_policy_would_change_is_shown_in_groups_with_an_example(here, capsys):
    rows = [row(n, "https://drop.attacker.example/x") for n in range(3)] + [row(9, "api.example:443")]
    assert main(["replay", write(here / "rows.jsonl", rows), "--diff", "--policy", "new.toml"]) == 0
    said = capsys.readouterr().out
    assert "newly blocked: 3" in said
    assert "     3  billing  get drop.attacker.example" in said
    assert "2030-01-01 00:00:00 row-0" in said
    assert "would be: blocked by policy: malicious domain" in said
    assert "3 of 4 verdicts would change." in said
    assert "\x1b" not in said


def test_for_machines_it_is_one_document(here, capsys):
    rows = [row(0, "https://drop.attacker.example/x"), row(1, "the second drawer ~0123456789abcdef")]
    assert main(["replay", write(here / "rows.jsonl", rows), "--diff", "--policy", "new.toml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["changes"]["newly blocked"] == told["changes"]["cannot tell"] == 1
    assert told["missing_facts"] == {"target": 1}
    assert told["groups"][0]["example"]["row"] == "row-0"


@pytest.mark.parametrize(
    ("flags", "status"),
    [([], 0), (["new-blocks"], 1), (["new-flags"], 0), (["new-flags", "any-change"], 1), (["cannot-tell"], 0)],
)
def test_the_exit_status_is_what_ci_asked_for(here, capsys, flags, status):
    name = write(here / "rows.jsonl", [row(0, "https://drop.attacker.example/x")])
    words = ["replay", name, "--diff", "--policy", "new.toml", *(word for one in flags for word in ("--fail-on", one))]
    assert main(words) == status


def test_actions_without_a_verdict_are_judged_against_the_policies_in_force_now(here, capsys):
    (here / "now.toml").write_text(BLOCK.replace("attacker.example", "old.example"))
    name = write(here / "x.jsonl", [{"target": "old.example:443"}, {"target": "attacker.example:443"}, {"tool": "a"}])
    assert main(["replay", name, "--policy", "new.toml", "--against", "now.toml", "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert (changes["newly blocked"], changes["newly allowed"], changes["unchanged"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give either FILEs or --from-server"),
        (["x.jsonl", "--from-server", "--policy", "new.toml"], "give either FILEs or --from-server"),
        (["x.jsonl", "--diff"], "nothing would change"),
        (["x.jsonl", "--jobs", "0"], "--jobs must be"),
        (["-", "--jobs", "2"], "--jobs needs files"),
        (["x.jsonl", "--since", "7d"], "--since and --until choose"),
        (["--from-server", "--policy", "new.toml"], "set KAIZEN_API_KEY"),
        (["x.jsonl", "--diff", "--baseline", "new.toml"], "new.toml: baseline.format"),
        (["x.jsonl", "--diff", "--policy", "bad.json"], "skill_patterns"),
    ],
)
def test_what_was_used_wrongly_is_named(here, capsys, words, says):
    write(here / "x.jsonl", [{"tool": "a"}])
    (here / "bad.json").write_text('[{"mode": "blocklist", "rules": {"skill_patterns": ["("]}}]')
    assert main(["replay", *words]) == 1
    assert says in capsys.readouterr().err


def test_moments_are_instants_or_so_long_ago():
    assert moment("90m", 10_000.0, "--since") == 4600.0
    assert moment("2001-09-09T01:46:40Z", 0.0, "--since") == 1_000_000_000.0
    for wrong in ("yesterday", "5w", "2001-09-09"):
        with pytest.raises(Misconfigured, match="--since"):
            moment(wrong, 0.0, "--since")


# --- several processes ------------------------------------------------------------------------------------------------------


def lines(seed=1):
    """Actions, rows and runs of seven agents, and lines that cannot be read."""
    chance = random.Random(seed)
    for n in range(120):
        agent = f"agent-{chance.randrange(7)}"
        match chance.randrange(5):
            case 0:
                yield json.dumps(row(n, "attacker.example:443", agent))
            case 1:
                steps = [{"role": "call", "tool": chance.choice(["a", "b"]), "args": {"q": n}}]
                yield json.dumps({"id": f"r{n}", "agent": agent, "user_task": "x", "steps": steps, "label": "benign"})
            case 2:
                yield chance.choice(["nonsense", '{"tool": 7}', "[]"])
            case _:
                yield json.dumps({"agent": agent, "tool": chance.choice(["a", "b"]), "target": "attacker.example"})


@pytest.mark.parametrize("more", [[], ["--json"], ["--diff", "--json"], ["--diff", "--all"]])
def test_several_processes_say_the_same_in_the_same_order_as_one(here, capsys, more):
    (here / "x.jsonl.gz").write_bytes(gzip.compress("\n".join(lines()).encode()))
    said = []
    for jobs in ("1", "3"):
        assert main(["replay", "x.jsonl.gz", "--policy", "new.toml", "--all", *more, "--jobs", jobs]) == 1
        output = capsys.readouterr()
        kept = [line for line in output.out.splitlines() if "a minute" not in line and "_minute" not in line]
        said.append((kept if "--json" not in more or "--diff" not in more else without_time(output.out), output.err))
    assert said[0] == said[1]
    assert "x.jsonl.gz:" in said[0][1]


def without_time(out):
    told = json.loads(out)
    return [json.dumps({key: value for key, value in told.items() if key not in ("seconds", "actions_per_minute")})]


# --- another version ---------------------------------------------------------------------------------------------------------


def test_verdicts_are_compared_with_those_that_another_version_printed(here, capsys):
    (here / "x.jsonl.gz").write_bytes(gzip.compress("\n".join(lines()).encode()))
    assert main(["replay", "x.jsonl.gz", "--json", "--all"]) == 1
    (here / "old.jsonl").write_text(capsys.readouterr().out)
    assert main(["replay", "x.jsonl.gz", "--against-verdicts", "old.jsonl", "--json"]) == 1, "lines that cannot be read"
    same = json.loads(capsys.readouterr().out)
    assert same["changes"]["unchanged"] == same["actions"] > 20
    words = ["replay", "x.jsonl.gz", "--against-verdicts", "old.jsonl", "--policy", "new.toml", "--json", "--jobs", "2"]
    assert main(words) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["changes"]["newly blocked"] > 10
    assert told["changes"]["newly blocked"] + told["changes"]["unchanged"] == told["actions"] == same["actions"]


def test_a_verdict_that_the_other_version_did_not_print_is_not_guessed(here, capsys):
    write(here / "x.jsonl", [{"tool": "a"}, {"tool": "b"}])
    assert main(["replay", "x.jsonl", "--json", "--all"]) == 0
    (here / "old.jsonl").write_text(capsys.readouterr().out.splitlines()[0] + "\n")
    assert main(["replay", "x.jsonl", "--against-verdicts", "old.jsonl", "--json", "--fail-on", "cannot-tell"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["changes"]["unchanged"], told["missing_facts"]) == (1, {"the other verdict": 1})


def test_a_file_that_replay_did_not_print_is_named(here, capsys):
    write(here / "x.jsonl", [{"tool": "a"}])
    (here / "old.jsonl").write_text('{"decision": "maybe"}\n')
    assert main(["replay", "x.jsonl", "--against-verdicts", "old.jsonl"]) == 1
    assert "old.jsonl:1 is no verdict" in capsys.readouterr().err
