"""Every detection: its page, its examples, its weight; and that the table knows no others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.detection import About, Example, Status
from kaizen_security.observer.weigh import TABLE
from kaizen_security.testing.checks import check_detection


@pytest.mark.parametrize("detection", BUILTIN, ids=lambda one: one.ABOUT.name)
def test_a_detection_does_what_its_page_and_its_examples_say(detection):
    check_detection(detection)


def test_every_detection_has_a_row_in_the_table_of_weights_and_every_row_a_detection():
    # What a model raised has a row too, and comes from no module: ``observer.raising``.
    assert {one.ABOUT.name for one in BUILTIN} | {"gap", "reasoning"} == set(TABLE)


def odd(**changes):
    about = About(name="odd", title="Odd", says="Odd.", misses="Even.", status=Status.STABLE)
    finding = Finding(
        kind="odd", value="1", source="s", detection="odd", field="tool", expected="e", observed="o", advice="a"
    )
    parts = {
        "ABOUT": about,
        "FIRES": (Example(name="one", action=Action(tool="1"), kinds=("odd",)),),
        "SILENT": (Example(name="two", action=Action(tool="2")),),
        "detect": lambda action, context: (finding,) if action.tool == "1" else (),
    }
    return SimpleNamespace(**(parts | changes))


def test_the_check_passes_a_good_detection():
    check_detection(odd())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"detect": lambda action, context: ()}, "expected"),
        ({"SILENT": (Example(name="loud", action=Action(tool="1")),)}, "must stay silent"),
        ({"SILENT": ()}, "no example stays silent"),
        ({"FIRES": ()}, "no example fires"),
        (
            {
                "detect": lambda action, context: (
                    (Finding(kind="odd", value="1", source="s", detection="odd"),) if action.tool == "1" else ()
                )
            },
            "states its field",
        ),
        (
            {
                "ABOUT": About(
                    name="odd", title="O", says="O", misses="E", status=Status.STABLE, attacks=("unheard-of",)
                )
            },
            "unknown attack class",
        ),
    ],
)
def test_the_check_refuses_a_bad_detection_and_says_why(changes, says):
    with pytest.raises(AssertionError, match=says):
        check_detection(odd(**changes))
