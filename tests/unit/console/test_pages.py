"""Every page over HTTP: who may see it, what it says, what it refuses."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.server.console.render import CSP
from kaizen_security.store.base import Origin, Status
from tests.unit.console.rows import PAYLOADS, UNDECLARED

FLAGGED = Verdict(decision=Decision.ALLOW, reason="undeclared: something (attacker.example).", evidence=(UNDECLARED,))
ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
BLOCKED = Verdict(decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=(UNDECLARED,))


class Shown(HTMLParser):
    """The text of a page, without its markup."""

    def __init__(self, markup):
        super().__init__()
        self.text = ""
        self.feed(markup)

    def handle_data(self, data):
        self.text += data


def connect(agent, **fields):
    return Action(**({"kind": "connect", "target": "attacker.example:443", "agent": agent} | fields))


PAGES = (
    "/verdicts",
    "/verdicts/live",
    "/verdicts/0000000000000001",
    "/holds",
    "/holds/live",
    "/agents",
    "/agent?name=a",
    "/connect",
    "/policies",
    "/keys",
    "/exports",
    "/model",
    "/team",
    "/agent/declaration?name=a",
    "/agent/delete?name=a",
)
CHANGES = (
    "/verdicts/0000000000000001/status",
    "/verdicts/0000000000000001/learn",
    "/holds/0000000000000001",
    "/agent/settings?name=a",
    "/connect/key",
    "/policies/organisation",
    "/policies/own",
    "/policies/switch",
    "/policies/remove",
    "/keys",
    "/keys/revoke",
    "/exports",
    "/exports/test",
    "/exports/switch",
    "/exports/retry",
    "/exports/remove",
    "/model",
    "/model/test",
    "/team",
    "/team/role",
    "/team/password",
    "/team/remove",
    "/agent/declaration?name=a",
    "/agent/reset?name=a",
    "/agent/delete?name=a",
)


@pytest.mark.parametrize("path", PAGES)
def test_nobody_sees_a_page_without_signing_in(site, path):
    with site.client(signed_in=False) as client:
        answer = client.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
        answer = client.get(path, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("path", CHANGES)
def test_nobody_changes_anything_without_signing_in(site, path):
    with site.client(signed_in=False) as client:
        assert client.post(path, data={"status": "resolved"}).headers["location"] == "/sign-in"


def test_every_path_of_the_console_is_on_one_of_the_lists_above():
    # A page that is added must be on a list here, or it is tried by no test.
    from kaizen_security.server.console.routes import routes

    class Nothing:
        auth = None

    found = {route.path for route in routes(Nothing())}
    listed = {path.partition("?")[0].replace("0000000000000001", "{id}") for path in (*PAGES, *CHANGES)}
    assert found - listed == {"/", "/static/{name}", "/sign-in", "/sign-in/link", "/sign-out"}


@pytest.mark.parametrize(
    "path", ["/verdicts", "/holds", "/agents", "/connect", "/sign-in", "/nowhere-at-all", "/verdicts?since=x"]
)
def test_every_page_carries_the_strict_policy_and_no_script_or_style_of_its_own(site, path):
    with site.client(signed_in=path != "/sign-in") as client:
        answer = client.get(path, headers={"Accept": "text/html"})
    if path != "/nowhere-at-all":
        assert answer.headers["content-security-policy"] == CSP
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert "<script>" not in answer.text
    assert answer.text.count("<script") == answer.text.count('<script type="module" src="/static/')


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", None])
@pytest.mark.parametrize("path", [*CHANGES, "/sign-out", "/sign-in", "/sign-in/link"])
def test_a_change_that_another_sites_page_sends_is_refused(site, path, origin):
    with site.client() as client:
        del client.headers["origin"]
        headers = {"Origin": origin} if origin else {}
        answer = client.post(path, data={"status": "resolved", "mode": "enforce"}, headers=headers)
        assert answer.status_code == 403
        assert "Origin" in answer.text
        assert client.get("/agents", headers={"Accept": "text/html"}).status_code == 200, "still signed in"


def test_a_session_cookie_is_strict_and_out_of_reach_for_scripts(site):
    with site.client(signed_in=False) as client:
        answer = client.post("/sign-in", data={"name": "ana", "password": "correct-horse-battery", "next": "/agents"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/agents")
        cookie = answer.headers["set-cookie"].lower()
        assert "samesite=strict" in cookie
        assert "httponly" in cookie
        assert client.get("/agents").status_code == 200
        assert client.post("/sign-out").headers["location"] == "/sign-in"
        assert client.get("/agents").status_code == 303


def test_a_wrong_password_says_so_without_saying_which_half_was_wrong(site):
    with site.client(signed_in=False) as client:
        wrong = [client.post("/sign-in", data={"name": name, "password": "no"}) for name in ("ana", "nobody")]
    assert [answer.status_code for answer in wrong] == [401, 401]
    assert wrong[0].text.replace('value="ana"', "") == wrong[1].text.replace('value="nobody"', "")
    assert "set-cookie" not in wrong[0].headers
    assert "www-authenticate" not in wrong[0].headers


@pytest.mark.parametrize(
    "target",
    ["//attacker.example", "https://attacker.example", "/\\attacker.example", "javascript:alert(1)", "/\t/x.example"],
)
def test_signing_in_never_leads_to_another_site(site, target):
    with site.client(signed_in=False) as client:
        answer = client.post("/sign-in", data={"name": "ana", "password": "correct-horse-battery", "next": target})
        assert answer.headers["location"] == "/verdicts"


def test_a_link_from_another_site_takes_one_step_of_its_own_before_it_asks_to_sign_in(site):
    with site.client(signed_in=False) as client:
        answer = client.get("/verdicts?agent=a%22b", headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"})
        assert answer.status_code == 200
        assert 'content="0;url=/verdicts?agent=a%22b"' in answer.text
        assert client.get("/verdicts", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_a_one_time_link_needs_a_click_and_works_once(site):
    from kaizen_security.runtime import clock
    from kaizen_security.server import passwords

    token = passwords.new_token(passwords.LINK_PREFIX)
    site.store.create_link(site.user.id, passwords.token_hash(token), expires_at=clock.now() + 600)
    with site.client(signed_in=False) as client:
        # A mail scanner or a preview that only looks at the address does not use it up.
        for _ in range(2):
            assert "Finish signing in" in client.get("/sign-in", params={"token": token}).text
        first = client.post("/sign-in/link", data={"token": token, "next": "/agents"})
        assert (first.status_code, first.headers["location"]) == (303, "/agents")
        again = client.post("/sign-in/link", data={"token": token})
        assert again.status_code == 401
        assert "used already" in again.text


def test_the_list_shows_newest_first_and_only_what_the_address_asks_for(site):
    flagged = site.keep(connect("lister"), FLAGGED)
    allowed = site.keep(connect("lister", target="api.internal:443"), ALLOWED)
    with site.client() as client:
        page = client.get("/verdicts?agent=lister").text
        assert page.index(f"v-{allowed}") < page.index(f"v-{flagged}")
        assert f"v-{allowed}" not in client.get("/verdicts?agent=lister&flagged=1").text
        found = client.get("/verdicts?agent=lister&q=API.internal&format=json").json()
        assert [row["id"] for row in found["verdicts"]] == [allowed]
        none = client.get("/verdicts?agent=lister&decision=block&format=json").json()
        assert none == {"verdicts": [], "acts": [], "next": None}


def test_a_call_and_what_was_seen_of_it_are_one_line_with_all_of_it_in_the_drawer(site):
    def of(source, id_, **more):
        metadata = {"source": source}
        return Action(agent="joined", id=id_, act_id="call-1", run_id="r", metadata=metadata, **more)

    call = site.keep(of("sdk", "call-1", tool="fetch_page", target="https://attacker.example/"), FLAGGED)
    proxy = site.keep(of("egress", "p", kind="connect", target="attacker.example:443"), ALLOWED)
    kernel = site.keep(of("ebpf", "k", kind="connect", target="attacker.example:443"), BLOCKED)
    with site.client() as client:
        found = client.get("/verdicts?agent=joined&format=json").json()
        [act] = found["acts"]
        assert (act["joined"], act["decision"], act["rung_number"]) == ("call and effect", "block", 4)
        assert [row["id"] for row in act["rows"]] == [kernel, proxy, call]
        assert [row["id"] for row in found["verdicts"]] == [kernel]
        page = client.get("/verdicts?agent=joined").text
        assert page.count('<tr role="row" id="v-') == 1
        assert "by <bdi" in page.partition('class="of"')[2][:20]
        assert "fetch_page" in page
        assert "call and effect" in page
        drawer = client.get(f"/verdicts/{call}").text
        assert "One act: call and effect" in drawer
        assert all(f"/verdicts/{id_}" in drawer.partition("One act")[2] for id_ in (proxy, kernel))
        part = client.get(f"/verdicts/{kernel}", headers={"X-Kaizen-Part": "drawer"}).text
        assert "fetch_page" in part.partition("<template>")[2], "what the script puts into the list is the act's line"
        agent = client.get("/agent?name=joined").text
        assert agent.count("call and effect") == 1


def test_paging_gives_every_verdict_once(site):
    kept = [site.keep(connect("pager", target=f"h{i}.example:443"), ALLOWED) for i in range(120)]
    seen, address = [], "/verdicts?agent=pager&format=json"
    with site.client() as client:
        while address:
            found = client.get(address).json()
            seen += [row["id"] for row in found["verdicts"]]
            address = found["next"]
    assert seen == kept[::-1]


def test_a_filter_that_cannot_be_used_is_named_in_both_forms(site):
    with site.client() as client:
        page = client.get("/verdicts?since=yesterday", headers={"Accept": "text/html"})
        assert (page.status_code, "since" in page.text) == (422, True)
        assert client.get("/verdicts?since=yesterday&format=json").json()["error"]["field"] == "since"


def test_a_verdict_has_an_address_of_its_own_with_its_drawer_open(site):
    kept = site.keep(connect("drawer", run_id="run-9", id="act-9"), FLAGGED)
    site.keep(connect("drawer", target="api.internal:443", run_id="run-9"), ALLOWED)
    site.keep(connect("drawer", target="elsewhere.internal:443", run_id="run-8"), ALLOWED)
    with site.client() as client:
        page = client.get(f"/verdicts/{kept}").text
        assert 'id="drawer-title"' in page
        assert UNDECLARED.advice.replace("'", "&#39;") in page
        document = client.get(f"/verdicts/{kept}?format=json").json()
        assert document["verdict"]["evidence"][0]["expected"] == UNDECLARED.expected
        assert [other["action"]["target"] for other in document["beside"]] == ["api.internal:443"]
        assert document["attacks"][0]["atlas"] == ["AML.T0086"]
        assert client.get("/verdicts/ffffffffffffffff").status_code == 404


def test_a_run_that_another_agent_claims_stays_out_of_the_timeline(site):
    mine = site.keep(connect("honest", run_id="shared-run"), FLAGGED)
    site.keep(connect("liar", run_id="shared-run", tool="planted"), ALLOWED)
    with site.client() as client:
        assert client.get(f"/verdicts/{mine}?format=json").json()["beside"] == []


def test_the_script_gets_the_drawer_alone_with_its_row(site):
    kept = site.keep(connect("part"), FLAGGED)
    with site.client() as client:
        part = client.get(f"/verdicts/{kept}", headers={"X-Kaizen-Part": "drawer"}).text
    assert "<html" not in part
    assert f'id="v-{kept}"' in part.partition("<template>")[2]


def test_a_status_is_kept_and_shown(site):
    kept = site.keep(connect("triage"), FLAGGED)
    with site.client() as client:
        answer = client.post(f"/verdicts/{kept}/status", params={"agent": "triage"}, data={"status": "acknowledged"})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/verdicts/{kept}?agent=triage")
        assert "Somebody is looking at it." in client.get(f"/verdicts/{kept}").text
        assert site.store.verdict(site.organisation, kept).status is Status.ACKNOWLEDGED
        refused = client.post(f"/verdicts/{kept}/status", data={"status": "ignored"})
        assert refused.status_code == 422


def test_a_false_positive_is_not_flagged_again_until_it_is_opened_again(site):
    kept = site.keep(connect("cried-wolf"), FLAGGED)
    with site.client() as client:
        client.post(f"/verdicts/{kept}/status", data={"status": "false_positive"})
        assert [entry.agent for entry in site.store.suppressions(site.organisation)] == ["cried-wolf"]
        client.post(f"/verdicts/{kept}/status", data={"status": "open"})
        assert site.store.suppressions(site.organisation) == ()


def test_learning_extends_what_the_agent_declared_and_settles_the_verdict(site):
    site.store.declare(site.organisation, "learner", Declaration(destinations=("api.internal",)), at=1.0)
    kept = site.keep(connect("learner"), FLAGGED)
    with site.client() as client:
        page = client.post(f"/verdicts/{kept}/learn", follow_redirects=True).text
    assert "Nothing is left to do." in page
    declared = site.store.agent(site.organisation, "learner").declaration
    assert declared.destinations == ("api.internal", "attacker.example")


def test_a_policys_deny_cannot_be_called_a_false_positive(site):
    denied = replace(UNDECLARED, source="policy:hosts")
    kept = site.keep(connect("denied"), replace(BLOCKED, evidence=(denied,)))
    with site.client() as client:
        answer = client.post(
            f"/verdicts/{kept}/status", data={"status": "false_positive"}, headers={"X-Kaizen-Part": "drawer"}
        )
    assert (answer.status_code, "change the policy" in answer.text) == (422, True)
    assert site.store.verdict(site.organisation, kept).status is Status.OPEN


def test_what_a_policy_denies_is_not_learned(site):
    site.store.declare(site.organisation, "denied", Declaration(destinations=("api.internal",)), at=1.0)
    denied = replace(UNDECLARED, source="policy:hosts")
    kept = site.keep(connect("denied"), replace(BLOCKED, evidence=(denied,)))
    with site.client() as client:
        answer = client.post(f"/verdicts/{kept}/learn", headers={"X-Kaizen-Part": "drawer"})
    assert (answer.status_code, "change the policy" in answer.text) == (422, True)
    assert site.store.verdict(site.organisation, kept).status is Status.OPEN
    assert site.store.agent(site.organisation, "denied").declaration.destinations == ("api.internal",)
    assert site.store.folds(site.organisation, "denied") == ()


def test_somebody_who_may_only_read_changes_nothing(site):
    kept = site.keep(connect("reader"), FLAGGED)
    with site.client(user=site.reader) as client:
        assert "data-triage" not in client.get(f"/verdicts/{kept}").text
        assert client.post(f"/verdicts/{kept}/status", data={"status": "resolved"}).status_code == 403
        assert client.post("/agent/settings?name=reader", data={"mode": "enforce"}).status_code == 403
    assert site.store.verdict(site.organisation, kept).status is Status.OPEN


def test_another_organisations_verdicts_and_agents_do_not_exist(site):
    from kaizen_security.store.base import Role

    other = site.store.create_organisation("Other", boundary_secret=bytes(32), at=1.0).id
    stranger = site.store.create_user(other, "stranger", role=Role.ADMIN, password="", at=1.0)
    kept = site.keep(connect("private-agent"), FLAGGED)
    with site.client(user=stranger) as client:
        assert client.get(f"/verdicts/{kept}").status_code == 404
        assert client.post(f"/verdicts/{kept}/status", data={"status": "resolved"}).status_code == 404
        assert client.get("/agent?name=private-agent").status_code == 404
        assert "private-agent" not in client.get("/agents").text
        assert "Nothing has been judged yet" in client.get("/verdicts").text


def test_an_agents_page_shows_rung_declaration_and_settings_and_changes_them(site):
    site.store.declare(
        site.organisation,
        "profiled",
        Declaration(tools=("send_mail",), destinations=("*.internal",), purpose="Answers mail."),
        at=1.0,
    )
    site.keep(connect("profiled", metadata={"source": "egress"}), BLOCKED)
    with site.client() as client:
        page = client.get("/agent?name=profiled").text
        for said in (
            "ground truth (egress)",
            "Answers mail.",
            "send_mail",
            "*.internal",
            "Switch to enforce",
            "blocked",
        ):
            assert said in page
        answer = client.post("/agent/settings?name=profiled", data={"mode": "enforce"})
        assert "enforce mode" in client.get(answer.headers["location"]).text
        client.post("/agent/settings?name=profiled", data={"paused": "true"})
        agent = site.store.agent(site.organisation, "profiled")
        assert (agent.mode, agent.paused) == (Mode.ENFORCE, True)
        assert client.post("/agent/settings?name=profiled", data={"mode": "off"}).status_code == 422
        assert client.post("/agent/settings?name=never-seen", data={"mode": "enforce"}).status_code == 404
        listed = {agent["agent"]: agent for agent in client.get("/agents?format=json").json()["agents"]}
        assert listed["profiled"]["rung_number"] == 3
        assert listed["profiled"]["last_24_hours"] == {"actions": 1, "flagged": 1, "blocked": 1}


@pytest.mark.parametrize("name", ["..", "a/b", "a b&c=d#e", "ä", "<script>alert(1)</script>", "x" * 256, "%2e%2e"])
def test_an_agent_may_have_any_name_and_still_has_its_page(site, name):
    site.keep(connect(name), ALLOWED)
    with site.client() as client:
        page = client.get("/agent", params={"name": name})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        found = client.get("/verdicts", params={"agent": name, "format": "json"}).json()
        assert found["verdicts"][0]["agent"] == name


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if "\0" not in payload])
def test_no_page_obeys_what_an_agent_wrote(site, payload):
    action = Action(
        kind=payload, tool=payload, target=payload, agent=payload, run_id=payload, metadata={payload: payload}
    )
    kept = site.keep(
        action, Verdict(decision=Decision.BLOCK, reason=payload, evidence=(UNDECLARED,)), origin=Origin.CLAIM
    )
    with site.client() as client:
        for path, params in (
            ("/verdicts", {"agent": payload}),
            (f"/verdicts/{kept}", {}),
            ("/agents", {}),
            ("/agent", {"name": payload}),
            ("/connect", {"agent": payload}),
            ("/verdicts", {"q": payload[:200]}),
        ):
            page = client.get(path, params=params)
            assert page.status_code == 200
            assert page.text.count("<script") == 1
            assert "<img" not in page.text
            assert "<svg onload" not in page.text
            # In an attribute such a character is a value that must come back as it was; on the screen it is not.
            assert not set(Shown(page.text).text) & set("\u202e\u200b\x1b")


def test_connect_fills_the_snippets_in_and_says_when_the_agent_was_seen(site):
    with site.client() as client:
        page = client.get("/connect?agent=newcomer").text
        assert "Waiting for the first action of" in page
        assert site.url in page
        assert client.get("/connect?agent=newcomer&format=json").json()["seen"] is None
        site.keep(connect("newcomer"), ALLOWED)
        assert "was seen just now" in client.get("/connect?agent=newcomer").text
        assert client.get("/connect?agent=newcomer&format=json").json()["seen"].startswith("20")


@pytest.mark.parametrize("name", ["x'; rm -rf ~; echo '", "$(id)", "a\u202eb'\\", "-rf", "two\nlines", "ä"])
def test_a_name_in_a_snippet_is_quoted_for_its_language(site, name):
    with site.client() as client:
        texts = client.get("/connect", params={"agent": name, "format": "json"}).json()["snippets"]
    called = ast.parse(texts["python"]).body[1].value
    assert {word.arg: word.value.value for word in called.keywords} == {"agent": name, "base_url": site.url}
    assert "\u202e" not in "".join(texts.values())
    # What the shell makes of the word after --agent.
    words = subprocess.run(
        ["bash", "-c", f'kaizen() {{ printf %s "$2"; }}; {texts["cli"]}'], capture_output=True, check=True
    )
    assert words.stdout.decode() == f"--agent={name}"


def test_a_key_is_made_for_one_agent_shown_once_and_works(site):
    with site.client() as client:
        page = client.post("/connect/key", data={"agent": "keyed"})
        assert page.headers["cache-control"] == "no-store"
        key = re.search(r"kz_live_[\w-]{43}", page.text)[0]
        assert key not in client.get("/connect?agent=keyed").text
        assert client.post("/connect/key", data={"agent": "  "}).status_code == 422
    with site.client(user=site.reader) as client:
        assert client.post("/connect/key", data={"agent": "keyed"}).status_code == 403
        assert "Make a key" not in client.get("/connect").text
    with site.client(signed_in=False) as client:
        said = client.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"}).json()
    assert (said["scope"], said["agent"]) == ("sdk", "keyed")


def test_static_files_are_the_listed_ones_and_may_be_kept(site):
    with site.client(signed_in=False) as client:
        page = client.get("/sign-in").text
        address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        style = client.get(address)
        assert style.headers["content-type"].startswith("text/css")
        assert "immutable" in style.headers["cache-control"]
        for name in ("routes.py", "..%2Froutes.py", "%2e%2e/routes.py", "nothing.css"):
            assert client.get(f"/static/{name}").status_code == 404


def events(response, count):
    """The first ``count`` events of a stream; comments and the day's counts left out."""
    found, fields = [], {}
    for text in response.iter_lines():
        if not text:
            if fields.get("event", "today") != "today":
                found.append(fields)
            fields = {}
        elif not text.startswith(":"):
            name, _, value = text.partition(": ")
            fields[name] = fields.get(name, "") + value
        if len(found) == count:
            return found
    return found


def test_new_verdicts_arrive_live_filtered_and_a_stream_resumes_where_it_was(site):
    first = site.keep(connect("streamer"), FLAGGED)
    with site.client() as client:
        with client.stream("GET", "/verdicts/live", params={"agent": "streamer", "after": first}) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            site.keep(connect("another"), FLAGGED)
            second = site.keep(connect("streamer", tool="second"), FLAGGED)
            (arrived,) = events(response, 1)
        assert (arrived["id"], arrived["event"]) == (second, "verdict")
        assert f'id="v-{second}"' in arrived["data"]
        third = site.keep(connect("streamer", tool="third"), FLAGGED)
        headers = {"Last-Event-ID": second}
        with client.stream("GET", f"/verdicts/live?agent=streamer&after={first}", headers=headers) as response:
            assert [event["id"] for event in events(response, 1)] == [third]


def test_a_flood_sends_the_newest_and_says_that_some_were_left_out(site):
    start = site.keep(connect("flood"), ALLOWED)
    kept = [site.keep(connect("flood", target=f"h{i}.example"), ALLOWED) for i in range(60)]
    with (
        site.client() as client,
        client.stream("GET", f"/verdicts/live?agent=flood&after={start}") as response,
    ):
        found = events(response, 26)
    assert found[0]["event"] == "skipped"
    assert [event["id"] for event in found[1:]] == kept[-25:]


def test_live_pages_of_one_person_are_bounded(site):
    from contextlib import ExitStack

    with site.client() as client, ExitStack() as stack:
        opened = [stack.enter_context(client.stream("GET", "/verdicts/live")).iter_lines() for _ in range(8)]
        assert [next(texts) for texts in opened] == ["retry: 2000"] * 8
        refused = client.get("/verdicts/live", headers={"Accept": "application/json"})
        assert refused.status_code == 429
        assert json.loads(refused.text)["error"]["code"] == "rate_limited"
