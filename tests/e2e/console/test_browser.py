"""The console in Debian's Chromium: live, by keyboard, on a telephone, and with an attacker's text in every field."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import fields
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.score import Came, Part, Score
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports.vault import Vault
from kaizen_security.server.settings import Settings
from kaizen_security.server.setup import mint_key
from kaizen_security.store.base import Role, Status
from tests.unit.console.receiver import Receiver
from tests.unit.console.rows import PAYLOADS, UNDECLARED
from tests.unit.console.site import PASSWORD, USER, running

CHROMIUM = Path("/usr/bin/chromium")
PICTURES = os.environ.get("KAIZEN_TEST_PICTURES", "")
"""Where pictures of pages are put for people to look at, if anywhere."""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

FLAGGED = Verdict(decision=Decision.ALLOW, reason="undeclared: something (attacker.example).", evidence=(UNDECLARED,))
ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
BLOCKED = Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(UNDECLARED,))


def connect(agent, target="attacker.example:443", **fields):
    return Action(kind="connect", target=target, agent=agent, metadata={"source": "egress"}, **fields)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def tab(browser, site):
    """A way to open a signed-in page; at the end, no page has complained about anything."""
    complaints = []
    with contextlib.ExitStack() as stack:

        def opened(path, *, signed_in=True, **options):
            context = browser.new_context(base_url=site.url, **options)
            stack.callback(context.close)
            context.set_default_timeout(15_000)
            if signed_in:
                context.add_cookies([{"name": "kaizen_session", "value": site.session(), "url": site.url}])
            page = context.new_page()
            page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.add_init_script(
                "addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective))"
            )
            page.goto(path)
            return page

        yield opened
        assert complaints == []


def is_live(page):
    playwright.expect(page.locator("#live")).to_have_attribute("data-state", "on")


def test_somebody_signs_in_and_comes_to_where_they_wanted(tab, site):
    page = tab("/agents", signed_in=False)
    assert page.url.endswith("/sign-in?next=%2Fagents")
    playwright.expect(page.get_by_label("User")).to_be_focused()
    page.keyboard.type(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_role("heading", name="Agents")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    playwright.expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_empty_console_teaches_and_goes_on_with_the_first_action(browser, tmp_path):
    with running(tmp_path / "empty") as fresh:
        context = browser.new_context(base_url=fresh.url)
        context.add_cookies([{"name": "kaizen_session", "value": fresh.session(), "url": fresh.url}])
        page = context.new_page()
        page.goto("/")
        playwright.expect(page.get_by_text("from kaizen_security import Kaizen")).to_be_visible()
        fresh.report(connect("first"), ALLOWED)
        playwright.expect(page.locator("#rows tr")).to_have_count(1, timeout=15_000)
        context.close()


def test_a_verdict_arrives_without_loading_the_page_again(tab, site):
    site.keep(connect("arriver"), ALLOWED)
    page = tab("/verdicts?agent=arriver")
    page.evaluate("window.sameDocument = true")
    is_live(page)
    kept = site.report(connect("arriver"), BLOCKED)
    first = page.locator("#rows tr").first
    playwright.expect(first).to_have_id(f"v-{kept}")
    playwright.expect(first).to_contain_text("Blocked")
    playwright.expect(page.locator("#spoken")).to_contain_text("Blocked: arriver, connect attacker.example:443")
    assert page.evaluate("window.sameDocument")
    page.get_by_role("button", name="Pause").click()
    playwright.expect(page.locator("#live-word")).to_have_text("Paused")
    site.report(connect("arriver", "while-paused.example:443"), ALLOWED)
    page.get_by_role("button", name="Go on").click()
    playwright.expect(page.locator("#rows tr").first).to_contain_text("while-paused.example")


def test_what_is_seen_of_a_call_takes_the_place_of_its_line(tab, site):
    def of(id_, source, **more):
        return Action(agent="joiner", id=id_, act_id="c", run_id="r", metadata={"source": source}, **more)

    site.keep(of("c", "sdk", tool="fetch_page"), ALLOWED)
    page = tab("/verdicts?agent=joiner")
    is_live(page)
    site.report(of("p", "egress", kind="connect", target="attacker.example:443"), ALLOWED)
    line = page.locator("#rows tr")
    playwright.expect(line).to_contain_text("by fetch_page call and effect")
    kept = site.report(of("k", "ebpf", kind="connect", target="attacker.example:443"), BLOCKED)
    playwright.expect(line).to_have_id(f"v-{kept}")
    playwright.expect(line).to_have_count(1)
    line.locator("a.go").click()
    acts = page.locator("#drawer section", has=page.get_by_role("heading", name="One act: call and effect"))
    playwright.expect(acts.locator("li")).to_have_count(3)
    acts.get_by_role("link", name="fetch_page").click()
    playwright.expect(page.locator("#drawer-title")).to_have_text("fetch_page")
    playwright.expect(line).to_have_count(1)


def test_the_drawer_opens_and_closes_by_keyboard_and_has_an_address(tab, site):
    older = site.keep(connect("keys", "older.example:443", run_id="run-k"), FLAGGED)
    newer = site.keep(connect("keys", "newer.example:443", run_id="run-k"), FLAGGED)
    page = tab("/verdicts?agent=keys")
    page.keyboard.press("j")
    page.keyboard.press("j")
    playwright.expect(page.locator(f"#v-{older} a.go")).to_be_focused()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#drawer-title")).to_be_focused()
    playwright.expect(page.locator("#drawer")).to_contain_text(UNDECLARED.advice)
    assert page.url.endswith(f"/verdicts/{older}?agent=keys")
    page.locator("#drawer .timeline a").click()
    page.wait_for_url(f"**/verdicts/{newer}?agent=keys")
    page.go_back()
    playwright.expect(page.locator("#drawer .said").first).to_contain_text("older.example")
    page.locator("#drawer").press("Escape")
    playwright.expect(page.locator("#drawer")).to_be_hidden()
    assert page.url.endswith("/verdicts?agent=keys")
    assert page.evaluate("document.activeElement.closest('tr')?.id") == f"v-{older}"
    page.goto(f"/verdicts/{newer}")
    playwright.expect(page.locator("#drawer .said").first).to_contain_text("newer.example")


def test_a_click_anywhere_on_a_row_opens_it(tab, site):
    kept = site.keep(connect("clicker"), FLAGGED)
    page = tab("/verdicts?agent=clicker")
    page.locator(f"#v-{kept} .c-time").click()
    playwright.expect(page.locator("#drawer-title")).to_have_text("connect")


def test_filters_are_in_the_address(tab, site):
    site.keep(connect("filterer"), FLAGGED)
    site.keep(connect("filterer", "fine.internal:443"), ALLOWED)
    page = tab("/verdicts?agent=filterer")
    playwright.expect(page.locator("#rows tr")).to_have_count(2)
    page.get_by_label("With findings only").check()
    page.wait_for_url("**/verdicts?agent=filterer&flagged=1")
    playwright.expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_label("With findings only").uncheck()
    page.wait_for_url("**/verdicts?agent=filterer")
    page.keyboard.press("/")
    page.keyboard.type("fine.int")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("q=fine.int"))
    playwright.expect(page.locator("#rows tr")).to_have_count(1)
    is_live(page)
    site.keep(connect("filterer", "unfitting.internal:443"), ALLOWED)
    fits = site.report(connect("filterer", "fine.internal:8443"), ALLOWED)
    playwright.expect(page.locator("#rows tr").first).to_have_id(f"v-{fits}")
    playwright.expect(page.locator("#rows tr")).to_have_count(2)


def test_triage_changes_the_verdict_and_its_row_in_place(tab, site):
    kept = site.keep(connect("triaged"), FLAGGED)
    page = tab(f"/verdicts/{kept}?agent=triaged")
    page.evaluate("window.sameDocument = true")
    page.get_by_role("button", name="Acknowledge").click()
    playwright.expect(page.locator(f"#v-{kept}")).to_contain_text("Acknowledged")
    playwright.expect(page.locator("#drawer")).to_contain_text("Somebody is looking at it.")
    assert page.evaluate("window.sameDocument")
    assert site.store.verdict(site.organisation, kept).status is Status.ACKNOWLEDGED
    page.get_by_role("button", name="Reopen").click()
    playwright.expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()
    assert site.store.verdict(site.organisation, kept).status is Status.OPEN


def test_everything_also_works_without_scripts(tab, site):
    kept = site.keep(connect("scriptless"), FLAGGED)
    page = tab("/verdicts?agent=scriptless", java_script_enabled=False)
    page.locator(f"#v-{kept} a.go").click()
    page.get_by_role("button", name="Resolve").click()
    playwright.expect(page.locator(f"#v-{kept}")).to_contain_text("Resolved")
    page.get_by_role("link", name="Close").click()
    page.get_by_label("With findings only").check()
    page.get_by_role("button", name="Apply").click()
    playwright.expect(page.locator("#rows tr")).to_have_count(1)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_an_agent_wrote_never_runs(tab, site, payload):
    every = {field.name: payload for field in fields(Action) if field.type == "str" and field.name != "organisation"}
    action = Action(**every, metadata={payload: payload}, delegation=(payload,), seen_by=(payload,))
    finding = Finding(**{field.name: payload for field in fields(Finding)})
    bad = Verdict(
        decision=Decision.BLOCK,
        reason=payload,
        evidence=(UNDECLARED, finding),
        notes=(payload,),
        policy_version=payload,
    )
    kept = site.keep(action, bad)
    declared = Declaration(tools=(payload,), destinations=(payload.replace("*", "x"),), purpose=payload)
    site.store.declare(site.organisation, payload, declared, at=1.0)
    name = f"{payload} {uuid4()}"[-200:]
    site.store.create_user(site.organisation, name, role=Role.VIEWER, password="", at=1.0)
    mint_key(site.store, name=name, agent=payload)
    site.store.put_policy(
        site.organisation, Policy("blocklist", {"publishers": [payload]}, name, enabled=False), at=1.0
    )
    page = tab("/verdicts")
    is_live(page)
    live = site.report(action, bad)
    page.locator(f"#v-{live} a.go").click()
    playwright.expect(page.locator("#drawer-title")).to_be_focused()
    page.locator("#drawer").get_by_role("link").nth(2).click()
    playwright.expect(page.get_by_role("heading", name="What it is for")).to_be_visible()
    agent = quote(payload, safe="")
    about = (
        f"/agent?name={agent}",
        f"/agent/declaration?name={agent}",
        f"/agent/delete?name={agent}",
        f"/connect?agent={agent}",
    )
    for path in (f"/verdicts/{kept}", "/agents", "/team", "/keys", "/policies", f"/verdicts?agent={agent}", *about):
        page.goto(path)
        assert page.locator("img, iframe, script:not([src])").count() == 0, path
    # `tab` then asserts: no dialog, no error, nothing that the policy had to stop.


def test_a_waiting_connect_page_sees_the_first_action(tab, site):
    page = tab("/connect?agent=awaited")
    playwright.expect(page.locator("#waiting")).to_contain_text("Waiting for the first action of awaited")
    playwright.expect(page.locator("#waiting .live")).to_have_attribute("data-state", "on")
    page.get_by_role("button", name="Make a key for awaited").click()
    playwright.expect(page.locator("#s-key")).to_contain_text("kz_live_")
    playwright.expect(page.locator("#waiting .live")).to_have_attribute("data-state", "on")
    site.report(connect("awaited"), ALLOWED)
    playwright.expect(page.locator("#waiting")).to_contain_text("was seen")
    # It is shown only this once, so it must not go away by itself.
    playwright.expect(page.locator("#s-key")).to_contain_text("kz_live_")


@pytest.mark.parametrize("path", ["/verdicts", "/agents", "/agent?name=narrow", "/connect", "/sign-in"])
def test_a_telephone_shows_everything_without_scrolling_sideways(tab, site, path):
    kept = site.keep(connect("narrow", "https://" + "long" * 40 + ".example/"), BLOCKED)
    page = tab(path, signed_in=path != "/sign-in", viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    if path == "/verdicts":
        page.locator(f"#v-{kept}").click()
        playwright.expect(page.locator("#drawer-title")).to_be_in_viewport()
        box = page.locator("#drawer").bounding_box()
        assert (box["x"], box["width"]) == (0, 400)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.get_by_role("link", name="Close").click()
        playwright.expect(page.locator("#drawer")).to_be_hidden()


def test_every_control_has_a_name_and_every_page_its_landmarks(tab, site):
    kept = site.keep(connect("named"), FLAGGED)
    for path in (f"/verdicts/{kept}", "/agents", "/agent?name=named", "/connect"):
        page = tab(path)
        tree = page.locator("body").aria_snapshot()
        assert "- main" in tree
        assert "- banner" in tree
        assert re.search(r'- navigation "Console"', tree)
        # A control without a name would stand there as its bare role.
        assert not re.search(r"- (button|link|textbox|searchbox|combobox|checkbox)(:| *$)", tree, re.M), tree


def test_an_administrator_tries_a_policy_saves_it_makes_a_key_and_deletes_an_agent(tab, site):
    site.keep(connect("upkeep", "soon-blocked.example:443"), ALLOWED)
    page = tab("/policies")
    page.get_by_label("Blocklist", exact=False).first.check()
    page.get_by_label("Destinations").fill("soon-blocked.example")
    page.get_by_role("button", name="What would it change?").first.click()
    playwright.expect(page.get_by_role("status", name="The trial")).to_contain_text("soon-blocked.example:443")
    page.get_by_role("button", name="Save").click()
    playwright.expect(page.get_by_role("status").first).to_contain_text("in force")
    assert site.store.org_policy(site.organisation)["destinations"] == ["soon-blocked.example"]
    page.get_by_label("Off").check()
    page.get_by_role("button", name="Save").click()

    page.get_by_role("link", name="Keys").click()
    page.get_by_label("Name").fill("browser")
    page.get_by_label("Bound to one agent").fill("upkeep")
    page.get_by_role("button", name="Make it").click()
    playwright.expect(page.locator("#new-key")).to_have_text(re.compile(r"^kz_live_[\w-]{43}$"))
    page.get_by_role("row", name="browser").get_by_role("button", name="Revoke").click()
    playwright.expect(page.get_by_role("row", name="browser")).to_contain_text("Revoked")

    page.goto("/agent?name=upkeep")
    page.get_by_role("link", name="Change it").click()
    page.get_by_label("Tools").fill("read_mail\nsearch")
    page.get_by_role("button", name="Save").click()
    playwright.expect(page.get_by_text("The declaration is in force.")).to_be_visible()
    page.get_by_role("link", name="Delete its data").click()
    page.get_by_role("button", name="Delete all of it").click()
    playwright.expect(page.get_by_text("The agent was deleted")).to_be_visible()
    assert site.store.agent(site.organisation, "upkeep") is None


@pytest.mark.parametrize(
    "path",
    [
        "/policies",
        "/keys",
        "/team",
        "/agent?name=narrow",
        "/agent/declaration?name=narrow",
        "/agent/delete?name=narrow",
    ],
)
def test_no_page_of_upkeep_is_wider_than_a_telephone(tab, site, path):
    name = "narrow"
    site.keep(connect(name), ALLOWED)
    site.store.declare(site.organisation, name, Declaration(tools=("t" * 200,), purpose="p" * 400), at=1.0)
    page = tab(path, viewport={"width": 400, "height": 800})
    for width in (400, 900, 1100):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_administrator_lets_somebody_in_who_signs_in_and_is_removed(tab, site):
    page = tab("/team")
    page.get_by_label("Name").fill("nora")
    page.get_by_role("button", name="Add them").click()
    password = page.locator("#new-password").inner_text().strip()
    theirs = tab("/sign-in", signed_in=False)
    theirs.get_by_label("User").fill("nora")
    theirs.get_by_label("Password").fill(password)
    theirs.keyboard.press("Enter")
    playwright.expect(theirs.get_by_role("heading", name="Verdicts")).to_be_visible()
    is_live(theirs)
    theirs.goto("/team")
    playwright.expect(theirs.get_by_role("button", name="Remove")).to_have_count(0)
    theirs.goto("/verdicts")
    is_live(theirs)
    row = page.get_by_role("row", name="nora")
    row.get_by_role("button", name="Make an administrator").click()
    playwright.expect(row).to_contain_text("administrator")
    row.get_by_role("button", name="Remove").click()
    playwright.expect(page.get_by_text("They may sign in no more")).to_be_visible()
    # Their live page ends with their session.
    playwright.expect(theirs.get_by_role("heading", name="Sign in")).to_be_visible(timeout=5_000)


def test_an_administrator_adds_a_destination_tests_it_and_removes_it(browser, tmp_path):
    settings = Settings(vault=Vault(tmp_path / "enc.key"), permitted=("127.0.0.1",))
    with running(tmp_path / "data", settings) as own, Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        context = browser.new_context(base_url=own.url, viewport={"width": 400, "height": 800})
        context.add_cookies([{"name": "kaizen_session", "value": own.session(), "url": own.url}])
        page = context.new_page()
        page.goto("/exports")
        page.get_by_label("Name").fill("the siem")
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_label("Secret").fill("shared-with-the-siem")
        page.get_by_role("button", name="Add it").click()
        row = page.get_by_role("row", name="the siem")
        row.get_by_role("button", name="Test").click()
        playwright.expect(page.get_by_text("The receiver took the test (200).")).to_be_visible()
        assert receiver.got[0][0]["X-Kaizen-Signature"].startswith("sha256=")
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        row.get_by_role("button", name="Remove").click()
        playwright.expect(page.get_by_text("Verdicts are sent nowhere yet.")).to_be_visible()
        context.close()
        receiver.shutdown()
        thread.join()


def test_a_policy_is_tried_before_it_is_saved_and_the_actions_it_would_block_are_one_click_away(site, tab):
    site.keep(connect("buyer", "https://shop.example/pay", id="t1"), ALLOWED)
    site.keep(connect("buyer", "https://shop.example/pay", id="t2"), ALLOWED)
    site.keep(connect("seller", f"{PAYLOADS[0]}.shop.example:443"[:200], id="t3"), ALLOWED)
    page = tab("/policies")
    page.get_by_label("Blocklist").first.check()
    page.locator("form[action='/policies/organisation'] textarea[name=destinations]").fill("shop.example")
    page.get_by_role("button", name="What would it change?").first.click()
    shown = page.get_by_role("status", name="The trial")
    assert re.search(r"would have blocked \d+ of the last \d+ actions", shown.inner_text())
    assert "newly blocked" in shown.inner_text().lower()
    typed = page.locator("form[action='/policies/organisation'] textarea[name=destinations]")
    assert typed.input_value() == "shop.example"
    assert site.store.org_policy(site.organisation).get("mode", "off") == "off"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/trial.png", full_page=True)
    shown.get_by_role("link").first.click()
    assert "/verdicts/" in page.url


def test_the_drawer_shows_what_the_score_is_made_of(site, tab):
    score = Score(
        value=3.5,
        threshold=1.25,
        probability=0.93,
        bias=-4.5,
        parts=(Part(name="place_far", weight=6.0, value=1.0), Part(name="told_far", weight=4.0, value=0.5)),
        came=(Came(field="recipient", kind="account", origin="text", tool=PAYLOADS[0][:200], path=".*"),),
    )
    said = Verdict(decision=Decision.ALLOW, reason="provenance: …", evidence=(UNDECLARED,), score=score)
    id_ = site.keep(connect("scored", id="scored-1"), said)
    page = tab(f"/verdicts/{id_}")
    drawer = page.locator(".drawer-body")
    text = drawer.inner_text()
    assert "3.50; a call is flagged above 1.25" in text
    assert re.search(r"place_far\s+\+6\.00\s+6\.00 x 1\.00\s+75 %", text)
    assert "only free text of a result of" in text
    if PICTURES:
        page.locator("table.parts").scroll_into_view_if_needed()
        page.screenshot(path=f"{PICTURES}/drawer.png")
