"""The golden requests are what the published client really sends; ``tests/conformance`` replays them against our server."""

from __future__ import annotations

import json

import pytest

from tests.e2e.deployed.recording import ORIGINS, VECTORS, record


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_published_package_sends_what_the_vectors_say(place, origin):
    golden = [request for request in json.loads(VECTORS.read_text())["requests"] if request["origin"] == origin]
    assert record(place, origin) == golden
