"""Every variable that the code reads is on the page of variables, and the page names none that nobody reads."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\b(?:KAIZEN|KZ|OBSERVER|TENANT|AWS|XDG)_[A-Z_]*[A-Z]\b")
PAGE = (ROOT / "docs/reference/environment.md").read_text()


def read():
    """Names that stand as a whole text in the code: in a table of variables, or where one is looked up."""
    quoted = re.compile(rf'"({NAME.pattern})"')
    return {name for path in (ROOT / "src").rglob("*.py") for name in quoted.findall(path.read_text())}


def test_the_page_has_every_variable_that_is_read_and_no_other():
    assert set(NAME.findall(PAGE)) == read()
