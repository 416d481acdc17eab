"""What an answer means for the reports of a request, and how pauses grow: the same for everyone who delivers a spool."""

from __future__ import annotations

import pytest

from kaizen_security.client.delivery import Backoff, Fate, fate, rejected


@pytest.mark.parametrize("reports", [1, 2, 100])
def test_only_what_a_server_says_of_one_report_alone_loses_it(reports):
    for status in range(100, 600):
        found = fate(status, reports)
        assert (found is Fate.TAKEN) == (200 <= status < 300)
        assert (found is Fate.REFUSED) == (status in (400, 413, 422) and reports == 1)
        assert (found is Fate.SMALLER) == (status in (400, 413, 422) and reports > 1)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        (b'{"accepted":2,"rejected":[{"index":0,"message":"no"}]}', 1),
        (b'{"rejected":[1,2,3,4,5,6,7]}', 3),
        (b'{"rejected":[]}', 0),
        (b'{"rejected":7}', 0),
        (b"[" * 100_000, 0),
        (b"nonsense", 0),
        (b"\xff", 0),
        (b"", 0),
    ],
)
def test_no_answer_says_of_more_reports_than_were_sent_that_they_are_lost(answer, lost):
    assert rejected(answer, 3) == lost


def test_pauses_double_up_to_the_longest_and_begin_anew():
    pauses = Backoff(0.25, 1.5)
    assert [pauses.next() for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]
    pauses.reset()
    assert pauses.next() == 0.25
