"""Migrations form one line: two that were written side by side are found before they are on main."""

from __future__ import annotations

import re
from pathlib import Path

VERSIONS = Path(__file__).parents[2] / "src/kaizen_security/store/migrations/versions"


def test_each_follows_the_one_before_it():
    found = {}
    for path in sorted(VERSIONS.glob("[0-9]*.py")):
        said = dict(re.findall(r'^(revision|down_revision) = (?:"(\d+)"|None)$', path.read_text(), re.M))
        assert path.name.startswith(said["revision"] + "_"), f"{path.name} says that it is {said['revision']}"
        assert said["revision"] not in found, f"{path.name}: there is another {said['revision']}; take the next number"
        found[said["revision"]] = said["down_revision"]
    assert list(found) == [f"{i:04d}" for i in range(1, len(found) + 1)]
    assert list(found.values()) == ["", *list(found)[:-1]]
