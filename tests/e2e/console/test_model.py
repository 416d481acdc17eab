"""The reasoning model's page in Debian's Chromium: chosen, tested, an answer's text from a hostile model."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report, encode_report
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports.vault import Vault
from kaizen_security.server.settings import Settings
from kaizen_security.server.setup import mint_key
from kaizen_security.testing.models import ModelServer
from tests.e2e.console.test_browser import CHROMIUM, FLAGS, playwright
from tests.unit.console.site import running

PICTURES = os.environ.get("KAIZEN_TEST_PICTURES", "")
KEY = "sk-not-to-be-seen"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"),
]


@pytest.fixture
def models():
    with ModelServer(key=KEY) as server:
        yield server


@pytest.fixture
def site(tmp_path):
    settings = Settings(vault=Vault(tmp_path / "enc.key"), permitted=("127.0.0.1",))
    with running(tmp_path, settings) as started:
        yield started


@pytest.fixture
def page(site):
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 1100})
        context.set_default_timeout(15_000)
        context.add_cookies([{"name": "kaizen_session", "value": site.session(), "url": site.url}])
        opened = context.new_page()
        opened.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        yield opened
        browser.close()
    assert complaints == []


def picture(page, name):
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), full_page=True)


def test_a_model_is_chosen_tested_and_raises_a_verdict_that_the_console_shows(site, models, page):
    page.goto("/model")
    page.get_by_label("Provider").select_option("anthropic")
    page.get_by_label("Model", exact=True).fill("the-model")
    page.get_by_label("Base URL").fill(models.url)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Save").click()
    page.get_by_text("The model is chosen.").wait_for()
    picture(page, "model-chosen")
    models.say("MALICIOUS 0.9: <img src=x onerror=alert(1)> names the account.")
    page.get_by_role("button", name="Test it").click()
    page.get_by_text("<img src=x onerror=alert(1)> names the account.").wait_for()
    picture(page, "model-tested")
    page.get_by_text("Change it").click()
    assert page.get_by_label("API key").input_value() == ""
    site.store.declare(site.organisation, "mailer", Declaration(tools=("read_mail",)), at=1.0)
    models.say("MALICIOUS 0.9: Only the letter names the account.")
    reported(site, Action(tool="send_mail", agent="mailer", id="m-1", metadata={"source": "sdk"}))
    page.goto("/verdicts?agent=mailer")
    page.get_by_text(re.compile(r"reasoning judge \(malicious, confidence 0.6\): Only the letter")).first.wait_for()
    picture(page, "model-raised")


def test_on_a_telephone_nothing_is_wider_than_the_page(page):
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/model")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    picture(page, "model-telephone")


def reported(site, action):
    key = mint_key(site.store, name="client", scope="agent")
    document = encode_report(Report(action=action, verdict=Verdict(decision=Decision.ALLOW, reason="ok")))
    answer = httpx.post(
        f"{site.url}/v1/verdicts", json=document, headers={"Authorization": f"Bearer {key}"}, timeout=60
    )
    assert answer.status_code == 201, answer.text
