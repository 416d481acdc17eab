"""A real sidecar process and a client's way to it, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

from kaizen_security.client.http import Connection


def until(condition, what, patience=60.0):
    """Poll until ``condition()`` holds. Fails after ``patience`` seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {patience} s")


class Process:
    """``kaizen sidecar`` on a free port, with a data directory of its own."""

    def __init__(self, data, *, api_url="http://127.0.0.1:1", api_key="", more=(), python=sys.executable):
        self.data = data
        self.socket = data / "s.sock"
        self.api_url = api_url
        self.api_key = api_key
        self.more = more
        self.python = python
        self.process = None

    def start(self, expect=True):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        environment["KAIZEN_API_KEY"] = self.api_key
        command = [self.python, "-m", "kaizen_security.cli", "sidecar", "--socket", str(self.socket)]
        command += ["--port", "0", "--data", str(self.data), "--api-url", self.api_url, *self.more]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if expect:
            line = self.process.stdout.readline()
            assert line.startswith("listening on unix://"), line + self.process.stderr.read()
            self.loopback = line.split()[-1]
        return self

    def stop(self, number=signal.SIGTERM):
        """End it, and give its exit status and what it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err

    def ended(self):
        """Wait until it ends by itself; the same."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err

    def connection(self, loopback=False):
        return Connection(self.loopback if loopback else f"unix://{self.socket}")

    def ask(self, method, path, document=None, *, key="", loopback=False, headers=None):
        """One exchange: status and document."""
        fields = dict(headers or {})
        if key:
            fields["Authorization"] = f"Bearer {key}"
        body = document if isinstance(document, bytes) else None if document is None else json.dumps(document).encode()
        connection = self.connection(loopback)
        try:
            status, answered, data = connection.request(method, path, body, fields, 40.0)
        finally:
            connection.close()
        self.answered = answered
        return status, json.loads(data) if data else None

    def inspect(self, agent="a", **action):
        status, document = self.ask("POST", "/v1/inspect", {"agent": agent, "action": action})
        assert status == 200, document
        return document

    def health(self):
        return self.ask("GET", "/healthz")[1]


@contextmanager
def sidecars():
    """A way to start sidecars, each over a data directory; whatever is left of them is killed at the end."""
    made = []

    def start(data, **settings):
        data.mkdir(exist_ok=True)
        one = Process(data, **settings)
        made.append(one)
        return one.start()

    try:
        yield start
    finally:
        for one in made:
            if one.process.poll() is None:
                one.process.kill()
            one.process.communicate()
