"""Deployment templates of the sandbox: their defaults are the safe ones. `make deploy-check` has their own linters look as well."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from kaizen_security.contract.fields import parse
from kaizen_security.observer.gap.expectation import read_expectation
from tests.architecture.tree import ROOT

DEPLOY = ROOT / "deploy"


class Cloud(yaml.SafeLoader):
    """CloudFormation's short forms as they are."""


Cloud.add_multi_constructor(
    "!",
    lambda loader, suffix, node: (
        {suffix: loader.construct_scalar(node)} if isinstance(node, yaml.ScalarNode) else suffix
    ),
)


def cloud():
    return yaml.load((DEPLOY / "aws/cloudformation.yaml").read_text(), Cloud)


def test_no_template_takes_an_image_that_may_change_under_its_name():
    pattern = cloud()["Parameters"]["Image"]["AllowedPattern"]
    assert not re.search(pattern, "registry.example/kaizen:latest")
    assert re.search(pattern, "registry.example/kaizen@sha256:" + "0" * 64)
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert ":latest" not in path.read_text(), path


def test_aws_reaches_one_model_two_secrets_and_takes_in_the_agent_only():
    resources = cloud()["Resources"]
    (statement,) = resources["TaskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("bedrock:InvokeModel", {"Ref": "ModelArn"})
    for rule in resources["SecurityGroup"]["Properties"]["SecurityGroupIngress"]:
        assert rule["SourceSecurityGroupId"] == {"Ref": "AgentSecurityGroupId"}
        assert "CidrIp" not in rule
    network = resources["Service"]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"
    (container,) = resources["Task"]["Properties"]["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["User"] != "0"
    assert {one["Name"] for one in container["Secrets"]} == {"KZ_TOKEN", "KAIZEN_API_KEY"}
    starred = [
        statement["Sid"]
        for statement in resources["ExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
        if statement["Resource"] == "*"
    ]
    assert starred == ["SignIn"]


def test_both_templates_for_aws_say_the_same_to_the_container():
    (container,) = cloud()["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
    terraform = (DEPLOY / "aws/terraform/main.tf").read_text()
    for one in (*container["Environment"], *container["Secrets"]):
        assert f'name = "{one["Name"]}"' in terraform
    assert "assign_public_ip = false" in terraform
    assert re.search(r"resources = \[var\.model_arn\]", terraform)
    assert "readonlyRootFilesystem = true" in terraform


def pods():
    for document in yaml.safe_load_all((DEPLOY / "k8s/sandbox/sandbox.yaml").read_text()):
        if document["kind"] == "Deployment":
            yield document["spec"]["template"]["spec"]


def test_kubernetes_runs_nothing_as_root_but_the_one_that_sets_the_rules():
    (pod,) = pods()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod["containers"], *pod["initContainers"]):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert "@sha256:" in container["image"]
    users = {container["name"]: container["securityContext"]["runAsUser"] for container in pod["containers"]}
    assert users["sandbox"] != users["agent"]


def test_the_declarations_of_the_templates_are_ones_that_the_sandbox_takes():
    read_expectation(parse((DEPLOY / "compose/declaration.json").read_bytes()))
    for document in yaml.safe_load_all((DEPLOY / "k8s/sandbox/sandbox.yaml").read_text()):
        if document["kind"] == "ConfigMap":
            read_expectation(json.loads(document["data"]["declaration.json"]))


def test_compose_leaves_the_agent_no_way_out_but_the_sandbox():
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())
    services = compose["services"]
    assert services["agent"]["networks"] == ["inside"]
    assert compose["networks"]["inside"] == {"internal": True}
    assert "ports" not in json.dumps(services)
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["user"].split(":")[0] != "0"


def test_every_variable_of_the_templates_is_one_that_the_sandbox_reads():
    known = (ROOT / "docs/reference/environment.md").read_text()
    named = set()
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            named |= set(re.findall(r"\b(?:KZ|KAIZEN)_[A-Z_]+\b", path.read_text()))
    assert {name for name in named if f"`{name}`" not in known} == {"KAIZEN_IMAGE"}


def test_bicep_is_balanced_and_opens_nothing():
    text = re.sub(r"//[^\n]*", "", (DEPLOY / "azure/main.bicep").read_text())
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "''", text)
    assert [bare.count(one) for one in "{[("] == [bare.count(one) for one in "}])"]
    assert "ingress" not in bare
    assert "internal: true" in bare


SCRIPT = """
import encodings.idna, os, socket, sys
server = socket.create_server(("10.99.0.1", 443)); local = socket.create_server(("127.0.0.1", 8080))
def tried(user, place):
    pid = os.fork()
    if pid == 0:
        os.setuid(user)
        try:
            socket.create_connection(place, 2).close()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(tried(10002, ("10.99.0.2", 443)), tried(10001, ("10.99.0.2", 443)), tried(10002, ("127.0.0.1", 8080)))
"""


@pytest.mark.root
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft"))), reason="needs root, iproute2 and nftables"
)
def test_the_pods_rules_leave_the_agents_user_the_sandbox_and_nothing_else():
    (pod,) = pods()
    rules = pod["initContainers"][0]["command"][1]
    name, other = f"kz{os.getpid()}a", f"kz{os.getpid()}b"
    server = (
        "import socket; s = socket.create_server(('10.99.0.2', 443)); print('up', flush=True); s.accept(); s.accept()"
    )
    try:
        for words in (
            f"ip netns add {name}",
            f"ip netns add {other}",
            f"ip link add veth0 netns {name} type veth peer name veth0 netns {other}",
            f"ip -n {name} addr add 10.99.0.1/24 dev veth0",
            f"ip -n {other} addr add 10.99.0.2/24 dev veth0",
            f"ip -n {name} link set veth0 up",
            f"ip -n {other} link set veth0 up",
            f"ip -n {name} link set lo up",
        ):
            subprocess.run(words.split(), check=True, timeout=10)
        subprocess.run(["ip", "netns", "exec", name, "nft", rules], check=True, timeout=10)
        with subprocess.Popen(
            ["ip", "netns", "exec", other, sys.executable, "-c", server], stdout=subprocess.PIPE
        ) as far:
            assert far.stdout is not None
            assert far.stdout.readline() == b"up\n"
            words = ["ip", "netns", "exec", name, sys.executable, "-c", SCRIPT]
            done = subprocess.run(words, capture_output=True, text=True, timeout=30)
            far.kill()
        assert done.stdout.split() == ["1", "0", "0"], done.stderr
    finally:
        for one in (name, other):
            subprocess.run(["ip", "netns", "del", one], timeout=10, check=False)
