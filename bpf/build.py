"""Build the programs into what the wheel carries: ``make bpf``.

clang compiles, bpftool makes a light skeleton of it: bytes that a small program in the kernel loads, relocating every access to a
kernel structure on the way. So the user's machine needs no compiler, no headers and no libbpf. Same sources and tools, same bytes.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "src/kaizen_security/collectors/kernel"
VARIANTS = {
    "programs.gz": [],
    "programs-unix.gz": ["-DWITH_UNIX"],
    "programs-lsm.gz": ["-DWITH_LSM"],
    "programs-lsm-unix.gz": ["-DWITH_LSM", "-DWITH_UNIX"],
}
"""What the wheel carries, the plainest first: the loader takes the last that this kernel accepts."""
UNIX_CONNECT = 49
"""BPF_CGROUP_UNIX_CONNECT (linux/bpf.h of 6.7), which Debian 12's libbpf has no section for."""
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


def skeleton(defines: list[str]) -> str:
    """The light skeleton, as C. Raises CalledProcessError."""
    machine = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        built = f"{folder}/kaizen.bpf.o"
        include = [f"-I/usr/include/{machine}"] if machine else []
        subprocess.run(["clang", *FLAGS, *defines, *include, "-c", "kaizen.bpf.c", "-o", built], cwd=HERE, check=True)
        done = subprocess.run(
            ["bpftool", "gen", "skeleton", "-L", built, "name", "kaizen"], capture_output=True, text=True, check=True
        )
    return done.stdout


def pack(source: str) -> bytes:
    """One JSON line (names in order, sizes), then the loader's data, then its instructions."""
    found = {name: _bytes(text) for name, text in _TEXT.findall(source)}
    maps = re.findall(r"struct bpf_map_desc (\w+);", source)
    programs = re.findall(r"struct bpf_prog_desc (\w+);", source)
    data = bytearray(found["data"])
    if "connect_unix" in programs:
        # In union bpf_attr the program's name stands at 48, the place that it is meant for at 68.
        struct.pack_into("=I", data, data.index(b"connect_unix\0\0\0\0") + 20, UNIX_CONNECT)
    head = {"maps": maps, "programs": programs, "data": len(data), "instructions": len(found["insns"])}
    return gzip.compress(json.dumps(head).encode() + b"\n" + bytes(data) + found["insns"], mtime=0)


def _bytes(text: str) -> bytes:
    return text.replace("\\\n", "").encode().decode("unicode_escape").encode("latin-1")


def main() -> int:
    """Build; with ``--check`` only say whether what is there is what would be built."""
    same = True
    for name, defines in VARIANTS.items():
        built = pack(skeleton(defines))
        if "--check" in sys.argv[1:]:
            same = same and gzip.decompress((OUT / name).read_bytes()) == gzip.decompress(built)
            continue
        (OUT / name).write_bytes(built)
        print(f"{name}: {len(built)} bytes")
    if "--check" in sys.argv[1:]:
        print(f"the programs are {'' if same else 'NOT '}what their source builds{'' if same else ': make bpf'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
