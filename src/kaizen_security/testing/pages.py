"""The page of every detection, from what stands beside its code::

python -m kaizen_security.testing.pages > docs/reference/detections.md
"""

from __future__ import annotations

import sys

from kaizen_security.contract.action import Action
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.detection import About, Example
from kaizen_security.observer.gap import about as gap
from kaizen_security.observer.weigh import TABLE, UNKNOWN

HEAD = """# Detections

What each detection says, what it misses, and examples of both kinds.
This page is generated from the code (`python -m kaizen_security.testing.pages`), and every example on it runs as a test.
How findings become a verdict: [how it decides](../explanation/how-it-decides.md).

| detection | says | blocks | status | attack classes |
|---|---|---|---|---|
"""


def detections() -> str:
    """The whole page, Markdown."""
    rows = [_row(about) for about in (*(one.ABOUT for one in BUILTIN), gap.ABOUT)]
    sections = [_section(one.ABOUT, [_example(case) for case in (*one.FIRES, *one.SILENT)]) for one in BUILTIN]
    sections.append(_section(gap.ABOUT, [_case(case) for case in (*gap.FIRES, *gap.SILENT)]))
    return HEAD + "\n".join(rows) + "\n" + "".join(sections)


def _row(about: About) -> str:
    blocks = TABLE.get(about.name, UNKNOWN).blocks.value
    attacks = ", ".join(f"`{name}`" for name in about.attacks) or "none"
    return f"| [{about.name}](#{about.name}) | {about.title} | {blocks} | {about.status.value} | {attacks} |"


def _section(about: About, examples: list[str]) -> str:
    lines = [
        f"\n## {about.name}\n",
        f"{about.says}\n",
        f"**Misses.** {about.misses}\n",
        f"**What to do.** {about.advice}\n",
    ]
    classes = [_class(name) for name in about.attacks]
    if classes:
        lines.append("**Attack classes.** " + "; ".join(classes) + ".\n")
    lines.append("| example | what comes | says |")
    lines.append("|---|---|---|")
    lines += examples
    return "\n".join(lines) + "\n"


def _class(name: str) -> str:
    attack = ATTACKS[name]
    ids = ", ".join((*attack.owasp, *attack.atlas))
    return f"{attack.title} ({ids})" if ids else attack.title


def _example(example: Example) -> str:
    action = example.action
    what = " ".join(part for part in (action.kind, action.tool, action.target) if part)
    count = len(example.before)
    before = f" after {count} other{'s' if count > 1 else ''}" if count else ""
    return f"| {example.name} | `{what}`{before} | {', '.join(example.kinds) or 'nothing'} |"


def _case(case: gap.Case) -> str:
    actions = [step for step in case.steps if isinstance(step, Action)]
    told = ", ".join(one.tool for one in actions if one.tool)
    seen = ", ".join(f"{one.target} ({one.metadata['bytes_up']} bytes)" for one in actions if one.target) or "nothing"
    return f"| {case.name} | told `{told}`, seen `{seen}` | {', '.join(case.kinds) or 'nothing'} |"


if __name__ == "__main__":
    sys.stdout.write(detections())
