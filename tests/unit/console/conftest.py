"""A site for all tests of a file: what each of them keeps has its own agent."""

from __future__ import annotations

import pytest

from tests.unit.console.site import running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("console")) as started:
        yield started
