"""Tenants: every template of every row with an address that fits and one that does not, hostile addresses, and learning."""

from __future__ import annotations

import json

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.outflow import TENANTS, Outflow, Taught, mark
from kaizen_security.observer.tenants import MOST, SERVICES, Tenant, says_account, tenant, tenants

TEMPLATES = [(service, template) for service, templates in SERVICES.items() for template in templates.split()]


def address(template, name):
    url = template.replace("{t}", name).replace("*", "one")
    return url if "://" in url else "https://" + url


@pytest.mark.parametrize(("service", "template"), TEMPLATES, ids=lambda one: one)
def test_a_template_gives_its_tenant(service, template):
    assert tenant(address(template, "teal-heron")) == (service, "teal-heron")


@pytest.mark.parametrize(("service", "template"), TEMPLATES, ids=lambda one: one)
@pytest.mark.parametrize("rest", ["/more/of.it?x=1#y", "?x=1"])
def test_what_follows_changes_nothing(service, template, rest):
    assert tenant(address(template, "teal-heron") + rest) == (service, "teal-heron")


@pytest.mark.parametrize(("service", "template"), TEMPLATES, ids=lambda one: one)
def test_a_host_that_only_looks_like_it_gives_none(service, template):
    url = address(template, "teal-heron")
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if scheme in ("s3", "gs"):
        assert tenant(f"x{scheme}://{rest}") == ("", "")
    else:
        assert tenant(f"https://{host}.evil.example{slash}{path}")[0] == ""
        assert tenant(f"https://evil.example/{rest}")[0] == ""
        assert tenant(f"https://{rest.replace('.', '-')}")[0] == ""


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.github.com/repos/Teal-Heron/engine/issues/1", ("GitHub", "teal-heron")),
        ("https://API.GitHub.com./repos/teal-heron/engine", ("GitHub", "teal-heron")),
        ("https://user@github.com/teal-heron/engine.git", ("GitHub", "teal-heron")),
        ("https://github.com/login", ("", "")),
        ("https://api.github.com/gists", ("", "")),
        ("github.com:443", ("", "")),
        ("teal-heron.s3.eu-west-1.amazonaws.com:443", ("Amazon S3", "teal-heron")),
        ("https://s3.eu-west-1.amazonaws.com/teal-heron/a/b", ("Amazon S3", "teal-heron")),
        ("s3://teal-heron/a/b", ("Amazon S3", "teal-heron")),
        ("https://teal.heron.s3.amazonaws.com/a", ("Amazon S3", "teal.heron")),
        ("https://gitlab.com/api/v4/projects/teal-heron%2Fengine/issues", ("GitLab", "teal-heron")),
        ("https://registry.npmjs.org/@teal%2fheron", ("npm", "@teal")),
        ("https://hooks.slack.com/services/T024/B077/x", ("Slack", "t024")),
        ("https://api.telegram.org/bot48151623:AAx/sendMessage", ("Telegram", "48151623")),
        ("https://docs.google.com/spreadsheets/d/1aBcD/edit", ("Google Drive", "1abcd")),
        ("https://discord.com/api/v10/webhooks/4815/token", ("Discord", "4815")),
        ("https://teal-heron-my.sharepoint.com/personal/x", ("OneDrive and SharePoint", "teal-heron")),
        ("https://site.example/github.com/teal-heron", ("", "")),
        ("", ("", "")),
        ("https://", ("", "")),
        ("not a url", ("", "")),
    ],
)
def test_an_address_gives_its_tenant(url, found):
    assert tenant(url) == found


def test_a_tenant_is_found_in_target_arguments_and_texts():
    action = Action(
        tool="share",
        target="https://api.github.com/gists",
        metadata={
            "source": "sdk",
            "arguments": {"account": "Teal", "text": "see https://github.com/mallard/x and gs://pond/y", "n": 1},
        },
    )
    assert set(tenants(action)) == {
        Tenant("GitHub, account", "teal", "arguments.account"),
        Tenant("GitHub", "mallard", "arguments.text"),
        Tenant("Google Cloud Storage", "pond", "arguments.text"),
    }


def test_many_are_bounded():
    text = " ".join(f"https://github.com/u{n}/x" for n in range(500))
    assert len(tenants(Action(metadata={"arguments": {"a": text, "b": text}}))) <= MOST


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("owner", True),
        ("bucketName", True),
        ("repo", True),
        ("account_id", True),
        ("text", False),
        ("to", False),
        ("", False),
    ],
)
def test_an_argument_says_an_account_by_its_name(name, says):
    assert says_account(name) is says


class Play:
    def __init__(self):
        self.observer = Observer(detections=BUILTIN)
        self.now = 1_000.0

    def run(self, owner, run, request=""):
        target = f"https://api.github.com/repos/{owner}/engine/issues"
        action = Action(kind="http", tool="issue", target=target, id=run, run_id=run)
        self.now += 1
        if request:
            self.observer.note(Request(run_id=run, text=request), self.now)
        self.observer.note(action, self.now)
        weighed = self.observer.weighed(action, self.now)
        self.observer.learn(action, weighed, self.now, completed=True)
        self.observer.note(End(run_id=run), self.now)
        return [one.kind for one in weighed.verdict.evidence if one.detection == "tenant"]


def test_a_new_owner_is_flagged_again_and_again_and_never_learned():
    play = Play()
    for n in range(14):
        assert play.run("kestrel", f"r{n}") == []
    asked = "Look at the newest issues, please."
    assert [play.run("mallard", f"m{n}", request=asked) for n in range(3)] == [["new tenant"]] * 3
    assert play.run("mallard", "m8") == []
    assert play.run("mallard", "m9", request="Look at the issues of mallard, please.") == []


def test_before_there_is_enough_nothing_is_said():
    play = Play()
    assert [play.run(name, name) for name in ("a1", "b1", "c1", "d1")] == [[]] * 4


def test_an_agent_whose_owners_vary_is_left_alone():
    play = Play()
    assert all(play.run(f"owner-{n}", f"r{n}") == [] for n in range(40))


def test_with_all_room_taken_nothing_is_new():
    outflow = Outflow()
    for n in range(3 * TENANTS):
        outflow.learn([Taught(tenants=(("GitHub", mark(n)),))])
    assert outflow.new_tenant("GitHub", mark("other")) == ""


def test_an_outflow_survives_json():
    outflow = Outflow()
    for n in range(30):
        outflow.learn([Taught((n,), (n % 3,), (n,), (("GitHub", mark(n % 2)),), (n % 5,))])
    again = Outflow.from_json(json.loads(json.dumps(outflow.to_json())))
    assert again.to_json() == outflow.to_json()
    assert again.new_tenant("GitHub", mark("other"))


def test_parts_add_up():
    one, two = Outflow(), Outflow()
    for n in range(8):
        one.learn([Taught((n,), (1,), (), (("GitHub", mark("a")),))])
        two.learn([Taught((n + 4,), (1,), (), (("GitHub", mark("a")),))])
    both = one.plus(two)
    assert both.to_json() == two.plus(one).to_json()
    assert both.pairs[1] == 16
    assert both.new_tenant("GitHub", mark("b")).startswith("1 known in 16 runs")
