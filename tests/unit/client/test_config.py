"""Argument, environment, file, default: who wins, and what is refused."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from kaizen_security.client.config import ENVIRONMENT, Settings, default_sidecar, load, tenant_secret
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


@pytest.mark.parametrize("text", ["agnet = 'x'", "agent = 3", "not toml", "mode = 'x'"])
def test_a_file_with_a_mistake_is_refused(tmp_path, text):
    (tmp_path / "client.toml").write_text(text)
    with pytest.raises(Misconfigured, match=r"client\.toml"):
        load({}, {"KAIZEN_DATA": str(tmp_path)})


def test_a_file_in_the_working_directory_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "client.toml").write_text("agent = 'planted'")
    monkeypatch.chdir(tmp_path)
    assert load({}, {"HOME": "/nowhere"}).agent == "default"


def test_keys_are_not_shown():
    assert "hush" not in repr(Settings(api_key="hush", tenant_key="hush"))


def test_every_setting_has_a_variable():
    assert set(ENVIRONMENT) == set(Settings.__dataclass_fields__) - {"origins"}


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
