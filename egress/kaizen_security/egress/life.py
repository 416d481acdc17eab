"""The proxy as a process: signals, settings read anew, and a successor that takes over without dropping a tunnel."""

from __future__ import annotations

import gc
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from types import FrameType

from kaizen_security.client.descriptors import make_room
from kaizen_security.contract.errors import KaizenError
from kaizen_security.egress.config import Config
from kaizen_security.egress.opening import Opening
from kaizen_security.egress.proxy import Proxy

READY = 30.0
"""Seconds that a successor has to begin."""

log = logging.getLogger(__name__)


def serve(
    config: Config,
    *,
    again: Callable[[], Config] | None = None,
    opening: Callable[[Proxy], Opening] | None = None,
) -> int:
    """Run a proxy in this process until SIGTERM or SIGINT: exit status 0.

    SIGHUP reads the settings ``again``. SIGUSR2 starts a successor on the same socket; this process ends once its connections have.
    ``opening``: see Proxy.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    proxy = Proxy(config, opening=opening)
    proxy.most = _most(config)
    host, port = proxy.start()
    if threading.current_thread() is threading.main_thread():
        _listen_to_signals(proxy, again)
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{port}", flush=True)
    # Connections make and drop many small objects that form no lasting cycles; what was imported need not be looked at again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    proxy.run()
    return 0


def _listen_to_signals(proxy: Proxy, again: Callable[[], Config] | None) -> None:
    successor = Successor(proxy)

    def ended(number: int, frame: FrameType | None) -> None:
        proxy.stop()

    def changed(number: int, frame: FrameType | None) -> None:
        if again is not None:
            threading.Thread(target=_reload, args=(proxy, again), name="egress-reload", daemon=True).start()

    def replaced(number: int, frame: FrameType | None) -> None:
        successor.begin()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    for name, act in (("SIGHUP", changed), ("SIGUSR2", replaced)):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), act)


def _most(config: Config) -> int:
    # A client and its server are two; with fewer descriptors whoever opens a thousand connections would keep everybody out.
    return max(1, make_room(2 * config.max_connections) // 2)


def _reload(proxy: Proxy, again: Callable[[], Config]) -> None:
    try:
        config = again()
    except KaizenError as err:
        log.error("the settings stay as they were: %s", err)
        return
    proxy.most = _most(config)
    proxy.reload(config)


class Successor:
    """Starts this program once more, with the listening socket, and retires this process when the other one is ready."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._under_way = False

    def begin(self) -> None:
        """From a signal handler. While one is being started, another is not."""
        if not self._under_way:
            self._under_way = True
            threading.Thread(target=self._start, name="egress-successor", daemon=True).start()

    def _start(self) -> None:
        doors = self._proxy.doors
        try:
            if doors and self._is_ready(doors[0].listener.fileno()):
                self._proxy.retire()
        except OSError as err:
            log.error("no successor could be started: %s", err.strerror)
        finally:
            self._under_way = False

    def _is_ready(self, fd: int) -> bool:
        command = [sys.executable, *sys.orig_argv[1:], "--listen-fd", str(fd)]
        process = subprocess.Popen(command, pass_fds=[fd], stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        # Not select(2), which knows no descriptor above 1023.
        with process.stdout as out, DefaultSelector() as selector:
            selector.register(out, EVENT_READ)
            if selector.select(READY) and out.readline().startswith(b"listening on "):
                log.info("process %d has taken over", process.pid)
                return True
        process.kill()
        process.wait()
        log.error("the successor did not begin; this process goes on")
        return False
