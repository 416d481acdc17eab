"""The manifests of deploy/k8s: they parse, hold to least privilege, and their parts fit together and to the proxy."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from kaizen_security.egress.config import from_values
from tests.e2e.egress.namespace import namespace, needs_namespaces

FOLDER = Path(__file__).parents[2] / "deploy/k8s"
RULES = FOLDER / "redirect/redirect.nft"


@pytest.fixture(scope="module")
def documents() -> dict[str, dict[str, object]]:
    found = {}
    for file in FOLDER.glob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text()):
            found[document["kind"]] = document
    return found


def test_the_settings_are_settings_of_the_proxy_and_fit_the_rules(documents):
    config = from_values(tomllib.loads(documents["ConfigMap"]["data"]["egress.toml"]))
    rules = RULES.read_text()
    assert re.search(r"tcp redirect to :(\d+)", rules)[1] == str(config.transparent_port)
    assert re.search(r"udp dport 53 redirect to :(\d+)", rules)[1] == str(config.dns_port)
    proxy = next(c for c in documents["Pod"]["spec"]["initContainers"] if c["name"] == "kaizen-egress")
    assert set(re.findall(r"skuid (\d+)", rules)) == {str(proxy["securityContext"]["runAsUser"])}
    mounts = {mount["mountPath"] for mount in proxy["volumeMounts"]}
    assert str(config.data).startswith("/var/lib/kaizen")
    assert {"/etc/kaizen", "/var/lib/kaizen"} == mounts


def test_every_container_has_the_least_privilege(documents):
    spec = documents["Pod"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    for container in (*spec["initContainers"], *spec["containers"]):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        extra = context["capabilities"].get("add", [])
        assert extra == (["NET_ADMIN"] if container["name"] == "redirect" else [])
        assert ":latest" not in container["image"]
        assert container["resources"]["limits"]
        assert container["name"] == "redirect" or context["runAsNonRoot"] is True
    agent = spec["containers"][0]["securityContext"]["runAsUser"]
    assert agent not in (0, 10001)


def test_the_policy_keeps_metadata_and_the_cluster_out_of_reach(documents):
    policy = documents["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == documents["Pod"]["metadata"]["labels"]
    assert policy["ingress"] == []
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert all("169.254.0.0/16" in block["except"] for block in blocks)


@pytest.mark.root
@needs_namespaces
def test_the_kernel_takes_the_rules():
    with namespace() as space:
        space.run("nft", "-f", str(RULES))
        listed = subprocess.run([*space.command, "nft", "list", "ruleset"], capture_output=True, text=True)
    assert "redirect to :15001" in listed.stdout
    assert "meta skuid 10001 return" in listed.stdout
