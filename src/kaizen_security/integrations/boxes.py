"""Kaizen's sandbox around an agent in somebody's box: Docker, OpenAI Agents' Docker sandbox client, E2B, Azure Container Apps.

A box keeps an agent in; it does not know what the agent told. Each function here says, in the words of the box's own client
library, what makes the agent go out through the sandbox: variables, and where the box can enforce it, no other way out. None of
these libraries is imported here; what is given and returned is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.sandbox import Sandbox


def docker_network(client: Any, name: str) -> Any:
    """A network without a way out, made if it is not there: the sandbox's container has to be in it too. ``client``: ``docker``'s.

    Raises HookUnavailable when a network of that name has a way out.
    """
    found = client.networks.list(names=[name])
    network = next((one for one in found if one.name == name), None) or client.networks.create(name, internal=True)
    network.reload()
    if network.attrs.get("Internal") is not True:
        raise HookUnavailable(f"the Docker network {name} leads outside: an agent in it needs no sandbox to get out")
    return network


def docker_options(link: Sandbox, network: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Keywords for ``client.containers.run`` or ``create``: the agent's variables, its only network, no privileges."""
    return {
        "environment": {**(environment or {}), **link.environment()},
        "network": network,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


class DockerInNetwork:
    """A client of ``docker`` whose new containers are in one network, for libraries that do not let it be chosen.

    ``DockerSandboxClient(DockerInNetwork(docker.from_env(), "kaizen"))`` of OpenAI Agents; everything else is the client's own.
    """

    def __init__(self, client: Any, network: str) -> None:
        self._client = client
        self.containers = _Containers(client.containers, network)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class _Containers:
    def __init__(self, containers: Any, network: str) -> None:
        self._containers = containers
        self._network = network

    def create(self, *args: Any, **options: Any) -> Any:
        """As the client's own, in our network; one that wants no network at all has none."""
        if options.get("network_mode") == "none":
            return self._containers.create(*args, **options)
        options.pop("network_mode", None)
        return self._containers.create(*args, **{**options, "network": self._network})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._containers, name)


def agents_manifest(link: Sandbox, manifest: Any) -> Any:
    """The manifest of an OpenAI Agents sandbox with the agent's variables in its environment. Raises HookUnavailable."""
    environment: Any = getattr(manifest, "environment", None)
    if environment is None or not hasattr(environment, "value") or not hasattr(manifest, "model_copy"):
        raise HookUnavailable("this manifest has no environment: openai-agents 0.24 or newer has one")
    more = environment.model_copy(update={"value": {**environment.value, **link.environment()}})
    return manifest.model_copy(update={"environment": more})


def e2b_options(link: Sandbox, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Keywords for ``e2b.Sandbox.create``: the agent's variables, and the sandbox's two addresses as all that it may reach.

    E2B's boxes are in E2B's cloud, so the sandbox must be reachable from there: over TLS, with its token.
    """
    places = sorted({urlsplit(url).hostname or "" for url in (link.egress, link.traces)} - {""})
    return {
        "envs": {**(environment or {}), **link.environment()},
        "network": {"allow_out": places, "deny_out": ["0.0.0.0/0"]},
    }


def container_app(
    link: Sandbox,
    template: Mapping[str, Json],
    *,
    image: str,
    declaration: str,
    token_secret: str,
    mode: str = "observe",
) -> dict[str, Json]:
    """A template of Azure Container Apps (``properties.template``) with the sandbox in the agent's replica.

    ``link`` has the addresses of loopback and no token: that is the app's secret ``token_secret``. Every container that was there
    goes out through the sandbox. Raises HookUnavailable for a template without containers.
    """
    before = template.get("containers")
    if not isinstance(before, list) or not before:
        raise HookUnavailable("this template has no containers that could go out through the sandbox")
    proxy = urlsplit(link.egress)
    secret: Json = {"name": "KZ_TOKEN", "secretRef": token_secret}
    told: list[Json] = [
        secret,
        {"name": "KZ_AGENT", "value": link.agent},
        {"name": "KZ_SANDBOX_URL", "value": link.traces},
        {"name": "KZ_EGRESS_URL", "value": link.egress},
    ]
    containers: list[Json] = []
    for one in before:
        if isinstance(one, dict):
            kept = [
                entry for entry in _list(one.get("env")) if not (isinstance(entry, dict) and entry.get("name") in _OURS)
            ]
            containers.append({**one, "env": [*kept, *told]})
    sandbox: dict[str, Json] = {
        "name": "kaizen-sandbox",
        "image": image,
        "args": ["sandbox"],
        "resources": {"cpu": 0.25, "memory": "0.5Gi"},
        "env": [
            secret,
            {"name": "KZ_AGENT", "value": link.agent},
            {"name": "KZ_HOST", "value": proxy.hostname or "127.0.0.1"},
            {"name": "KZ_DECLARATION", "value": declaration},
            {"name": "KZ_MODE", "value": mode},
        ],
        "volumeMounts": [{"volumeName": "kaizen-data", "mountPath": "/var/lib/kaizen"}],
    }
    volumes: list[Json] = [*_list(template.get("volumes")), {"name": "kaizen-data", "storageType": "EmptyDir"}]
    return {**template, "containers": [*containers, sandbox], "volumes": volumes}


_OURS = frozenset({"KZ_TOKEN", "KZ_AGENT", "KZ_SANDBOX_URL", "KZ_EGRESS_URL"})


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
