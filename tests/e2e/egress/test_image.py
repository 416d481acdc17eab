"""The image's steps, executed one by one in a chroot: there is no Docker engine here. What stays unverified is the base image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Origin, curl, until
from tests.e2e.egress.test_attacks import ROOT

EGRESS = ROOT / "egress"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("useradd") is None,
        reason="needs root, unshare and useradd for a chroot",
    ),
]


def steps() -> list[tuple[str, str]]:
    """Instruction and argument of every line of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", (EGRESS / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


class Image:
    """This machine's programs (read only) with an /etc, /opt and /var of its own; ``env`` and ``user`` as steps set them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
        self.user = "0"
        self.binds = [("/usr", "/usr")]
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path(f"/{name}").is_symlink():
                (root / name).symlink_to(os.readlink(f"/{name}"))
            elif Path(f"/{name}").is_dir():
                self.binds.append((f"/{name}", f"/{name}"))
        for folder in ("opt", "var/lib", "var/log", "tmp", "dev", "home"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "etc").mkdir()
        for name in ("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf", "ld.so.cache"):
            if Path("/etc", name).exists():
                shutil.copy(Path("/etc", name), root / "etc" / name)
        # The Python that runs this test, where the base image has its own; in its own place, where it finds its libraries.
        if sys.base_prefix != "/usr":
            self.binds.append((sys.base_prefix, sys.base_prefix))
            self.env["PATH"] = f"{sys.base_prefix}/bin:{self.env['PATH']}"

    def command(self, words: list[str]) -> list[str]:
        """``words`` in the image: as its user, with its environment."""
        for _, inside in self.binds:
            (self.root / inside[1:]).mkdir(parents=True, exist_ok=True)
        mounts = "".join(f"mount --bind -o ro {shlex.quote(out)} {self.root}{inside}\n" for out, inside in self.binds)
        mounts += f"touch {self.root}/dev/null; mount --bind /dev/null {self.root}/dev/null\n"
        mounts += f"touch {self.root}/dev/urandom; mount --bind /dev/urandom {self.root}/dev/urandom\n"
        env = [f"{name}={value}" for name, value in self.env.items()]
        inside = ["chroot", f"--userspec={self.user}:{self.user}", str(self.root), "/usr/bin/env", "-i", *env, *words]
        return ["unshare", "--mount", "sh", "-ec", f"{mounts}exec {shlex.join(inside)}"]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.command(list(words)), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def step(self, instruction: str, said: str) -> None:
        if instruction == "RUN":
            self.run("sh", "-ec", said)
        elif instruction == "COPY":
            source, target = said.split()
            place = self.root / target[1:]
            place.parent.mkdir(parents=True, exist_ok=True)
            if (EGRESS / source).is_dir():
                shutil.copytree(EGRESS / source, place)
            else:
                shutil.copy(EGRESS / source, place)
        elif instruction == "ENV":
            self.env |= dict(pair.split("=", 1) for pair in shlex.split(said))
        elif instruction == "USER":
            self.user = said


def test_every_step_runs_and_the_program_serves_as_the_image_starts_it(
    tmp_path: Path, plane: ControlPlane, origin: Origin
):
    root = tmp_path / "root"
    root.mkdir()
    for folder in (root, *list(root.parents)[:3]):
        folder.chmod(0o755)
    image = Image(root)
    told = dict(steps())
    for instruction, said in steps():
        image.step(instruction, said)
    assert image.user == "10001"
    assert "10001" in (root / "etc/passwd").read_text()
    about = (root / "var/lib/kaizen").stat()
    assert (about.st_uid, about.st_mode & 0o777) == (10001, 0o700)
    assert image.run("python", "-c", "import sys; print(sys.version_info >= (3, 11))").strip() == "True"
    # As `docker run -e …` adds to it.
    image.env |= {
        "KAIZEN_API_URL": plane.url,
        "KAIZEN_API_KEY": "kz_image",
        "PORT": "0",
        "KAIZEN_AGENT": "in-the-image",
    }
    process = subprocess.Popen(
        image.command(json.loads(told["ENTRYPOINT"])), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http://0.0.0.0:"), process.stderr.read()
    port = int(line.rpartition(":")[2])

    class There:
        url = f"http://127.0.0.1:{port}"

    try:
        assert b" 403 " in curl(There, "-i", "http://169.254.169.254/").stdout  # type: ignore[arg-type]
        report = until(lambda: plane.reports)[0]  # type: ignore[index]
        assert report["agent"] == "in-the-image"
        image.env["PORT"] = str(port)
        health = json.loads(told["HEALTHCHECK"].partition("CMD ")[2])
        image.run(*health)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert list((root / "var/lib/kaizen/egress").iterdir())
