"""A real sandbox process and an agent's way to it, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request

from tests.e2e.sidecar_process import until

TOKEN = "a-token-of-the-tests-own-1234"


class Sandboxed:
    """``kaizen sandbox`` on free ports. Use as a context."""

    def __init__(self, data, declaration, *, hosts=None, more=(), environ=None, further=None):
        self.data = data
        egress = {"hosts": hosts or {}, "allow_loopback": True, "connect_timeout": 3, **(further or {})}
        data.mkdir(parents=True, exist_ok=True)
        (data / "further.json").write_text(json.dumps(egress))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAIZEN_", "KZ_"))}
        self.environ = {**kept, "KZ_TOKEN": TOKEN, "KZ_AGENT": "support", **(environ or {})}
        words = ["--trace-port", "0", "--egress-port", "0", "--data", str(data)]
        words += ["--declaration", json.dumps(declaration), "--egress-config", str(data / "further.json"), *more]
        self.command = [sys.executable, "-m", "kaizen_security.cli", "sandbox", *words]

    def __enter__(self):
        self.log = (self.data / "log").open("w+")
        self.process = subprocess.Popen(
            self.command, env=self.environ, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        line = self.process.stdout.readline()
        assert line.startswith("traces on "), line + self.said()
        self.traces, self.egress = line.split()[2], line.split()[-1]
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()

    def said(self):
        self.log.flush()
        return (self.data / "log").read_text()

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def ask(self, method, path, document=None, token=TOKEN):
        data = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(self.traces + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as err:
            return err.code, json.loads(err.read())

    def tell(self, *steps):
        status, said = self.ask("POST", "/v1/traces", {"steps": list(steps)})
        assert status == 200, said

    def proxied(self, token=TOKEN):
        user = f"support:{token}@" if token else ""
        return self.egress.replace("http://", f"http://{user}")

    def curl(self, *words, token=TOKEN):
        return subprocess.run(
            ["curl", "-sS", "-m", "10", "-x", self.proxied(token), *words], capture_output=True, text=True
        )

    def gaps(self):
        status, said = self.ask("GET", "/v1/gaps")
        assert status == 200
        return said["gaps"]

    def gap(self):
        """The first gap, once it is there."""
        return until(self.gaps, "a gap")[0]
