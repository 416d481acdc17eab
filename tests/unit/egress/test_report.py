"""Reports: the shape of the wire contract, nothing lost, every loss counted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.client.spool import Spool
from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report, decode_report, encode_report
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.finding import Finding
from kaizen_security.egress.report import MAX_QUEUE, Record, Reporter
from kaizen_security.egress.rules import Refusal

REFUSAL = Refusal(
    code="policy",
    reason="blocked by policy: malicious domain",
    advice="no",
    evidence=(Finding(kind="malicious domain", value="evil.example", source="policy:p"),),
    policy_version="v1",
)


def record(n: int = 0, **more: object) -> Record:
    return Record(id=f"{n:032x}", agent="egress-agent", target="api.example:443", at=1_795_000_000.25, **more)  # type: ignore[arg-type]


class Collecting:
    """A sink that takes what it is given, once it is told to."""

    def __init__(self, *, open_: bool = True) -> None:
        self.got: list[dict[str, object]] = []
        self.open = threading.Event()
        if open_:
            self.open.set()

    def deliver(self, reports: list[bytes]) -> Counter[str]:
        if not self.open.is_set():
            raise KaizenError("not yet")
        self.got += [json.loads(report) for report in reports]
        return Counter()


def reporting(tmp_path: Path, sink: Collecting) -> Reporter:
    reporter = Reporter(Spool(tmp_path / "spool", max_bytes=1 << 20), lambda: sink)
    reporter.start()
    return reporter


@given(
    st.sampled_from(["connect", "http"]),
    st.dictionaries(
        st.sampled_from(["sni", "alpn", "address", "method"]),
        st.text(st.characters(categories=["L", "N", "P"]), max_size=20),
    ),
    st.sampled_from(["", "closed", "reset"]),
    st.sampled_from([None, REFUSAL]),
)
def test_what_is_written_is_what_the_codec_writes(
    kind: str, extra: dict[str, str], ended: str, refusal: Refusal | None
):
    this = record(kind=kind, extra=dict(extra), ended=ended, refusal=refusal, up=5, down=7, duration=0.25)
    document = json.loads(this.encode())
    metadata = {"source": "egress", **extra, "phase": "end" if ended else "start"}
    if ended:
        metadata |= {"ended": ended, "bytes_up": 5, "bytes_down": 7, "duration_ms": 250.0}
    action = Action(
        kind=kind, target=this.target, metadata=metadata, id=this.id, act_id=this.id, at=this.at, agent=this.agent
    )
    assert document == encode_report(Report(action=action, verdict=this.verdict()))
    assert decode_report(document).action == action


def test_a_connection_that_ends_at_once_is_reported_once(tmp_path: Path):
    sink = Collecting()
    reporter = reporting(tmp_path, sink)
    this = record()
    reporter.put(this)
    this.ended = "closed"
    reporter.end(this)
    reporter.stop(5)
    assert [report["action"]["metadata"]["phase"] for report in sink.got] == ["end"]  # type: ignore[index]


def test_a_connection_that_never_began_is_reported_when_it_ends(tmp_path: Path):
    sink = Collecting()
    reporter = reporting(tmp_path, sink)
    reporter.end(record(ended="dns-failed"))
    reporter.stop(5)
    assert len(sink.got) == 1


def test_what_could_not_be_delivered_is_delivered_after_the_next_start(tmp_path: Path):
    closed = Collecting(open_=False)
    reporter = reporting(tmp_path, closed)
    for n in range(200):
        reporter.put(record(n))
    reporter.stop(2)
    counts = reporter.counts()
    assert (counts["kept"], counts["delivered"], counts["lost"]) == (200, 0, {})
    sink = Collecting()
    reporter = reporting(tmp_path, sink)
    reporter.stop(5)
    assert {report["action"]["id"] for report in sink.got} == {f"{n:032x}" for n in range(200)}  # type: ignore[index]


def test_a_full_queue_is_counted_and_does_not_block(tmp_path: Path):
    reporter = Reporter(Spool(tmp_path / "spool"), Collecting)
    this = record()
    for _ in range(MAX_QUEUE + 3):
        reporter.put(this)
    assert reporter.counts()["lost"] == {"queue full": 3}


def test_a_full_spool_still_takes_refusals(tmp_path: Path):
    closed = Collecting(open_=False)
    reporter = Reporter(Spool(tmp_path / "spool", max_bytes=100_000), lambda: closed)
    reporter.start()
    for n in range(1000):
        reporter.put(record(n))
    reporter.put(record(5000, refusal=REFUSAL, ended="refused"))
    reporter.stop(2)
    lost = reporter.counts()["lost"]
    assert sum(lost.values()) + reporter.counts()["kept"] == 1001  # type: ignore[union-attr, operator]
    assert sum(lost.values()) > 0  # type: ignore[union-attr]
    sink = Collecting()
    reporter = reporting(tmp_path, sink)
    reporter.stop(5)
    assert f"{5000:032x}" in {report["action"]["id"] for report in sink.got}  # type: ignore[index]
