"""A control plane that is killed (SIGKILL) under load, again and again: no row that it acknowledged is missing or there twice.

Four connections report one by one and in batches, half of them as agents (evaluated) and half as observers. Each kill comes after
as many acknowledged rows as chance (with a seed) chose, so that some hit the first commit and some a save of baselines. After every
start the rows of the life before are looked for, at the end all rows of all lives, and SQLite checks the whole database.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
import time
from collections import Counter

import httpx

from tests.e2e.server.running import Running, report

FULL = 100
SHORT = 5
SEED = 20261126


class Load:
    """Reports until the server is gone, and remembers what was acknowledged, by row id, with the action's id."""

    def __init__(self, running, life):
        self.acknowledged = {}
        self.problems = []
        self._stop = threading.Event()
        tokens = [running.key("agent"), running.key("observer")]
        self._threads = [
            threading.Thread(target=self._report, args=(running.url, tokens[n % 2], f"{life}-{n}")) for n in range(4)
        ]
        for thread in self._threads:
            thread.start()

    def _report(self, url, token, name):
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
            for i in itertools.count():
                documents = [
                    {"agent": f"a{i % 7}", **report(id=f"{name}-{i}-{j}", tool=f"t{i % 5}")} for j in range(20)
                ]
                try:
                    if i % 2:
                        answer = client.post("/v1/verdicts:batch", json={"reports": documents})
                        ids = answer.json()["ids"]
                    else:
                        answer = client.post("/v1/verdicts", json=documents[0])
                        ids = [answer.json()["id"]]
                except (httpx.HTTPError, ValueError):
                    return
                if self._stop.is_set():
                    return
                if not answer.is_success:
                    self.problems.append(answer.text)
                    return
                for id_, document in zip(ids, documents, strict=False):
                    self.acknowledged[id_] = document["action"]["id"]

    def wait(self, rows):
        """Until so many rows were acknowledged."""
        until = time.monotonic() + 60
        while len(self.acknowledged) < rows:
            assert time.monotonic() < until, "the server acknowledges nothing any more"
            time.sleep(0.002)

    def end(self):
        """No more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not self.problems, self.problems[0]


def there(running, wanted):
    """Of ``wanted`` row ids those that the server has, with their actions' ids."""
    found, before, oldest = {}, "", min(wanted)
    with running.call() as call:
        while rows := call.get("/v1/verdicts", params={"limit": 1000, "before": before}).json()["verdicts"]:
            found |= {row["id"]: row["action_id"] for row in rows if row["id"] in wanted}
            before = rows[-1]["id"]
            if before < oldest:
                break
    return found


def soak(amount, directory):
    """``amount`` kills under load."""
    chance = random.Random(SEED)
    data = directory / "data"
    everything, last, starts = {}, {}, []
    for life in range(amount):
        began = time.monotonic()
        running = Running(data)
        starts.append(time.monotonic() - began)
        check(running, last)
        load = Load(running, life)
        load.wait(chance.choice((1, 40, 200, 700)) + chance.randrange(100))
        running.kill()
        load.end()
        last = load.acknowledged
        everything |= last
    running = Running(data)
    check(running, everything)
    assert running.stop()[0] == 0
    with sqlite3.connect(data / "kaizen.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT action_id, origin FROM verdicts WHERE action_id != ''").fetchall()
    connection.close()
    twice = [one for one, n in Counter(rows).items() if n > 1]
    assert not twice, f"{len(twice)} rows are there twice, such as {twice[0]}"
    counts = {"kills": amount, "acknowledged": len(everything), "missing": 0, "twice": 0, "rows": len(rows)}
    return {**counts, "slowest_start_s": round(max(starts), 2)}


def check(running, acknowledged):
    """Raise when one of the rows is not there, or is another action's."""
    kept = there(running, acknowledged) if acknowledged else {}
    missing = [one for id_, one in acknowledged.items() if kept.get(id_) != one]
    assert not missing, f"{len(missing)} acknowledged rows are missing, such as that of action {missing[0]}"
