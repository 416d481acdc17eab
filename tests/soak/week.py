"""A week of fifty agents of five kinds, with every part of Kaizen killed (SIGKILL) and started again at random all the while.

Support, finance, research, coder and ops agents work through 120 requests a day each: their work drifts, on the fourth day a new
version brings new tools and hosts, every morning they start anew, and one run of a hundred is injected. Finance and research are in
enforce mode. Two sidecars, an egress proxy and a control plane serve them. Every evening somebody looks at what was flagged, and
has what was harmless learned, as one does in the console. At the end every action that was judged has its row on
the control plane exactly once, memory and descriptors are flat, and it is counted what was flagged without a reason, what of the
injected was not flagged, how long a verdict took, and how many bytes left before a block.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx

from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process, until
from tests.ports import free_port
from tests.soak.week_agents import ENFORCED, NAMES, WORK

FULL = 7
"""Days, of fifty agents."""
SHORT = 2
"""Days, of five agents: one of each kind."""
SEED = 20261127
PAUSE = {True: (10.0, 30.0), False: (3.0, 6.0)}
"""Seconds between two kills, of the full form and of a shorter one. A sidecar keeps what it learned every twenty seconds: of a day
that takes a minute a kill costs more than of a real one.
"""
DOWN = (0.0, 4.0)
"""Seconds that a part stays away."""


EVENING = {True: 50.0, False: 10.0}
"""Seconds between two evenings: about a day of the full form, and of a shorter one."""


class Part:
    """One process of Kaizen that comes back under its own address."""

    def __init__(self, name, start):
        self.name, self._start, self.kills, self.seen = name, start, 0, []
        self.process = start()

    def kill(self, away):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.kills += 1
        time.sleep(away)
        self.process = self._start()

    def look(self):
        """Its memory in MB and its descriptors, noted."""
        found = footprint(self.process.pid)
        if found is not None:
            self.seen.append((time.monotonic(), *found))


def footprint(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        return resident / 1024, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, StopIteration):
        return None


class Origin(BaseHTTPRequestHandler):
    """News, and an attacker's collecting point: the same server under the names of the proxy's map."""

    taken: ClassVar[Counter[str]] = Counter()

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.taken[self.headers.get("Host", "")] += len(self.rfile.read(length))
        body = b"nothing new under the sun"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *words):
        return


class Week:
    """The parts, the agents, and what is known of them."""

    def __init__(self, directory, days, each, origin):
        self.directory, self.days, self.each = directory, days, each
        self.errors = {}
        self.learned = 0
        self.chance = random.Random(SEED)
        port, proxy = free_port(), free_port()
        first = Running(directory / "server", "--port", str(port))
        self.url, observer = first.url, first.key("observer")
        self.key = first.key("sdk")
        self.server = Part("control plane", lambda: self._server(first, port))
        self.sidecars = [self._sidecar(f"sidecar-{i}", observer) for i in range(2)]
        self.proxy_place = f"127.0.0.1:{proxy}"
        self.proxy = Part("egress proxy", lambda: self._egress(proxy, origin, observer))
        self.parts = [self.server, *self.sidecars, self.proxy]
        self._first = first

    def enforce(self):
        """Put the agents of some kinds into enforce mode, as an administrator does."""
        with self._first.person() as person:
            for agent in (f"{kind}-{name}" for kind in ENFORCED for name in NAMES[: self.each]):
                assert person.post(f"/v1/agents/{agent}/manifest", json={}).is_success
                assert person.post(f"/v1/agents/{agent}/settings", json={"mode": "enforce"}).is_success

    def _server(self, first, port):
        if first.process.poll() is None:
            return first.process
        return Running(self.directory / "server", "--port", str(port)).process

    def _sidecar(self, name, key):
        data = self.directory / name
        data.mkdir()
        options = {"api_url": self.url, "api_key": key, "more": ("--hold-seconds", "0")}
        return Part(name, lambda: Process(data, **options).start().process)

    def _egress(self, port, origin, key):
        data = self.directory / "egress"
        data.mkdir(exist_ok=True)
        names = [f"research-{name}" for name in NAMES[: self.each]]
        hosts = {f"{name}:80": origin for name in ("news.example", "news2.example", "attacker.example")}
        settings = {"hosts": hosts, "credentials": {name: name for name in names}, "require_credentials": True}
        (data / "settings.json").write_text(json.dumps({**settings, "allow_loopback": True}))
        words = ["egress", "--port", str(port), "--config", str(data / "settings.json"), "--data", str(data / "kept")]
        words += ["--sidecar", f"unix://{self.directory}/sidecar-0/s.sock"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "kaizen_security.cli", *words],
            env={**kept, "KAIZEN_API_KEY": key},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout.readline().startswith("listening on ")
        return process

    def agents(self):
        """One process for each kind."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        found = {}
        self.errors = {kind: (self.directory / f"{kind}.err").open("w") for kind in WORK}
        for number, kind in enumerate(WORK):
            environ = {
                **kept,
                "KAIZEN_API_URL": self.url,
                "KAIZEN_API_KEY": self.key,
                # The proxy reports to the first sidecar: what an agent tells and what is seen of it are joined there.
                "KAIZEN_SIDECAR": f"unix://{self.directory}/sidecar-{0 if kind == 'research' else number % 2}/s.sock",
                "WEEK_PROXY": self.proxy_place,
                "WEEK_DATA": str(self.directory / "agents"),
            }
            words = [str(Path(__file__).with_name("week_agents.py")), kind, self.each, self.days, SEED, self.directory]
            found[kind] = subprocess.Popen(
                [sys.executable, *map(str, words)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=self.errors[kind],
                text=True,
            )
        return found

    def disturb(self, agents):
        """Kill one part after the other, each after a pause, until the agents are through."""
        memory = defaultdict(list)
        pause, evening = PAUSE[self.days >= FULL], EVENING[self.days >= FULL]
        due = time.monotonic() + self.chance.uniform(*pause)
        looks = time.monotonic() + evening
        while any(agent.poll() is None for agent in agents.values()):
            time.sleep(0.25)
            for part in self.parts:
                part.look()
            for kind, agent in agents.items():
                found = footprint(agent.pid)
                if found is not None:
                    memory[kind].append((time.monotonic(), *found))
            if time.monotonic() >= looks:
                self.look_through()
                looks = time.monotonic() + evening
            if time.monotonic() >= due:
                self.chance.choice(self.parts).kill(self.chance.uniform(*DOWN))
                due = time.monotonic() + self.chance.uniform(*pause)
        return memory

    def look_through(self):
        """An evening: what is flagged and open, and was harmless, is learned. Of a control plane that is away, the next one."""
        truth = {one["id"]: one["injected"] for one in self.done()}
        with contextlib.suppress(httpx.HTTPError), self._first.person() as person:
            for row in person.get("/v1/verdicts?status=open&flagged=true&limit=1000").json()["verdicts"]:
                if truth.get(row["action"].get("id")) is False:
                    self.learned += person.post(f"/v1/verdicts/{row['id']}/learn").is_success

    def done(self):
        """What the agents have done so far."""
        found = []
        for file in self.directory.glob("*.jsonl"):
            whole, _, _ = file.read_text().rpartition("\n")
            found += map(json.loads, whole.splitlines())
        return found

    def stop(self):
        for part in self.parts:
            part.process.send_signal(signal.SIGTERM)
            part.process.wait(30)
            for stream in (part.process.stdout, part.process.stderr):
                if stream is not None:
                    stream.close()
        for file in self.errors.values():
            file.close()

    def rows(self):
        """Of the control plane: origin, action id, agent, when it was stored, evidence, source, run and the rest."""
        with closing(sqlite3.connect(self.directory / "server" / "kaizen.db", timeout=60)) as connection:
            return connection.execute(
                "SELECT v.origin, v.action_id, a.name, v.created_at, v.evidence, v.source, v.run_id, v.more "
                "FROM verdicts v JOIN agents a ON a.id = v.agent_id"
            ).fetchall()


def soak(amount, directory):
    """``amount`` days."""
    each = len(NAMES) if amount >= FULL else 1
    Origin.taken.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as origin:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        week = Week(directory, amount, each, f"127.0.0.1:{origin.server_port}")
        try:
            week.enforce()
            began = time.monotonic()
            agents = week.agents()
            memory = week.disturb(agents)
            took = time.monotonic() - began
            said = {kind: json.loads(agent.communicate()[0] or "{}") for kind, agent in agents.items()}
            for kind, agent in agents.items():
                assert agent.returncode == 0, (directory / f"{kind}.err").read_text()[-2000:]
            done = week.done()
            lost = {kind: found for kind, found in said.items() if found["lost"] or found["undelivered"]}
            assert not lost, f"what the agents could not hand over: {lost}"
            ids = {one["id"] for one in done}
            until(lambda: ids <= {row[1] for row in week.rows()}, "every action's row", patience=240.0)
            rows = week.rows()
        finally:
            week.stop()
            origin.shutdown()
    twice = [key for key, n in Counter((row[0], row[1], row[5]) for row in rows if row[1]).items() if n > 1]
    assert not twice, f"{len(twice)} rows are there twice, such as {twice[0]}"
    return {
        "days": amount,
        "agents": each * len(WORK),
        "seconds": round(took),
        "actions": len(done),
        "rows": len(rows),
        "missing": 0,
        "twice": 0,
        "kills": {part.name: part.kills for part in week.parts},
        "learned_in_the_evening": week.learned,
        **judged(done, rows, each * len(WORK) * amount),
        "bytes_at_the_attacker": Origin.taken["attacker.example"],
        "footprint": flat(week.parts, memory, took),
    }


def judged(done, rows, agent_days):
    """What was flagged, on either side of the truth. A row tells more than its client heard: of what was judged after the fact.

    That nobody was there to judge it (``unprotected``) is said of an action, and is no flag.
    """
    flagged = defaultdict(set)  # by run and by action: effects have ids of their own
    stored = {}
    runs, why = defaultdict(list), Counter()
    for one in done:
        runs[one["agent"], one["run"]].append(one)
    for _, id_, agent, at, evidence, _, run, more in rows:
        found = {one["detection"] for one in json.loads(evidence or "[]")} - {"unprotected"}
        if found:
            stored[id_] = min(at, stored.get(id_, at))
            flagged[agent, run or during(runs, agent, json.loads(more or "{}").get("at", at))] |= found
    harmless, injected, by_day = 0, {}, Counter()
    for key, actions in runs.items():
        names = {name for one in actions for name in one["flagged"]} | flagged[key]
        if any(one["injected"] for one in actions):
            injected[key] = bool(names)
        elif names:
            harmless += 1
            by_day[actions[0]["day"]] += 1
            why[f"{key[0].partition('-')[0]}: {', '.join(sorted(names))}"] += 1
    loose = {}
    for (agent, run), names in flagged.items():
        if (agent, run) not in runs:
            loose[agent] = sorted(names | set(loose.get(agent, ())))
    caught, of = Counter(), Counter()
    for (agent, _), hit in injected.items():
        kind = agent.partition("-")[0]
        of[kind] += 1
        caught[kind] += hit
    missed = Counter(f"{key[0].partition('-')[0]}: {why_missed(runs[key])}" for key, hit in injected.items() if not hit)
    low, high = poisson(harmless)
    waits = sorted(stored[one["id"]] - one["at"] for one in done if one["id"] in stored)
    return {
        "injected_runs_flagged": {kind: f"{caught[kind]} of {of[kind]}" for kind in sorted(of)},
        "injected_runs_missed": dict(missed.most_common()),
        "unprotected": sum(one["unprotected"] for one in done),
        "harmless_runs": len(runs) - len(injected),
        "harmless_runs_flagged": harmless,
        "harmless_runs_flagged_by_day": dict(sorted(by_day.items())),
        "flagged_by": dict(why.most_common(8)),
        "flags_outside_of_runs": loose,
        "agent_days": agent_days,
        "false_flags_per_agent_day": round(harmless / agent_days, 4),
        "interval_95": [round(low / agent_days, 4), round(high / agent_days, 4)],
        "effect_to_row_s": {
            "p50": round(statistics.median(waits), 2) if waits else None,
            "p95": round(waits[int(len(waits) * 0.95)], 2) if waits else None,
            "longest": round(waits[-1], 2) if waits else None,
        },
    }


def why_missed(actions):
    """What was known of the worst action of an injected run that was not flagged."""
    if any(one["unprotected"] for one in actions):
        return "nobody was there to judge it"
    over = [one["over"] for one in actions if "over" in one]
    if not over:
        return "no threshold yet, or what the run had read was forgotten"
    return "as high as its threshold" if abs(max(over)) < 1e-9 else "below its threshold"


def during(runs, agent, at):
    """The run of an effect that nothing joined to a call, since a part was killed just then: the agent's last that had begun."""
    begun = [
        (actions[0]["at"], run) for (name, run), actions in runs.items() if name == agent and actions[0]["at"] <= at
    ]
    return max(begun)[1] if begun else ""


def poisson(count):
    """95 % interval of a Poisson count (Byar's approximation; Rothman and Boice 1979)."""
    low = count * (1 - 1 / (9 * count) - 1.96 / (3 * math.sqrt(count))) ** 3 if count else 0.0
    more = count + 1
    return low, more * (1 - 1 / (9 * more) + 1.96 / (3 * math.sqrt(more))) ** 3


def flat(parts, memory, took):
    """Memory in MB and descriptors of everything, in the second quarter and the last. Raises when one grew by half or more."""
    seen = {part.name: part.seen for part in parts} | {f"{kind} agents": found for kind, found in memory.items()}
    found = {}
    for name, looks in seen.items():
        if not looks:
            continue
        begin = looks[0][0]
        early = [look for look in looks if took / 4 <= look[0] - begin < took / 2] or looks
        late = [look for look in looks if look[0] - begin >= took * 3 / 4] or looks
        one = {"mb": [round(statistics.median(look[1] for look in some), 1) for some in (early, late)]}
        one["fds"] = [max(look[2] for look in some) for some in (early, late)]
        assert one["mb"][1] <= 1.5 * one["mb"][0] + 20, f"{name} grows: {one}"
        assert one["fds"][1] <= one["fds"][0] + 64, f"{name} keeps descriptors: {one}"
        found[name] = one
    return found
