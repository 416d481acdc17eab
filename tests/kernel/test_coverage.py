"""The coverage meter on the real kernel, and its page."""

from __future__ import annotations

import os
import shutil

import pytest

from kaizen_security.collectors.kernel.collector import Collector, NotHere
from kaizen_security.contract.verdict import Mode
from kaizen_security.launch.coverage import everything
from kaizen_security.launch.coverage_page import document, lines, markdown
from kaizen_security.launch.plan import Way
from tests.architecture.tree import ROOT


@pytest.mark.root
def test_every_way_out_is_what_the_page_says():
    try:
        with Collector.start() as collector:
            if not collector.sees_unix:
                pytest.skip("the page is of Linux 6.7 or newer")
    except NotHere as err:
        pytest.skip(f"no kernel rung here: {err}")
    if not any(map(shutil.which, ("nft", "/usr/sbin/nft"))):
        pytest.skip("without nft nobody who ignores the proxy is led to it, and the page says what is so with it")
    found = everything((Way.KERNEL, Way.NAMESPACE, Way.PROXY), os.environ, lambda text: None)
    page = (ROOT / "docs/reference/coverage.md").read_text()
    written = page.partition("<!-- coverage -->\n")[2].partition("<!-- /coverage -->")[0]
    assert [one.why for one in found] == [""] * 6
    assert markdown(found) == written.strip()
    kernel = next(one for one in found if (one.way, one.mode) == (Way.KERNEL, Mode.ENFORCE))
    assert all(canary.seen and canary.stopped for canary in kernel.canaries if canary.tried)
    assert len(document(found)) == 6
    assert lines(found)[0] == "kernel, observe: 12 of 12 seen"
