"""The golden vectors of canonical forms."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from kaizen_security.contract import canonical
from kaizen_security.contract.canonical import Target
from kaizen_security.contract.tables import tlds, uts46

SPEC = Path(__file__).parents[2] / "spec"
VECTORS = json.loads((SPEC / "vectors" / "canonical.json").read_text())["vectors"]
DEFAULTS = asdict(Target())


def destination(stated):
    found = canonical.destination(stated["kind"], stated["target"])
    return (
        None if found is None else {key: value for key, value in (("host", found.host), ("port", found.port)) if value}
    )


def target(text):
    found = {key: value for key, value in asdict(canonical.target(text)).items() if value != DEFAULTS[key]}
    return found | ({"also": list(found["also"])} if "also" in found else {})


FUNCTIONS = {
    "host": canonical.host,
    "target": target,
    "destination": destination,
    "url": canonical.url,
    "tool": canonical.tool,
    "permitted": canonical.permitted,
    "digest": canonical.digest,
    "network": lambda text: canonical.network(text).value,
}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_canonical_form(vector):
    function = FUNCTIONS[vector["function"]]
    if vector["expected"] == {"error": True}:
        with pytest.raises(ValueError, match=r"."):
            function(vector["input"])
    else:
        assert function(vector["input"]) == vector["expected"], vector["why"]


def test_ids_are_unique_and_every_vector_says_why():
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS) > 150
    assert all(vector["why"].strip() for vector in VECTORS)


def test_the_modules_hold_what_the_tables_say():
    table = json.loads((SPEC / "tables" / "uts46.json").read_text())
    packed = json.loads(uts46.load())
    first, mappings, rows = 0, iter(packed["to"]), []
    for gap, status, mapped in zip(packed["gaps"], packed["status"], packed["mapped"], strict=True):
        first += gap
        rows.append([first, status, next(mappings)] if mapped == "1" else [first, status])
    assert rows == table["ranges"]
    assert packed["joining"] == table["joining"]
    assert json.loads(tlds.load()) == json.loads((SPEC / "tables" / "tlds.json").read_text())
