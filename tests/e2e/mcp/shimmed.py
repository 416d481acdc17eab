"""``kaizen-mcp -- …`` as a process, spoken to as a client does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).with_name("peer.py")
SHIM = (sys.executable, "-m", "kaizen_security.mcp")


def bare(tmp_path, **more):
    """An environment without any setting of ours except a data directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    return {**kept, "KAIZEN_DATA": str(tmp_path / "data"), **more}


class Shim:
    """A shim in front of ``peer.py``, or of another ``command``."""

    def __init__(self, tmp_path, *flags, command=None, options=(), **environment):
        self.log = tmp_path / "reached.jsonl"
        command = command or [sys.executable, "-u", str(PEER), str(self.log), *flags]
        self.process = subprocess.Popen(
            [*SHIM, *options, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=bare(tmp_path, **environment),
        )

    def send(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def read(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, id_, method, **params):
        self.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
        answer = self.read()
        assert answer["id"] == id_
        return answer

    def call(self, id_, tool, **arguments):
        result = self.ask(id_, "tools/call", name=tool, arguments=arguments)["result"]
        return result["content"][0]["text"], result.get("isError", False)

    def reached(self):
        """Names of the tools whose calls reached the server."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [one["params"]["name"] for one in map(json.loads, lines) if one.get("method") == "tools/call"]

    def end(self):
        """End its input; its exit status and what it wrote to its error output."""
        out, err = self.process.communicate(timeout=30)
        assert out == b""
        return self.process.returncode, err.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


def peak(pid):
    """The most memory that a process ever had resident, in KB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
