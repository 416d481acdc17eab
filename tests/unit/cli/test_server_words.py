"""``kaizen server`` with a port or a certificate that cannot be used: one line, and it does not serve."""

from __future__ import annotations

import pytest

from tests.unit.cli.test_words import kaizen


@pytest.mark.parametrize("port", ["65536", "99999", "-1"])
def test_a_port_that_there_is_not_is_named(port, tmp_path):
    said = kaizen("server", "--port", port, "--data", str(tmp_path / "d"))
    assert said.returncode == 1
    assert said.stderr == f"kaizen server: cannot listen on port {port}: --port must be from 0 to 65535\n"


def test_a_certificate_that_is_none_is_named(tmp_path):
    files = [tmp_path / "cert.pem", tmp_path / "key.pem"]
    for path in files:
        path.write_bytes(b"\x00\xffnot a certificate")
    cert, key = map(str, files)
    said = kaizen("server", "--tls-cert", cert, "--tls-key", key, "--port", "0", "--data", str(tmp_path / "d"))
    assert said.returncode == 1
    assert said.stderr == (
        f"kaizen server: --tls-cert {cert} with --tls-key {key} cannot be used: not PEM, or not each other's\n"
    )
