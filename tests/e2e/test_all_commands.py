"""Every option of every command, with what it cannot use: no traceback, and nothing out of files or the environment."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.all_commands import BASES, GROUPS, STAYING, calls, parsers, run

IN_FILES, IN_ENVIRONMENT, IN_URL = "Fz92x7FileCanary5ab2", "Ez93x7EnvCanary6cd3", "Uz94x7UrlCanary7de4"
ADDRESSES = ("--api-url", "--sidecar", "--target")
"""Options that take an address: neither userinfo nor query of it is shown. What else was typed is shown to whoever typed it."""
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"


def test_every_command_is_in_a_table():
    there = {name for name, _ in parsers()}
    assert there == set(BASES) | set(STAYING) | GROUPS
    assert not set(BASES) & set(STAYING)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """``[(call, status, said)]``."""
    tmp = tmp_path_factory.mktemp("commands")
    for folder in ("home", "data", "folder"):
        (tmp / folder).mkdir()
    (tmp / "runs.jsonl").write_text('{"tool": "t"}\n')
    (tmp / "wrong.json").write_text(
        json.dumps({IN_FILES: IN_FILES, "policies": [{IN_FILES: IN_FILES}], "agent": {IN_FILES: 1}})
    )
    (tmp / "wrong.toml").write_text(f'sidecar = "{IN_FILES}"\n[agents]\na = "{IN_FILES}"\n')
    (tmp / "wrong.txt").write_text(f'{IN_FILES}\n{{"tool": "{IN_FILES}\n[[{IN_FILES}\n')
    (tmp / "no.text").write_bytes(b"\xff\xfe\x00" + IN_FILES.encode() + b"\xff" * 50)
    (tmp / "empty").write_text("")
    values = {"text": str(tmp / "wrong.txt"), "address": f"http://u:{IN_URL}@127.0.0.1:1/?k={IN_URL}"}
    more = {
        "json": "wrong.json",
        "toml": "wrong.toml",
        "bytes": "no.text",
        "empty file": "empty",
        "folder": "folder",
        "missing": "no/where",
    }
    if DEEP:
        values |= {what: str(tmp / name) for what, name in more.items()} | {"empty": ""}
    environment = {
        "KAIZEN_API_KEY": f"kz_live_{IN_ENVIRONMENT}",
        "KAIZEN_TENANT_KEY": IN_ENVIRONMENT * 2,
        "KAIZEN_TOKEN": IN_ENVIRONMENT,
        "KAIZEN_DATA": str(tmp / "data"),
        "KAIZEN_API_URL": "http://127.0.0.1:1",
        "HOME": str(tmp / "home"),
    }
    asked = [(call, words) for call, words in calls(tmp, values) if DEEP or _telling(call)]
    said = run([{"argv": words, "env": environment} for _, words in asked], tmp)
    return [(call, answer["status"], answer["said"]) for (call, _), answer in zip(asked, said, strict=True)]


def _telling(call: str) -> bool:
    """Whether the short form makes the call: addresses where they belong, files everywhere."""
    return call.endswith("text") or any(f" {option}: address" in call for option in ADDRESSES)


def test_no_command_falls_over(answers):
    assert len(answers) > 100
    fell = [(call, said[-300:]) for call, status, said in answers if status in (None, 70) or "Traceback" in said]
    assert fell == []


def test_what_stands_in_files_and_in_the_environment_is_not_told(answers):
    told = [(call, said[:300]) for call, _, said in answers if IN_FILES in said or IN_ENVIRONMENT in said]
    assert told == []


def test_of_an_address_neither_userinfo_nor_query_is_told(answers):
    told = [
        (call, said[:300])
        for call, _, said in answers
        if IN_URL in said and any(f" {one}:" in call for one in ADDRESSES)
    ]
    assert told == []
