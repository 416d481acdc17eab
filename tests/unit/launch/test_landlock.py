"""The attributes of a ruleset are of the size that each version takes."""

from __future__ import annotations

import struct

import pytest

from kaizen_security.launch.landlock import abi, ruleset


@pytest.mark.parametrize(("version", "size"), [(1, 8), (3, 8), (4, 16), (5, 16), (6, 24), (7, 24)])
def test_size_and_content(version: int, size: int):
    found = ruleset(version, network=version >= 4)
    assert len(found) == size
    fields = struct.unpack(f"={size // 8}Q", found)
    assert fields[0] == 1 << 11 | (1 << 13 if version >= 2 else 0)
    assert fields[1:2] == ((2,) if version >= 4 else ())
    assert fields[2:] == ((3,) if version >= 6 else ())


def test_the_version_is_a_number():
    assert abi() >= 0
