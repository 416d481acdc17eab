"""Build the programs into what the wheel carries: ``make bpf``.

clang compiles, bpftool makes a light skeleton of it: bytes that a small program in the kernel loads, relocating every access to a
kernel structure on the way. So the user's machine needs no compiler, no headers and no libbpf. Same sources and tools, same bytes.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "src/kaizen_security/collectors/kernel/programs.gz"
FLAGS = [
    "-g",
    "-O2",
    "-Wall",
    "-Werror",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-D__TARGET_ARCH_x86",
    "-fdebug-compilation-dir=.",
]
_TEXT = re.compile(r'opts\.(data|insns) = \(void \*\)"\\\n(.*?)";', re.DOTALL)


def skeleton() -> str:
    """The light skeleton, as C. Raises CalledProcessError."""
    machine = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        built = f"{folder}/kaizen.bpf.o"
        include = [f"-I/usr/include/{machine}"] if machine else []
        subprocess.run(["clang", *FLAGS, *include, "-c", "kaizen.bpf.c", "-o", built], cwd=HERE, check=True)
        done = subprocess.run(
            ["bpftool", "gen", "skeleton", "-L", built, "name", "kaizen"], capture_output=True, text=True, check=True
        )
    return done.stdout


def pack(source: str) -> bytes:
    """One JSON line (names in order, sizes), then the loader's data, then its instructions."""
    found = {name: _bytes(text) for name, text in _TEXT.findall(source)}
    maps = re.findall(r"struct bpf_map_desc (\w+);", source)
    programs = re.findall(r"struct bpf_prog_desc (\w+);", source)
    head = {"maps": maps, "programs": programs, "data": len(found["data"]), "instructions": len(found["insns"])}
    return gzip.compress(json.dumps(head).encode() + b"\n" + found["data"] + found["insns"], mtime=0)


def _bytes(text: str) -> bytes:
    return text.replace("\\\n", "").encode().decode("unicode_escape").encode("latin-1")


def main() -> int:
    """Build; with ``--check`` only say whether what is there is what would be built."""
    built = pack(skeleton())
    if "--check" in sys.argv[1:]:
        same = gzip.decompress(OUT.read_bytes()) == gzip.decompress(built)
        print(
            "the programs are what their source builds"
            if same
            else "the programs are NOT what their source builds: make bpf"
        )
        return 0 if same else 1
    OUT.write_bytes(built)
    print(f"{OUT.relative_to(HERE.parent)}: {len(built)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
