"""A file that needs a guide is two files. Exceptions carry a reason and may only shrink."""

from __future__ import annotations

import tomllib

from tests.architecture.tree import PACKAGE, name_of, sources

LIMIT = 400
EXCEPTIONS = tomllib.loads((PACKAGE.parents[1] / "tests/architecture/sizes.toml").read_text())


def lines(path):
    return len(path.read_text().splitlines())


def test_no_file_is_longer_than_it_may_be():
    long = {name_of(path): lines(path) for path in sources() if lines(path) > LIMIT}
    allowed = {name: entry["lines"] for name, entry in EXCEPTIONS.items()}
    assert {name: n for name, n in long.items() if n > allowed.get(name, LIMIT)} == {}


def test_every_exception_is_still_needed_and_says_why():
    for name, entry in EXCEPTIONS.items():
        assert lines(PACKAGE / name) > LIMIT, f"{name} is short enough now: take it out of sizes.toml"
        assert len(entry["reason"]) > 20
