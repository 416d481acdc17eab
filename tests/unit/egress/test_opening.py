"""The table ``inspect`` of the settings: what cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress.config import from_values
from kaizen_security.egress.opening import Inspect
from kaizen_security.egress.proxy import Proxy


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ([], "inspect"),
        ({"colour": "red"}, "inspect.colour"),
        ({"hosts": "api.example"}, "inspect.hosts"),
        ({"bypass": ["*.*.example"]}, "inspect.bypass"),
        ({"pinned": "perhaps"}, "inspect.pinned"),
        ({"unreadable": True}, "inspect.unreadable"),
        ({"bytes": -1}, "inspect.bytes"),
        ({"bytes": True}, "inspect.bytes"),
        ({"ca_cert": 7}, "inspect.ca_cert"),
    ],
)
def test_what_cannot_be_used_is_named(table: object, named: str):
    with pytest.raises(Misconfigured, match=named):
        from_values({"inspect": table})  # type: ignore[dict-item]


def test_what_is_not_said_has_a_default():
    config = from_values({"inspect": {"ca_cert": "a.pem", "extra_ca": ["b.pem"]}})
    assert config.inspect == Inspect(ca_cert=Path("a.pem"), extra_ca=(Path("b.pem"),))
    assert from_values({}).inspect is None


def test_a_proxy_that_cannot_open_does_not_begin(tmp_path: Path):
    with pytest.raises(Misconfigured, match="pip install"):
        Proxy(from_values({"inspect": {}, "data": str(tmp_path)}))
