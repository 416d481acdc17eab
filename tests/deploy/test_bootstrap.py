"""`make run` on a fresh system: a missing venv module or pip is worked around, or the one command that mends it is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SYSTEM = "/usr/bin/python3"

root_only = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root to hide system files"
)
debian_only = pytest.mark.skipif(
    not Path("/usr/lib/python3.11/ensurepip").exists(), reason="needs Debian's Python 3.11 with venv"
)


@pytest.fixture
def checkout(tmp_path):
    """What bootstrap.py reads, without the tree around it."""
    for name in ("bootstrap.py", "pyproject.toml", "README.md", "LICENSE", "requirements", "src"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tmp_path / name, ignore=ignore) if source.is_dir() else shutil.copy(
            source, tmp_path / name
        )
    return tmp_path


def hidden(checkout: Path, paths: list[str], command: str) -> subprocess.CompletedProcess[str]:
    """Run in a mount namespace in which ``paths`` are empty folders."""
    empty = checkout / "empty"
    empty.mkdir()
    mounts = " && ".join(f"mount --bind {empty} {path}" for path in paths if Path(path).exists())
    env = {"PATH": "/usr/bin:/bin", "HOME": str(checkout)}
    script = ["unshare", "--mount", "sh", "-ec", f"{mounts} && {command}"]
    return subprocess.run(script, cwd=checkout, env=env, capture_output=True, text=True, timeout=120)


ENSUREPIP = "/usr/lib/python3.11/ensurepip"
PIP = "/usr/lib/python3/dist-packages/pip"
WHICH = "import bootstrap; print(*bootstrap.installer())"


@root_only
@debian_only
def test_without_the_venv_module_the_systems_pip_fills_the_environment(checkout):
    if not Path(PIP).exists():
        pytest.skip("needs Debian's python3-pip")
    done = hidden(checkout, [ENSUREPIP], f"{SYSTEM} -c '{WHICH}' && .venv/bin/python --version")
    assert "-m pip --python" in done.stdout, done.stderr
    assert "Python 3.11" in done.stdout


@root_only
@debian_only
def test_without_venv_pip_and_uv_the_one_command_that_mends_it_is_named(checkout):
    done = hidden(checkout, [ENSUREPIP, PIP], f"{SYSTEM} bootstrap.py run")
    assert done.returncode == 1
    assert "apt-get install -y python3-venv" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv").exists()


@debian_only
def test_an_environment_whose_python_is_gone_is_made_anew(checkout):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/nowhere/python3.10")
    done = subprocess.run([SYSTEM, "-c", WHICH], cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([python, "--version"], capture_output=True, text=True).stdout.startswith("Python 3.11")


def test_an_index_that_cannot_be_reached_is_said_plainly(checkout):
    env = {
        "PATH": os.environ["PATH"],
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_CONFIG_FILE": os.devnull,
        "HOME": str(checkout),
    }
    done = subprocess.run(
        ["python3", "bootstrap.py", "run"], cwd=checkout, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "Setting up failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_word_is_a_usage_error():
    done = subprocess.run(["python3", "bootstrap.py", "everything"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_a_checkout_that_cannot_be_written_is_said_to_be_so(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT)
    import bootstrap

    # A file in the folder's place is in the way of root as well.
    (tmp_path / "file").touch()
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / "file" / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / "file" / ".venv" / "bin" / "python")
    assert bootstrap.main(["run"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Setting up failed: {tmp_path}/file/.venv cannot be made: ")
    assert "Not a directory" in err
    assert "apt-get" not in err
