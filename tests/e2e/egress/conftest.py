"""Peers that several tests share."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.e2e.egress.peers import ControlPlane, Origin, Running, running


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    yield plane
    plane.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return ca, path


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.stop()


@pytest.fixture
def secure(authority: tuple[trustme.CA, Path]) -> Iterator[Origin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority[0].issue_cert("api.internal", "other.internal", "attacker.example").configure_cert(context)
    origin = Origin(context)
    yield origin
    origin.stop()


@pytest.fixture
def proxy(tmp_path: Path, plane: ControlPlane, origin: Origin, secure: Origin) -> Iterator[Running]:
    """The proxy as most tests use it: a name for each origin."""
    hosts = {"api.internal:443": f"127.0.0.1:{secure.port}", "web.internal": f"127.0.0.1:{origin.port}"}
    with running(tmp_path / "proxy", plane, hosts=hosts) as proxy:
        yield proxy
