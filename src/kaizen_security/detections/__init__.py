"""Detections: one rule a file, each with its page, its attack class and its examples.

A detection is a module with ``ABOUT``, ``detect(action, context)``, ``FIRES`` and ``SILENT``. Listed in ``BUILTIN``, its page
(``docs/reference/detections.md``) and its tests come by themselves; its weight is a row in ``observer/weigh.py``.
"""

from __future__ import annotations

from kaizen_security.detections import (
    alignment,
    correlation,
    declaration,
    diverted,
    drift,
    memory,
    novelty,
    order,
    peer,
    policy,
    provenance,
    secrets,
    sequence,
    taint,
    tenant,
    tool_pins,
    unasked,
    volume,
)
from kaizen_security.observer.detection import Detection

BUILTIN: tuple[Detection, ...] = (
    policy,
    correlation,
    secrets,
    tool_pins,
    taint,
    provenance,
    diverted,
    memory,
    declaration,
    novelty,
    tenant,
    alignment,
    unasked,
    volume,
    sequence,
    drift,
    peer,
    order,
)
"""Every detection that is asked, in order."""
