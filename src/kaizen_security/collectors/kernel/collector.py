"""The collector: programs loaded and attached, processes marked as an agent's, and what they do as an iterator of Events.

    with Collector.start() as collector:
        collector.serve(0, flags=Agent.LIVE)          # agent number 0 is being watched
        collector.mark(os.getpid(), 0)                # this process and all that it starts from now on
        for event in collector.events(seconds=1.0):
            ...                                       # kaizen_security.collectors.kernel.decode.Event
        collector.counters()                          # told, refused, lost by reason

Needs root, or CAP_BPF with CAP_NET_ADMIN and CAP_PERFMON; ``NotHere`` says what is missing. Whatever the reader does, the programs
never wait for it: what does not fit into the ring is counted (``lost_ring``).
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from mmap import mmap
from pathlib import Path
from threading import Lock
from time import monotonic
from types import TracebackType

from kaizen_security.collectors.kernel import bpf, linux
from kaizen_security.collectors.kernel.clock import began, monotonic_ns, random64
from kaizen_security.collectors.kernel.decode import Event, Malformed, decode
from kaizen_security.collectors.kernel.ring import Ring
from kaizen_security.collectors.kernel.shapes import (
    AGENT,
    COUNTERS,
    FILE_KEY,
    PROCESSES,
    RESOLVED,
    SETTINGS,
    VALUE_SIZES,
    Agent,
    mapped,
)
from kaizen_security.contract.errors import KaizenError

RING = 4 << 20
"""Bytes of the ring buffer, as bpf/kaizen.bpf.c makes it."""
LOOK = 0.02
"""Seconds between two looks at the ring while something happens; the programs wake us before when much has gathered."""
IDLE = 0.1
"""Seconds between two looks at the most, after some that found nothing: so late is the first deed after a rest told. Each look of
an idle agent's reader costs about 90 us."""
PATIENCE = 5.0
"""Seconds without a heartbeat after which nobody attends, as far as the programs are concerned."""
_HOSTS_PIDS = "pid:[4026531836]"
"""PROC_PID_INIT_INO of the kernel: the only pid namespace whose numbers are those that the programs see."""
PINS = Path("/sys/fs/bpf")


class NotHere(KaizenError):
    """The programs cannot run here; the text says what is missing."""


def _loaded() -> tuple[dict[str, int], dict[str, int]]:
    """The strongest variant that this kernel accepts. Raises NotHere with why it accepts none."""
    for name in bpf.VARIANTS[:-1]:
        with suppress(OSError):
            return bpf.load(bpf.package(name), explain=False)
    try:
        return bpf.load(bpf.package())
    except OSError as err:
        raise NotHere(f"eBPF programs cannot be loaded: {err.strerror or err}") from err


def root_cgroup() -> str:
    """Where the version 2 hierarchy of control groups is mounted. Raises NotHere."""
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            fields = line.split()
            if len(fields) > 2 and fields[2] == "cgroup2":
                return fields[1]
    raise NotHere("no cgroup2 hierarchy is mounted")


class Collector:
    """See the module. Made by ``start``; ``close`` takes everything away again, unless it was pinned."""

    def __init__(self, maps: Mapping[str, int], programs: Mapping[str, int], links: Mapping[str, int]) -> None:
        self._maps = dict(maps)
        self._programs = dict(programs)
        self._links = dict(links)
        self._ring = Ring(maps["ring"], RING)
        self._marks = mmap(maps["marks"], PROCESSES)
        self._poll = select.epoll()
        self._poll.register(maps["ring"], select.EPOLLIN)
        self._pause = LOOK
        self._seed, self._prime = random64(), random64() | 1
        self._pins: Path | None = None
        self._held = {name: bpf.held(link) for name, link in links.items()}
        self._served: dict[bytes, bytes] = {}
        self._serving = Lock()
        self.malformed = 0
        """Records that were no event: always 0 while program and reader are of one build."""
        self.attend()

    @classmethod
    def start(cls) -> Collector:
        """Load and attach. Raises NotHere."""
        if os.readlink("/proc/self/ns/pid") != _HOSTS_PIDS:
            raise NotHere("processes are numbered as the host does it: start it in the host's pid namespace (hostPID)")
        maps, programs = _loaded()
        links: dict[str, int] = {}
        try:
            cgroup = os.open(root_cgroup(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for name, program in programs.items():
                    links[name] = bpf.attach(name, program, cgroup)
            finally:
                os.close(cgroup)
            return cls(maps, programs, links)
        except (OSError, NotHere) as err:
            for descriptors in (links, programs, maps):
                bpf.close(descriptors)
            raise NotHere(f"eBPF programs cannot be attached: {err}") from err

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def sees_unix(self) -> bool:
        """Whether connections to unix sockets are seen here (Linux 6.7)."""
        return "connect_unix" in self._links

    @property
    def refuses_files(self) -> bool:
        """Whether files are refused by the kernel itself (BPF LSM), whether anybody answers or not."""
        return "file_open" in self._links

    def shut(self, files: Iterable[tuple[int, int]], number: int) -> None:
        """Agent ``number`` may not open these, nor what is below them: device and inode as stat(2) has them. Raises OSError."""
        table = self.map("shut")
        for device, inode in files:
            table.put(FILE_KEY.pack(inode, os.major(device) << 20 | os.minor(device), number), struct.pack("=I", 1))

    # --- who is an agent ----------------------------------------------------------------------------------------------------

    def serve(self, number: int, *, flags: Agent, generation: int = 0) -> None:
        """From now on agent ``number`` (0 to 63) has these flags and the policy of that generation, both at once."""
        key, value = struct.pack("=I", number), AGENT.pack(flags | Agent.LIVE, generation)
        with self._serving:
            self.map("agents").put(key, value)
            self._served[key] = value

    def mark(self, pid: int, number: int) -> None:
        """Process ``pid``, and whatever it starts from now on, is agent ``number``'s."""
        self._marks[pid] = number + 1

    def unmark(self, pid: int) -> None:
        """It is nobody's any more."""
        self._marks[pid] = 0

    def marked(self, number: int) -> list[int]:
        """Processes of agent ``number``."""
        found, mark = [], bytes([number + 1])
        at = self._marks.find(mark)
        while at >= 0:
            found.append(at)
            at = self._marks.find(mark, at + 1)
        return found

    def agent_of(self, pid: int, *, ended: bool = False) -> int | None:
        """Whose process that is; ``ended``: or was, if it has ended since."""
        if 0 <= pid < PROCESSES and self._marks[pid]:
            return self._marks[pid] - 1
        value = self.map("ended").get(struct.pack("=I", pid)) if ended else None
        return None if value is None else int(struct.unpack("=I", value)[0])

    def map(self, name: str) -> bpf.Map:
        """One of the programs' maps."""
        return bpf.Map(self._maps[name], value=VALUE_SIZES[name])

    def name_of(self, address: str, number: int = 0) -> str:
        """The name that an address was last the answer for, as agent ``number`` asked; ``""`` when there is none."""
        where = ip_address(address)
        _, first = mapped(where.version, int(where), 0)
        value = self.map("resolved").get(struct.pack("=I", number) + first)
        if value is None:
            return ""
        *_, length, name = RESOLVED.unpack_from(value)
        return str(name[:length].decode("ascii", "replace")) if length <= len(name) else ""

    @property
    def hash_keys(self) -> tuple[int, int]:
        """Seed and factor of the hashes in the table of names; random, so nobody can choose a name that meets another's."""
        return self._seed, self._prime

    # --- what they do -------------------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Say that somebody is here, and look at the wall clock, which may have been set: to be called at least every second.
        ``events`` does.
        """
        self._began = began()
        beat = SETTINGS.pack(self._seed, self._prime, monotonic_ns(), int(PATIENCE * 1e9))
        self.map("settings").put(struct.pack("=I", 0), beat)

    def events(self, *, seconds: float) -> Iterator[Event]:
        """What happens within that time, in order. Ends early never; take what is there with ``seconds`` 0."""
        return filter(None, map(self.event, self.records(seconds=seconds)))

    def records(self, *, seconds: float) -> Iterator[memoryview]:
        """As ``events``, undecoded. A record is good until the next one is asked for."""
        until = monotonic() + seconds
        beaten = 0.0
        while True:
            now = monotonic()
            if now - beaten >= 0.5:
                self.attend()
                beaten = now
            before = self._ring.taken
            yield from self._ring.read()
            if now >= until:
                return
            self._pause = LOOK if self._ring.taken != before else min(2 * self._pause, IDLE)
            self._poll.poll(min(self._pause, max(0.0, until - monotonic())))

    def drain(self) -> Iterator[Event]:
        """What is in the ring now."""
        return filter(None, map(self.event, self._ring.read()))

    def event(self, record: memoryview) -> Event | None:
        """One record decoded; None and counted as ``malformed`` if it is no event."""
        try:
            return decode(record, began=self._began)
        except Malformed:
            self.malformed += 1
            return None

    def counters(self) -> dict[str, int]:
        """What the programs counted, by the names in ``shapes.COUNTERS``."""
        with open("/sys/devices/system/cpu/possible") as file:
            last = int(file.read().strip().rpartition("-")[2])
        value = bpf.Map(self._maps["counters"], value=8 * len(COUNTERS) * (last + 1)).get(bytes(4)) or b""
        counted = struct.unpack(f"={len(value) // 8}Q", value)
        return {name: sum(counted[i :: len(COUNTERS)]) for i, name in enumerate(COUNTERS)}

    def run_times(self) -> dict[str, tuple[int, int]]:
        """Nanoseconds and calls of each program since BPF statistics were switched on (sysctl kernel.bpf_stats_enabled)."""
        found = {}
        for name, fd in self._programs.items():
            with open(f"/proc/self/fdinfo/{fd}") as file:
                said = dict(line.split(":", 1) for line in file if ":" in line)
            found[name] = int(said.get("run_time_ns", "0")), int(said.get("run_cnt", "0"))
        return found

    # --- its life -----------------------------------------------------------------------------------------------------------

    def pin(self, name: str) -> Path:
        """What is attached stays attached when this process dies, until ``unpin`` of the same name. Raises NotHere."""
        folder = PINS / f"kaizen-{name}"
        try:
            if not os.path.ismount(PINS):
                linux.mount("bpf", str(PINS), "bpf", 0, "mode=0700")
            folder.mkdir(mode=0o700)
            for name, fd in self._pinned():
                bpf.pin(fd, str(folder / name))
        except OSError as err:
            unpin(folder)
            raise NotHere(f"the programs cannot be pinned: {err}") from err
        self._pins = folder
        return folder

    def _pinned(self) -> Iterator[tuple[str, int]]:
        yield from ((f"link-{link}", fd) for link, fd in self._links.items())
        yield from ((f"map-{table}", self._maps[table]) for table in ("marks", "agents", "settings"))

    def put_back(self) -> tuple[list[str], list[str]]:
        """Programs, flags and pins as they were put, where somebody changed them: what is so again, and what cannot be, in words.

        Raises OSError, NotHere.
        """
        pins = self._pins
        unpinned = [name for name, _ in self._pinned() if pins is not None and not (pins / name).exists()]
        back, lost = [], []
        for name in [name for name, link in self._links.items() if bpf.held(link) != self._held[name]]:
            said = f"the program {name} was detached or replaced"
            try:
                self._attach_again(name)
                back.append(said)
            except (OSError, NotHere) as err:
                lost.append(f"{said}, and cannot be put back: {err}")
        if pins is not None and (unpinned or back):
            unpin(pins)
            self.pin(pins.name.removeprefix("kaizen-"))
        back += [f"the pins {', '.join(unpinned)} were removed"] if unpinned else []
        with self._serving:
            for key, value in self._served.items():
                if self.map("agents").get(key) != value:
                    self.map("agents").put(key, value)
                    back.append("the agent's flags were changed")
        return back, lost

    def _attach_again(self, name: str) -> None:
        cgroup = os.open(root_cgroup(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link = bpf.attach(name, self._programs[name], cgroup)
        finally:
            os.close(cgroup)
        os.close(self._links[name])
        self._links[name], self._held[name] = link, bpf.held(link)

    def close(self) -> None:
        """Let go of everything; nothing stays behind."""
        if self._pins is not None:
            unpin(self._pins)
            self._pins = None
        self._poll.close()
        self._ring.close()
        self._marks.close()
        for descriptors in (self._links, self._programs, self._maps):
            bpf.close(descriptors)


def unpin(folder: Path) -> None:
    """Take the pins of one collector away: its programs let go when its process is gone too."""
    with suppress(FileNotFoundError):
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


def left_behind() -> Iterable[Path]:
    """Pins of collectors."""
    return sorted(PINS.glob("kaizen-*")) if PINS.is_dir() else ()
