"""What the process itself does, heard by an audit hook. Each in a process of its own: a hook cannot be removed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kaizen_security.client import audit
from tests.unit.client.upstream import Upstream

KEY = "kz_live_" + "k" * 43
PROLOGUE = f"""
import asyncio, os, pathlib, socket, subprocess, sys, threading, time
hooks = []
real = sys.addaudithook
sys.addaudithook = lambda hook: (hooks.append(hook), real(hook))
from kaizen_security import Kaizen, KaizenBlocked, Policy
URL, DATA, HERE = sys.argv[1:4]
DENY = Policy("blocklist", {{"domains": ["evil.example"], "ips": ["127.9.9.9"]}}, "deny")
def client(**options):
    return Kaizen({KEY!r}, URL, [DENY], data=DATA, sync=False, **options)
"""


def ran(code, upstream, tmp_path):
    # A connection that is refused leaves its socket to the garbage collector: the library closes it after an OSError only.
    words = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::ResourceWarning",
        "-c",
        PROLOGUE + code,
        upstream.url,
        str(tmp_path / "data"),
        str(tmp_path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def seen(upstream):
    """Kind and target; of a path its end, because the boundary hides the segments that look like an id."""
    found = [(report["action"]["kind"], report["action"]["target"] or "") for report in upstream.reports]
    return [(kind, target.rpartition("/")[2] if kind == "file" else target) for kind, target in found]


def test_without_it_there_is_no_hook_and_nothing_is_loaded(upstream, tmp_path):
    ran(
        "kaizen = client()\nopen(HERE + '/f', 'w').close()\nkaizen.inspect(tool='x')\nassert kaizen.flush(50)\nkaizen.close()\n"
        "assert hooks == []\nassert 'kaizen_security.client.audit' not in sys.modules",
        upstream,
        tmp_path,
    )
    assert seen(upstream) == [("tool_call", "")]


def test_what_the_process_does_is_reported_and_what_is_ours_is_not(upstream, tmp_path):
    with Upstream() as other:
        ran(
            "kaizen = client(audit=True)\nkaizen2 = client(audit=False)\n"
            "with kaizen.run() as run:\n"
            "    open(HERE + '/written', 'w').close()\n"
            "    open(HERE + '/written').close()\n"
            "    os.close(os.open(pathlib.Path(HERE) / 'low', os.O_CREAT | os.O_WRONLY))\n"
            f"    socket.create_connection(('127.0.0.1', {other.port})).close()\n"
            f"    socket.create_connection(('localhost', {other.port})).close()\n"
            "    subprocess.run([sys.executable, '-c', '0'], check=True)\n"
            "    os.system('true')\n"
            "    kaizen.inspect(tool='flagged')\n"
            "assert kaizen.flush(50), kaizen.problem\nassert kaizen.lost == {}, kaizen.lost\nassert len(hooks) == 1\n"
            "kaizen.close()\nopen(HERE + '/after', 'w').close()",
            upstream,
            tmp_path,
        )
        found = seen(upstream)
        for expected in [
            ("file", "written"),
            ("file", "low"),
            ("connect", f"127.0.0.1:{other.port}"),
            ("connect", f"localhost:{other.port}"),
            ("dns", "localhost"),
            ("exec", sys.executable),
        ]:
            assert expected in found
        assert found.count(("file", "written")) == 1
        assert ("file", "after") not in found
        assert {target for kind, target in found if kind == "file"} == {"written", "low"}
        assert not [target for _, target in found if f":{upstream.port}" in target]
    heard = [report["action"] for report in upstream.reports if report["action"]["kind"] != "tool_call"]
    assert {action["metadata"]["source"] for action in heard} == {"audit"}
    assert len({action["run_id"] for action in heard}) == 1
    assert heard[0]["run_id"]
    # The words of the command line; a path may well have these letters in it.
    assert not [action for action in heard if "-c" in json.dumps(action["metadata"]) or "argv" in action["metadata"]]


DENIED = """
kaizen = client(audit=True, mode=sys.argv[4] if len(sys.argv) > 4 else MODE)
def went(call):
    try:
        call()
    except KaizenBlocked as err:
        return str(err)
    except OSError:
        return 'went on'
    return 'went on'
first = went(lambda: socket.getaddrinfo('x.evil.example', 443))
second = went(lambda: socket.create_connection(('127.9.9.9', 9), 0.2))
third = went(lambda: open(HERE + '/f', 'w').close())
async def main():
    return await asyncio.to_thread(went, lambda: socket.create_connection(('127.9.9.9', 9), 0.2))
fourth = asyncio.run(main())
print(first, second, third, fourth, sep='|')
kaizen.flush(50)
"""


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("observe", ["went on"] * 4),
        (
            "enforce",
            [
                "Blocked by Kaizen: blocked by policy: malicious domain",
                "Blocked by Kaizen: blocked by policy: known-bad address",
                "went on",
                "Blocked by Kaizen: blocked by policy: known-bad address",
            ],
        ),
    ],
)
def test_a_denied_event_raises_only_in_enforce(upstream, tmp_path, mode, words):
    out = ran(DENIED.replace("MODE", repr(mode)), upstream, tmp_path)
    assert out.strip().split("|") == words
    blocked = [r for r in upstream.reports if r["verdict"]["decision"] == "block"]
    assert {report["action"]["target"] for report in blocked} == {"x.evil.example", "127.9.9.9:9"}


def test_a_datagram_without_a_connection_and_a_name_asked_for_the_other_way_are_heard(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True)\nwire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for n in range(3): wire.sendto(b'x', ('127.0.0.1', 9)); wire.sendmsg([b'x'], [], 0, ('127.0.0.1', 9))\n"
        "wire.sendto(b'x', ('127.0.0.2', 9)); wire.close()\n"
        "socket.gethostbyaddr('localhost')\n"
        "assert kaizen.flush(50), kaizen.problem\nassert kaizen.lost == {}, kaizen.lost",
        upstream,
        tmp_path,
    )
    assert seen(upstream) == [("connect", "127.0.0.1:9"), ("connect", "127.0.0.2:9"), ("dns", "localhost")]


def test_a_stream_of_datagrams_is_looked_at_again_however_dense_it_is(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True)\nfrom kaizen_security.client import audit\nat = 1000.0\naudit.monotonic = lambda: at\n"
        "wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for n in range(7):\n    wire.sendto(b'x', ('127.0.0.1', 9))\n    at += 2.0\n"
        "wire.close()\nassert kaizen.flush(50), kaizen.problem",
        upstream,
        tmp_path,
    )
    assert seen(upstream) == [("connect", "127.0.0.1:9")] * 3


def test_every_datagram_to_a_denied_place_is_blocked_in_enforce(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True, mode='enforce')\nwire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for n in range(3):\n"
        "    try: wire.sendto(b'x', ('127.9.9.9', 9))\n"
        "    except KaizenBlocked: continue\n"
        "    sys.exit('it was sent')\n"
        "wire.close()",
        upstream,
        tmp_path,
    )


def test_an_allowlist_of_tools_does_not_forbid_the_process_its_files(upstream, tmp_path):
    ran(
        "kaizen = Kaizen(policies=[Policy('allowlist', {'tools': ['search']})], mode='enforce', audit=True, data=DATA)\n"
        "open(HERE + '/f', 'w').close()\nassert kaizen.inspect(tool='x').blocked",
        upstream,
        tmp_path,
    )


def test_a_flood_is_bounded_and_counted(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True)\n"
        "for i in range(3000): open(HERE + '/f', 'w').close()\n"
        "assert kaizen.flush(50)\n"
        f"assert set(kaizen.lost) == {{{audit.OVER!r}}}\n"
        f"pathlib.Path(HERE, 'n').write_text(str(kaizen.lost[{audit.OVER!r}]))",
        upstream,
        tmp_path,
    )
    assert len([1 for kind, target in seen(upstream) if target == "f"]) + int((tmp_path / "n").read_text()) == 3000


def test_a_forked_child_is_heard_and_a_parents_events_are_reported_once(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True)\nopen(HERE + '/parent', 'w').close()\npid = os.fork()\n"
        "if pid == 0:\n    open(HERE + '/child', 'w').close()\n    sys.exit(0 if kaizen.flush(50) else 'not delivered')\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\nassert kaizen.flush(50), kaizen.problem",
        upstream,
        tmp_path,
    )
    assert sorted(target for kind, target in seen(upstream) if kind == "file") == [
        "child",
        "parent",
    ]


def test_strange_events_break_nothing(upstream, tmp_path):
    ran(
        "kaizen = client(audit=True, mode='enforce')\n"
        "sys.audit('open'); sys.audit('socket.connect', None, 3); sys.audit('subprocess.Popen', object(), object())\n"
        "sys.audit('open', b'\\xff\\x00', 'w', 0); sys.audit('socket.getaddrinfo', 'a' * 5000, 'http')\n"
        "sys.audit('socket.sendto', None)\n"
        "class Bad(os.PathLike):\n    def __fspath__(self): raise SystemExit('called')\n"
        "sys.audit('open', Bad(), 'w', 0)\n"
        "assert kaizen.flush(50)\nassert kaizen.lost == {'audit errors': 2}, kaizen.lost",
        upstream,
        tmp_path,
    )
