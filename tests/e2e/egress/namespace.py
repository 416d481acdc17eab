"""A network namespace of the test's own: addresses on its loopback, rules, and sockets of this process inside it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nft") is None,
    reason="needs root, ip and nft for a network namespace",
)


class Namespace:
    """``command`` begins a command inside; ``do`` calls a function on a thread that is inside, for the sockets that it makes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.command = ["ip", "netns", "exec", name]

    def run(self, *words: str, data: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self.command, *words], input=data, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def do(self, call: Callable[[], T]) -> T:
        found: list[T] = []
        wrong: list[BaseException] = []

        def inside() -> None:
            try:
                fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
                try:
                    if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(fd)
                found.append(call())
            except BaseException as err:  # noqa: BLE001 - raised again below, on the test's own thread
                wrong.append(err)

        thread = threading.Thread(target=inside, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive(), "it hangs inside the namespace"
        if wrong:
            raise wrong[0]
        return found[0]


@contextmanager
def namespace(*addresses: str) -> Iterator[Namespace]:
    """A fresh one, with these addresses on its loopback."""
    name = f"kz-{os.getpid()}-{threading.get_ident() % 10000}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        space = Namespace(name)
        space.run("ip", "link", "set", "lo", "up")
        for address in addresses:
            space.run("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
        yield space
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
