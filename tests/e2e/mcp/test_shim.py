"""The shim as a process: it lives as long as its server, carries bytes as they are, and bounds memory."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.mcp.shimmed import SHIM, Shim, bare, peak
from tests.e2e.sidecar_process import until


def test_what_a_client_says_reaches_the_server_byte_for_byte_and_so_do_the_answers(tmp_path):
    sent = (
        b'{ "jsonrpc":"2.0" ,"id":"\xc3\xa9",  "method":"tools/call","params":{"name":"look","arguments":{"a":1e3}} }'
    )
    with Shim(tmp_path) as shim:
        shim.send(sent)
        assert shim.read() == {
            "jsonrpc": "2.0",
            "id": "é",
            "result": {"content": [{"type": "text", "text": "did look"}]},
        }
        assert shim.log.read_bytes() == sent + b"\n"
        assert shim.end() == (0, "goodbye\n")


@pytest.mark.parametrize("status", [0, 3])
def test_its_exit_status_is_the_server_s(tmp_path, status):
    with Shim(tmp_path) as shim:
        shim.send(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "exit", "arguments": {"status": status}},
            }
        )
        assert shim.process.wait(20) == status


def test_a_server_that_a_signal_ended_is_told_as_a_shell_does(tmp_path):
    with Shim(tmp_path) as shim:
        shim.send({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "die"}})
        assert shim.process.wait(20) == 128 + signal.SIGKILL


def test_a_signal_goes_to_the_server_and_one_that_ignores_it_is_ended(tmp_path):
    with Shim(tmp_path) as shim:
        shim.ask(1, "ping")
        shim.process.send_signal(signal.SIGTERM)
        assert shim.process.wait(20) == 128 + signal.SIGTERM
    with Shim(tmp_path, "--stubborn") as shim:
        shim.ask(1, "ping")
        shim.process.send_signal(signal.SIGTERM)
        assert shim.process.wait(20) == 128 + signal.SIGKILL


def test_the_server_s_error_output_is_left_alone(tmp_path):
    with Shim(tmp_path) as shim:
        shim.call(1, "stderr")
        assert shim.end()[1] == "from the server\ngoodbye\n"


def test_a_command_that_is_not_there_is_named(tmp_path):
    with Shim(tmp_path, command=["no-such-command-at-all"]) as shim:
        assert shim.end() == (127, "kaizen-mcp: cannot start no-such-command-at-all: No such file or directory\n")


@pytest.mark.parametrize("words", [[], ["--"], ["--frobnicate", "--", "cat"], ["--name"]])
def test_used_wrongly_it_says_how_it_is_used(tmp_path, words):
    done = subprocess.run([*SHIM, *words], capture_output=True, text=True, env=bare(tmp_path), check=False)
    assert done.returncode == 2
    assert "usage: kaizen-mcp" in done.stderr


def test_the_server_gets_its_environment_but_not_our_keys(tmp_path):
    with Shim(tmp_path, KAIZEN_API_KEY="kz_live_canary", KAIZEN_REPORT="0", KAIZEN_SYNC="0", FOO="bar") as shim:
        text, _ = shim.call(1, "env")
        environment = json.loads(text)
        assert (environment["FOO"], "KAIZEN_API_KEY" in environment) == ("bar", False)
        assert "kz_live_canary" not in text


def test_noise_and_replies_that_nobody_asked_for_stay_behind_the_shim_and_are_counted(tmp_path):
    with Shim(tmp_path) as shim:
        assert shim.call(1, "noise") == ("did noise", False)
        assert "1 times not understood, 1 times reply that nobody asked for" in shim.end()[1]


def test_a_reply_of_ten_megabytes_passes_whole_in_flat_memory(tmp_path):
    with Shim(tmp_path) as shim:
        # What reading a text needs once: tables and patterns.
        shim.call(1, "big", size=10_000)
        before = peak(shim.process.pid)
        for i in range(3):
            text, _ = shim.call(f"big {i}", "big", size=10_000_000)
            assert text == "x" * 10_000_000
        assert peak(shim.process.pid) - before < 8_000  # KB; a reply is 10,000


def test_a_message_of_the_client_that_is_too_large_is_refused_by_its_id(tmp_path):
    with Shim(tmp_path) as shim:
        shim.send(
            b'{"jsonrpc":"2.0","id":"big","method":"tools/call","params":{"name":"look","arguments":{"t":"'
            + b"x" * (17 << 20)
            + b'"}}}'
        )
        answer = shim.read()
        assert (answer["id"], answer["error"]["code"]) == ("big", -32600)
        assert shim.call(2, "look") == ("did look", False)
        assert shim.reached() == ["look"]


def test_a_client_that_does_not_read_slows_the_server_and_not_our_memory(tmp_path):
    with Shim(tmp_path) as shim:
        shim.call(0, "look")
        for i in range(1, 41):
            shim.send(
                {
                    "jsonrpc": "2.0",
                    "id": i,
                    "method": "tools/call",
                    "params": {"name": "big", "arguments": {"size": 1_000_000}},
                }
            )
        assert shim.log.exists()
        assert peak(shim.process.pid) < 80_000
        assert [len(shim.read()["result"]["content"][0]["text"]) for _ in range(40)] == [1_000_000] * 40
        assert shim.end()[0] == 0


def test_calls_of_shims_that_one_client_started_belong_to_one_run(tmp_path):
    code = "import os; from kaizen_security.mcp.main import run_of; print(run_of(os.environ))"
    words = [sys.executable, "-c", code]
    runs = {
        subprocess.run(words, check=True, capture_output=True, text=True, env=bare(tmp_path)).stdout for _ in range(2)
    }
    assert len(runs) == 1
    named = subprocess.run(words, check=True, capture_output=True, text=True, env=bare(tmp_path, KAIZEN_RUN="turn-7"))
    assert named.stdout == "turn-7\n"


def test_it_starts_quickly_and_with_the_standard_library_only():
    rooms = ", ".join(f"kaizen_security.mcp.{name}" for name in ("main", "stdio", "desk"))
    code = f"import sys, {rooms}; print('\\n'.join(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    deciding = {f"kaizen_security.{room}" for room in ("observer", "detections", "runtime", "store")}
    assert loaded & ({"asyncio", "ssl", "http.client", "argparse", "starlette", "msgspec"} | deciding) == set()


STARTING = """
import os, signal, sys, time
from kaizen_security.mcp import main

def ended(*_):
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

main.desk_of = ended
sys.exit(main.main(["--", "sh", "-c", 'echo $$ > "$0.new"; mv "$0.new" "$0"; exec sleep 1000', sys.argv[1]]))
"""


def test_a_signal_that_comes_while_it_starts_leaves_no_server_behind(tmp_path):
    written = tmp_path / "server"
    done = subprocess.run(
        [sys.executable, "-c", STARTING, str(written)], env=bare(tmp_path), stdin=subprocess.DEVNULL, timeout=50
    )
    assert done.returncode == 128 + signal.SIGTERM
    until(lambda: gone(int(written.read_text())), "the server is gone")


def gone(pid):
    """Whether a process has ended, reaped or not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
