"""Runs of LangChain, as its tracer keeps them and LangSmith takes them, to steps. Pure.

A run, a list of runs, or ``{"post": […], "patch": […]}``; children may be nested under ``child_runs``.
"""

from __future__ import annotations

from collections.abc import Iterator

from kaizen_security.collectors.traces.messages import messages
from kaizen_security.collectors.traces.telling import MAX_STEPS, Telling, held, moment, name
from kaizen_security.contract.action import Json
from kaizen_security.contract.step import Step

_MAX_DEPTH = 32


def is_langchain(document: Json) -> bool:
    """Whether it is a run, or holds some."""
    if not isinstance(document, dict):
        return False
    return "run_type" in document or any(
        isinstance(one, dict) and "id" in one for key in ("post", "patch") for one in _list(document.get(key))
    )


def steps(document: dict[str, Json], agent: str) -> list[Step]:
    """The steps that these runs tell of, in the order in which they began."""
    telling = Telling(agent, "langchain")
    if "run_type" in document:
        runs = list(_flat(document, 0))
    else:
        # What is posted when a run begins is patched when it ends.
        merged: dict[str, dict[str, Json]] = {}
        for one in (*_list(document.get("post")), *_list(document.get("patch"))):
            if isinstance(one, dict):
                merged.setdefault(name(one.get("id")), {}).update({k: v for k, v in one.items() if v is not None})
        runs = list(merged.values())
    for run in sorted(runs[:MAX_STEPS], key=lambda run: moment(run.get("start_time"))):
        _run(run, telling)
    return telling.steps


def _flat(run: dict[str, Json], depth: int) -> Iterator[dict[str, Json]]:
    yield run
    if depth < _MAX_DEPTH:
        for child in _list(run.get("child_runs")):
            if isinstance(child, dict):
                yield from _flat({"trace_id": run.get("trace_id") or run.get("id"), **child}, depth + 1)


def _run(run: dict[str, Json], telling: Telling) -> None:
    id_ = name(run.get("id"))
    trace = name(run.get("trace_id")) or id_
    begun, ended = moment(run.get("start_time")), moment(run.get("end_time"))
    inputs, outputs = held(run, "inputs"), held(run, "outputs")
    failed = bool(run.get("error"))
    if run.get("run_type") == "tool":
        telling.called(trace, id_, name(run.get("name")), inputs.get("input", inputs) or inputs, begun)
        if ended:
            telling.brought(trace, id_, outputs.get("output", outputs) or None, ended, failed=failed)
        return
    if run.get("run_type") in ("llm", "chat_model"):
        for said in messages(inputs.get("messages") or inputs.get("prompts") or inputs.get("input")):
            if said.role == "user" and said.text:
                telling.asked(trace, said.text, begun)
        for said in messages(outputs.get("generations") or outputs.get("output"), "assistant"):
            if said.text:
                telling.said(trace, said.text, ended or begun)
    if not run.get("parent_run_id") and ended:
        telling.ended(trace, ended, completed=not failed)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
