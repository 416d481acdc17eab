"""The rest of what `kaizen run` can be asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.launch.agents import clean, kaizen_run, proxy

RUN = ("--rung", "proxy", "--proxy")


def test_with_tui_its_output_goes_to_a_file_and_its_actions_to_the_screen(tmp_path: Path):
    pytest.importorskip("rich")
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--tui", *RUN, url, "--", "sh", "-c", "echo from the agent; exit 3", env={}, data=tmp_path)
    assert done.returncode == 3
    assert "from the agent" not in done.stdout + done.stderr
    assert (tmp_path / "run" / "output.log").read_text() == "from the agent\n"
    assert "refused because" in done.stdout


def test_clients_trust_a_stated_authority_besides_the_systems(tmp_path: Path):
    authority = tmp_path / "own.pem"
    authority.write_text("-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n")
    code = "import os; text = open(os.environ['SSL_CERT_FILE']).read(); print(text.count('BEGIN CERT'), 'ours' in text)"
    with proxy(tmp_path / "p", {}) as url:
        words = [*RUN, url, "--authority", str(authority), "--", sys.executable, "-c", code]
        done = kaizen_run(*words, env={}, data=tmp_path)
        bad = kaizen_run(*RUN, url, "--authority", "/etc/hostname", "--", "true", env={}, data=tmp_path)
    number, ours = done.stdout.split()
    assert int(number) > 1 or not Path("/etc/ssl/certs/ca-certificates.crt").exists()
    assert ours == "True"
    assert bad.returncode == 1
    assert "holds no PEM certificate" in bad.stderr


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
@pytest.mark.parametrize("mode", ["--observe", "--enforce"])
def test_as_root_the_agent_becomes_the_user_that_is_named(tmp_path: Path, mode: str):
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run(mode, "--proxy", url, "--user", "nobody", "--", "id", "-un", env={}, data=tmp_path)
    assert done.stdout == "nobody\n", done.stderr


def test_the_collectors_key_is_not_the_agents(tmp_path: Path):
    with proxy(tmp_path / "p", {}) as url:
        words = [*RUN, url, "--", sys.executable, "-c", "import os; print(os.environ.get('KAIZEN_COLLECTOR_KEY'))"]
        done = kaizen_run(*words, env={"KAIZEN_COLLECTOR_KEY": "kz_live_" + "0" * 32}, data=tmp_path)
    assert done.stdout == "None\n"


FORKING = """
import os, sys, threading
fork = os.fork
def told():
    print("threads at the fork:", sorted(one.name for one in threading.enumerate()), flush=True)
    return fork()
os.fork = told
from kaizen_security.cli import main
sys.exit(main(["run", *sys.argv[1:]]))
"""


def test_the_agent_is_forked_while_no_other_thread_could_hold_a_lock(tmp_path: Path):
    # With a key that reports under, and a proxy of its own: both need threads, afterwards.
    settings = {
        "KAIZEN_DATA": str(tmp_path),
        "KAIZEN_API_KEY": "kz_live_" + "0" * 43,
        "KAIZEN_API_URL": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-c", FORKING, "--rung", "proxy", "--", sys.executable, "-c", "print('the agent')"]
    done = subprocess.run(
        command, env={**clean(), **settings}, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    assert done.stdout == "threads at the fork: ['MainThread']\nthe agent\n", done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--local", "0", "--", "true"], "--local must be a port"),
        (["--proxy", "nowhere", "--", "true"], "--proxy must be http://[USER:PASSWORD@]HOST:PORT"),
        ([], "which command?"),
        (
            ["--rung", "proxy", "--user", "no-such-user", "--", "true"],
            "no-such-user" if os.geteuid() == 0 else "needs root",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, words: list[str], said: str):
    done = kaizen_run(*words, env={}, data=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
