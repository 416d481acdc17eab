"""Every block of code in README and docs runs, in order, page by page, against a real line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.docs.blocks import ELSEWHERE, PARSED, RUN, SHOWN, blocks
from tests.docs.test_prose import PAGES
from tests.e2e.line import Line

NAMES = [str(page.relative_to(PAGES[0].parent)) for page in PAGES]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    with Line.started(tmp_path_factory.mktemp("line")) as line:
        yield line


def shell(tag: str, body: str) -> list[str]:
    if tag == "python":
        return [sys.executable, "-c", body]
    if tag == "console":
        body = "\n".join(text.removeprefix("$ ") for text in body.splitlines() if text.startswith("$ "))
    return ["bash", "-euo", "pipefail", "-c", body]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_has_a_known_tag_and_parses(page: Path):
    for block in blocks(page):
        assert block.tag in (*RUN, *ELSEWHERE, *PARSED, *SHOWN), f"{page.name}:{block.line}: tag {block.tag!r}"
        if block.tag == "json":
            json.loads(block.body)
        elif block.tag == "toml":
            tomllib.loads(block.body)
        elif block.tag == "python":
            compile(block.body, f"{page.name}:{block.line}", "exec")


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.tag in RUN and not b.reason for b in blocks(p))], ids=str)
def test_every_block_runs(page: Path, line: Line, tmp_path: Path):
    env = {**os.environ, **line.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks(page):
        if block.tag not in RUN or block.reason:
            continue
        done = subprocess.run(
            shell(block.tag, block.body), cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{block.body}\n{done.stdout}\n{done.stderr}"
