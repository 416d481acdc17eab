"""The boxes' own client libraries, against loopback servers that keep what they are asked: `make deploy-check` runs this."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading

import pytest

from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations import boxes
from kaizen_security.integrations.sandbox import Sandbox, attach

LINK = Sandbox(
    traces="http://sandbox:8081", egress="http://sandbox:8080", agent="support", token="t" * 24, private=True
)
ID = "f" * 64


class Engine(http.server.BaseHTTPRequestHandler):
    """As much of Docker's Engine API, and of E2B's, as creating a box takes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.endswith("/version"):
            self.answer({"ApiVersion": "1.45", "Version": "27", "MinAPIVersion": "1.24"})
        elif "/networks/" in self.path or self.path.split("?")[0].endswith("/networks"):
            network = {"Id": "n1", "Name": "kaizen", "Internal": self.server.internal}
            self.answer(network if "/networks/" in self.path else [network] if self.server.known else [])
        elif "/images/" in self.path:
            self.answer({"Id": "sha256:" + ID, "RepoTags": ["agent:1"], "Config": {}})
        elif "/containers/" in self.path:
            self.answer({"Id": ID, "Name": "/agent", "State": {"Status": "created"}, "Config": {}})
        else:
            self.answer({"message": "not here"}, 404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.path.split("?")[0], json.loads(body) if body else None))
        if self.path.split("?")[0].endswith(("/containers/create", "/networks/create")):
            self.answer({"Id": "n1" if "networks" in self.path else ID, "Warnings": []}, 201)
        elif self.path.endswith("/sandboxes"):
            said = {"sandboxID": "s1", "templateID": "base", "clientID": "c", "envdVersion": "0.4.0"}
            self.answer({**said, "envdAccessToken": "a", "trafficAccessToken": None, "domain": None}, 201)
        else:
            self.answer({"message": "no engine here"}, 500)

    do_DELETE = do_GET

    def answer(self, document, status=200):
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def engine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    server.asked, server.known, server.internal = [], True, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def created(engine):
    return next(body for path, body in engine.asked if path.endswith("/containers/create"))


def docker_client(engine):
    docker = pytest.importorskip("docker")
    return docker.DockerClient(base_url=f"tcp://127.0.0.1:{engine.server_port}", version="1.45")


def test_docker_the_agent_is_in_the_internal_network_and_goes_out_through_the_sandbox(engine):
    client = docker_client(engine)
    network = boxes.docker_network(client, "kaizen")
    client.containers.create("agent:1", **boxes.docker_options(LINK, network.name, {"OWN": "1"}))
    body = created(engine)
    assert f"HTTPS_PROXY=http://support:{'t' * 24}@sandbox:8080" in body["Env"]
    assert "OWN=1" in body["Env"]
    assert body["HostConfig"]["NetworkMode"] == "kaizen"
    assert body["HostConfig"]["CapDrop"] == ["ALL"]
    client.close()


def test_docker_a_network_that_is_not_there_is_made_internal_and_one_that_leads_outside_is_refused(engine):
    client = docker_client(engine)
    engine.known = False
    boxes.docker_network(client, "kaizen")
    assert engine.asked[0][1]["Internal"] is True
    engine.internal = False
    with pytest.raises(HookUnavailable, match="leads outside"):
        boxes.docker_network(client, "kaizen")
    client.close()


def test_openai_agents_docker_sandbox_client_makes_its_box_in_our_network_with_our_variables(engine):
    pytest.importorskip("agents")
    from agents.sandbox.manifest import Manifest
    from agents.sandbox.sandboxes.docker import DockerSandboxClient, DockerSandboxClientOptions

    client = docker_client(engine)
    box = DockerSandboxClient(boxes.DockerInNetwork(client, "kaizen"))
    manifest = boxes.agents_manifest(LINK, Manifest())
    with pytest.raises(Exception, match=r"no engine here|500"):
        asyncio.run(box.create(manifest=manifest, options=DockerSandboxClientOptions("agent:1")))
    body = created(engine)
    assert f"HTTPS_PROXY=http://support:{'t' * 24}@sandbox:8080" in body["Env"]
    assert body["HostConfig"]["NetworkMode"] == "kaizen"
    client.close()


def test_openai_agents_a_box_without_network_stays_without(engine):
    client = docker_client(engine)
    boxes.DockerInNetwork(client, "kaizen").containers.create("agent:1", network_mode="none")
    assert created(engine)["HostConfig"]["NetworkMode"] == "none"
    client.close()


def test_e2b_the_box_may_reach_the_sandbox_and_nothing_else(engine):
    e2b = pytest.importorskip("e2b")
    link = Sandbox(traces="https://s.example:8081", egress="https://s.example:8080", agent="support", token="t" * 24)
    url = f"http://127.0.0.1:{engine.server_port}"
    e2b.Sandbox.create(**boxes.e2b_options(link, {"OWN": "1"}), api_key="e2b_" + "0" * 40, api_url=url)
    body = next(body for path, body in engine.asked if path.endswith("/sandboxes"))
    assert body["envVars"]["OWN"] == "1"
    assert body["envVars"]["HTTPS_PROXY"] == f"https://support:{'t' * 24}@s.example:8080"
    assert body["network"] == {"allowOut": ["s.example"], "denyOut": ["0.0.0.0/0"]}


def test_azure_container_apps_takes_the_template_with_the_sandbox_beside_the_agent():
    models = pytest.importorskip("azure.mgmt.appcontainers.models")
    link = Sandbox(agent="support")
    before = {"containers": [{"name": "agent", "image": "agent:1", "env": [{"name": "KZ_AGENT", "value": "old"}]}]}
    after = boxes.container_app(link, before, image="kaizen@sha256:0", declaration="{}", token_secret="kaizen-token")
    app = models.ContainerApp({"location": "westeurope", "properties": {"template": after}})
    agent, sandbox = app.properties.template.containers
    assert (sandbox.name, sandbox.args) == ("kaizen-sandbox", ["sandbox"])
    assert {one.name: one.secret_ref or one.value for one in agent.env} == {
        "KZ_TOKEN": "kaizen-token",
        "KZ_AGENT": "support",
        "KZ_SANDBOX_URL": "http://127.0.0.1:8081",
        "KZ_EGRESS_URL": "http://127.0.0.1:8080",
    }
    assert before["containers"][0]["env"] == [{"name": "KZ_AGENT", "value": "old"}]
    with pytest.raises(HookUnavailable):
        boxes.container_app(link, {}, image="i", declaration="{}", token_secret="s")


def test_in_the_box_an_agent_attaches_by_what_its_environment_says():
    environ = {"KZ_SANDBOX_URL": "http://127.0.0.1:8081", "KZ_AGENT": "support", "KZ_TOKEN": "t" * 24}
    link = attach(environ)
    assert link.agent == "support"
    assert environ["HTTPS_PROXY"] == f"http://support:{'t' * 24}@127.0.0.1:8080"
