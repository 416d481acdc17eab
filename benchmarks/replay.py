"""How fast replay is: ``python -m benchmarks.replay [--rows 300000] [--runs FILE …] [--rounds 3] [--json] [--keep]``.

Each row of the table is a whole command, started cold, of which the median over the rounds is shown; the rounds go through the
table forwards and backwards in turn. Beside them, in the same rounds, the floor: a program that reads the same file and decodes its
JSON.

``rows``   what a control plane keeps of its agents' actions (facts and hashes, eight agents, made by chance, a third of them calls
           with typed arguments), compared under another policy: ``kaizen replay --diff --policy``
``runs``   recorded runs with their text, through the whole Observer: ``kaizen replay``

Budget: 1 M actions a minute over retained facts, held to the CPU that one process used, since machines are shared.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kept import keep
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key, outward
from kaizen_security.contract.codec import encode_action, encode_finding
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration

BUDGET = 1_000_000
AGENTS = 8
FLOOR = (
    "import gzip, json, sys\n"
    "n = 0\n"
    "for name in sys.argv[1:]:\n"
    "    for line in (gzip.open if name.endswith('.gz') else open)(name, 'rb'):\n"
    "        found = json.loads(line)\n"
    "        n += sum(step['role'] == 'call' for step in found['steps']) if 'steps' in found else 1\n"
    "print(n)\n"
)
POLICY = {
    "policies": [
        {"mode": "blocklist", "name": "hosts", "rules": {"domains": [f"h{n}.bad.example" for n in range(5000)]}},
        {
            "mode": "blocklist",
            "name": "tools",
            "rules": {"skill_patterns": ["drop_.*", "rm"], "ips": ["203.0.113.0/24"]},
        },
        {"mode": "correlation", "name": "sequence", "rules": {"risky_sequence": "read_then_connect"}},
    ]
}


def rows(count: int, path: Path) -> None:
    """Rows as the API gives them; one in twenty flagged, one in a hundred to a host that the new policy blocks."""
    chance = random.Random(0)
    key = boundary_key(b"a secret of the tenant")
    declared = compile_declaration(Declaration(tools=tuple(f"tool_{n}" for n in range(38))))
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            action = outward(_action(chance, n), key)
            evidence = declared.undeclared(action)
            document = {
                "id": f"{n:016x}",
                "created_at": f"2030-01-{1 + n // 20_000 % 28:02}T{n // 800 % 24:02}:{n // 60 % 60:02}:{n % 60:02}.000000Z",
                "agent": action.agent,
                "source": action.source,
                "rung": "cooperative",
                "rung_number": 1,
                "action": encode_action(action),
                "decision": "allow",
                "reason": "undeclared: …" if evidence else "no policy matched",
                "evidence": [encode_finding(one) for one in evidence],
                "confidence": None,
                "status": "open",
                "severity": "info",
                "flagged": bool(evidence),
                "claimed": False,
                "origin": "observer",
                "policy_version": "0123456789abcdef",
            }
            file.write(json.dumps(document) + "\n")


def _action(chance: random.Random, n: int) -> Action:
    kind = chance.choice(["tool_call", "tool_call", "http", "connect", "file"])
    host = f"h{chance.randrange(5000)}.bad.example" if n % 100 == 7 else f"s{chance.randrange(3000)}.good.example"
    metadata = {"source": "sdk", "arguments": {"to": f"a{n}@good.example", "text": "x" * 40}} if n % 3 == 0 else {}
    return Action(
        kind=kind,
        tool=f"tool_{chance.randrange(40)}" if kind == "tool_call" else "",
        target={"file": f"/srv/data/{n % 977}.csv", "http": f"https://{host}/v1/items"}.get(kind, f"{host}:443"),
        metadata=metadata | ({"sensitive": True} if n % 50 == 3 else {}),
        id=f"a{n}",
        run_id=f"run-{n // 40}",
        agent=f"agent-{n // 40 % AGENTS}",
    )


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of one command from its start to its end, and the CPU seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    elapsed = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each command in each round."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name in list(commands)[:: -1 if turn % 2 else 1]:
            found[name].append(timed(commands[name]))
    return found


def main() -> int:
    """Measure and print; 1 when the budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", nargs="*", default=[], metavar="FILE", help="recorded runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="store the figures in benchmarks/results/replay.json")
    args = parser.parse_args()
    kaizen = [sys.executable, "-m", "kaizen_security.cli", "replay", "--json"]
    floor = [sys.executable, "-c", FLOOR]
    with tempfile.TemporaryDirectory() as folder:
        name, policy = Path(folder, "rows.jsonl"), Path(folder, "policy.json")
        rows(args.rows, name)
        policy.write_text(json.dumps(POLICY))
        compare = [*kaizen, str(name), "--diff", "--policy", str(policy)]
        commands = {
            "rows: floor, decode only": [*floor, str(name)],
            "rows: compare, 1 process": compare,
            "rows: compare, 2 processes": [*compare, "--jobs", "2"],
        }
        counts = dict.fromkeys(commands, args.rows)
        if args.runs:
            calls = int(subprocess.check_output([*floor, *args.runs], text=True))
            more = {
                "runs: floor, decode only": [*floor, *args.runs],
                "runs: replay, 1 process": [*kaizen, *args.runs],
                "runs: replay, 2 processes": [*kaizen, *args.runs, "--jobs", "2"],
            }
            commands |= more
            counts |= dict.fromkeys(more, calls)
        found = measure(commands, args.rounds)
    wall = {name: statistics.median(one for one, _ in seconds) for name, seconds in found.items()}
    cpu = {name: statistics.median(one for _, one in seconds) for name, seconds in found.items()}
    rates = {name: counts[name] / wall[name] * 60 for name in found}
    per_core = {name: counts[name] / cpu[name] * 60 for name in found}
    told = {"actions_per_minute": rates, "per_minute_of_cpu": per_core, "seconds_and_cpu": found, "actions": counts}
    if args.keep:
        keep("replay", "python -m benchmarks.replay", told)
    if args.json:
        machine = {"machine": platform.platform(), "python": platform.python_version()}
        print(json.dumps({**machine, **told}, indent=1))
    else:
        for name in found:
            print(
                f"{name:28} {rates[name]:11,.0f} a minute, {per_core[name]:11,.0f} a minute of CPU"
                f"  ({counts[name]:,} in {wall[name]:.2f} s)"
            )
    return 0 if per_core["rows: compare, 1 process"] >= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
