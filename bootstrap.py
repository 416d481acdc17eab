"""Set up ``.venv`` from a lock file, with nothing but Python's standard library.

``python3 bootstrap.py run`` installs what ``make run`` needs, ``python3 bootstrap.py dev`` what developers and CI need.
A system without ``ensurepip`` (Debian without python3-venv) is worked around with the pip or uv that is there; where neither is,
the one command that mends it is named.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MEND = "apt-get install -y python3-venv"


def main(argv: list[str]) -> int:
    """Bring ``.venv`` to the state of ``requirements/<profile>.lock``; do nothing when it is there already."""
    if len(argv) != 1 or argv[0] not in ("run", "dev"):
        print("usage: python3 bootstrap.py run|dev", file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036  (this file is what tells an older Python so)
        print(f"Kaizen needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    lock = ROOT / "requirements" / f"{argv[0]}.lock"
    wanted = hashlib.sha256(lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamps = [VENV / ".kaizen-dev"] if argv[0] == "dev" else [VENV / ".kaizen-run", VENV / ".kaizen-dev"]
    # A development environment holds everything that running needs.
    if any(stamp.exists() and (stamp.name != f".kaizen-{argv[0]}" or stamp.read_text() == wanted) for stamp in stamps):
        return 0
    try:
        install = installer()
        print(f"Setting up {VENV.name} from {lock.relative_to(ROOT)} (a minute, the first time) …", flush=True)
        subprocess.run([*install, "--require-hashes", "-r", str(lock)], check=True)
        # hatchling is in the lock, so building needs nothing from outside it.
        subprocess.run([*install, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    except subprocess.CalledProcessError as err:
        print(f"\nSetting up failed: {' '.join(map(str, err.cmd[:6]))} … ended with {err.returncode}.", file=sys.stderr)
        print(
            "The lines above say why; a network or a package index that cannot be reached is the usual cause.",
            file=sys.stderr,
        )
        return 1
    except NotMade as err:
        print(f"Setting up failed: {VENV} cannot be made: {err}", file=sys.stderr)
        return 1
    except NoInstaller:
        print(f"This Python has neither venv nor pip. One command mends it:\n\n    {MEND}\n", file=sys.stderr)
        return 1
    (VENV / f".kaizen-{argv[0]}").write_text(wanted)
    return 0


class NoInstaller(Exception):
    """Nothing on this machine can install packages."""


class NotMade(Exception):
    """``.venv`` cannot be made, whatever is installed: the folder is not ours to write, or the disk is full."""


def installer() -> list[str]:
    """The command that installs into ``.venv``, which is created on the way. Raises NoInstaller, NotMade."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # Run it rather than look for it: a .venv whose Python was upgraded away is still a folder full of files.
    if PYTHON.exists() and subprocess.run([PYTHON, "-m", "pip", "--version"], **quiet).returncode == 0:
        return [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], **quiet).returncode == 0:
        return installer()
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], capture_output=True, text=True)
    if made.returncode != 0:
        said = (made.stdout + made.stderr).strip().splitlines()
        if said and "No module named" not in said[-1]:
            raise NotMade(said[-1].removeprefix("Error: "))
        raise NoInstaller
    if subprocess.run([sys.executable, "-m", "pip", "--version"], **quiet).returncode == 0:
        return [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet"]
    if shutil.which("uv"):
        return ["uv", "pip", "install", "--quiet", "--python", str(PYTHON)]
    shutil.rmtree(VENV, ignore_errors=True)
    raise NoInstaller


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
