"""Official peers, or the reason why they cannot be had."""

from __future__ import annotations

import pytest

from tests.e2e.mcp import official


@pytest.fixture(scope="session")
def place():
    """The interpreter of an SDK, or the folder of the npm project."""

    def find(name):
        try:
            ways = {"node": official.node, "newer-node": official.newer_node}
            return ways[name]() if name in ways else official.python(name)
        except official.Absent as err:
            pytest.skip(str(err))

    return find
