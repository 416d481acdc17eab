"""Host safety of what hears of a call and does not run it: the span processor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider

from kaizen_security.integrations.otel import KaizenSpanProcessor
from tests.integrations.hosts import AT_ONCE, BOUND, LONG, ROOT, Sick, _environment, _seen
from tests.integrations.told import SPAN, spans


@pytest.mark.parametrize("how", ["slow", "broken", "wrong", "nonsense", "nobody"] if LONG else ["wrong", "nobody"])
@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_a_sidecar_that_does_not_do_its_work_is_no_matter_to_who_writes_spans(how, mode, attach, tmp_path):
    sick = Sick(tmp_path / "sick.sock", how) if how != "nobody" else None
    try:
        url = f"unix://{tmp_path}/sick.sock"
        kaizen = attach(mode, sidecar=url, declare=False, deadline=0.3, sync=False)
        one = spans(kaizen)
        for i in range(5):
            one(f"call_{i}")
        assert kaizen.lost.keys() <= {"steps: sidecar unreachable"}
        kaizen.close(0.1)
    finally:
        if sick is not None:
            sick.stop()


def test_many_traces_at_once_are_told_each_and_none_is_kept(attach):
    seen: list[Any] = []
    kaizen = attach("observe", on_verdict=lambda _, action: seen.append(action))
    provider = TracerProvider(shutdown_on_exit=False)
    processor = KaizenSpanProcessor(kaizen)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("host")

    async def one(i: int) -> None:
        with tracer.start_as_current_span("run", attributes={"gen_ai.operation.name": "invoke_agent"}):
            await asyncio.sleep(0)
            with tracer.start_as_current_span("call", attributes={**SPAN, "gen_ai.tool.call.id": f"span_{i}"}):
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one(i) for i in range(AT_ONCE)))

    asyncio.run(main())
    asyncio.run(one(AT_ONCE))  # a second loop
    assert len(seen) == AT_ONCE + 1
    assert len({action.run_id for action in seen}) == AT_ONCE + 1
    assert processor._traces == {}
    assert kaizen.flush(BOUND)
    assert kaizen.lost == {}


def test_a_span_that_ends_in_another_thread_or_twice_is_told_once(attach):
    seen: list[Any] = []
    kaizen = attach("observe", on_verdict=lambda _, action: seen.append(action.metadata["arguments"]))
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(KaizenSpanProcessor(kaizen))
    span = provider.get_tracer("host").start_span("call", attributes=SPAN)
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    span.end()
    assert seen == [{"bill": "b1"}]


ODD: list[dict[str, Any]] = [
    {"gen_ai.operation.name": 7},
    {"gen_ai.operation.name": "execute_tool"},
    {**SPAN, "gen_ai.tool.name": ["a", "b"]},
    {**SPAN, "gen_ai.tool.name": "\x00'\"\u202e" * 500},
    {**SPAN, "gen_ai.tool.call.arguments": "{" * 5000},
    {**SPAN, "gen_ai.tool.call.arguments": '{"a": ' + "[" * 3000 + "]" * 3000 + "}"},
    {**SPAN, "gen_ai.tool.call.arguments": "\ud800"},
    {**SPAN, "gen_ai.tool.call.arguments": 3.5, "gen_ai.tool.call.result": "[" * 5000},
    {**SPAN, "gen_ai.tool.call.result": '{"n": ' + "9" * 5000 + "}"},
    {"gen_ai.operation.name": "chat", "gen_ai.input.messages": "[" * 5000},
    {"gen_ai.operation.name": "chat", "gen_ai.input.messages": '[{"role": 3, "parts": 4}, 5, {"role": "user", "parts": [6]}]'},
    {"gen_ai.operation.name": "chat", "gen_ai.input.messages": '[{"role": "user", "parts": "text"}]'},
    {"gen_ai.operation.name": "chat", "gen_ai.input.messages": '[{"role": "tool", "parts": [{"type": "tool_call_response"}]}]'},
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": ["x"]},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_spans_that_nobody_would_write_raise_nothing_into_the_host(odd, attach):
    kaizen = attach("observe")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(KaizenSpanProcessor(kaizen))
    span = provider.get_tracer("host").start_span("odd")
    span._attributes.update({}) if hasattr(span, "_attributes") else None
    for name, value in odd.items():
        span.set_attribute(name, value)
    span.end()
    assert kaizen.lost == {}


@pytest.mark.skipif(not LONG, reason="processes of their own (make integrations-long)")
@pytest.mark.parametrize("how", ["ends", "forks"])
@pytest.mark.parametrize("what", ["spans"])
def test_a_process_that_just_ends_or_forks_has_told_everything(what, how, sidecars, tmp_path, request):
    pytest.importorskip("claude_agent_sdk" if what == "calls" else "opentelemetry.sdk")
    sidecar, name = sidecars("enforce"), f"{abs(hash(request.node.nodeid)):x}"
    assert sidecar.ask("POST", f"/v1/agents/{name}/manifest", {"tools": ["bill_read"]})[0] == 202
    command = [
        sys.executable,
        "-m",
        "tests.integrations.told",
        what,
        how,
        name,
        str(sidecar.socket),
        str(tmp_path / "d"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * BOUND, env=_environment())
    assert done.returncode == 0, done.stderr
    assert "kaizen_security" not in done.stderr, done.stderr
    wanted = 2 if how == "forks" else 1
    assert _seen(sidecar, name, wanted) >= wanted
