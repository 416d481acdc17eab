"""The page of figures is made of the stored results, and says what is over its budget."""

from __future__ import annotations

import re

from benchmarks import detection_page, figures
from benchmarks.kept import ROOT
from benchmarks.proxy_page import CHARTS


def test_the_page_is_what_the_stored_results_give():
    assert figures.page(figures.stored()) == figures.PAGE.read_text(), "run python -m benchmarks.figures"


def test_the_pictures_are_what_the_stored_results_give():
    drawn = figures.pictures(figures.stored())
    assert drawn.keys() >= {"week", *CHARTS}
    kept = {name: (figures.IMAGES / f"{name}.svg").read_text() for name in drawn}
    assert kept == drawn, "run python -m benchmarks.figures"


def test_every_picture_has_a_ground_of_its_own_so_that_dark_pages_show_its_words():
    for picture in ROOT.glob("docs/**/*.svg"):
        drawn = picture.read_text()
        wide, high = re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups()
        assert re.search(rf'<rect width="{wide}" height="{high}" fill="(#fff|#ffffff|white)"/>', drawn), picture


def rows(yardstick):
    typescript = {"import": {"cpu_ms": 25.0}, "calls": {"inspectSync and its report": {"p50": 4.0}}}
    return "\n".join(figures.table({"typescript": {"machine": {"yardstick_ms": yardstick}, **typescript}}))


def test_a_figure_over_its_budget_and_one_that_is_missing_are_said():
    assert "| TypeScript | import | 25 ms CPU | 25 | at most 20 ms CPU | **over** |" in rows(figures.YARDSTICK)
    assert "| TypeScript | with its report, p50 | 4 µs | 4 | at most 5 µs | kept |" in rows(figures.YARDSTICK)
    assert "| egress proxy | new tunnel, CPU | not stored | | at most 130 µs | missing |" in rows(figures.YARDSTICK)


def test_a_figure_that_only_a_slower_machine_puts_over_its_budget_is_said_to_be_so():
    said = "| TypeScript | import | 25 ms CPU | 12.5 | at most 20 ms CPU | kept, over as measured |"
    assert said in rows(2 * figures.YARDSTICK)


def test_another_proxy_that_is_better_is_named_and_a_worse_one_is_not():
    ours, other = {"tunnel_cpu_us": 100.0, "bulk_gb_per_s": 2.0}, {"tunnel_cpu_us": 90.0, "bulk_gb_per_s": 1.0}
    found = {"kaizen": ours, "squid": other, "direct": {"tunnel_cpu_us": 1.0}}
    lines = list(figures.others({"proxy": {"results": found}}))[2:]
    assert lines == ["| egress proxy: new CONNECT tunnel, CPU µs | 100 | squid 90 |"]


def test_the_prose_of_the_detection_page_is_what_its_generator_writes():
    page = detection_page.PAGE.read_text()
    assert page.startswith(detection_page.HEAD), "HEAD and page go together: change both"
    assert page.rstrip().endswith(detection_page.TAIL.strip()), "TAIL and page go together: change both"
