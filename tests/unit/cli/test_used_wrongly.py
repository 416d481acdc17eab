"""The command ``kaizen`` used wrongly: one line that names what is wrong, and nothing of what may be a secret."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_security import cli

SECRET = "kz_live_q8r7canary"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) not in (0, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"kaizen {words[0]}")
    assert SECRET not in err
    return err


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(
    ("command", "lacking", "extra"),
    [("server", "uvicorn", "server"), ("up", "sqlalchemy", "server"), ("up --demo", "trustme", "demo")],
)
def test_a_package_that_is_not_installed_is_named_with_what_brings_it(command, lacking, extra):
    program = f"import sys; sys.modules['{lacking}'] = None\nfrom kaizen_security import cli; sys.exit(cli.main({command.split()}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    wanted = (
        f"kaizen {command.split()[0]}: needs the package {lacking}, which is not installed: pip install '.[{extra}]'"
    )
    assert done.stderr.startswith(wanted)
    assert done.stderr.count("\n") == 1


def test_what_only_the_demonstration_needs_is_not_needed_by_the_rest():
    program = "import sys; sys.modules['trustme'] = sys.modules['rich'] = None\nimport kaizen_security.cli.up"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["", "n" * 65, "a\nb"])
def test_a_certificate_cannot_have_any_name(capsys, tmp_path, name):
    said_ = said(capsys, "egress", "ca", "--cert", str(tmp_path / "c"), "--key", str(tmp_path / "k"), "--name", name)
    assert "--name must be 1 to 64 printable characters" in said_
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_canaries_that_is_not_there_lists_none(capsys, tmp_path):
    assert f"{tmp_path}/none cannot be read: No such file" in said(
        capsys, "canary", "list", "--file", f"{tmp_path}/none"
    )


def test_a_file_is_no_folder_of_pins(capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "Not a directory" in said(capsys, "mcp", "pins", "list", "--pins", str(tmp_path / "file"))


def test_an_operators_secret_that_is_no_text_is_none(capsys, tmp_path):
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")
    there = ("--sidecar", f"unix://{tmp_path}/s", "--operator", str(tmp_path / "secret"))
    assert "operator's secret cannot be read" in said(capsys, "holds", "list", *there)


def test_nobody_is_there_to_type_a_password(capsys, monkeypatch):
    monkeypatch.setattr("getpass.getpass", lambda prompt: (_ for _ in ()).throw(EOFError))
    assert "set KAIZEN_TOKEN" in said(capsys, "holds", "list", "--api-url", "http://127.0.0.1:1")
    assert "must start with" in said(capsys, "holds", "list", "--api-url", SECRET)


def test_what_is_converted_cannot_replace_a_folder(capsys, tmp_path):
    (tmp_path / "in.jsonl").write_text("")
    (tmp_path / "out").mkdir()
    assert "--output" in said(capsys, "convert", "otel", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out"))
    assert not (tmp_path / "out.part").exists()


def test_a_secret_that_stands_in_the_wrong_place_is_not_repeated(capsys, monkeypatch, tmp_path):
    assert "--arg, number 2 of 2" in said(capsys, "inspect", "--tool", "t", "--arg", "a=1", "--arg", SECRET)
    assert "--sidecar" in said(capsys, "inspect", "--tool", "t", "--sidecar", SECRET).replace("argument ", "--")
    monkeypatch.setenv("KAIZEN_API_URL", SECRET)
    assert "KAIZEN_API_URL" in said(capsys, "inspect", "--tool", "t")
    monkeypatch.delenv("KAIZEN_API_URL")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "client.toml").write_text(f'sidecar = "{SECRET}"\n')
    assert "client.toml" in said(capsys, "inspect", "--tool", "t")


def test_a_full_disk_is_one_line_and_leaves_no_file_that_is_in_the_way(capsys, monkeypatch, tmp_path):
    class Full:
        def __init__(self, fd: int, mode: str) -> None:
            os.close(fd)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fdopen", Full)
    words = ("--cert", str(tmp_path / "c"), "--key", str(tmp_path / "k"))
    assert "k cannot be written: No space left on device" in said(capsys, "egress", "ca", *words)
    assert list(tmp_path.iterdir()) == []


def test_what_the_system_refuses_is_one_line_where_a_command_says_no_more(capsys, monkeypatch, tmp_path):
    def refused(path: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))

    monkeypatch.setattr("kaizen_security.cli.config.run", refused)
    assert said(capsys, "config") == f"kaizen config: {tmp_path}: No space left on device\n"


@pytest.mark.parametrize("option", ["--api-url", "--sidecar"])
def test_the_proxy_does_not_begin_with_an_address_that_is_none(capsys, option):
    name = option.removeprefix("--").replace("-", "_")
    assert f"{name}: what is given must start with" in said(capsys, "egress", option, SECRET, "--port", "0")
