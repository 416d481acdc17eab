"""Settings: where they come from and which are refused."""

from __future__ import annotations

import argparse
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import config

ROOT = Path(__file__).parents[3]


def loaded(*words: str, **environ: str) -> config.Config:
    parser = argparse.ArgumentParser()
    config.add_arguments(parser)
    return config.load(parser.parse_args(words), environ)


def test_the_defaults():
    found = loaded()
    assert (found.host, found.port, found.agent) == ("127.0.0.1", 8080, "egress-agent")
    assert (found.api_url, found.closed) == ("http://127.0.0.1:8000", False)


def test_flags_win_over_the_environment_that_over_the_file(tmp_path: Path):
    file = tmp_path / "egress.toml"
    file.write_text('port = 1\nagent = "file"\nmode = "enforce"\nhost = "127.0.0.2"\n')
    found = loaded("--config", str(file), "--agent", "flag", PORT="2", KAIZEN_AGENT="environment")
    assert (found.port, found.agent, found.host, found.closed) == (2, "flag", "127.0.0.2", True)


def test_the_base_url_is_another_name_for_the_api_url():
    assert loaded(KAIZEN_BASE_URL="http://a:1").api_url == "http://a:1"
    assert loaded(KAIZEN_BASE_URL="http://a:1", KAIZEN_API_URL="http://b:2").api_url == "http://b:2"


def test_the_hosts_map_takes_names_with_and_without_ports(tmp_path: Path):
    file = tmp_path / "egress.toml"
    file.write_text(
        '[hosts]\n"API.Internal:443" = "127.0.0.1:9443"\n"attacker.example" = "[::1]:9090"\n"plain" = "10.0.0.1"\n'
    )
    assert loaded("--config", str(file)).hosts == {
        ("api.internal", 443): ("127.0.0.1", 9443),
        ("attacker.example", 0): ("::1", 9090),
        ("plain", 0): ("10.0.0.1", 0),
    }


def test_json_is_taken_too(tmp_path: Path):
    file = tmp_path / "egress.json"
    file.write_text('{"allow": ["10.0.0.0/8"], "credentials": {"bot": "k"}, "idle_timeout": 5, "via": true}')
    found = loaded("--config", str(file))
    assert (found.allow, found.credentials, found.idle_timeout, found.via) == (
        (ip_network("10.0.0.0/8"),),
        {"bot": "k"},
        5.0,
        True,
    )


def test_fail_closed_can_be_said_apart_from_the_mode():
    assert config.from_values({"fail_closed": True}).closed
    assert not config.from_values({"fail_closed": False, "mode": "enforce"}).closed


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"prot": 1}, "prot: there is no such setting"),
        ({"port": "x"}, "port"),
        ({"port": 70000}, "port"),
        ({"port": -1}, "port"),
        ({"port": True}, "port"),
        ({"via": 1}, "via"),
        ({"mode": "maybe"}, "mode"),
        ({"agent": ""}, "agent"),
        ({"agent": 5}, "agent"),
        ({"hosts": []}, "hosts"),
        ({"hosts": {"a": 1}}, "hosts.a"),
        ({"hosts": {"a": "name.example"}}, "hosts.a"),
        ({"allow": "10.0.0.0/8"}, "allow"),
        ({"allow": ["x"]}, "allow"),
        ({"credentials": {"a": ""}}, "credentials"),
        ({"credentials": []}, "credentials"),
        ({"idle_timeout": "long"}, "idle_timeout"),
        ({"idle_timeout": float("inf")}, "idle_timeout"),
        ({"max_connections": 0}, "max_connections"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(values: dict[str, object], said: str):
    with pytest.raises(Misconfigured, match=said):
        config.from_values(values)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["port = ", "\x00", "[1]"])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str):
    file = tmp_path / "egress.toml"
    file.write_text(text)
    with pytest.raises(Misconfigured):
        loaded("--config", str(file))
    with pytest.raises(Misconfigured, match="missing"):
        loaded("--config", str(tmp_path / "missing.toml"))


def test_every_setting_is_documented():
    page = (ROOT / "docs/reference/egress.md").read_text()
    assert [entry.name for entry in fields(config.Config) if f"`{entry.name}`" not in page] == []


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_host_is_refused_and_not_taken_for_every_address(host):
    with pytest.raises(Misconfigured, match="host: must be an address"):
        config.from_values({"host": host})
