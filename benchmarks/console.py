"""Server time of the console's pages on a store full of verdicts: ``python -m benchmarks.console --rows 200000``.

The pages are asked for through the ASGI application, without a network between, one at a time; the store is SQLite on the disk that
``--directory`` is on. Seeding is not measured. The budget is 150 ms at p95 (``docs/reference`` has the figures of record).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.kept import keep
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime import clock
from kaizen_security.server import passwords
from kaizen_security.server.app import create_app
from kaizen_security.store.base import NewVerdict, Origin, Role, VerdictQuery
from kaizen_security.store.sqlite import SqliteStore

BUDGET_MS = 150.0
AGENTS = 40
BATCH = 500
TOOLS = ("search_tickets", "send_mail", "lookup_order", "read_file", "refund", "git", "query_db", "fetch")
FINDING = Finding(
    kind="undeclared destination",
    value="attacker.example",
    source="declaration",
    detection="declaration",
    field="target",
    expected="one of api.internal, mail.internal",
    observed="attacker.example:443",
    advice="Declare the destination if it belongs to the agent's work.",
    attack="allowed-host",
)


def rows(count: int, chance: random.Random, now: float) -> list[NewVerdict]:
    """``count`` verdicts as a fleet makes them: 1 in 100 flagged, 1 in 500 blocked, runs of eight actions."""
    made = []
    for number in range(count):
        agent = f"agent-{chance.randrange(AGENTS)}"
        bad = chance.random()
        decision = Decision.BLOCK if bad < 0.002 else Decision.ALLOW
        verdict = Verdict(
            decision=decision,
            reason="blocked by policy: malicious domain" if decision is Decision.BLOCK else "no policy matched",
            evidence=(FINDING,) if bad < 0.012 else (),
            policy_version="5c1e9ab2",
        )
        action = Action(
            kind=chance.choice(("tool_call", "tool_call", "connect", "http")),
            tool=chance.choice(TOOLS),
            target=f"host{chance.randrange(400)}.internal:443",
            id=f"{chance.getrandbits(64):016x}",
            run_id=f"run-{number // 8}-{agent}",
            agent=agent,
            metadata={"source": chance.choice(("sdk", "egress", "mcp")), "bytes": chance.randrange(10_000)},
        )
        made.append(NewVerdict(action=action, verdict=verdict, origin=Origin.OBSERVER, created_at=now))
    return made


def seed(store: SqliteStore, organisation: int, count: int) -> float:
    """Fill the store; seconds that it took. The rows are a day's work, spread evenly up to now."""
    chance = random.Random(20261121)
    end, started = clock.now(), time.perf_counter()
    for first in range(0, count, BATCH):
        at = end - 86_400 * (1 - first / count)
        store.append(organisation, rows(min(BATCH, count - first), chance, at)).result(60)
    return time.perf_counter() - started


async def measure(client: httpx.AsyncClient, path: str, times: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each of ``times`` requests, after two that warm up: by the clock, and of CPU in all threads.

    The clock also counts whoever else uses the machine; on a busy one the CPU is what can be compared.
    """
    taken, used = [], []
    for turn in range(times + 2):
        started, cpu = time.perf_counter(), time.process_time()
        answer = await client.get(path)
        elapsed, spent = (time.perf_counter() - started) * 1000, (time.process_time() - cpu) * 1000
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:200])
        if turn >= 2:
            taken.append(elapsed)
            used.append(spent)
    return taken, used


async def run(store: SqliteStore, organisation: int, times: int) -> list[dict[str, object]]:
    """Each page's median and p95 in milliseconds."""
    token = passwords.new_token(passwords.SESSION_PREFIX)
    user = store.user("bench") or store.create_user(organisation, "bench", role=Role.ADMIN, password="", at=1.0)
    now = clock.now()
    store.create_session(user.id, passwords.token_hash(token), at=now, expires_at=now + 3600)
    flagged = store.verdicts(organisation, VerdictQuery(flagged=True, limit=1000))
    deep = store.verdicts(organisation, VerdictQuery(limit=1, offset=20_000))
    pages = {
        "newest": "/verdicts",
        "flagged only": "/verdicts?flagged=1",
        "blocked": "/verdicts?decision=block",
        "one agent": "/verdicts?agent=agent-7",
        "one agent, blocked": "/verdicts?agent=agent-7&decision=block",
        "last hour": "/verdicts?since=1h",
        "last hour, source": "/verdicts?since=1h&source=egress",
        "source that nobody has": "/verdicts?source=ebpf",
        "resolved (none)": "/verdicts?status=resolved",
        "text, often": "/verdicts?q=send_mail",
        "text, never": "/verdicts?q=no-such-text-anywhere",
        "text, never, last hour": "/verdicts?q=no-such-text-anywhere&since=1h",
        "an old page": f"/verdicts?before={deep[0].id}" if deep else "/verdicts",
        "drawer of a new one": f"/verdicts/{flagged[0].id}",
        "drawer of an old one": f"/verdicts/{flagged[-1].id}",
        "drawer alone": f"/verdicts/{flagged[-1].id}#part",
        "agents": "/agents",
        "one agent's page": "/agent?name=agent-7",
    }
    found: list[dict[str, object]] = []
    transport = httpx.ASGITransport(app=create_app(store))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://console", cookies={"kaizen_session": token}, timeout=60
    ) as client:
        for name, path in pages.items():
            client.headers.pop("x-kaizen-part", None)
            if path.endswith("#part"):
                client.headers["x-kaizen-part"] = "drawer"
            taken, used = await measure(client, path.removesuffix("#part"), times)
            found.append(
                {
                    "page": name,
                    "p50_ms": round(statistics.median(taken), 1),
                    "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 1),
                    "p95_cpu_ms": round(statistics.quantiles(used, n=20)[-1], 1),
                }
            )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a page is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument(
        "--directory", type=Path, help="where the store is made (and kept); a temporary one when not given"
    )
    parser.add_argument("--keep", action="store_true", help="store the figures in benchmarks/results/console.json")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        store = SqliteStore(args.directory or Path(temporary))
        there = store.organisations()
        if there:
            organisation, seconds = there[0].id, 0.0
        else:
            organisation = store.create_organisation("Bench", boundary_secret=bytes(32), at=clock.now()).id
            seconds = seed(store, organisation, args.rows)
        try:
            found = asyncio.run(run(store, organisation, args.times))
        finally:
            store.close()
    about = (
        f"{args.rows:,} verdicts of {AGENTS} agents, {args.times} requests a page, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    over = [entry for entry in found if float(str(entry["p95_ms"])) > BUDGET_MS]
    if args.keep:
        keep("console", f"python -m benchmarks.console --rows {args.rows} --keep", {"about": about, "pages": found})
    if args.json:
        print(json.dumps({"about": about, "seeded_in_s": round(seconds, 1), "pages": found}))
    else:
        print(f"{about}; seeded in {seconds:.1f} s; budget {BUDGET_MS:g} ms at p95\n")
        for entry in found:
            print(
                f"  {entry['page']!s:28} p50 {entry['p50_ms']!s:>8} ms   p95 {entry['p95_ms']!s:>8} ms"
                f"   CPU p95 {entry['p95_cpu_ms']!s:>8} ms"
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
