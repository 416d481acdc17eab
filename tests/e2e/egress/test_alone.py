"""``egress/`` alone: a byte-checked copy that runs with Python and nothing else, as the image runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.e2e.egress.peers import ControlPlane, Origin, Running, curl, until

ROOT = Path(__file__).parents[3]
EGRESS = ROOT / "egress"


def test_the_copy_is_the_source_byte_for_byte():
    result = subprocess.run([sys.executable, str(EGRESS / "sync.py"), "--check"], capture_output=True, text=True)
    assert result.returncode == 0, f"run `python egress/sync.py`:\n{result.stdout}"


def test_a_copy_that_differs_is_named(tmp_path: Path):
    (tmp_path / "src").symlink_to(ROOT / "src")
    folder = tmp_path / "egress"
    folder.mkdir()
    shutil.copy(EGRESS / "sync.py", folder)
    subprocess.run([sys.executable, str(folder / "sync.py")], check=True, capture_output=True)
    (folder / "kaizen_security/egress/loop.py").write_text("# changed")
    (folder / "kaizen_security/egress/more.py").write_text("")
    (folder / "kaizen_security/egress/dns.py").unlink()
    result = subprocess.run([sys.executable, str(folder / "sync.py"), "--check"], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout.split("\n")[:3] == [
        "missing: kaizen_security/egress/dns.py",
        "differs: kaizen_security/egress/loop.py",
        "too much: kaizen_security/egress/more.py",
    ]


def test_the_documented_command_runs_from_a_copied_folder_with_nothing_but_python(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    """What the Dockerfile does: copy the two, set the environment, run. Isolated from this checkout and its packages."""
    folder = tmp_path / "opt"
    shutil.copytree(EGRESS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {
        "PATH": os.environ["PATH"],
        "KAIZEN_API_KEY": "kz_alone",
        "KAIZEN_AGENT": "alone",
        "KAIZEN_API_URL": plane.url,
        "KAIZEN_DATA": str(tmp_path / "data"),
        "PORT": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [getattr(sys, "_base_executable", sys.executable), "-s", "-E", str(folder / "proxy.py")]
    proxy = Running.__new__(Running)
    proxy.log = tmp_path / "log"
    with proxy.log.open("ab") as log:
        proxy.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=tmp_path
        )
    assert proxy.process.stdout is not None
    proxy.url = proxy.process.stdout.readline().split()[-1]
    proxy.host, proxy.port = "127.0.0.1", int(proxy.url.rpartition(":")[2])
    try:
        until(lambda: proxy.health()["policy"]["with_policy"])  # type: ignore[index]
        assert plane.keys == {"Bearer kz_alone"}
        assert b" 403 " in curl(proxy, "-i", f"http://127.0.0.1:{origin.port}/").stdout
        report = until(lambda: plane.reports)[0]
        assert (report["agent"], report["verdict"]["decision"]) == ("alone", "block")
    finally:
        assert proxy.terminate() == 0


def test_the_image_copies_what_is_there_runs_as_nobody_special_and_downloads_nothing():
    text = (EGRESS / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert (EGRESS / source).exists()
    assert "USER 10001" in text
    assert not re.search(r"pip install|apt-get|curl |wget |:latest", text)
    assert "KAIZEN_EGRESS_HOST=0.0.0.0" in text
