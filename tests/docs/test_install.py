"""The package of our name on the public index is another maker's: nothing here may send anyone there."""

from __future__ import annotations

import re

from tests.architecture.tree import ROOT

FROM_INDEX = re.compile(
    r"(pip3? install|uv add|uv pip install|pipx install|uvx|pip3? download)\b[^\n]*?"
    r"[\s\"'](kaizen-security|kaizen_security)(\[|[=<>~!]|[\s\"'`]|$)"
)


def pages():
    yield ROOT / "README.md"
    for folder in ("docs", "examples", "src", "red-team", "egress", "deploy"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".md", ".py", ".toml", ".html", ".txt", ""} and path.is_file():
                yield path


def test_nothing_installs_our_name_from_the_public_index():
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in pages()
        for match in FROM_INDEX.finditer(path.read_text())
        if "black box" not in match.group()
    ]
    assert found == []


def test_the_check_itself_sees_what_it_must():
    for bad in (
        "pip install kaizen-security",
        "pip install 'kaizen-security[server]'",
        "uv add kaizen-security",
        "pip install -U kaizen_security==0.2.0",
    ):
        assert FROM_INDEX.search(bad)
    for good in (
        "pip install .",
        "pip install dist/kaizen_security-0.1.0-py3-none-any.whl",
        "pip install '.[server]'",
        "pip install -e path/to/kaizen-security-checkout",
    ):
        assert not FROM_INDEX.search(good)


def test_the_readme_says_where_to_install_from():
    readme = (ROOT / "README.md").read_text()
    assert "another maker" in readme
