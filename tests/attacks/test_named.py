"""The page of attacks names the scripts that there are, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.attacks.__main__ import names

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "attacks-on-kaizen.md"


def test_the_page_names_every_script_and_no_other():
    assert set(re.findall(r"python -m tests\.attacks ([a-z]+)", PAGE.read_text())) == set(names())
