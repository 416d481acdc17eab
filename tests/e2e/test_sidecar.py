"""The sidecar as a process: sockets, keys, several agents, restarts, a control plane that goes and comes."""

from __future__ import annotations

import concurrent.futures
import grp
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from kaizen_security.client.arguments import MAX_TOTAL, plain
from kaizen_security.contract.bundle import key_hash, signing_key, unseal
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.sidecar.connections import LOOPBACK_CONNECTIONS
from tests.e2e.connected import is_open
from tests.e2e.launch.agents import SYSTEM_PYTHON
from tests.e2e.sidecar_process import Process, sidecars, until
from tests.e2e.sidecar_upstream import AGENT, BOUND, FOREIGN, OWN, Upstream

BLOCKLIST = Policy("blocklist", {"domains": ["attacker.example"], "ips": ["203.0.113.0/24"]}, "list")


@pytest.fixture
def upstream():
    one = Upstream().start()
    yield one
    one.stop()


@pytest.fixture
def started(tmp_path):
    """Makes sidecars; whatever is left of them is killed at the end."""
    with sidecars() as start:
        yield lambda name="data", **settings: start(tmp_path / name, **settings)


@pytest.fixture
def sidecar(started, upstream):
    return started(api_url=upstream.url, api_key=OWN)


SAY = """
import json, socket, sys
said = json.dumps({"agent": "desk", "action": {"kind": "connect", "target": "api.example:443", "id": sys.argv[2],
    "metadata": {"source": "egress"}}}).encode()
line = socket.socket(socket.AF_UNIX)
line.connect(sys.argv[1])
head = "POST /v1/verdicts HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(said)}", "", ""
line.sendall("\\r\\n".join(head).encode() + said)
print(line.makefile("rb").read().split()[1].decode())
"""


def says(place, id_, **user):
    """A process of that user reports over the socket that the network saw something: the status of the answer."""
    words = [SYSTEM_PYTHON, "-c", SAY, str(place), id_]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd="/", check=False, **user)
    return done.stdout.strip() or done.stderr


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
def test_what_another_users_process_says_on_an_opened_socket_is_its_own_word(started, upstream):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        place = Path(folder) / "socket" / "s.sock"
        name = grp.getgrgid(65534).gr_name
        one = started(api_url=upstream.url, api_key=OWN, more=("--socket", str(place), "--socket-group", name))
        assert (stat.S_IMODE(place.stat().st_mode), place.stat().st_gid) == (0o660, 65534)
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o750
        assert says(place, "root") == "201"
        assert says(place, "member", user=65534, group=65534, extra_groups=[]) == "201"
        assert "PermissionError" in says(place, "outsider", user=65533, group=65533, extra_groups=[])
        found = until(lambda: len(upstream.reports) >= 2 and upstream.reports, "both arrived")
        sources = {report.action.id: report.action.source for report in found}
        assert sources == {"root": "egress", "member": "egress-told"}
        one.socket = place
        assert one.inspect(agent="desk", tool="search")["decision"] == "allow"


@pytest.mark.parametrize(
    ("place", "group", "said"),
    [("data/s.sock", "root", "must not be in the data directory"), ("s.sock", "no-such-group", "there is no group")],
)
def test_a_socket_that_cannot_be_opened_to_a_group_is_said(tmp_path, place, group, said):
    one = Process(tmp_path / "data", more=("--socket", str(tmp_path / place), "--socket-group", group))
    status, words = one.start(expect=False).ended()
    assert status != 0
    assert said in words
    assert "Traceback" not in words


def test_the_socket_is_for_its_owner_only_and_goes_away_at_the_end(started):
    one = started()
    mode = one.socket.stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert stat.S_IMODE(one.data.stat().st_mode) == 0o700
    status, said = one.stop()
    assert (status, said) == (0, "")
    assert not one.socket.exists()


def test_ctrl_c_ends_it_as_cleanly(started):
    assert started().stop(signal.SIGINT)[0] == 0


def test_whoever_polls_long_is_let_go_at_its_end_and_the_log_says_nothing(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,))
    sidecar.inspect("a", tool="t")
    assert sidecar.ask("GET", "/v1/bundle?agent=a")[0] == 200
    tag, version = sidecar.answered["etag"], sidecar.ask("GET", "/v1/readings?agent=a")[1]["version"]
    polls = [
        f"GET /v1/bundle?agent=a&wait=30 HTTP/1.1\r\nHost: a\r\nIf-None-Match: {tag}\r\n\r\n",
        f"GET /v1/readings?agent=a&version={version}&wait=30 HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    waiting = [socket.socket(socket.AF_UNIX) for _ in polls]
    for wire, poll in zip(waiting, polls, strict=True):
        wire.connect(str(sidecar.socket))
        wire.sendall(poll.encode())
    sidecar.health()  # heard after them
    status, said = sidecar.stop()
    answers = [wire.recv(100)[:12] for wire in waiting]
    for wire in waiting:
        wire.close()
    assert (status, said, answers) == (0, "", [b"HTTP/1.1 304"] * 2)


def test_a_second_sidecar_on_the_same_socket_says_so_and_a_dead_one_s_socket_is_taken_over(started, tmp_path):
    one = started()
    second = Process(tmp_path / "other")
    second.socket = one.socket
    second.start(expect=False)
    status, said = second.ended()
    assert status == 1
    assert "another sidecar listens on it" in said
    one.process.kill()
    one.process.wait()
    assert one.socket.exists()
    third = started("third")
    third.stop()
    third.socket = one.socket
    third.start()
    assert third.health()["status"] == "ok"


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one = Process(tmp_path, more=("--port", str(port))).start(expect=False)
        status, said = one.ended()
    assert status == 1
    assert f"port {port} on 127.0.0.1 is taken" in said


def test_an_address_that_is_not_loopback_is_refused(tmp_path):
    status, said = Process(tmp_path, more=("--host", "0.0.0.0")).start(expect=False).ended()
    assert status == 1
    assert "loopback only" in said


def test_policy_and_declaration_come_from_the_control_plane_before_the_first_action(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,), declaration=Declaration(tools=("search",)))
    assert sidecar.inspect(tool="search")["reason"] == "no policy matched"
    assert sidecar.inspect(tool="upload")["reason"].startswith("undeclared: ")
    blocked = sidecar.inspect(kind="connect", target="attacker.example:443")
    assert (blocked["decision"], blocked["reason"]) == ("block", "blocked by policy: malicious domain")
    assert blocked["policy_version"]


def test_a_change_of_policy_arrives_by_itself(upstream, sidecar):
    assert sidecar.inspect(kind="connect", target="attacker.example:443")["decision"] == "allow"
    upstream.set("a", policies=(BLOCKLIST,))
    until(
        lambda: sidecar.inspect(kind="connect", target="attacker.example:443")["decision"] == "block",
        "the new policy holds",
    )


def test_a_policy_that_cannot_be_used_leaves_the_last_good_one_in_force(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,))
    assert sidecar.inspect(kind="connect", target="attacker.example:443")["decision"] == "block"
    upstream.set("a", policies=(Policy("nonsense", {}),))
    until(lambda: sidecar.health()["bundles_refused"], "the bundle is refused")
    assert sidecar.inspect(kind="connect", target="attacker.example:443")["decision"] == "block"


def test_several_agents_are_kept_apart(upstream, sidecar):
    upstream.set("b", declaration=Declaration(tools=("only",)))
    upstream.set("c", declaration=Declaration(tools=("only",)), mode=Mode.ENFORCE)
    assert not sidecar.inspect("a", tool="x")["flagged"]
    flagged, blocked = sidecar.inspect("b", tool="x"), sidecar.inspect("c", tool="x")
    assert (flagged["decision"], flagged["flagged"]) == ("allow", True)
    assert blocked["decision"] == "block"
    assert sidecar.health()["agents"] == 3


def test_an_agent_that_is_new_does_not_wait_behind_the_long_polls_of_others(upstream, sidecar):
    upstream.set("new", policies=(BLOCKLIST,))
    for n in range(4):
        sidecar.inspect(f"a{n}", tool="x")
    until(lambda: upstream.polling == 4, "four long polls")
    assert sidecar.inspect("new", kind="connect", target="attacker.example:443")["decision"] == "block"


def test_a_batch_of_actions_gets_a_verdict_each(sidecar):
    actions = [{"tool": "a", "id": "one"}, {"tool": "b", "id": "two"}]
    status, document = sidecar.ask("POST", "/v1/inspect", {"agent": "a", "actions": actions})
    assert status == 200
    assert [one["action_id"] for one in document["verdicts"]] == ["one", "two"]


def test_what_it_sees_arrives_upstream_without_the_text_of_a_run(upstream, sidecar):
    secret = "canary-7f3a-secret"
    sidecar.inspect(
        tool="send",
        target=f"https://user:{secret}@api.example/x?key={secret}",
        metadata={"arguments": {"body": secret}},
    )
    until(lambda: upstream.reports, "the verdict arrives")
    report = upstream.reports[0]
    assert (report.action.agent, report.action.tool) == ("a", "send")
    assert report.action.id == report.verdict.action_id
    assert secret.encode() not in b"".join(upstream.raw)


def test_reports_after_the_fact_are_judged_and_answered(upstream, sidecar):
    upstream.set("a", declaration=Declaration(tools=("search",)))
    report = {"agent": "a", "action": {"tool": "upload", "id": "r1"}, "verdict": {"decision": "allow", "reason": "ok"}}
    status, verdict = sidecar.ask("POST", "/v1/verdicts", report)
    assert (status, verdict["flagged"], verdict["action_id"]) == (201, True, "r1")


def test_the_longest_reason_of_a_client_that_blocked_still_fits_in_the_report(upstream, sidecar):
    claim = {"decision": "block", "reason": "r" * 4096, "evidence": []}
    status, _ = sidecar.ask(
        "POST", "/v1/verdicts", {"agent": "a", "action": {"tool": "t", "id": "c1"}, "verdict": claim}
    )
    assert status == 201
    until(lambda: upstream.reports, "the report arrives")
    assert [len(note) for note in upstream.reports[0].verdict.notes if note.startswith("the client says")] == [4096]


def test_a_bad_entry_of_a_batch_loses_none_of_the_others(upstream, sidecar):
    good = [{"agent": "a", "action": {"tool": "t", "id": f"g{n}"}} for n in range(3)]
    reports = [good[0], {"agent": "a", "action": {"tool": 7}}, good[1], "nonsense", good[2], good[2]]
    status, document = sidecar.ask("POST", "/v1/verdicts:batch", {"reports": reports})
    assert status == 200
    assert (document["accepted"], document["duplicates"]) == (3, 1)
    assert [(one["index"], one["field"]) for one in document["rejected"]] == [
        (1, "reports[1].action.tool"),
        (3, "reports[3]"),
    ]
    until(lambda: {one.action.id for one in upstream.reports} == {"g0", "g1", "g2"}, "all good ones arrive")


def test_steps_are_noted_and_an_action_among_them_is_judged(upstream, sidecar):
    steps = [
        {"step": "request", "run_id": "r", "text": "find it"},
        {"step": "action", "run_id": "r", "id": "s1", "tool": "search"},
        {"step": "result", "run_id": "r", "action_id": "s1", "content": {"found": 1}},
        {"step": "end", "run_id": "r"},
    ]
    assert sidecar.ask("POST", "/v1/steps", {"agent": "a", "steps": steps}) == (200, {"noted": 4})
    until(lambda: [one.action.id for one in upstream.reports] == ["s1"], "the action's verdict arrives")


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/inspect", b"{", 422, None),
        ("/v1/inspect", b"[]", 422, "body"),
        ("/v1/inspect", b'{"agent": 7}', 422, "agent"),
        ("/v1/inspect", b'{"agent": "  ", "action": {"tool": "x"}}', 422, "agent"),
        ("/v1/inspect", b'{"action": {"agent": "\\t", "tool": "x"}}', 422, "agent"),
        ("/v1/inspect", b'{"action": {"target": 7}}', 422, "action.target"),
        ("/v1/inspect", b'{"actions": [{}, {"kind": []}]}', 422, "actions[1].kind"),
        ("/v1/inspect", b'{"action": {"tool": "\\ud800"}}', 422, "action.tool"),
        ("/v1/inspect", b'{"action": {"metadata": {"a": "\\u0000"}}}', 422, "action.metadata.a"),
        ("/v1/inspect", json.dumps({"action": {"tool": "x" * 300}}).encode(), 413, "action.tool"),
        ("/v1/inspect", b'{"action": {"tool": "' + b"x" * (10 << 20) + b'"}}', 413, "body"),
        ("/v1/inspect", b'{"action": ' + b'{"metadata":' * 3000 + b"}" * 3001, 422, None),
        ("/v1/steps", b'{"steps": [{"step": "dance"}]}', 422, "steps[0].step"),
        ("/v1/verdicts", b'{"action": {}, "verdict": {"decision": "perhaps"}}', 422, "verdict.decision"),
        ("/v1/agents/a/manifest", b'{"tools": "all"}', 422, "manifest.tools"),
        ("/v1/agents/a/manifest", b'{"destinations": ["*"]}', 422, None),
        ("/v1/nothing", b"{}", 404, None),
    ],
)
def test_bad_input_is_an_error_that_names_the_field(sidecar, path, body, status, field):
    got, document = sidecar.ask("POST", path, body)
    assert got == status
    assert document["error"]["code"]
    assert document["error"].get("field") == field
    assert sidecar.health()["status"] == "ok"


@pytest.mark.parametrize("sign", ["\x01", "\U0001f600"], ids=["six bytes of JSON", "four bytes"])
def test_the_longest_arguments_that_a_client_sends_are_judged_whatever_their_signs_take(sidecar, sign):
    arguments = plain({"text": sign * 300_000})
    assert len(arguments["text"]) > 0.99 * MAX_TOTAL
    asked = {"agent": "a", "action": {"tool": "search", "metadata": {"arguments": arguments}}}
    status, verdict = sidecar.ask("POST", "/v1/inspect", json.dumps(asked, ensure_ascii=False).encode())
    assert (status, verdict["decision"]) == (200, "allow")


def test_silent_connections_to_the_loopback_port_do_not_take_the_agent_s_way_in(sidecar):
    host, _, port = sidecar.loopback.removeprefix("http://").rpartition(":")
    silent = [socket.create_connection((host, int(port)), timeout=60) for _ in range(LOOPBACK_CONNECTIONS + 1)]
    try:
        assert silent[0].recv(1) == b""
        assert sidecar.inspect(tool="search")["decision"] == "allow"
        assert sidecar.ask("GET", "/healthz", loopback=True)[0] == 200
        assert is_open(silent[-1])
        assert sidecar.ask("GET", "/healthz")[1]["turned_away"]["silent_longest"] >= 1
    finally:
        for one in silent:
            one.close()


def test_on_loopback_only_a_key_of_the_organisation_opens(sidecar):
    ask = {"agent": "a", "action": {"tool": "t"}}
    for key, expected in [
        ("", 401),
        ("kz_live_" + "x" * 43, 401),
        ("rubbish", 401),
        (FOREIGN, 401),
        (AGENT, 200),
        (OWN, 200),
    ]:
        status, document = sidecar.ask("POST", "/v1/inspect", ask, key=key, loopback=True)
        assert status == expected, (key, document)


def test_a_bound_key_speaks_for_its_own_agent_only(sidecar):
    def asked(agent):
        return sidecar.ask("POST", "/v1/inspect", {"agent": agent, "action": {"tool": "t"}}, key=BOUND, loopback=True)[
            0
        ]

    assert (asked("bound"), asked(""), asked("a")) == (200, 200, 403)
    report = {"reports": [{"agent": "a", "action": {"tool": "t"}}, {"agent": "bound", "action": {"tool": "t"}}]}
    _, document = sidecar.ask("POST", "/v1/verdicts:batch", report, key=BOUND, loopback=True)
    assert (document["accepted"], document["rejected"][0]["index"]) == (1, 0)
    assert sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["x"]}, key=BOUND, loopback=True)[0] == 403
    sneaky = {"agent": "bound", "action": {"tool": "t", "agent": "a"}}
    sidecar.ask("POST", "/v1/inspect", sneaky, key=BOUND, loopback=True)
    assert sidecar.health()["agents"] == 1


def test_a_known_key_works_while_the_control_plane_is_down_also_after_a_restart(upstream, sidecar):
    ask = {"agent": "a", "action": {"tool": "t"}}
    assert sidecar.ask("POST", "/v1/inspect", ask, key=AGENT, loopback=True)[0] == 200
    upstream.stop()
    assert sidecar.stop()[0] == 0
    sidecar.start()
    assert sidecar.ask("POST", "/v1/inspect", ask, key=AGENT, loopback=True)[0] == 200
    assert sidecar.ask("POST", "/v1/inspect", ask, key="kz_live_" + "n" * 43, loopback=True)[0] == 503
    kept = (sidecar.data / "identities.json").read_text()
    assert AGENT not in kept


def test_clients_get_policy_and_sealed_bundle_from_it(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,))
    sidecar.inspect("a", tool="t")
    _, document = sidecar.ask("GET", "/v1/policy?agent=a")
    assert document["policies"][0]["rules"]["ip"] == ["203.0.113.0/24"]
    for key, signed_for in [("", ""), (AGENT, AGENT)]:
        status, sealed = sidecar.ask("GET", "/v1/bundle?agent=a", key=key)
        bundle = unseal(json.dumps(sealed).encode(), signing_key(key_hash(signed_for)), agent="a", now=0)
        assert (status, bundle.policies[0].name) == (200, "list")
    tag = sidecar.answered["etag"]
    status, _ = sidecar.ask("GET", "/v1/bundle?agent=a&wait=0", key=AGENT, headers={"If-None-Match": tag})
    assert status == 304


def test_a_manifest_is_in_force_at_once_and_reaches_the_control_plane(upstream, sidecar):
    sidecar.inspect("a b/c", tool="t")
    status, _ = sidecar.ask("POST", "/v1/agents/a%20b/c/manifest", {"tools": ["search"]})
    assert status == 200
    assert sidecar.inspect("a b/c", tool="upload")["flagged"]
    assert upstream.bundles["a b/c"].declaration.tools == ("search",)


def test_a_manifest_waits_on_disk_for_a_control_plane_that_is_down(upstream, sidecar):
    upstream.stop()
    status, _ = sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})
    assert status == 202
    assert sidecar.stop()[0] == 0
    sidecar.start()
    upstream.start()
    sidecar.inspect("a", tool="t")
    until(lambda: "a" in upstream.bundles, "the declaration is handed on")


def test_a_restart_keeps_the_baseline_the_bundle_and_the_reports(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,))
    sidecar.inspect("a", tool="t")
    upstream.stop()
    reports = [{"agent": "a", "action": {"tool": "search", "id": f"i{n}"}} for n in range(120)]
    assert sidecar.ask("POST", "/v1/verdicts:batch", {"reports": reports})[1]["accepted"] == 120
    assert sidecar.stop()[0] == 0
    sidecar.start()
    novel = sidecar.inspect("a", tool="upload")
    assert novel["reason"] == "behavioral anomaly: this agent did a tool it has never used (upload)."
    assert sidecar.inspect("a", kind="connect", target="attacker.example:443")["decision"] == "block"
    upstream.start()
    until(lambda: len({one.action.id for one in upstream.reports}) == 123, "every report arrives")


def test_kill_9_loses_no_report_and_at_most_the_latest_learning(upstream, sidecar):
    sidecar.inspect("a", tool="t")
    upstream.stop()
    for n in range(200):
        sidecar.inspect("a", tool="search", id=f"k{n}")
    sidecar.process.send_signal(signal.SIGKILL)
    sidecar.process.communicate()
    sidecar.start()
    upstream.start()
    until(
        lambda: {f"k{n}" for n in range(200)} <= {one.action.id for one in upstream.reports}, "every report arrives", 30
    )


def test_a_control_plane_that_is_down_for_long_costs_bounded_space_and_the_losses_are_counted(tmp_path, started):
    one = started(api_key=OWN, more=("--spool-mb", "1"))
    payload = [{"tool": f"tool-{n:04}", "target": f"https://host-{n}.example/{'x' * 200}"} for n in range(500)]
    for _ in range(8):
        assert one.ask("POST", "/v1/inspect", {"agent": "a", "actions": payload})[0] == 200
    health = one.health()
    assert health["control_plane"] == "unreachable"
    assert health["losses"]["spool_refused"] == sum(health["lost"].values()) > 0
    on_disk = sum(os.path.getsize(path) for path in (tmp_path / "data" / "spool").iterdir())
    assert on_disk <= 1 << 20
    status, document = one.ask("POST", "/v1/verdicts", {"agent": "a", "action": {"tool": "t"}})
    assert (status, document["error"]["code"]) == (507, "spool_full")


def test_a_report_that_the_control_plane_does_not_want_holds_up_no_other(upstream, sidecar):
    upstream.reject = lambda report: report.action.tool == "unwanted"
    actions = [{"tool": "fine"}, {"tool": "unwanted"}, {"tool": "fine"}]
    sidecar.ask("POST", "/v1/inspect", {"agent": "a", "actions": actions})
    until(lambda: len(upstream.reports) == 2, "the others arrive")
    assert until(lambda: sidecar.health()["rejected"], "it is counted") == {"action.tool: is not wanted": 1}


def test_a_key_that_the_control_plane_does_not_take_is_said_by_readyz(upstream, started):
    one = started(api_url=upstream.url, api_key="kz_live_" + "w" * 43)
    one.inspect("a", tool="t")
    until(lambda: one.ask("GET", "/readyz")[0] == 503, "not ready")


def test_before_the_first_bundle_the_configured_mode_holds(started):
    observing = started("observe", api_key=OWN).inspect("a", tool="t")
    assert observing["decision"] == "allow"
    assert any("no policy received yet" in note for note in observing["notes"])
    enforcing = started("enforce", api_key=OWN, more=("--before-bundle", "enforce")).inspect("a", tool="t")
    assert (enforcing["decision"], enforcing["reason"]) == ("block", "engine error, failed closed")


def test_a_control_plane_that_hangs_costs_an_agent_its_first_wait_and_no_more(started):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        one = started(api_url=f"http://127.0.0.1:{deaf.getsockname()[1]}", api_key=OWN)
        one.inspect("a", tool="first")
        began = time.monotonic()
        for n in range(100):
            assert one.inspect("a", tool=f"t{n}")["decision"] == "allow"
        assert time.monotonic() - began < 80, "a wait of FIRST_BUNDLE for each would have taken 100"
        one.process.kill()


def test_a_rolled_back_bundle_is_refused(upstream, sidecar):
    upstream.set("a", policies=(BLOCKLIST,))
    upstream.set("a")
    assert sidecar.inspect("a", kind="connect", target="attacker.example:443")["decision"] == "block"
    with upstream.changed:
        del upstream.bundles["a"]
        upstream.changed.notify_all()
    until(lambda: sidecar.health()["bundles_refused"], "the rollback is refused")
    assert sidecar.inspect("a", kind="connect", target="attacker.example:443")["decision"] == "block"


def test_broken_files_are_set_aside_and_counted(upstream, sidecar):
    sidecar.inspect("a", tool="t")
    sidecar.stop()
    upstream.stop()
    for path in (sidecar.data / "agents").rglob("*.json"):
        path.write_text("{broken")
    (sidecar.data / "identities.json").write_text("[]")
    sidecar.start()
    assert sidecar.inspect("a", tool="t")["decision"] == "allow"
    assert sidecar.health()["broken_files"] == 2


HOSTILE = {
    "too many values": (413, ',"metadata":{"x":[' + "[]," * 300_000 + "0]}"),
    "too deep": (422, ',"metadata":{"x":' + "[" * 600 + "]" * 600 + "}"),
    "too many in one action": (422, ',"metadata":{"x":[' + "0," * 30_000 + "0]}"),
    "many": (200, ',"metadata":{"x":[' + "0," * 19_000 + "0]}"),
    "long": (200, ',"metadata":{"x":"' + "curl http://a.example, " * 40_000 + '"}'),
}


def test_a_heavy_body_is_bounded_and_holds_up_nobody_else(upstream, sidecar):
    def wait(work):
        """The longest that somebody else waits meanwhile, in seconds."""
        longest, first = 0.0, True
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(work)
            while first or not done.done():
                began = time.monotonic()
                sidecar.inspect("bystander", tool="search")
                longest, first = max(longest, time.monotonic() - began), False
        return longest, done.result()

    for name, (expected, metadata) in HOSTILE.items():
        body = ('{"agent":"hostile","action":{"tool":"t"' + metadata + "}}").encode()
        longest, statuses = wait(
            lambda body=body: {sidecar.connection().request("POST", "/v1/inspect", body, {}, 20.0)[0] for _ in range(3)}
        )
        assert statuses == {expected}, name
        # It held everybody for 0.7 to 3 seconds when it was decoded where the others wait.
        assert longest < 0.5, (name, longest)
    assert sidecar.ask("POST", "/v1/verdicts:batch", b"{" + b" " * (1 << 20) + b'"reports":[]}')[0] == 200
    assert sidecar.ask("POST", "/v1/inspect", b"{" + b" " * (2 << 20) + b"}")[0] == 413
    for path in ("/v1/verdicts", "/v1/agents/a/manifest"):
        assert sidecar.ask("POST", path, b"{" + b" " * (1 << 20) + b"}")[0] == 413
