"""What "Attach an agent" says to type does attach an agent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from tests.unit.console.site import running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.mark.parametrize("name", ["support-agent", "it's an odd/../agent"])
def test_the_three_lines_attach_an_agent_with_the_key_that_the_page_made(site, name, tmp_path):
    with site.client() as client:
        page = client.post("/connect/key", data={"agent": name}).text
        key = re.search(r"kz_live_[\w-]{43}", page)[0]
        lines = client.get("/connect", params={"agent": name, "format": "json"}).json()["snippets"]["python"]
        code = f"def search(text):\n    return text\n{lines}\nassert search('hello') == 'hello'\n"
        environment = {**os.environ, "KAIZEN_API_KEY": key, "KAIZEN_DATA": str(tmp_path)}
        for stated in ("KAIZEN_API_URL", "KAIZEN_BASE_URL", "KAIZEN_SIDECAR", "KAIZEN_AGENT"):
            environment.pop(stated, None)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        deadline = time.monotonic() + 15
        while client.get("/connect", params={"agent": name, "format": "json"}).json()["seen"] is None:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.05)
        (row,) = client.get("/verdicts", params={"agent": name, "format": "json"}).json()["verdicts"][:1]
        assert row["action"]["tool"] == "search"
