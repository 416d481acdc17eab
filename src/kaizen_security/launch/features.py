"""What this machine offers to hold an agent with: each feature tried, not looked up, with a plain answer."""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaizen_security.collectors.kernel import linux
from kaizen_security.collectors.kernel.collector import Collector, NotHere, left_behind, root_cgroup
from kaizen_security.launch.landlock import NETWORK, SCOPES, abi
from kaizen_security.launch.seccomp import program


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature. ``here`` None: no better or worse, only to be known; ``mend`` says what would bring it."""

    name: str
    here: bool | None
    says: str
    mend: str = ""


def probe() -> list[Feature]:
    """Every feature, tried in a child where trying changes something."""
    return [
        Feature(name="kernel", here=None, says=f"{platform.system()} {platform.release()} on {platform.machine()}"),
        _programs(),
        _cgroup(),
        _namespaces(),
        _nft(),
        _landlock(),
        _seccomp(),
        _fanotify(),
        _io_uring(),
        _leftovers(),
    ]


def reached(features: list[Feature]) -> str:
    """The strongest rung that these features make, in one sentence."""
    here = {feature.name for feature in features if feature.here}
    if "eBPF programs" in here:
        return "kernel: what an agent's processes do is seen and held below them."
    if "network namespaces" in here:
        return "namespace: the egress proxy is an agent's only way out."
    if {"Landlock on ports", "seccomp"} <= here:
        return "proxy, with Landlock and seccomp in enforce mode: TCP goes to the proxy only, and there is no UDP."
    return "proxy variables only: an agent that ignores them is not seen."


def _programs() -> Feature:
    name = "eBPF programs"
    try:
        with Collector.start() as collector:
            return Feature(
                name=name,
                here=True,
                says="they load and attach"
                + ("" if collector.sees_unix else ", without unix sockets (6.7 is needed)")
                + ("; BPF LSM refuses files" if collector.refuses_files else "; no BPF LSM, so fanotify refuses files"),
            )
    except NotHere as err:
        mend = (
            "run as root, or give CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
            if os.geteuid()
            else "use Linux 6.1 or newer with BTF"
        )
        return Feature(name=name, here=False, says=str(err), mend=mend)


def _cgroup() -> Feature:
    try:
        return Feature(name="cgroup2", here=True, says=f"mounted at {root_cgroup()}")
    except NotHere as err:
        return Feature(name="cgroup2", here=False, says=str(err), mend="mount -t cgroup2 none /sys/fs/cgroup/unified")


def _in_child(attempt: Callable[[], None]) -> OSError | None:
    """Try it where nothing of it can stay; what it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
        except OSError as err:
            os._exit(err.errno or 255)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return OSError(code, os.strerror(code)) if code > 0 else None


def _namespaces() -> Feature:
    name = "network namespaces"
    flags = linux.CLONE_NEWNET | linux.CLONE_NEWNS | (linux.CLONE_NEWUSER if os.geteuid() else 0)
    err = _in_child(lambda: linux.unshare(flags))
    if err is None:
        return Feature(name=name, here=True, says="this user may make them")
    mend = (
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a container profile that permits unshare(2), or root"
    )
    return Feature(name=name, here=False, says=str(err.strerror), mend=mend)


def _nft() -> Feature:
    found = shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")  # noqa: TID251 - only where a command is
    if found:
        return Feature(name="nft", here=True, says=found)
    says = "not installed: in a namespace, clients that ignore the proxy are refused instead of led to it"
    return Feature(name="nft", here=False, says=says, mend="apt-get install nftables")


def _landlock() -> Feature:
    version = abi()
    says = f"version {version}" + (", with scopes" if version >= SCOPES else "")
    if version >= NETWORK:
        return Feature(name="Landlock on ports", here=True, says=says)
    return Feature(
        name="Landlock on ports", here=False, says=says if version else "not there", mend="use Linux 6.7 or newer"
    )


def _seccomp() -> Feature:
    try:
        program(platform.machine())
    except linux.Unsupported as err:
        return Feature(name="seccomp", here=False, says=str(err))
    there = Path("/proc/sys/kernel/seccomp/actions_avail")
    listens = there.exists() and "user_notif" in there.read_text()
    return Feature(
        name="seccomp", here=listens, says="refuses and reports" if listens else "refused calls cannot be reported"
    )


def _fanotify() -> Feature:
    name = "fanotify permission events"
    err = _in_child(lambda: os.close(linux.fanotify_init(permission=True)))
    if err is None:
        return Feature(name=name, here=True, says="watched files can be refused")
    mend = "run as root (CAP_SYS_ADMIN)" if err.errno == errno.EPERM else ""
    return Feature(name=name, here=False, says=str(err.strerror), mend=mend)


def _io_uring() -> Feature:
    path = Path("/proc/sys/kernel/io_uring_disabled")
    value = path.read_text().strip() if path.exists() else "0"
    says = {"0": "on: seen by the kernel rung, refused in a namespace", "1": "off for unprivileged users"}.get(
        value, "off"
    )
    return Feature(name="io_uring", here=None, says=says)


def _leftovers() -> Feature:
    found = list(left_behind()) if os.geteuid() == 0 else []
    says = ", ".join(path.name for path in found) if found else "nothing"
    mend = "kaizen attach --detach NAME, unless such a run goes on" if found else ""
    return Feature(name="pins of runs", here=None, says=says, mend=mend)
