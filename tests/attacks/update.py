"""The way of policies to a sidecar, with a control plane that lies in every way, and a data directory that is stolen or changed.

A real sidecar holds an honest bundle that blocks ``evil.example``. Whatever comes then, its policy stays, it answers, and its
memory does not grow; a newer honest bundle is taken at once.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kaizen_security.contract.bundle import MAX_BUNDLE, Bundle, key_hash, seal, signing_key
from kaizen_security.contract.policy import Policy
from tests.e2e.sidecar_process import Process, until

OWN = "kz_live_" + "s" * 43
AGENTS = "kz_live_" + "a" * 43
THEIRS = "kz_live_" + "x" * 43
MOST_GROWN = 300 << 20
"""Bytes by which the sidecar may grow at its peak: a bundle may have 64 MB, is text in JSON, and is parsed."""


class Liar:
    """A control plane on loopback: ``says`` is what it answers to a question for a bundle (status, headers, body)."""

    def __init__(self):
        liar = self
        self.says = honest(7)
        self.given = None
        self.who = {"organisation": "org", "organisation_id": "1" * 32, "scope": "observer", "agent": None}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                if self.path.startswith("/v1/bundle"):
                    said = status, headers, body = liar.says
                    time.sleep(0.02)
                else:
                    status, headers, body = 200, {}, json.dumps(liar.who).encode()
                self.answer(status, headers, body)
                if self.path.startswith("/v1/bundle"):
                    liar.given = said

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.answer(200, {}, b'{"accepted": 1, "rejected": []}')

            def answer(self, status, headers, body):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True
                if "Content-Length" in headers:
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


def bundle(version, *domains, agent="a", **changes):
    rules = {"domains": list(domains or ("evil.example",))}
    now = time.time()
    made = Bundle(agent=agent, version=version, policies=(Policy("blocklist", rules, "org"),), organisation="1" * 32)
    return replace(made, **{"issued_at": now, "expires_at": now + 3600, **changes})


def honest(version, *domains, key=OWN, **changes):
    return 200, {"ETag": f'"{version}"'}, seal(bundle(version, *domains, **changes), signing_key(key_hash(key)))


def lies():
    """By name: what a liar answers while version 7 is in force."""
    _, _, newer = honest(9, "other.example")
    text = json.loads(newer)
    unlimited = {"bundle": text["bundle"] + " " * (MAX_BUNDLE - 1000), "signature": text["signature"]}
    forged = bundle(9, "other.example")
    plain = {"bundle": json.dumps({"agent": "a", "version": 9, "mode": "observe"}), "signature": "0" * 64}
    bomb = gzip.compress(b"0" * (256 << 20), 9)
    return {
        "rollback": honest(6, "other.example"),
        "signed with another key": honest(9, "other.example", key=THEIRS),
        "signed with the empty key": honest(9, "other.example", key=""),
        "another agent's": honest(9, "other.example", agent="b"),
        "expired": honest(9, "other.example", expires_at=time.time() - 1),
        "without a signature": (200, {}, json.dumps({"bundle": text["bundle"]}).encode()),
        "signature of zeros": (200, {}, json.dumps(plain).encode()),
        "signature is a number": (200, {}, json.dumps({"bundle": text["bundle"], "signature": 5}).encode()),
        "signature in capitals": (200, {}, json.dumps({**text, "signature": text["signature"].upper()}).encode()),
        "two bundles under one name": (
            200,
            {},
            newer[:-1] + b',"bundle":' + json.dumps(json.dumps({})).encode() + b"}",
        ),
        "one letter changed": (200, {}, newer.replace(b"other", b"older")),
        "cut off": (200, {}, newer[: len(newer) // 2]),
        "shorter than it says": (200, {"Content-Length": str(len(newer) + 9)}, newer),
        "no JSON": (200, {}, b"\xff\xfe" * 1000),
        "deep": (200, {}, b"[" * 2_000_000),
        "64 MB": (200, {}, json.dumps(unlimited).encode()),
        "over 64 MB": (200, {}, b" " * (MAX_BUNDLE + 2)),
        "compressed bomb": (200, {"Content-Encoding": "gzip"}, bomb),
        "nothing has changed": (304, {"ETag": '"9"'}, b""),
        "not there any more": (404, {}, b'{"error": {"code": "not_found", "message": "no"}}'),
        "elsewhere": (307, {"Location": "http://127.0.0.1:1/"}, b""),
        "an ETag of 60 KB": (200, {"ETag": '"' + "e" * 60_000 + '"'}, seal(forged, signing_key(key_hash(THEIRS)))),
        "key not known": (401, {}, b'{"error": {"code": "unauthorized", "message": "no"}}'),
    }


def peak(process):
    """Bytes of the largest resident set that the process ever had."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def blocks(sidecar, host, agent="a"):
    return sidecar.inspect(agent, tool="send", target=f"https://{host}/")["decision"] == "block"


def attack(directory):
    """Every lie in turn, then the stolen directory."""
    liar = Liar()
    sidecar = Process(directory, api_url=liar.url, api_key=OWN).start()
    try:
        sidecar.inspect("a", tool="send")
        until(lambda: blocks(sidecar, "evil.example"), "the honest bundle")
        before = peak(sidecar)
        found = lies()
        for name, said in found.items():
            told(liar, sidecar, name, said)
        grown = peak(sidecar) - before
        assert grown < MOST_GROWN, f"the sidecar grew by {grown >> 20} MB"
        told(liar, sidecar, "first word to a new agent: nothing has changed", (304, {}, b""), agent="new")
        assert sidecar.inspect("new", tool="send")["decision"] == "allow"
        liar.says = honest(8, "evil.example", "late.example")
        until(lambda: blocks(sidecar, "late.example"), "a newer honest bundle")
        assert not blocks(sidecar, "other.example"), "one of the lies was taken"
        sidecar.ask("POST", "/v1/inspect", {"agent": "a", "action": {"tool": "t"}}, key=AGENTS, loopback=True)
        assert sidecar.stop()[0] == 0
        again = _stolen(directory, liar, sidecar)
        return {"lies": len(found) + 1, "grown_mb": grown >> 20, "changed_directory": again}
    finally:
        liar.server.shutdown()
        if sidecar.process.poll() is None:
            sidecar.process.kill()


def told(liar, sidecar, name, said, agent="a"):
    """The lie was heard, and the policy holds; that it still does when all lies were taken in is seen at the end."""
    liar.says = said
    if agent != "a":
        sidecar.inspect(agent, tool="send")
    sidecar.ask("POST", f"/v1/agents/{agent}/manifest", {"purpose": name})  # has it look at once
    until(lambda: liar.given is said, f"a look after {name}")
    assert blocks(sidecar, "evil.example"), name
    assert not blocks(sidecar, "other.example"), name


def _stolen(directory, liar, sidecar):
    """What lies in the directory signs nothing, and what is changed in it is not used."""
    kept = b"".join(one.read_bytes() for one in directory.rglob("*") if one.is_file())
    for key in (OWN, AGENTS):
        assert key.encode() not in kept, "a key is on disk"
        assert key_hash(key).encode() not in kept, "a hash under which bundles are signed is on disk"
    [file] = [one for one in directory.glob("agents/*/bundle.json") if b"evil.example" in one.read_bytes()]
    was = file.read_bytes()
    liar.says = (503, {}, b"")
    changed = {
        "as it was": was,
        "one letter": was.replace(b"evil", b"evel"),
        "another key's": honest(99, "other.example", key=THEIRS)[2],
        "another agent's": honest(99, "other.example", agent="b")[2],
        "empty": b"",
        "a directory's worth": b"[" * 1_000_000,
    }
    for name, data in changed.items():
        file.write_bytes(data)
        sidecar.start()
        assert blocks(sidecar, "evil.example") is (name == "as it was"), name
        assert not blocks(sidecar, "other.example"), name
        assert sidecar.stop()[0] == 0
    return len(changed)
