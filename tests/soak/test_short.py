"""Every soak in its short form."""

from __future__ import annotations

import pytest

from tests.soak.registry import soaks

KNOWN = soaks()


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_it_holds(name, tmp_path):
    module = KNOWN[name]
    assert module.SHORT < module.FULL
    assert module.soak(module.SHORT, tmp_path)


def test_there_are_some():
    assert {"killed", "client"} <= set(KNOWN)
