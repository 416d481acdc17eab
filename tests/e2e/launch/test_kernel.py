"""`kaizen run` with the kernel rung: what the agent did not declare is refused below it, and it cannot unload what refuses it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kaizen_security.client.http import Connection
from kaizen_security.collectors.kernel import linux
from kaizen_security.collectors.kernel.collector import Collector, NotHere, left_behind, root_cgroup
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.launch.sink import Collecting
from tests.e2e.launch.agents import kaizen_run, proxy, server
from tests.e2e.line import Line
from tests.e2e.sidecar_process import until

try:
    Collector.start().close()
    WHY = ""
except NotHere as err:
    WHY = str(err)
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY), reason=f"no kernel rung here: {WHY}")]


def python(code: str) -> list[str]:
    return ["--", sys.executable, "-S", "-c", code]


def rows_of(line: Line, agent: str, *kinds: str) -> list[dict]:
    """Its rows, once there is one of each kind."""
    connection = Connection(line.environment["KAIZEN_API_URL"])
    found = connection.json(
        "GET", f"/v1/verdicts?agent={agent}", headers={"Authorization": f"Bearer {line.environment['KAIZEN_API_KEY']}"}
    )
    connection.close()
    rows = found["verdicts"]
    return rows if {row["action"]["kind"] for row in rows}.issuperset(kinds) else []


def said(done) -> list[str]:
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.splitlines()


REACH = """
import errno, socket
def reach(port):
    try: socket.create_connection(("127.0.0.1", port), timeout=60); print("reached")
    except OSError as err: print(errno.errorcode[err.errno])
"""


def test_in_enforce_mode_only_what_was_declared_is_reached(tmp_path: Path):
    with server() as one, server() as other, proxy(tmp_path / "p", {}) as url:
        words = ["--enforce", "--proxy", url, "--allow", f"127.0.0.1:{one}"]
        done = kaizen_run(*words, *python(f"{REACH}\nreach({one}); reach({other})"), env={}, data=tmp_path)
    assert said(done) == ["reached", "EPERM"]
    assert "1 refused in the kernel" in done.stderr


def test_in_observe_mode_all_is_reached_and_seen(tmp_path: Path):
    with server() as one, proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--proxy", url, *python(f"{REACH}\nreach({one})"), env={}, data=tmp_path)
    assert said(done) == ["reached"]
    assert "rung: kernel" in done.stderr


def test_its_own_servers_and_files_stay_its_own(tmp_path: Path):
    """Landlock refuses to carry a file from one directory to another unless it is told to permit that."""
    code = f"""
import os, socket, threading
os.chdir({str(tmp_path)!r}); os.mkdir("one"); os.mkdir("other"); open("one/file", "w").close()
os.rename("one/file", "other/file"); os.link("other/file", "one/file"); print(os.listdir("one"))
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"hello")).start()
print(socket.create_connection(server.getsockname()).recv(5).decode())
"""
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--enforce", "--proxy", url, *python(code), env={}, data=tmp_path)
    assert said(done) == ["['file']", "hello"]


def test_as_root_it_cannot_unload_what_holds_it(tmp_path: Path):
    code = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def said(result): print("done" if result >= 0 else errno.errorcode[ctypes.get_errno()])
said(libc.syscall(321 if os.uname().machine == "x86_64" else 280, 0, None, 0))   # bpf
said(libc.umount2(b"/sys/fs/bpf", 2))
said(libc.mount(b"bpf", b"/tmp", b"bpf", 0, None))
said(libc.unshare(0x00020000))
said(libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0))
print(os.listdir("/sys/fs/bpf"))
try: os.listdir(f"/proc/{os.getppid()}/root/sys/fs/bpf"); print("done")
except OSError as err: print(errno.errorcode[err.errno])
try: os.kill(os.getppid(), 9); print("done")
except OSError as err: print(errno.errorcode[err.errno])
said(libc.ptrace(16, os.getppid(), None, None))  # PTRACE_ATTACH: into a process that nobody holds
"""
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--enforce", "--proxy", url, *python(code), env={}, data=tmp_path)
    assert said(done) == ["EACCES", "EPERM", "EPERM", "EPERM", "EACCES", "[]", "EACCES", "EPERM", "EPERM"]


def test_no_way_around_the_filter_and_the_hidden_sockets(tmp_path: Path):
    """io_uring makes sockets of families that the filter refuses; a service may take datagrams, and be mounted at two places; and
    root may name a program that the kernel starts outside of the agent.
    """
    services, again = tmp_path / "services", tmp_path / "again"
    services.mkdir()
    again.mkdir()
    code = f"""
import ctypes, errno, os, socket
def said(work):
    try: work(); print("done")
    except OSError as err: print(errno.errorcode[err.errno])
def uring():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(425, 4, ctypes.create_string_buffer(120)) < 0: raise OSError(ctypes.get_errno(), "")
said(uring)
for folder in ({str(services)!r}, {str(again)!r}):
    said(lambda: socket.socket(socket.AF_UNIX).connect(folder + "/stream"))
    said(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", folder + "/log"))
said(lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
said(lambda: os.open("/proc/self/comm", os.O_WRONLY))
"""
    linux.mount(str(services), str(again), "", linux.MS_BIND)
    try:
        with (
            socket.socket(socket.AF_UNIX) as stream,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
            proxy(tmp_path / "p", {}) as url,
        ):
            stream.bind(str(services / "stream"))
            stream.listen()
            log.bind(str(services / "log"))
            done = kaizen_run("--enforce", "--proxy", url, *python(code), env={}, data=tmp_path)
    finally:
        subprocess.run(["umount", str(again)], check=True)
    assert said(done) == ["EACCES", *["ECONNREFUSED"] * 4, "EROFS", "done"]


def test_root_neither_limits_what_holds_it_nor_types_for_the_user(tmp_path: Path):
    """Root may set the limits of root's processes without a capability: with no file and no CPU time, who holds it would end."""
    code = """
import errno, fcntl, os, resource, sys, threading
def said(work):
    try: work(); print("done")
    except OSError as err: print(errno.errorcode[err.errno])
said(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1000, 1000)))
said(lambda: resource.prlimit(0, resource.RLIMIT_NOFILE, (512, 512)))
said(lambda: resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (256, 256)))
thread = threading.Thread(target=said, args=(lambda: resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (128, 128)),))
thread.start(), thread.join()
said(lambda: fcntl.ioctl(0, 0x5412, b"x"))  # TIOCSTI
"""
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--enforce", "--proxy", url, *python(code), env={}, data=tmp_path)
    assert said(done) == ["EACCES", "done", "done", "done", "EACCES"]


def test_a_hidden_socket_is_not_opened_by_its_files_handle(tmp_path: Path):
    """open_by_handle_at(2) knows no mounts, so nothing that hides a path hides from it."""
    place = tmp_path / "service"
    with socket.socket(socket.AF_UNIX) as service, proxy(tmp_path / "p", {}) as url:
        service.bind(str(place))
        service.listen()
        code = f"""
import ctypes, errno, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
calls = (303, 304) if os.uname().machine == "x86_64" else (264, 265)
handle, mount = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0), 136), ctypes.c_int()
libc.syscall(calls[0], -100, {str(tmp_path)!r}.encode(), handle, ctypes.byref(mount), 0)
size, kind = struct.unpack_from("=Ii", handle)
if kind != 1: print("another file system"); raise SystemExit
hidden = ctypes.create_string_buffer(struct.pack("=IiII", 8, 1, {place.stat().st_ino}, 0), 16)  # of any generation
found = libc.syscall(calls[1], os.open({str(tmp_path)!r}, os.O_RDONLY), hidden, os.O_PATH)
if found < 0: print(errno.errorcode[ctypes.get_errno()]); raise SystemExit
socket.socket(socket.AF_UNIX).connect(f"/proc/self/fd/{{found}}"); print("reached")
"""
        done = kaizen_run("--enforce", "--proxy", url, *python(code), env={}, data=tmp_path)
    if said(done) == ["another file system"]:
        pytest.skip("files have other handles here")
    assert said(done) == ["EPERM"]


def test_what_was_pinned_is_gone_when_the_run_is_over(tmp_path: Path):
    with proxy(tmp_path / "p", {}) as url:
        kaizen_run("--enforce", "--agent", "pinned", "--proxy", url, "--", "true", env={}, data=tmp_path)
    assert not [path for path in left_behind() if path.name.startswith("kaizen-pinned-")]


def test_a_run_that_cannot_begin_leaves_no_control_group(tmp_path: Path):
    done = kaizen_run("--agent", "unwatchable", "--watch", str(tmp_path / "nope"), "--", "true", env={}, data=tmp_path)
    assert (done.returncode, "is not there" in done.stderr) == (1, True)
    assert list(Path(root_cgroup()).glob("kaizen-unwatchable-*")) == []


def test_a_policy_that_has_not_arrived_is_said_and_the_rest_is_held(tmp_path: Path):
    env = {"KAIZEN_API_URL": "http://127.0.0.1:1", "KAIZEN_API_KEY": "kz_live_" + "0" * 32}
    with server() as port, proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--enforce", "--proxy", url, *python(f"{REACH}\nreach({port})"), env=env, data=tmp_path)
    assert said(done) == ["EPERM"]
    assert "policy and declaration have not arrived" in done.stderr


def test_refused_paths_are_refused_and_told(tmp_path: Path):
    secret = tmp_path / "key.pem"
    secret.write_text("the key")
    code = f"""
import errno
try: print(open({str(secret)!r}).read())
except OSError as err: print(errno.errorcode[err.errno])
"""
    with proxy(tmp_path / "p", {}) as url:
        done = kaizen_run("--enforce", "--refuse", str(secret), "--proxy", url, *python(code), env={}, data=tmp_path)
        observed = kaizen_run("--watch", str(secret), "--proxy", url, *python(code), env={}, data=tmp_path)
    assert said(done) == ["EPERM"]
    assert "1 files refused" in done.stderr
    assert said(observed) == ["the key"]
    assert "1 watched files" in observed.stderr


def test_a_program_whose_hash_a_policy_lists_does_not_run_and_is_told(tmp_path: Path):
    tool = tmp_path / "tool"
    shutil.copy("/bin/true", tool)
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()
    now = time.time()
    bundle = Bundle(
        agent="hashed",
        version=1,
        policies=(Policy("blocklist", {"hashes": [f"sha256:{digest.upper()}"]}),),
        mode=Mode.ENFORCE,
        issued_at=now,
        expires_at=now + 3600,
    )
    upstream = Collecting(bundle)
    env = {"KAIZEN_API_URL": upstream.url, "KAIZEN_API_KEY": upstream.key, "KAIZEN_IN_TENANT": "true"}
    try:
        with proxy(tmp_path / "p", {}) as url:
            words = ["--enforce", "--agent", "hashed", "--proxy", url, "--", "sh", "-c", f"{tool}; echo $?; ls /bin/sh"]
            done = kaizen_run(*words, env=env, data=tmp_path)
        reports = until(lambda: [one for one in upstream.reports if one.get("hash") == digest], "the report")
    finally:
        upstream.close()
    assert said(done) == ["126", "/bin/sh"], done.stderr
    assert "1 programs refused by their hash" in done.stderr
    assert [(one["kind"], one["target"]) for one in reports] == [("exec", str(tool))]


def test_what_it_did_is_reported_as_ground_truth(tmp_path: Path):
    with Line.started(tmp_path / "line") as line, server() as port, proxy(tmp_path / "p", {}) as url:
        done = kaizen_run(
            "--agent",
            "seen-below",
            "--proxy",
            url,
            *python(f"{REACH}\nreach({port})"),
            env=line.environment,
            data=tmp_path,
        )
        assert said(done) == ["reached"], done.stderr
        rows = until(lambda: rows_of(line, "seen-below", "exec", "connect"), "the rows")
    found = {(row["action"]["kind"], row["action"]["target"]): row for row in rows}
    assert ("connect", f"127.0.0.1:{port}") in found, json.dumps(rows)[:2000]
    row = found["connect", f"127.0.0.1:{port}"]
    assert (row["source"], row["rung"]) == ("ebpf", "ground truth (kernel)")
    program = next(row for kind, _ in found if kind == "exec" for row in [found[kind, _]])
    assert program["action"]["hash"]
    assert os.path.basename(program["action"]["target"]).startswith("python")
