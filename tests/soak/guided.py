"""A coverage-guided fuzzer (atheris) over one function, in an environment of its own, where the registry has it."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType

ROOT = Path(__file__).parents[2]


def guided(directory: Path, module: str, seeds: Iterable[bytes], *, seconds: int, runs: int = -1) -> dict[str, object]:
    """What atheris found in ``seconds``, or in ``runs`` inputs if that is sooner; ``python -m module`` calls ``run_atheris``."""
    python = directory / "venv/bin/python"
    try:
        subprocess.run([sys.executable, "-m", "venv", str(directory / "venv")], check=True, capture_output=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "atheris"], check=True, capture_output=True)
    except subprocess.CalledProcessError as err:
        return {"atheris": f"cannot be had here: {err.stderr[-200:]!r}"}
    corpus = directory / "seeds"
    corpus.mkdir()
    for number, data in enumerate(seeds):
        (corpus / str(number)).write_bytes(data)
    words = [str(python), "-m", module, f"-max_total_time={seconds}", f"-runs={runs}", "-max_len=1024", str(corpus)]
    paths = f"{ROOT / 'src'}:{ROOT}"
    done = subprocess.run(
        words, capture_output=True, text=True, cwd=directory, env={"PYTHONPATH": paths, "PATH": "/usr/bin"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    last = [line for line in done.stderr.splitlines() if "cov:" in line][-1]
    return {"atheris_seconds": seconds, "atheris": " ".join(last.split())}


def run_atheris(one: Callable[[bytes], None]) -> None:
    """Run atheris over ``one`` with the words of the command line."""
    import atheris

    # Ours alone: to follow the standard library as well costs most of the time and finds nothing of ours.
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and str(function.__module__).startswith("kaizen_security."):
            atheris.instrument_func(function)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
