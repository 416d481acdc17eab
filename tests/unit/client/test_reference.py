"""The client's reference page names what there is, and nothing else."""

from __future__ import annotations

import inspect
import re

from kaizen_security import Kaizen
from kaizen_security.client import audit, link, report, spool
from kaizen_security.client.config import ENVIRONMENT, Settings
from kaizen_security.client.noting import Noting
from kaizen_security.contract.verdict import ENFORCED
from tests.architecture.tree import ROOT

PAGE = (ROOT / "docs/reference/client.md").read_text()


def test_every_setting_is_in_the_table_with_its_variables():
    rows = dict(re.findall(r"^\| (?:`(\w+)`)? ?\| ([^|]*) \|[^|]*\|[^|]*\|$", PAGE, re.MULTILINE))
    for name, variables in ENVIRONMENT.items():
        found = rows.get("" if name == "tenant_key" else name)
        assert found is not None, name
        assert set(re.findall(r"KAIZEN_\w+", found)) == set(variables), name
    assert f"{Settings().deadline} seconds" in PAGE
    assert Settings().base_url in PAGE


def test_every_reason_of_a_loss_is_explained():
    reasons = [spool.FULL, spool.MEMORY_FULL, spool.TOO_LARGE, spool.KILLED, spool.TORN, spool.CORRUPT, spool.REMOVED]
    reasons += [spool.EXIT, report.REFUSED, report.BROKEN, link.STEPS_LOST, link.STEPS_REFUSED]
    reasons += [audit.OVER, audit.BROKEN, "on_verdict errors", "engine errors", "declaration refused by the server"]
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []


def test_what_blocks_in_enforce_is_named():
    said = next(line for line in PAGE.splitlines() if "a detection that blocks in enforce" in line)
    assert [name for name in ENFORCED if f"`{name}`" not in said] == []


def test_the_signature_and_every_public_name_are_documented():
    shown = re.search(r"`Kaizen\((.*?)\)`", PAGE)
    assert shown
    signature = inspect.signature(Kaizen)
    expected = list(signature.parameters)
    assert re.findall(r"(\w+)=", shown[1]) == expected
    names = {**vars(Noting), **vars(Kaizen)}
    public = [name for name in names if not name.startswith("_") and name not in ("note", "note_result")]
    assert [name for name in public if f"`{name}" not in PAGE and f", `{name}" not in PAGE] == []
