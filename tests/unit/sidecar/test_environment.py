"""The names by which deployments state things: done where it can be done, said where it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.sidecar.environment import stated


@pytest.mark.parametrize(
    ("said", "data", "notice"),
    [
        ("", None, ""),
        ("sqlite:////var/lib/kaizen/tenant.db", "/var/lib/kaizen/sidecar", ""),
        ("sqlite+aiosqlite:////var/lib/k%20z/tenant.db?mode=rwc", "/var/lib/k z/sidecar", ""),
        ("sqlite:///tenant.db", "sidecar", ""),
        ("sqlite://", None, "in memory"),
        ("sqlite:///:memory:", None, "in memory"),
        ("postgresql+asyncpg://kaizen:hunter2@db.internal/kaizen", None, "another kind than SQLite"),
        ("hunter2", None, "another kind than SQLite"),
    ],
)
def test_a_database_names_the_place_where_state_is_kept(said, data, notice):
    found = stated({"TENANT_DATABASE_URL": said})
    assert found.data == (None if data is None else Path(data))
    assert [notice in one for one in found.notices] == ([True] if notice else [])
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("said", "place", "notice"),
    [
        ("", ("", 0), ""),
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000), ""),
        ("localhost:9000", ("127.0.0.1", 9000), ""),
        ("http://[::1]", ("::1", 8000), ""),
        ("http://observer:8000", ("127.0.0.1", 8000), "another address than loopback"),
        ("http://0.0.0.0:8000/", ("127.0.0.1", 8000), "another address than loopback"),
    ],
)
def test_an_address_says_where_it_listens(said, place, notice):
    found = stated({"OBSERVER_URL": said})
    assert (found.host, found.port) == place
    assert [notice in one for one in found.notices] == ([True] if notice else [])


@pytest.mark.parametrize("said", ["http://127.0.0.1:port", "http://127.0.0.1:99999", "http://", "//"])
def test_an_address_that_is_none_is_refused(said):
    with pytest.raises(Misconfigured, match="OBSERVER_URL must be an address"):
        stated({"OBSERVER_URL": said})


def test_a_sidecar_starts_where_its_deployment_says_and_says_what_it_does_not_do(tmp_path):
    # Port 1 of OBSERVER_URL is overruled by the flag, as every variable is.
    with subprocess.Popen(
        [sys.executable, "-m", "kaizen_security.cli", "sidecar", "--port", "0"],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")},
            "TENANT_DATABASE_URL": f"sqlite:///{tmp_path}/tenant.db",
            "OBSERVER_URL": "http://observer:1",
            "KAIZEN_ENC_KEY": "0" * 64,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as sidecar:
        assert f"unix://{tmp_path}/sidecar/kaizen.sock http://127.0.0.1:" in sidecar.stdout.readline()
        sidecar.send_signal(signal.SIGTERM)
        _, said = sidecar.communicate(timeout=20)
    assert sidecar.returncode == 0
    assert ["OBSERVER_URL" in line or "KAIZEN_ENC_KEY" in line for line in said.splitlines()] == [True, True]
