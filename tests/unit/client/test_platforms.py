"""The client where POSIX is not: without fcntl, forks, Unix sockets, users, hard links; where an open file cannot be removed.

Simulated on the machine that runs the tests, in a process of its own; on Windows and macOS it was not run (``docs/limits.md``).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.upstream import Upstream

ROOT = Path(__file__).parents[3]
KEY = "kz_live_" + "k" * 43
ELSEWHERE = """
import asyncio, errno, os, socket, sys, types  # these are this machine's; what ours import comes later

flock, LOCKED = __import__("fcntl").flock, {}
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK = 2

def locking(fd, mode, n):
    flock(fd, 2 | 4)  # exclusive, without waiting, as LK_NBLCK is

msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())

real_unlink, real_replace = os.unlink, os.replace

def open_here(path):
    path = os.path.realpath(path)
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}") == path:
                return True
        except OSError:
            pass
    return False

def unlink(path, *, dir_fd=None):
    if open_here(path):
        raise PermissionError(errno.EACCES, "The process cannot access the file because it is being used", path)
    real_unlink(path)

os.unlink = os.remove = unlink
for name in ("fork", "forkpty", "register_at_fork", "geteuid", "getuid", "chown", "link", "pread",
             "fchmod", "O_NOFOLLOW", "O_CLOEXEC"):
    if hasattr(os, name):
        delattr(os, name)
pair, local = socket.socketpair, socket.AF_UNIX
socket.socketpair = lambda *how: pair(local)  # this machine's event loop wakes itself over one
del socket.AF_UNIX

sys.platform = "win32"
import kaizen_security.client.lock
sys.platform = "linux"
"""


def elsewhere(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ELSEWHERE + code, *arguments, KEY],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


LOCAL = """
from kaizen_security import Kaizen, KaizenBlocked, AsyncKaizen
url, data, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
policies = [{"mode": "blocklist", "rules": {"domains": ["attacker.example"]}}]
kaizen = Kaizen(sys.argv[-1], url, policies, data=data, sync=False)
assert kaizen.inspect(tool="blocked", target="attacker.example").blocked
for i in range(n):
    assert kaizen.inspect(tool=f"t{i}").allowed
if sys.argv[4] == "deliver":
    assert kaizen.flush(20), kaizen.problem
    kaizen.close()
    assert kaizen.problem == "", kaizen.problem
else:
    kaizen.close(0.2)
assert kaizen.lost == {}, kaizen.lost
"""


def test_reports_arrive_and_nothing_is_left_behind(upstream, tmp_path):
    elsewhere(LOCAL, upstream.url, str(tmp_path / "data"), "200", "deliver")
    assert sorted(upstream.tools()) == sorted(["blocked", *(f"t{i}" for i in range(200))])
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.suffix in (".seg", ".own")] == []


def test_what_one_process_could_not_deliver_the_next_one_does(tmp_path):
    with Upstream() as upstream:
        port, url = upstream.port, upstream.url
    elsewhere(LOCAL, url, str(tmp_path / "data"), "50", "leave")
    with Upstream(port=port) as upstream:
        elsewhere(LOCAL, url, str(tmp_path / "data"), "0", "deliver")
        assert sorted(set(upstream.tools())) == sorted(["blocked", *(f"t{i}" for i in range(50))])
    assert list((tmp_path / "data").rglob("*.seg")) == []


def test_a_secret_of_the_tenant_is_kept_without_hard_links(tmp_path):
    code = "from kaizen_security.client.config import load, tenant_secret; print(tenant_secret(load({'data': sys.argv[1]})).hex())"
    first, second = (elsewhere(code, str(tmp_path / "data")) for _ in range(2))
    assert first == second
    assert [path.name for path in Path(tmp_path / "data").iterdir()] == ["boundary.key"]


SIDECAR = """
from kaizen_security import Action, AsyncKaizen, Kaizen
from kaizen_security.client.config import default_sidecar, load
from kaizen_security.contract.errors import Misconfigured
assert default_sidecar(load({"data": sys.argv[2]})) == "http://127.0.0.1:8001"
kaizen = Kaizen(sys.argv[-1], sidecar=sys.argv[1], data=sys.argv[2], in_tenant=True)
assert kaizen.inspect(Action(tool="one", id="1")).action_id == "1"
assert asyncio.run(AsyncKaizen.over(kaizen).inspect(Action(tool="two", id="2"))).action_id == "2"
kaizen.close()
try:
    Kaizen(sidecar="unix:///nowhere/kaizen.sock", data=sys.argv[2])
except Misconfigured as err:
    assert str(err).startswith("this system has no Unix sockets: give the sidecar's loopback address"), err
else:
    raise AssertionError("a Unix socket cannot be used here")
"""


def test_a_sidecar_is_asked_over_loopback(upstream, tmp_path):
    elsewhere(SIDECAR, upstream.url, str(tmp_path / "data"))
    assert [asked["tool"] for asked in upstream.asked] == ["one", "two"]


SHELF = """
from kaizen_security.mcp.pins import Pins
from kaizen_security.mcp.shelf import Shelf
shelf = Shelf(sys.argv[1])
assert shelf.change("files", lambda pins: Pins(server="files", calls_itself="f 1")).calls_itself == "f 1"
assert Shelf(sys.argv[1]).pins("files").calls_itself == "f 1"
from kaizen_security.client.lock import locked, locked_within
held = [os.open(os.path.join(sys.argv[1], "lock"), os.O_RDWR) for _ in range(2)]
assert locked(held[0]) and not locked_within(held[1], 0.02)
os.close(held[0])
assert locked_within(held[1], 5)
"""


def test_pins_of_mcp_servers_are_kept(tmp_path):
    elsewhere(SHELF, str(tmp_path / "pins"))


FILES = """
from kaizen_security.client.files import write_first, write_whole
path = sys.argv[1]
write_first(path, b"old")
write_first(path, b"other")
with open(path) as file:
    assert file.read() == "old"
write_whole(path, b"whole", mode=0o644)
with open(path) as file:
    assert file.read() == "whole"
"""


def test_a_file_is_written_once_or_replaced_whole(tmp_path):
    elsewhere(FILES, str(tmp_path / "claude.json"))


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_nothing_is_used_that_the_platform_does_not_have(platform, tmp_path):
    """By the types of the standard library, which say what each system has: for all that runs in or beside an agent there."""
    words = ["--platform", platform, "--no-warn-unreachable", "--cache-dir", str(tmp_path)]
    for package in ("contract", "client", "integrations", "mcp", "setup"):
        words += ["-p", f"kaizen_security.{package}"]
    said = subprocess.run([sys.executable, "-m", "mypy", *words], capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 0, said.stdout


def test_what_the_simulation_takes_away_is_what_the_client_would_use(tmp_path):
    said = elsewhere(
        "print(hasattr(os, 'fork'), hasattr(socket, 'AF_UNIX'), 'fcntl' in sys.modules, hasattr(os, 'link'))"
    )
    assert said == ["False"] * 4
    held = "f = open(sys.argv[1], 'w')\ntry:\n    os.unlink(sys.argv[1])\nexcept PermissionError:\n    print('held')\nf.close()"
    assert elsewhere(held, str(tmp_path / "open")) == ["held"]
