"""Copies what the egress proxy needs out of ``src/`` to beside ``proxy.py``, byte for byte; ``--check`` only says what differs.

python egress/sync.py          make the copy
python egress/sync.py --check  exit 1 and name the files that differ
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "kaizen_security"
COPY = HERE / "kaizen_security"
ROOMS = ("contract", "client", "egress")


def wanted() -> dict[Path, Path]:
    """Path in the copy to path in the source."""
    files = [SOURCE / "__init__.py"]
    for room in ROOMS:
        files += [path for path in (SOURCE / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {COPY / path.relative_to(SOURCE): path for path in sorted(files)}


def differences() -> list[str]:
    """What is missing, changed or too much in the copy, as lines."""
    files = wanted()
    lines = []
    for copy, source in files.items():
        if not copy.is_file():
            lines.append(f"missing: {copy.relative_to(HERE)}")
        elif copy.read_bytes() != source.read_bytes():
            lines.append(f"differs: {copy.relative_to(HERE)}")
    there = [path for path in COPY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return lines + [f"too much: {path.relative_to(HERE)}" for path in sorted(there) if path not in files]


def make() -> None:
    """The copy, anew."""
    shutil.rmtree(COPY, ignore_errors=True)
    for copy, source in wanted().items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        make()
    wrong = differences()
    print("\n".join(wrong) or f"{len(wanted())} files are the same")
    sys.exit(1 if wrong else 0)
