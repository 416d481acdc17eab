"""Argument, environment, file, default: who wins, and what is refused."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_security import Kaizen
from kaizen_security.client.config import (
    ENVIRONMENT,
    Settings,
    control_plane,
    data_folder,
    default_sidecar,
    load,
    tenant_secret,
)
from kaizen_security.client.dial import check_key_may_go
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode


@pytest.fixture
def data(tmp_path):
    (tmp_path / "client.toml").write_text('agent = "from file"\nmode = "enforce"\nfail_open = true\ndeadline = 0.5\n')
    return str(tmp_path)


def test_each_source_wins_over_the_next(data):
    environment = {"KAIZEN_DATA": data, "KAIZEN_AGENT": "from environment", "KAIZEN_FAIL_OPEN": "false"}
    settings = load({"agent": "from argument", "mode": None}, environment)
    assert (settings.agent, settings.mode, settings.fail_open, settings.report) == (
        "from argument",
        Mode.ENFORCE,
        False,
        True,
    )
    assert [settings.origins[name] for name in ("agent", "fail_open", "mode", "report", "data")] == [
        "argument", "environment", "file", "default", "environment",
    ]  # fmt: skip
    assert load({}, {"KAIZEN_DATA": data}).agent == "from file"


def test_both_names_of_the_address_are_read_and_ours_is_first(data):
    both = {"KAIZEN_API_URL": "http://a:1", "KAIZEN_BASE_URL": "http://b:2/"}
    assert load({}, both).base_url == "http://a:1"
    del both["KAIZEN_API_URL"]
    assert load({}, both).base_url == "http://b:2"
    assert load({}, {"KAIZEN_API_URL": ""}).base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("environment", "data", "default"),
    [
        ({"XDG_DATA_HOME": "/x"}, "/x/kaizen", "unix:///x/kaizen/sidecar/kaizen.sock"),
        ({"HOME": "/home/a"}, "/home/a/.local/share/kaizen", "unix:///home/a/.local/share/kaizen/sidecar/kaizen.sock"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/home/a"}, "/home/a/.local/share/kaizen", None),
    ],
)
def test_the_data_directory_is_where_the_desktop_has_it(environment, data, default):
    settings = load({}, environment)
    assert settings.data == data
    assert default is None or default_sidecar(settings) == default


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"KAIZEN_DATA": "/d", "XDG_DATA_HOME": "/x"}, "/d/attach"),
        ({"XDG_DATA_HOME": "/x", "HOME": "/home/a"}, "/x/kaizen/attach"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/home/a"}, "/home/a/.local/share/kaizen/attach"),
    ],
)
def test_every_part_keeps_things_in_a_folder_of_the_same_directory(environment, folder):
    assert data_folder(environment, "attach") == folder
    assert load({}, environment).data == str(Path(folder).parent) == data_folder(environment)


def test_without_a_home_a_part_asks_where_to_keep_things(monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(Misconfigured, match="KAIZEN_DATA"):
        data_folder({}, "run")


def test_the_control_plane_is_known_by_both_names_and_is_never_a_third_party():
    assert control_plane({"KAIZEN_API_URL": "http://a:1", "KAIZEN_BASE_URL": "http://b:2"}) == "http://a:1"
    assert control_plane({"KAIZEN_API_URL": "", "KAIZEN_BASE_URL": "http://b:2"}) == "http://b:2"
    assert control_plane({}) == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"KAIZEN_MODE": "watch"}, "KAIZEN_MODE"),
        ({"KAIZEN_FAIL_OPEN": "perhaps"}, "KAIZEN_FAIL_OPEN"),
        ({"KAIZEN_API_URL": "nowhere"}, "KAIZEN_API_URL"),
        ({"KAIZEN_BASE_URL": "http://u:secret@x"}, "KAIZEN_BASE_URL"),
        ({"KAIZEN_DEADLINE": "soon"}, "KAIZEN_DEADLINE"),
        ({"KAIZEN_SPOOL_BYTES": "12"}, "KAIZEN_SPOOL_BYTES"),
        ({"KAIZEN_TENANT_KEY": "secret"}, "KAIZEN_TENANT_KEY"),
        ({"KAIZEN_CONFIG": "/nowhere/client.toml"}, "/nowhere/client.toml"),
        ({"KAIZEN_API_KEY": "a\nb"}, "KAIZEN_API_KEY"),
    ],
)
def test_what_cannot_be_used_is_named_and_no_secret_repeated(environment, named):
    with pytest.raises(Misconfigured, match=named) as refused:
        load({}, environment)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("agnet = 'x'", "'agnet' (line 2)"),
        ("data = '/x'", "'data' (line 2)"),
        ("[mode]\na = 1", "line 2: mode: must be observe or enforce"),
        ("agent = 3", "line 2: agent: must be printable text"),
        ("not toml", "line 2"),
        ("mode = 'x'", "line 2: mode: must be observe or enforce"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_line_and_field(tmp_path, text, problem):
    (tmp_path / "client.toml").write_text("# ours\n" + text)
    with pytest.raises(Misconfigured) as refused:
        load({}, {"KAIZEN_DATA": str(tmp_path)})
    assert str(tmp_path / "client.toml") in str(refused.value)
    assert problem in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "client.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="UTF-8"):
        load({}, {"KAIZEN_DATA": str(tmp_path)})


# --- keys and plain HTTP


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1",
        "http://127.9.9.9:1",
        "http://[::1]:1",
        "http://localhost:1",
        "http://a.localhost:1",
        "https://k.example",
    ],
)
def test_a_key_may_go_over_loopback_and_over_tls(url):
    check_key_may_go(url, "kz")
    check_key_may_go("unix:///x/kaizen.sock", "kz")


@pytest.mark.parametrize(
    "url",
    [
        "http://k.example",
        "http://10.0.0.1:8000",
        "http://localhost.k.example",
        "http://[fe80::1]:1",
        "http://0.0.0.0:1",
    ],
)
@pytest.mark.parametrize("setting", ["base_url", "sidecar"])
def test_a_key_is_refused_over_plain_http_off_loopback(tmp_path, url, setting):
    with pytest.raises(Misconfigured, match="unencrypted") as refused:
        Kaizen("kz_live_secret", data=tmp_path, **{setting: url})
    assert "secret" not in str(refused.value)
    assert not os.listdir(tmp_path)
    Kaizen(data=tmp_path, sync=False, report=False, **{setting: url}).close()


# --- kaizen config


def shown(*words, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", "config", *words],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("KAIZEN_")}, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_shows_every_setting_and_what_won(data):
    environment = {
        "KAIZEN_DATA": data,
        "KAIZEN_FAIL_OPEN": "no",
        "KAIZEN_API_KEY": "kz_live_CANARY",
        "KAIZEN_TENANT_KEY": "ab" * 16,
    }
    status, out, err = shown("--json", "agent=from argument", **environment)
    assert (status, err) == (0, "")
    document = json.loads(out)
    rows = {row["name"]: row for row in document["settings"]}
    assert list(rows) == list(ENVIRONMENT)
    assert document["file"] == os.path.join(data, "client.toml")
    told = {name: (row["value"], row["origin"], row["place"]) for name, row in rows.items()}
    assert told["agent"] == ("from argument", "argument", "")
    assert told["fail_open"] == (False, "environment", "KAIZEN_FAIL_OPEN")
    assert told["mode"] == ("enforce", "file", f"{document['file']}, line 2")
    assert told["base_url"] == ("http://127.0.0.1:8000", "default", "")
    assert (rows["api_key"]["value"], rows["api_key"]["set"], rows["api_key"]["shown"]) == (None, True, "set")
    status, lines, _ = shown(**environment)
    assert status == 0
    assert "CANARY" not in out + lines
    assert "abab" not in out + lines
    assert f"file: {document['file']}" in lines


@pytest.mark.parametrize(
    ("words", "environment", "named"),
    [
        (["nonsense"], {}, "nonsense"),
        (["mode=x"], {}, "argument mode"),
        ([], {"KAIZEN_MODE": "x"}, "KAIZEN_MODE"),
        ([], {"KAIZEN_API_URL": "http://k.example", "KAIZEN_API_KEY": "CANARY"}, "unencrypted"),
    ],
)
def test_the_command_says_what_cannot_be_used(words, environment, named):
    status, out, err = shown(*words, **environment)
    assert (status, out) == (2, "")
    assert named in err
    assert "CANARY" not in err


def test_a_file_in_the_working_directory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "client.toml").write_text("agent = 'planted'")
    monkeypatch.chdir(tmp_path)
    assert load({}, {"HOME": "/nowhere"}).agent == "default"


def test_keys_are_not_shown():
    assert "hush" not in repr(Settings(api_key="hush", tenant_key="hush"))


def test_every_setting_has_a_variable():
    assert set(ENVIRONMENT) == set(Settings.__dataclass_fields__) - {"origins", "places"}


def test_the_tenants_secret_is_made_once_and_kept_private(tmp_path):
    settings = Settings(data=str(tmp_path / "d"))
    secret = tenant_secret(settings)
    assert tenant_secret(settings) == secret
    assert len(secret) == 32
    assert os.listdir(settings.data) == ["boundary.key"]
    assert stat.S_IMODE(os.stat(os.path.join(settings.data, "boundary.key")).st_mode) == 0o600
    assert tenant_secret(Settings(tenant_key="ab" * 16, data=settings.data)) == b"\xab" * 16
    assert tenant_secret(Settings()) != tenant_secret(Settings())


def test_processes_that_start_together_agree_on_the_secret(tmp_path):
    code = (
        "import sys; from kaizen_security.client.config import Settings, tenant_secret;"
        "print(tenant_secret(Settings(data=sys.argv[1])).hex())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({child.communicate()[0] for child in children}) == 1


def test_a_disk_that_takes_nothing_gives_a_secret_for_this_process_only(tmp_path):
    (tmp_path / "file").write_text("")
    assert len(tenant_secret(Settings(data=str(tmp_path / "file")))) == 32
