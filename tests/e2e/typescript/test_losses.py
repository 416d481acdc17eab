"""An agent of Node and its server, ended in every way: what was accepted arrives, and what does not is counted."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from kaizen_security.client.journal import Journal
from tests.e2e.typescript.conftest import KEY
from tests.unit.client.upstream import until


def names(n, prefix="t"):
    return [f"{prefix}{i}" for i in range(n)]


OUTAGE = 50_000
"""Bytes of reports that gather in the spool while there is no server: more than a hundred of them."""
MANY = "for (let i = 0; i < 500; i++) kaizen.inspectSync({ tool: `t${i}` });\n"


def test_a_process_that_simply_ends_has_reported_everything(agents):
    agents.up()
    agents.ran(MANY)
    assert sorted(agents.arrived()) == sorted(names(500))


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("process.exit(0);", 0, ""),
        ("process.exitCode = 3;", 3, ""),
        ("throw new Error('the agent failed');", 1, "the agent failed"),
        (
            "setTimeout(() => process.exit(0), 5); while (true) { await kaizen.inspect({ tool: 'more' }); await sleep(0); }",
            0,
            "",
        ),
        ("Promise.reject(new Error('nobody caught this'));", 1, "nobody caught this"),
    ],
    ids=["exit", "code", "throw", "exit in mid-flight", "rejection"],
)
def test_it_may_end_however_node_ends(agents, end, status, error):
    agents.up()
    agents.ran(MANY + end, status=status, error=error)
    agents.later()
    assert set(names(500)) <= set(agents.arrived())


def test_without_a_server_a_process_ends_and_the_next_one_delivers(agents):
    agents.ran(MANY)
    agents.up()
    assert agents.later() == {}
    assert sorted(agents.arrived()) == sorted([*names(500), "later"])


@pytest.mark.parametrize("killed", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_was_blocked_survives_a_signal_that_nobody_handles(agents, killed):
    agent = agents.start(
        "for (let i = 0; i < 50; i++) kaizen.inspectSync({ tool: `t${i}`, target: 'evil.example' });\n"
        "console.log('blocked'); while (true);",
        options={"policies": [{"mode": "blocklist", "rules": {"domains": ["evil.example"]}}]},
        stdout=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "blocked\n"
    agent.send_signal(killed)
    assert agent.wait() == -killed
    agent.stdout.close()
    agents.up()
    assert agents.later() == {}
    assert sorted(agents.arrived()) == sorted([*names(50), "later"])


def test_an_agent_that_handles_a_signal_ends_as_it_says(agents):
    agents.up()
    agent = agents.start(
        "process.on('SIGTERM', () => process.exit(0));\n" + MANY + "console.log('ready'); setInterval(() => {}, 1000);",
        stdout=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "ready\n"
    agent.terminate()
    assert agent.wait(60) == 0
    agent.stdout.close()
    assert agents.later() == {}
    assert set(names(500)) <= set(agents.arrived())


def test_a_process_killed_in_the_middle_of_a_burst_is_accounted_for(agents):
    agent = agents.start(
        "console.log('go');\nfor (let i = 0; ; i++) {\n  kaizen.inspectSync({ tool: `t${i}` });\n"
        "  if (i % 50 === 49) await sleep(1);\n}",
        stdout=subprocess.PIPE,
    )
    agent.stdout.readline()
    until(lambda: kept(agents) > 100_000)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    agents.up()
    lost = agents.later()
    numbers = sorted(int(name[1:]) for name in set(agents.arrived()) if name[1:].isdigit())
    # What is missing is the end, not something in between: the spool keeps the order in which reports were made.
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 100
    assert set(lost) <= {"killed", "torn"}


def kept(agents):
    """Bytes that wait in the spool."""
    return sum(path.stat().st_size for path in Path(agents.data).rglob("*.seg"))


def test_an_outage_of_the_server_loses_nothing(agents):
    agents.up()
    agent = agents.start(
        "let isEnough = false;\nprocess.stdin.once('data', () => { isEnough = true; });\nlet n = 0;\n"
        "for (; !isEnough; n++) { await kaizen.inspect({ tool: `t${n}` }); await sleep(5); }\nprocess.stdin.destroy();\n"
        "if (!(await kaizen.flush(100))) throw new Error(kaizen.problem);\n"
        "if (Object.keys(kaizen.lost).length) throw new Error(JSON.stringify(kaizen.lost));\nconsole.log(n);",
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    until(lambda: len(agents.arrived()) > 50)
    agents.down()
    before = kept(agents)
    until(lambda: kept(agents) > before + OUTAGE)
    agents.up()
    out, _ = agent.communicate("enough\n", timeout=120)
    assert agent.returncode == 0
    assert sorted(set(agents.arrived())) == sorted(names(int(out)))


def test_an_agent_does_not_wait_for_a_server_that_does_not_answer(agents):
    agents.up()
    agents.freeze()
    agent = agents.start(
        "for (let i = 0; i < 1000; i++) {\n  kaizen.inspectSync({ tool: `t${i}` });\n  if (i % 100 === 0) await sleep(5);\n}\n"
        "console.log('done');\nif (!(await kaizen.flush(100))) throw new Error(kaizen.problem);",
        stdout=subprocess.PIPE,
    )
    # All of it is done before the server has said a word.
    assert agent.stdout.readline() == "done\n"
    assert agents.arrived() == []
    agents.thaw()
    assert agent.wait(120) == 0
    agent.stdout.close()
    assert sorted(set(agents.arrived())) == sorted(names(1000))


def test_a_burst_loses_nothing(agents):
    agents.up()
    out = agents.ran(
        "for (let i = 0; i < 20000; i++) kaizen.inspectSync({ tool: `t${i}` });\n"
        "if (!(await kaizen.flush(100))) throw new Error(kaizen.problem);\nconsole.log(JSON.stringify(kaizen.lost));"
    )
    assert out == "{}\n"
    assert sorted(agents.arrived()) == sorted(names(20_000))


def test_worker_threads_report_what_is_theirs(agents):
    agents.up()
    program = agents.folder / "worker.mjs"
    options = f"{{ apiKey: {KEY!r}, baseUrl: {agents.url!r}, data: {agents.data!r}, sync: false }}"
    program.write_text(
        "import { Worker, isMainThread, threadId } from 'node:worker_threads';\n"
        f"import {{ Kaizen }} from {(agents.sdk / 'index.js').as_uri()!r};\n"
        f"const kaizen = new Kaizen({options});\n"
        "for (let i = 0; i < 50; i++) kaizen.inspectSync({ tool: `${threadId}-${i}` });\n"
        "if (isMainThread) await Promise.all([1, 2, 3].map(() => new Promise((done) => new Worker(import.meta.filename ?? "
        "new URL(import.meta.url)).on('exit', done))));\n"
        "else if (threadId === 2) process.exit(0);\n"
    )
    done = subprocess.run(["node", program], env=agents._environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    agents.later()
    assert sorted(set(agents.arrived()) - {"later"}) == sorted(f"{n}-{i}" for n in range(4) for i in range(50))


def test_processes_that_share_a_directory_lose_nothing(agents):
    agents.up()
    running = [
        agents.start(f"for (let i = 0; i < 200; i++) kaizen.inspectSync({{ tool: `p{n}-${{i}}` }});") for n in range(4)
    ]
    assert [agent.wait(60) for agent in running] == [0, 0, 0, 0]
    agents.later()
    assert sorted(set(agents.arrived()) - {"later"}) == sorted(f"p{n}-{i}" for n in range(4) for i in range(200))


def test_a_disk_that_is_full_costs_nothing_while_the_server_takes_it(agents):
    agents.up()
    agents.ran(
        "for (let i = 0; i < 2000; i++) kaizen.inspectSync({ tool: `t${i}` });\n"
        "if (!(await kaizen.flush(60))) throw new Error(kaizen.problem);\n"
        "if (Object.keys(kaizen.lost).length) throw new Error(JSON.stringify(kaizen.lost));",
        before=["prlimit", "--fsize=4096:4096"],
    )
    assert sorted(agents.arrived()) == sorted(names(2000))


def test_without_disk_and_server_the_loss_is_said(agents):
    Path(agents.data).write_text("a file where the directory should be")
    agents.ran(
        "for (let i = 0; i < 100; i++) kaizen.inspectSync({ tool: `t${i}` });\nawait kaizen.close(0.5);\n"
        "if (kaizen.lost['exit without disk'] !== 100) throw new Error(JSON.stringify(kaizen.lost));",
        error="100 reports are lost",
    )


def test_nothing_of_the_key_or_the_arguments_is_on_disk(agents):
    agents.ran(
        "kaizen.inspectSync({ tool: 'x', target: 'https://h.example/?q=CANARY-5e1f00d', arguments: { a: 'CANARY-5e1f00d' } });\n"
        "await kaizen.close(0.2);"
    )
    kept = [path.read_bytes() for path in Path(agents.data).rglob("*") if path.is_file()]
    assert any(b"h.example" in data for data in kept)
    assert not any(b"CANARY" in data or KEY.encode() in data for data in kept)
    assert {path.stat().st_mode & 0o077 for path in Path(agents.data).rglob("*")} == {0}


def test_its_journals_are_in_the_format_of_the_python_clients(agents):
    agents.ran("for (let i = 0; i < 300; i++) kaizen.inspectSync({ tool: `t${i}` });\nawait kaizen.close(0.1);")
    [left] = Path(agents.data).rglob("*.left.own")
    owner = left.name[:16]
    left.rename(left.with_name(f"{owner}.own"))
    journal = Journal.adopt(str(left.parent), owner, segment_bytes=1 << 20)
    records, _ = journal.read(1000, 1 << 20)
    assert [json.loads(record)["action"]["tool"] for record in records] == names(300)
    assert journal.gaps == {}
    journal.abandon()


def test_a_process_that_is_frozen_goes_on_where_it_was(agents):
    agent = agents.start(
        "kaizen.inspectSync({ tool: 'before' }); await sleep(100); console.log('ready');\n"
        "for await (const _ of process.stdin) break;\nkaizen.inspectSync({ tool: 'after' }); await kaizen.flush(20);",
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
    )
    assert agent.stdout.readline() == "ready\n"
    agent.send_signal(signal.SIGSTOP)
    agents.up()
    agents.later()
    agent.send_signal(signal.SIGCONT)
    agent.stdin.write("go\n")
    agent.stdin.close()
    assert agent.wait(30) == 0
    agent.stdout.close()
    assert sorted(agents.arrived()) == ["after", "before", "later"]
