"""The kernel rung on another kernel: ``python -m tests.kernel.elsewhere KERNEL [TEST …]`` (as root; a minute and more).

KERNEL is a folder with what a distribution's kernel package holds (``dpkg-deb -x linux-image-*-cloud-amd64_*.deb KERNEL``).
QEMU boots it in emulation, without /dev/kvm, and with BPF among its LSMs. Its files are this machine's, by virtiofs; what it writes
stays in its memory. There pytest runs the tests named, or those of the programs; the exit status is pytest's.
Needs qemu-system-x86, virtiofsd (both of Debian 12's qemu-system-x86) and busybox-static.
"""

from __future__ import annotations

import argparse
import lzma
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.architecture.tree import ROOT
from tests.e2e.sidecar_process import until

TESTS = tuple(f"tests/kernel/test_{name}.py" for name in ("shut", "collector", "detours", "enforce"))
MODULES = "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci fuse virtiofs overlay".split()
"""What these kernels have as modules or built in, in the order in which one needs the other."""
VIRTIOFSD, BUSYBOX = "/usr/lib/qemu/virtiofsd", "/bin/busybox"
SECONDS = 3600
ENDED = "the tests ended with "
FIRST = f"""#!/bin/busybox sh
B=/bin/busybox
$B mkdir -p /proc /sys /dev /low /up /new
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
for m in {" ".join(MODULES)}; do if [ -e /modules/$m.ko ]; then $B insmod /modules/$m.ko; fi; done
$B mount -t virtiofs host /low; $B mount -t tmpfs up /up; $B mkdir /up/upper /up/work
$B mount -t overlay over -o lowerdir=/low,upperdir=/up/upper,workdir=/up/work /new
for d in proc sys dev; do $B mount --move /$d /new/$d; done
$B mount -t tmpfs run /new/run; $B cp /second /new/run/second
exec $B switch_root /new /bin/sh /run/second
"""
SECOND = f"""
mount -t cgroup2 cgroup /sys/fs/cgroup; mkdir -p /dev/pts /dev/shm; mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm
mkdir -p /run/tmp; ip link set lo up; cd {shlex.quote(str(ROOT))}
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1  # what it would load besides takes minutes in emulation
export HOME=/run/tmp TMPDIR=/run/tmp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
uname -r
%s -m pytest -q -p no:cacheprovider -p pytest_rerunfailures -rs %s
echo "{ENDED}$?"; echo o > /proc/sysrq-trigger; sleep 100
"""


def archive(files: Iterable[tuple[str, int, bytes]]) -> bytes:
    """A cpio archive as a kernel takes it (Documentation/driver-api/early-userspace/buffer-format.rst): names, modes, contents."""
    out = b""
    for number, (name, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        called = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(called), 0)
        out += b"070701" + b"".join(b"%08x" % one for one in fields) + called
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return out


def modules(kernel: Path) -> Iterator[tuple[str, bytes]]:
    """Those of MODULES that are not built in; newer packages compress them. Raises FileNotFoundError."""
    builtin = next(kernel.rglob("modules.builtin")).read_text()
    for name in MODULES:
        if f"/{name}.ko" not in builtin:
            file = next(kernel.rglob(f"{name}.ko*"), None)
            if file is None:
                raise FileNotFoundError(f"{kernel} has no module {name}")
            data = file.read_bytes()
            yield name, lzma.decompress(data) if file.suffix == ".xz" else data


def first_files(kernel: Path, tests: Iterable[str]) -> bytes:
    """What it finds when it begins: a shell, modules, and what to do."""
    found: list[tuple[str, int, bytes]] = [("bin", 0o40755, b""), ("modules", 0o40755, b"")]
    found.append(("bin/busybox", 0o100755, Path(BUSYBOX).read_bytes()))
    found += [(f"modules/{name}.ko", 0o100644, data) for name, data in modules(kernel)]
    second = SECOND % (shlex.quote(sys.executable), shlex.join(tests))
    return archive([*found, ("init", 0o100755, FIRST.encode()), ("second", 0o100644, second.encode())])


def boot(kernel: Path, tests: Iterable[str], folder: Path) -> int:
    """Boot, test, end: pytest's exit status; 125 when it did not come so far."""
    (folder / "first").write_bytes(first_files(kernel, tests))
    place = folder / "files.sock"
    sharing = [VIRTIOFSD, f"--socket-path={place}", "-o", "source=/", "-o", "cache=always", "-o", "sandbox=chroot"]
    machine = [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2G", "-smp", "2"),
        *("-nographic", "-no-reboot", "-nic", "none", "-kernel", str(next(kernel.rglob("vmlinuz-*")))),
        *("-initrd", str(folder / "first"), "-append", "console=ttyS0 quiet panic=-1 lsm=landlock,bpf"),
        *("-object", "memory-backend-memfd,id=memory,size=2G,share=on", "-numa", "node,memdev=memory"),
        *("-chardev", f"socket,id=files,path={place}", "-device", "vhost-user-fs-pci,chardev=files,tag=host"),
    ]
    status = 125
    with subprocess.Popen(sharing, stderr=subprocess.DEVNULL) as files:
        try:
            until(place.exists, "virtiofsd's socket")
            with subprocess.Popen(machine, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as qemu:
                assert qemu.stdout is not None
                for line in qemu.stdout:
                    print(line, end="", flush=True)
                    if ENDED in line:
                        status = int(line.split(ENDED)[1])
                qemu.wait(SECONDS)
        finally:
            files.terminate()
    return status


def main() -> int:
    """Pytest's exit status there; 125 when there is no machine to be had, with the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("tests", nargs="*", default=TESTS)
    args = parser.parse_args()
    lacking = [name for name in ("qemu-system-x86_64", VIRTIOFSD, BUSYBOX) if not shutil.which(name)]
    if lacking or os.geteuid():
        print(f"not here: {', '.join(lacking) or 'it needs root'}", file=sys.stderr)
        return 125
    with tempfile.TemporaryDirectory() as folder:
        return boot(args.kernel, args.tests, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
