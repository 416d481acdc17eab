"""Every rung at once on one agent: a call is one act, at its deepest rung, in the same words wherever it is read."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections import defaultdict

import pytest

from kaizen_security import Kaizen
from kaizen_security.collectors.kernel.collector import Collector, NotHere
from tests.e2e.console.test_browser import CHROMIUM, FLAGS
from tests.e2e.house.stage import EXAMPLES, ROOT, house, source
from tests.e2e.sidecar_process import until
from tests.e2e.typescript.conftest import environment as node
from tests.e2e.typescript.conftest import sdk  # noqa: F401 - a fixture
from tests.integrations.__main__ import environment

try:
    Collector.start().close()
    WHY = ""
except NotHere as err:
    WHY = str(err)
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY), reason=f"no kernel rung here: {WHY}")]


DEPTH = ("openai-agents", "mcp", "sandbox", "egress", "ebpf")
"""Sources, the deepest last; the gap is said of what these saw."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The house, and what the agent printed: order 7 is honest, 13 goes elsewhere over the proxy, 14 past it."""
    with house(tmp_path_factory.mktemp("house"), environment("a")) as up:
        done = up.run(7, 13, 14)
        assert done.returncode == 0, done.stderr
        yield up, done


@pytest.fixture(scope="module")
def typescript(told, sdk, tmp_path_factory):  # noqa: F811
    """What an agent in TypeScript printed, and its rows."""
    up, _ = told
    folder = tmp_path_factory.mktemp("typescript")
    place = folder / "node_modules" / "kaizen-security"
    place.parent.mkdir()
    place.symlink_to(ROOT / "typescript")
    (folder / "agent.mjs").write_text((EXAMPLES / "agent.mjs").read_text())
    environ = node() | up.line.environment | {"KAIZEN_DATA": str(folder / "data")}
    done = subprocess.run(["node", "agent.mjs"], cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = until(lambda: len(found := up.rows("desk-typescript")) >= 2 and found, "its rows", patience=60.0)
    return *done.stdout.splitlines(), rows


def test_the_agent_notices_nothing(told):
    _, done = told
    assert done.stdout.splitlines() == [f"Order {one} is on its way." for one in (7, 13, 14)]
    assert "rung: kernel" in done.stderr


def test_an_honest_call_is_one_act_of_claim_call_and_effect(told):
    up, _ = told
    look = up.act("call_look_7", {"openai-agents", "egress"})
    assert sorted(map(source, look)) == ["egress", "openai-agents", "openai-agents"]  # hook, trace, proxy
    note = up.act("call_note_7", {"openai-agents", "mcp"})
    assert sorted(map(source, note)) == ["mcp", "openai-agents", "openai-agents"]
    assert len({row["run_id"] for row in look + note}) == 1
    assert not any(row["flagged"] for row in look + note)
    (effect,) = (row for row in look if source(row) == "egress")
    assert effect["action"]["target"] == "api.internal:80"


@pytest.mark.parametrize(("order", "seen"), [(13, "egress"), (14, "ebpf")])
def test_what_a_call_does_beside_what_it_says_is_in_its_act(told, order, seen):
    up, _ = told
    rows = up.act(f"call_look_{order}", {"openai-agents", seen, "sandbox"})
    flagged = defaultdict(list)
    for row in rows:
        if row["flagged"]:
            flagged[source(row)].append(row)
    assert set(flagged) == {seen, "sandbox"}
    (effect,), (gap,) = flagged[seen], flagged["sandbox"]
    where = "attacker.example:80" if order == 13 else up.attacker
    assert effect["action"]["target"] == gap["action"]["target"] == where
    assert effect["reason"].startswith("undeclared: this agent connected to a destination it never declared")
    assert gap["reason"].startswith("Trace-vs-egress gap: the agent reported only a lookup_order call to api.internal")
    assert f"a connection to {where}" in gap["reason"]
    assert len({row["run_id"] for row in rows}) == 1


def test_nothing_else_was_flagged(told):
    up, _ = told
    up.act("call_look_14", {"ebpf", "sandbox"})
    flagged = [row for row in up.rows() if row["flagged"]]
    assert {row["act_id"] for row in flagged} == {"call_look_13", "call_look_14"}, flagged
    assert len(flagged) == 4


def test_the_model_and_the_parts_of_kaizen_are_no_acts_of_a_tool(told):
    up, _ = told
    model = [row for row in up.rows() if row["action"]["target"] == "model.internal:80"]
    assert len(model) >= 9
    assert all(row["act_id"] == row["action_id"] and not row["flagged"] for row in model)


def test_in_enforce_mode_neither_way_is_open_and_the_agent_goes_on(told):
    up, _ = told
    done = up.run(13, 14, words=("--enforce", "--allow", "model.internal", "--allow", "api.internal"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"Order {one} is on its way." for one in (13, 14)]
    assert "1 refused in the kernel" in done.stderr


@pytest.mark.parametrize(
    ("name", "joined", "deepest", "flagged"),
    [
        ("call_look_7", "call and effect", "egress", False),
        ("call_note_7", "call", "mcp", False),
        ("call_parcel_7", "call", "mcp", False),
        ("call_look_13", "call and effect", "egress", True),
        ("call_look_14", "call and effect", "ebpf", True),
    ],
)
def test_each_call_is_one_entry_that_says_how_its_accounts_agree(told, name, joined, deepest, flagged):
    up, _ = told
    up.act("call_look_14", {"ebpf", "sandbox"})
    run = up.act(name, {"openai-agents"})[0]["run_id"]
    acts = up.ask(f"/v1/acts?run_id={run}&limit=100")["acts"]
    (act,) = (one for one in acts if one["verdict"]["act_id"] == name)
    assert (act["joined"], act["verdict"]["flagged"]) == (joined, flagged)
    assert max(act["rows"], key=lambda row: DEPTH.index(source(row)))["action"]["metadata"]["source"] == deepest


ROW = {"at": "created_at", "rung": "rung_number"}
"""What a webhook calls otherwise than the API."""
ALIKE = ("decision", "reason", "severity", "notes", "run_id", "act_id")


def span(number):
    """The span that tells of a row in OpenTelemetry: derived, so a repeated delivery is the same."""
    return hashlib.sha256(f"span:{number}".encode()).hexdigest()[:16]


def plain(value):
    """An attribute of OTLP."""
    (held,) = value.values()
    return [plain(one) for one in held["values"]] if isinstance(held, dict) else held


def hooked(row, sent):
    """Whether a webhook was told of the row what the API says of it."""
    return ("notes" in sent) == ("notes" in row) and {name: row[ROW.get(name, name)] for name in sent} == sent


def collected(row, said):
    """Whether a collector's span or record tells of the row what the API says of it."""
    facts = {
        **{name: row.get(name) for name in ("id", *ALIKE)},
        **{name: row["action"].get(name) for name in ("kind", "tool", "target")},
        "detections": list(dict.fromkeys(one["detection"] for one in row["evidence"])),
        "source": source(row),
        "rung": str(row["rung_number"]),
    }
    told = {name: said.get(f"kaizen.{name}") for name in facts}
    return told == {name: one or None for name, one in facts.items()} and said["gen_ai.agent.name"] == row["agent"]


def read(row, message):
    """Whether a message in Slack has the row's words."""
    head, reason, facts = message["blocks"]
    words = [row["action"].get(name) for name in ("kind", "tool", "target")]
    word = "Blocked" if row["decision"] == "block" else "Flagged" if row["flagged"] else "Allowed"
    told = [f"{word} by Kaizen", row["reason"], f"Agent: {row['agent']}", f"Rung: {row['rung']}"]
    told.append(f"Action: {' → '.join(filter(None, words))}")
    shown = [head["text"]["text"], reason["text"]["text"], *(one["text"] for one in facts["fields"][:1])]
    return [*shown, facts["fields"][2]["text"], facts["fields"][1]["text"]] == told


def exported(up):
    """The last that each receiver was told by row: webhook and Slack by its id, the collector by its span."""
    found = defaultdict(dict)
    for _, headers, body, _ in up.slack.taken():
        found["slack"][headers["X-Kaizen-Delivery"]] = json.loads(body)
    for path, _, body, _ in up.receiver.taken():
        document = json.loads(body)
        if path == "/hook":
            found[path][document["data"]["id"]] = document["data"]
        for kind, scope, name in (
            ("resourceSpans", "scopeSpans", "spans"),
            ("resourceLogs", "scopeLogs", "logRecords"),
        ):
            for one in (one for part in document.get(kind, ()) for below in part[scope] for one in below[name]):
                found[path][one["spanId"]] = {pair["key"]: plain(pair["value"]) for pair in one["attributes"]}
    return found


def apart(up, agents):
    """The rows that some receiver was not told of yet as the API says them now, each with where."""
    found = exported(up)
    return [
        (where, row, told)
        for agent in agents
        for row in up.rows(agent)
        for where, name, alike in (
            ("/hook", row["id"], hooked),
            ("/v1/traces", span(row["id"]), collected),
            ("/v1/logs", span(row["id"]), collected),
            ("slack", row["id"], read),
        )
        if (told := found[where].get(name)) is None or not alike(row, told)
    ]


def test_each_row_of_every_rung_reaches_each_export_in_the_same_words(told, typescript):
    up, _ = told
    up.act("call_look_14", {"ebpf", "sandbox"})
    client = Kaizen(
        agent="desk",
        api_key=up.line.environment["KAIZEN_API_KEY"],
        base_url=up.line.environment["KAIZEN_API_URL"],
        sidecar=up.environ["KAIZEN_SIDECAR"],
        in_tenant=True,
    )
    client.inspect(tool="send_mail", target="attacker.example:443", id="call_direct")
    client.close()
    up.act("call_direct", {"sdk"})
    agents = {"desk": {*DEPTH, "sdk"}, "desk-typescript": {"sdk"}}
    assert {agent: {source(row) for row in up.rows(agent)} for agent in agents} == agents
    gateway = up.act("call_parcel_7", {"mcp", "openai-agents"})
    assert {row["action"]["publisher"] for row in gateway if source(row) == "mcp"} == {"parcels"}
    # Rows are joined to their acts for as long as somebody still tells of them; what was sent by then is told again.
    try:
        until(lambda: not apart(up, agents), "the same words everywhere")
    except AssertionError as err:
        raise AssertionError(apart(up, agents)[:3]) from err
    assert up.slack.answer.errors == []


@pytest.fixture(scope="module")
def browser(told):
    """Debian's Chromium, signed in at the console: the link does so once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        signed_in = started.new_context()
        signed_in.set_default_timeout(60_000)
        page = signed_in.new_page()
        page.goto(told[0].line.sign_in)
        page.get_by_role("button").first.click()
        page.wait_for_url("**/verdicts**")
        yield signed_in
        started.close()


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed (apt-get install chromium)")
def test_the_console_shows_it_once_in_the_same_words(told, browser):
    up, _ = told
    up.act("call_look_13", {"egress", "sandbox"})
    acts = up.ask("/v1/acts?agent=desk&q=attacker.example&limit=100")["acts"]
    # One for each time that the agent was started; what was refused and what was let through are told apart by their words.
    leads = [one["verdict"] for one in acts if one["verdict"]["act_id"] == "call_look_13"]
    assert leads
    page = browser.new_page()
    page.goto(f"{up.line.environment['KAIZEN_API_URL']}/verdicts?agent=desk&q=attacker.example")
    rows = page.locator("tr[data-act]", has_text="attacker.example:80")
    shown = rows.all_inner_texts()
    page.close()
    assert len(shown) == len(leads)
    assert all(any(lead["reason"][:60] in text for text in shown) for lead in leads)


def test_an_agent_of_typescript_stands_beside_it(typescript):
    called, judged, rows = typescript
    assert called == "order 7 is on its way"
    said = next(row for row in rows if row["action"]["target"] == "attacker.example:80")
    assert judged == f"{said['decision']} {said['reason']}"
    assert said["flagged"]
