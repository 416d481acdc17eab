"""The page of figures is made of the stored results, and says what is over its budget."""

from __future__ import annotations

from benchmarks import figures


def test_the_page_is_what_the_stored_results_give():
    assert figures.page(figures.stored()) == figures.PAGE.read_text(), "run python -m benchmarks.figures"


def test_a_figure_over_its_budget_and_one_that_is_missing_are_said():
    typescript = {"import": {"cpu_ms": 25.0}, "calls": {"inspectSync and its report": {"p50": 4.0}}}
    lines = "\n".join(figures.table({"typescript": typescript}))
    assert "| TypeScript | import | 25 ms CPU | at most 20 ms CPU | **over** |" in lines
    assert "| TypeScript | with its report, p50 | 4 µs | at most 5 µs | kept |" in lines
    assert "| egress proxy | new tunnel, CPU | not stored | at most 130 µs | missing |" in lines


def test_another_proxy_that_is_better_is_named_and_a_worse_one_is_not():
    ours, other = {"tunnel_cpu_us": 100.0, "bulk_gb_per_s": 2.0}, {"tunnel_cpu_us": 90.0, "bulk_gb_per_s": 1.0}
    found = {"kaizen": ours, "squid": other, "direct": {"tunnel_cpu_us": 1.0}}
    lines = list(figures.others({"proxy": {"results": found}}))[2:]
    assert lines == ["| egress proxy: new CONNECT tunnel, CPU µs | 100 | squid 90 |"]
