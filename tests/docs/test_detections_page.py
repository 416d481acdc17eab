"""The detections' page is the code's own words."""

from __future__ import annotations

from kaizen_security.detections import BUILTIN
from kaizen_security.testing.pages import detections
from tests.architecture.tree import ROOT


def test_the_page_of_the_detections_is_current():
    written = (ROOT / "docs/reference/detections.md").read_text()
    assert written == detections(), "run: python -m kaizen_security.testing.pages > docs/reference/detections.md"


def test_every_detection_is_on_it():
    page = detections()
    assert [one.ABOUT.name for one in BUILTIN if f"\n## {one.ABOUT.name}\n" not in page] == []
