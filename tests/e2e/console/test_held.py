"""The whole way of a held call: a real client, a real sidecar, a real control plane, and somebody in Chromium who answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
SECRET = "correct horse battery staple"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

AGENT = """
import json, sys, time
from kaizen_security import Kaizen, KaizenBlocked

socket, data, secret = sys.argv[1:]
kaizen = Kaizen(agent="payer", sidecar="unix://" + socket, hold_seconds=60, data=data)


@kaizen.guard
def pay(to, amount):
    return f"paid {amount}"


for line in sys.stdin:
    amount = json.loads(line)
    try:
        with kaizen.run("pay the bill"):
            said = pay(secret, amount)
    except KaizenBlocked as refused:
        said = str(refused)
    print(json.dumps([said, time.time()]), flush=True)
"""


@pytest.fixture
def line(tmp_path):
    """Control plane, sidecar, and an agent in enforce mode that declared another tool than the one it uses."""
    server = Running(tmp_path / "server")
    with server.person() as person:
        person.post("/v1/agents/payer/manifest", json={"tools": ["search"]})
        person.post("/v1/agents/payer/settings", json={"mode": "enforce"})
    (tmp_path / "sidecar").mkdir()
    sidecar = Process(tmp_path / "sidecar", api_url=server.url, api_key=server.key("observer")).start()
    words = [sys.executable, "-c", AGENT, str(sidecar.socket), str(tmp_path / "client"), SECRET]
    agent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield server, sidecar, agent
    agent.stdin.close()
    agent.wait(20)
    agent.stdout.close()
    sidecar.stop()
    server.stop()


def pay(agent, amount):
    agent.stdin.write(json.dumps(amount) + "\n")
    agent.stdin.flush()


def said(agent):
    return json.loads(agent.stdout.readline())


def test_a_real_call_is_held_answered_with_one_click_in_the_browser_and_goes_on(line):
    server, _, agent = line
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(base_url=server.url)
        page.set_default_timeout(20_000)
        complaints = []
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/holds")
        page.get_by_label("User").fill("admin")
        page.get_by_label("Password").fill(server.password)
        page.keyboard.press("Enter")
        playwright.expect(page.get_by_text("Nothing waits.")).to_be_visible()
        playwright.expect(page.locator("#live")).to_have_attribute("data-state", "on")
        page.evaluate("window.sameDocument = true")

        pay(agent, 10)
        card = page.locator("article.hold")
        playwright.expect(card).to_have_count(1)
        playwright.expect(card.get_by_role("heading", name="pay")).to_be_visible()
        playwright.expect(card).to_contain_text("used a tool it never declared (pay)")
        playwright.expect(page).to_have_title("(1) Waiting for you · Kaizen")
        playwright.expect(page.locator("#spoken")).to_contain_text("Waiting for you: pay")
        assert SECRET not in page.content()
        clicked = page.evaluate("Date.now() / 1000")
        card.get_by_role("button", name="Allow once").click()
        answer, at = said(agent)
        assert answer == "paid 10"
        assert at - clicked < 2.0
        playwright.expect(page.get_by_text("Nothing waits.")).to_be_visible()
        playwright.expect(page.locator("table.agents tbody tr").first).to_contain_text("Allowed once")
        playwright.expect(page.locator("table.agents tbody tr").first).to_contain_text("admin")

        pay(agent, 20)
        playwright.expect(card).to_have_count(1)
        card.locator("summary").click()
        playwright.expect(card).to_contain_text("undeclared tool")
        page.keyboard.press("Tab")
        card.get_by_role("button", name="Block", exact=True).focus()
        page.keyboard.press("Enter")
        assert said(agent)[0].startswith("Blocked by Kaizen: undeclared")

        pay(agent, 30)
        playwright.expect(card).to_have_count(1)
        card.get_by_role("button", name="Learn").click()
        assert said(agent)[0] == "paid 30"
        pay(agent, 40)
        # Declared from now on: it may be asked about once more while the new declaration is on its way, never after.
        playwright.expect(page.locator("table.agents tbody tr").first).to_contain_text("Learned")
        with server.person() as person:
            profiles = person.get("/v1/agents/profiles").json()["profiles"]
        assert profiles[0]["declaration"]["tools"] == ["search", "pay"]
        assert page.evaluate("window.sameDocument")
        assert complaints == []
        browser.close()


def test_the_console_is_killed_while_a_call_waits_and_whoever_sits_beside_the_agent_answers(line):
    server, sidecar, agent = line
    pay(agent, 10)
    key = (sidecar.data / "operator.secret").read_text().strip()
    while not (holds := sidecar.ask("GET", "/v1/holds", key=key)[1]["holds"]):
        pass
    server.kill()
    assert holds[0]["action"]["metadata"]["arguments"]["to"] == SECRET
    # Nobody can answer in the console any more; whoever sits beside the agent still can.
    assert sidecar.ask("POST", f"/v1/holds/{holds[0]['id']}", {"answer": "block"}, key=key)[0] == 200
    assert said(agent)[0].startswith("Blocked by Kaizen: undeclared")
