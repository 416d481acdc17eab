"""``python -m tests.integrations.matrix``: write ``docs/reference/integrations.md`` anew from what the tests have shown.

``--check`` only says whether the page is what it would be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "reference" / "integrations.md"
CELLS = ("sync", "async", "stream", "parallel", "block", "allow", "refuse", "hold", "observe", "run context")
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def rows() -> dict[str, dict[str, dict[str, Any]]]:
    """Framework to version to cells."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted((HERE / "shown").glob("*.json")):
        for framework, row in json.loads(file.read_text())["frameworks"].items():
            found.setdefault(framework, {})[row["version"]] = row["cells"]
    return found


def table() -> str:
    """The table, as Markdown."""
    lines = ["| framework | version | " + " | ".join(CELLS) + " |", "|---|---|" + "---|" * len(CELLS)]
    for framework, versions in sorted(rows().items()):
        for version, cells in sorted(versions.items(), key=lambda item: _order(item[0])):
            shown = [{True: "yes", False: "**no**", None: "n/a"}[cells.get(cell)] for cell in CELLS]
            lines.append(f"| {framework} | {version} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _order(version: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in version.split(".")]


def page() -> str:
    """The page with the table in its place."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + "\n\n" + table() + "\n\n" + END + rest.partition(END)[2]


def main(argv: list[str]) -> int:
    """Write the page, or compare it."""
    wanted = page()
    if "--check" in argv:
        if wanted != PAGE.read_text():
            print(f"{PAGE.name} is not what the tests have shown: python -m tests.integrations.matrix")
            return 1
        return 0
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
