"""Policies, keys, declarations, baselines and deletion over HTTP: what they change, who may, and what they refuse."""

from __future__ import annotations

import html
import re
import time

import httpx
import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.server.console import trial
from kaizen_security.server.console.lists import entries, typed
from kaizen_security.server.setup import mint_key
from kaizen_security.store.base import VerdictQuery
from kaizen_security.store.profiles import Profile
from tests.unit.console.rows import PAYLOADS
from tests.unit.console.site import running

ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Of its own: an organisation's policy is about every agent of it."""
    with running(tmp_path_factory.mktemp("upkeep")) as started:
        yield started


@pytest.fixture
def admin(site):
    with site.client() as client:
        client.headers.update(HTML)
        yield client


@pytest.fixture
def viewer(site):
    with site.client(user=site.reader) as client:
        client.headers.update(HTML)
        yield client


def connect(agent, target, **fields):
    return Action(kind="connect", target=target, agent=agent, metadata={"source": "egress"}, **fields)


@pytest.mark.parametrize("said", ["a\r\nb", "a\nb\n\n", "  a \n\tb\r\na"])
def test_a_list_is_what_stands_in_its_lines_each_once(said):
    assert entries(said) == ["a", "b"]
    assert entries(typed(entries(said))) == ["a", "b"]


def test_the_organisations_policy_is_in_force_for_agents_as_soon_as_it_is_saved(site, admin):
    form = {"mode": "blocklist", "tools": "drop_all\r\n", "destinations": "*.bad.example\r\n203.0.113.0/24", "x": ""}
    answer = admin.post("/policies/organisation", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/policies?done=saved")
    key = mint_key(site.store, name="reader")
    got = httpx.get(f"{site.url}/v1/policy?agent=a", headers={"Authorization": f"Bearer {key}"}, timeout=60).json()[
        "policies"
    ]
    assert [one["name"] for one in got] == ["organisation policy"]
    assert {"skill_patterns", "domains", "ips"} <= set(got[0]["rules"])
    page = admin.get("/policies?done=saved").text
    assert "*.bad.example" in page
    twin = admin.get("/policies?format=json").json()
    assert twin["org_policy"]["mode"] == "blocklist"
    assert twin["in_force"]["version"] in page
    admin.post("/policies/organisation", data={"mode": "off"})
    assert site.store.org_policy(site.organisation)["mode"] == "off"


def test_a_policy_that_cannot_be_used_is_refused_with_what_was_typed_and_the_one_before_stays(site, admin):
    admin.post("/policies/organisation", data={"mode": "blocklist", "tools": "before"})
    answer = admin.post("/policies/organisation", data={"mode": "blocklist", "destinations": "ok.example\nnot a host"})
    assert answer.status_code == 422
    assert "destinations[1]" in answer.text
    assert "not a host</textarea>" in answer.text
    assert site.store.org_policy(site.organisation)["tools"] == ["before"]
    answer = admin.post("/policies/organisation", data={"mode": "allowlist"})
    assert (answer.status_code, "could ever run" in answer.text) == (422, True)
    admin.post("/policies/organisation", data={"mode": "off"})


def test_a_trial_says_what_would_have_been_blocked_and_changes_nothing(site, admin):
    site.keep(connect("tried", "fresh.example:443"), ALLOWED)
    site.keep(connect("tried", "other.example:443"), ALLOWED)
    answer = admin.post(
        "/policies/organisation", data={"mode": "blocklist", "destinations": "fresh.example", "try": "1"}
    )
    assert answer.status_code == 200
    assert re.search(r"<h2>This would have blocked 1 of the last \d+ actions</h2>", answer.text)
    assert "blocked by policy: malicious domain" in answer.text
    assert "fresh.example:443" in answer.text
    assert "other.example:443" not in answer.text
    assert site.store.org_policy(site.organisation).get("mode", "off") == "off"
    answer = admin.post(
        "/policies/organisation", data={"mode": "allowlist", "destinations": "other.example", "try": "1"}
    )
    assert "fresh.example:443" in answer.text


def test_a_trial_is_given_to_programs_as_the_same_document_as_replay_gives(site, admin):
    read = Action(kind="file", target="/srv/pay.csv", agent="seq", run_id="s1", metadata={"sensitive": True}, id="s-1")
    site.keep(read, ALLOWED)
    site.keep(connect("seq", "out.example:443", run_id="s1", id="s-2"), ALLOWED)
    form = {"mode": "off", "correlation": "1", "try": "1"}
    told = admin.post("/policies/organisation?format=json", data=form).json()
    (group,) = [one for one in told["groups"] if one["agent"] == "seq"]
    assert (group["change"], group["destination"], group["actions"]) == ("newly blocked", "out.example", 1)
    assert told["partial"] is None
    assert told["actions"] == sum(told["changes"].values())


def test_a_further_policy_is_tried_beside_the_others_in_place_of_the_one_of_its_name(site, admin):
    site.keep(connect("tried-own", "own.example:443"), ALLOWED)
    form = {"name": "own list", "mode": "blocklist", "domains": "own.example", "enabled": "1", "try": "1"}
    answer = admin.post("/policies/own", data=form)
    assert answer.status_code == 200
    assert "own.example:443" in answer.text
    assert "own.example</textarea>" in answer.text, "what was typed is still there"
    assert site.store.policies(site.organisation) == ()
    answer = admin.post("/policies/own", data=form | {"enabled": ""})
    assert "This would have blocked nothing of" in answer.text


def test_a_trial_is_bounded_in_rows_and_in_time(site, admin, monkeypatch):
    for n in range(5):
        site.keep(connect("many", f"m{n}.example:443", id=f"many-{n}"), ALLOWED)
    monkeypatch.setattr(trial, "PAGE", 2)
    monkeypatch.setattr(trial, "MAX_ROWS", 4)
    form = {"mode": "blocklist", "destinations": "m4.example\nm0.example", "try": "1"}
    page = admin.post("/policies/organisation", data=form).text
    assert "This would have blocked 1 of the last 4 actions" in page
    assert "more than 4 rows" in page
    monkeypatch.setattr(trial, "SECONDS", 0.0)
    page = admin.post("/policies/organisation", data=form).text
    assert "of the last 2 actions" in page
    assert "could be read in 0 seconds" in page


def test_a_further_policy_is_added_switched_edited_and_removed(site, admin):
    form = {"name": "publishers", "mode": "blocklist", "publishers": "evil-corp\nworse-corp", "enabled": "1"}
    assert admin.post("/policies/own", data=form).headers["location"] == "/policies?done=kept"
    kept = Policy("blocklist", {"publishers": ["evil-corp", "worse-corp"]}, "publishers")
    assert site.store.policies(site.organisation) == (kept,)
    edit = admin.get("/policies?edit=publishers").text
    assert "evil-corp\nworse-corp</textarea>" in edit
    admin.post("/policies/switch", data={"name": "publishers", "enabled": ""})
    assert not site.store.policies(site.organisation)[0].enabled
    assert admin.get("/policies?format=json").json()["in_force"]["entries"] == 0
    admin.post("/policies/remove", data={"name": "publishers"})
    assert site.store.policies(site.organisation) == ()
    assert admin.post("/policies/remove", data={"name": "publishers"}).status_code == 404


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "p", "mode": "blocklist", "domains": "https://x.example/"}, "policy 'p': rule domains[0]"),
        ({"name": "p", "mode": "blocklist", "tools": "a"}, "rule tools does nothing in a blocklist"),
        ({"name": "p", "mode": "allowlist"}, "policy 'p': an allowlist must list"),
        ({"name": "p", "mode": "none"}, "policy 'p': mode must be one of"),
        ({"name": "", "mode": "blocklist"}, "name: must be a name"),
        ({"name": "organisation policy", "mode": "blocklist"}, "name: must be a name"),
    ],
)
def test_a_further_policy_with_a_mistake_is_refused_by_name_and_rule(site, admin, form, said):
    answer = admin.post("/policies/own", data=form)
    assert answer.status_code == 422
    assert said in html.unescape(answer.text)
    assert '<details class="sheet pad more" id="own" open>' in answer.text
    assert site.store.policies(site.organisation) == ()


def test_editing_a_policy_in_an_older_spelling_loses_no_entry(site, admin):
    rules = {"ip": ["192.0.2.1"], "ips": ["203.0.113.0/24"]}
    site.store.put_policy(site.organisation, Policy("blocklist", rules, "older"), at=1.0)
    assert "203.0.113.0/24\n192.0.2.1</textarea>" in admin.get("/policies?edit=older").text
    admin.post("/policies/remove", data={"name": "older"})


def test_a_kept_policy_that_cannot_be_compiled_any_more_is_named_on_the_page(site, admin):
    site.store.put_policy(site.organisation, Policy("blocklist", {"domains": ["no host at all"]}, "old"), at=1.0)
    page = html.unescape(admin.get("/policies").text)
    assert page.count("policy 'old': rule domains[0]") >= 2, "beside the policy, and over what is in force"
    assert "Cannot be compiled" in page
    admin.post("/policies/remove", data={"name": "old"})


def test_a_key_is_shown_once_listed_and_revoked(site, admin):
    answer = admin.post("/keys", data={"name": "ci", "scope": "observer", "agent": "builder"})
    token = re.search(r"kz_live_[\w-]{43}", answer.text).group()
    bearer = {"Authorization": f"Bearer {token}"}
    who = httpx.get(f"{site.url}/v1/whoami", headers=bearer, timeout=60).json()
    assert (who["scope"], who["agent"]) == ("observer", "builder")
    page = admin.get("/keys").text
    assert token not in page
    assert token[:12] in page
    found = next(key for key in site.store.keys(site.organisation) if key.name == "ci")
    assert admin.post("/keys/revoke", data={"id": found.id}).headers["location"] == "/keys?done=revoked"
    assert httpx.get(f"{site.url}/v1/whoami", headers=bearer, timeout=60).status_code == 401
    assert admin.post("/keys/revoke", data={"id": found.id}).status_code == 404
    assert "Revoked" in admin.get("/keys").text


@pytest.mark.parametrize(
    ("form", "said"),
    [({"name": " ", "scope": "agent"}, "name:"), ({"name": "x", "scope": "root"}, "scope:"), ({"name": "x"}, "scope:")],
)
def test_a_key_without_a_name_or_with_an_unknown_scope_is_not_made(site, admin, form, said):
    before = len(site.store.keys(site.organisation))
    answer = admin.post("/keys", data=form)
    assert (answer.status_code, said in answer.text) == (422, True)
    assert len(site.store.keys(site.organisation)) == before


def test_a_declaration_is_edited_and_a_wrong_one_is_refused(site, admin):
    site.keep(connect("editor", "a.example:443"), ALLOWED)
    where = "/agent/declaration?name=editor"
    form = {"purpose": "reads mail", "tools": "read_mail\r\nsearch", "destinations": "mail.example", "data": "contacts"}
    assert admin.post(where, data=form).headers["location"] == "/agent?name=editor&done=declared"
    declared = site.store.agent(site.organisation, "editor").declaration
    assert declared == Declaration(
        tools=("read_mail", "search"), destinations=("mail.example",), purpose="reads mail", data=("contacts",)
    )
    shown = admin.get(where).text
    assert "read_mail\nsearch</textarea>" in shown
    assert "contacts</textarea>" in shown
    answer = admin.post(where, data={**form, "data": "contacts\nmedical"})
    assert answer.status_code == 422
    assert "data[1] is no class of data that is known" in html.unescape(answer.text)
    answer = admin.post(where, data={**form, "destinations": "mail.example\n10.0.0.0/99"})
    assert answer.status_code == 422
    assert "10.0.0.0/99</textarea>" in answer.text
    assert site.store.agent(site.organisation, "editor").declaration == declared


def test_a_learned_profile_is_shown_and_forgotten(site, admin):
    key = mint_key(site.store, name="learner", agent="learner")
    for i in range(5):
        document = {"action": {"tool": "read_mail", "target": "mail.example:443", "id": str(i)}}
        httpx.post(f"{site.url}/v1/verdicts", json=document, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    page = admin.get("/agent?name=learner").text
    assert "reported actions" in page
    assert "read_mail" in page
    assert admin.get("/agent?name=learner&format=json").json()["profile"]["seen"] == 5
    assert admin.post("/agent/reset?name=learner").headers["location"] == "/agent?name=learner&done=reset"
    assert admin.get("/agent?name=learner&format=json").json()["profile"]["seen"] == 0
    assert "Nothing was learned of it yet" in admin.get("/agent?name=learner").text


def test_deletion_asks_first_and_then_deletes(site, admin):
    site.keep(connect("leaver", "a.example:443"), ALLOWED)
    mint_key(site.store, name="leaver", agent="leaver")
    asked = admin.get("/agent/delete?name=leaver").text
    assert "Delete everything of" in asked
    assert "1 live key is bound" in asked
    assert site.store.agent(site.organisation, "leaver") is not None, "asking deletes nothing"
    answer = admin.post("/agent/delete?name=leaver")
    assert answer.headers["location"] == "/agents?deleted=1"
    assert "deleted with 1 verdicts" in admin.get("/agents?deleted=1").text
    assert site.store.agent(site.organisation, "leaver") is None
    assert site.store.verdicts(site.organisation, VerdictQuery(agent="leaver")) == ()
    assert admin.get("/agent/delete?name=leaver").status_code == 404


def test_what_an_address_says_was_done_is_not_repeated(admin):
    assert "script" not in admin.get("/agents?deleted=<script>1").text.partition("<body>")[2]


CHANGES = {
    "/policies/organisation": {"mode": "off"},
    "/policies/own": {"name": "v", "mode": "blocklist"},
    "/policies/switch": {"name": "v"},
    "/policies/remove": {"name": "v"},
    "/keys": {"name": "v", "scope": "agent"},
    "/keys/revoke": {"id": "v"},
    "/agent/declaration?name=watched": {"tools": "v"},
    "/agent/reset?name=watched": {},
    "/agent/delete?name=watched": {},
}


def test_a_viewer_reads_every_page_finds_no_button_and_changes_nothing(site, viewer):
    site.keep(connect("watched", "a.example:443"), ALLOWED)
    site.store.put_policy(site.organisation, Policy("blocklist", {}, "v"), at=1.0)
    for path in (
        "/policies",
        "/keys",
        "/agent?name=watched",
        "/agent/declaration?name=watched",
        "/agent/delete?name=watched",
    ):
        page = viewer.get(path)
        assert page.status_code == 200
        assert re.findall(r"<button[^>]*>([^<]*)", page.text.partition("<main")[2]) == [], path
    before = (site.store.policies(site.organisation), site.store.keys(site.organisation))
    for path, data in CHANGES.items():
        assert viewer.post(path, data=data).status_code == 403
    assert (site.store.policies(site.organisation), site.store.keys(site.organisation)) == before
    assert site.store.agent(site.organisation, "watched").declaration == Declaration()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_an_agent_or_a_client_wrote_is_only_ever_text(site, admin, payload):
    name = payload[:200]
    site.keep(connect(name, "a.example:443"), ALLOWED)
    site.store.declare(site.organisation, name, Declaration(tools=(payload,), purpose=payload), at=1.0)
    site.store.put_policy(
        site.organisation, Policy("blocklist", {"publishers": [payload], payload: [payload]}, name), at=1.0
    )
    mint_key(site.store, name=name, agent=name)
    where = str(httpx.QueryParams({"name": name}))
    for path in (
        "/policies",
        f"/policies?{httpx.QueryParams({'edit': name})}",
        "/keys",
        f"/agent/declaration?{where}",
        f"/agent/delete?{where}",
    ):
        page = admin.get(path)
        assert page.status_code == 200, path
        assert payload not in page.text or not re.search(r"[<>\"'&]", payload), path
        tags = set(re.findall(r"<([a-z][a-z0-9]*)", page.text))
        assert not tags & {"img", "iframe", "object", "embed", "style", "base", "math", "marquee"}, path
        assert page.text.count("<script") == 1, path
    site.store.delete_policy(site.organisation, name)


def test_what_a_sidecar_has_learned_of_an_agent_is_on_its_page_and_escaped(site, admin):
    site.keep(Action(agent="told", tool="search"), Verdict())
    learned = {"tool": [{"value": "<b>search</b>", "count": 1200}], "destination": [], "kind": "nonsense"}
    profile = {"seen": 1234, "learned": learned}
    site.store.profiles.put(site.organisation, "told", Profile(sidecar="<i>one", at=time.time(), document=profile))
    page = admin.get("/agent?name=told").text
    assert "Learned by the sidecar" in page
    assert "1,234 actions" in page
    assert "&lt;b&gt;search&lt;/b&gt;" in page
    assert "<b>search</b>" not in page
    assert "<i>one" not in page
    [said] = admin.get("/agent?name=told&format=json").json()["sidecars"]
    assert (said["sidecar"], said["profile"]) == ("<i>one", profile)
