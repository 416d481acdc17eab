"""A changed tool is held back by a shim; somebody in Chromium reads what changed and accepts it; the shim lets it in."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.e2e.mcp.shimmed import Shim
from tests.e2e.server.running import Running

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

LOOK = {"name": "look", "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}}}}
MORE = {
    "name": "look",
    "inputSchema": {"type": "object", "properties": {"at": {"type": "string"}, "diary": {"type": "string"}}},
}


@pytest.fixture
def server(tmp_path):
    running = Running(tmp_path / "server")
    yield running
    running.stop()


def until(found, what):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if found():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def names(shim, id_):
    return [tool["name"] for tool in shim.ask(id_, "tools/list")["result"]["tools"]]


@pytest.mark.parametrize("seen", ["in a list", "in a call"])
def test_a_changed_tool_is_accepted_with_one_click_and_its_shim_lets_it_in(server, tmp_path, seen):
    tools = tmp_path / "tools.json"
    where = {"KAIZEN_API_URL": server.url, "KAIZEN_API_KEY": server.key(), "KAIZEN_AGENT": "desk-agent"}
    options = {"options": ("--name", "desk"), **where}
    tools.write_text(json.dumps([LOOK]))
    with Shim(tmp_path, "--tools", str(tools), **options) as first:
        assert names(first, 1) == ["look"]
    tools.write_text(json.dumps([MORE]))
    with Shim(tmp_path, "--tools", str(tools), **options) as shim:
        assert names(shim, 1) == []
        assert shim.call(2, "look")[1]
        kind = "skill_load" if seen == "in a list" else "tool_call"
        with server.call() as call:

            def held():
                rows = call.get("/v1/verdicts", params={"agent": "desk-agent", "decision": "block"}).json()["verdicts"]
                return [row for row in rows if row["action"]["kind"] == kind]

            until(held, "the held tool is in the console")
            [row] = held()
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_context(base_url=server.url).new_page()
            page.set_default_timeout(15_000)
            page.goto(f"/verdicts/{row['id']}")
            page.get_by_label("User").fill("admin")
            page.get_by_label("Password").fill(server.password)
            page.keyboard.press("Enter")
            page.get_by_text("argument diary is new: string").first.wait_for()
            page.get_by_role("button", name="Accept this definition").click()
            page.get_by_text("Accepted", exact=True).wait_for()
            browser.close()
        counter = iter(range(3, 10_000))
        until(lambda: names(shim, next(counter)) == ["look"], "the shim lets it in")
        assert shim.call("now", "look") == ("did look", False)
