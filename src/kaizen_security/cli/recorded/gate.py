"""The file of ``kaizen bench --gate`` and ``--store``, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from kaizen_security.cli.recorded.rules import document
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.testing.driven import Driven
from kaizen_security.testing.gate import changed, check_data, failures, to_store

SHOWN = 40
"""Changed verdicts that are named; the others are counted."""


def store(name: str, told: Mapping[str, Any], sets: Mapping[str, Sequence[Driven]]) -> None:
    """Write the figures. Raises Misconfigured."""
    text = json.dumps(to_store(told, sets), indent=1, ensure_ascii=False)
    try:
        Path(name).write_text(text + "\n", encoding="utf-8")
    except OSError as err:
        raise Misconfigured(f"{name} cannot be written: {err.strerror}") from err


def opened(name: str, data: Mapping[str, str]) -> Mapping[str, Any]:
    """The figures that were stored of this ``data`` (hashes by file), before anything is measured. Raises Misconfigured."""
    kept = document(name)
    check_data(kept, data)
    return cast("Mapping[str, Any]", kept)


def gated(kept: Mapping[str, Any], told: dict[str, Any], sets: Mapping[str, Sequence[Driven]]) -> bool:
    """Whether every figure holds; what does not, and what changed, is put into ``told["gate"]``."""
    beyond = [str(one) for one in failures(kept, told)]
    told["gate"] = {"passed": not beyond, "beyond": beyond, "changed": [str(one) for one in changed(kept, sets)]}
    return not beyond


def words(name: str, told: Mapping[str, Any]) -> str:
    """The gate's result in lines."""
    gate = told["gate"]
    lines = [f"\ngate {name}: {'passed' if gate['passed'] else 'FAILED'}"]
    lines += [f"  {one}" for one in gate["beyond"]]
    lines.append(f"verdicts that changed: {len(gate['changed'])}")
    lines += [f"  {one}" for one in gate["changed"][:SHOWN]]
    if len(gate["changed"]) > SHOWN:
        lines.append(f"  and {len(gate['changed']) - SHOWN} more (--json has them all)")
    return "\n".join(lines)
