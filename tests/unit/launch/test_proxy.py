"""Where the egress proxy is, as it is told on the command line."""

from __future__ import annotations

import pytest
import trustme

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.launch.proxy import ProxyAt, trusting


def test_a_place_without_credentials():
    found = ProxyAt.of("http://127.0.0.1:8080/")
    assert (found.place, found.url(), found.header) == (("127.0.0.1", 8080), "http://127.0.0.1:8080", "")


def test_credentials_go_on_to_clients_and_into_the_head_and_are_not_shown():
    found = ProxyAt.of("http://support:a%40b@[::1]:8080")
    assert found.place == ("::1", 8080)
    assert found.url() == "http://support:a%40b@[::1]:8080"
    assert found.url(("127.0.0.1", 3128)) == "http://support:a%40b@127.0.0.1:3128"
    assert found.header == "Proxy-Authorization: Basic c3VwcG9ydDphQGI=\r\n"
    assert "support" not in repr(found)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "http://127.0.0.1", "https://a:1", "http://a:b:c", "http://a:99999", "http://a:1/x"]
)
def test_what_is_no_place_is_refused(url: str):
    with pytest.raises(Misconfigured, match="--proxy must be"):
        ProxyAt.of(url)


def test_an_authority_is_trusted_besides_what_was_trusted_before_and_never_alone(tmp_path):
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    for path in (ours, theirs):
        trustme.CA().cert_pem.write_to_path(str(path))
    variables = trusting(ours, tmp_path, {"SSL_CERT_FILE": str(theirs)})
    [bundle] = set(variables.values())
    assert {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO"} <= variables.keys()
    with open(bundle) as file:
        assert file.read().count("BEGIN CERTIFICATE") == 2
    nothing = {"SSL_CERT_FILE": str(tmp_path / "none"), "SSL_CERT_DIR": str(tmp_path / "none")}
    with pytest.raises(Misconfigured, match="no store of trusted certificates"):
        trusting(ours, tmp_path, nothing)
