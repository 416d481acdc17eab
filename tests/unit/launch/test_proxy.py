"""Where the egress proxy is, as it is told on the command line."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.launch.proxy import ProxyAt


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
