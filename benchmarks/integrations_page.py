"""What ``docs/reference/integrations.md`` quotes of ``benchmarks.integrations``."""

from __future__ import annotations

from typing import Any

from benchmarks.kept import conditions

PAGE = "docs/reference/integrations.md"
_NAMES = {
    "base": "the piece that all adapters use",
    "langchain": "LangChain, `tool.invoke`",
    "pydantic_ai": "Pydantic AI, a run",
    "openai_agents": "OpenAI Agents SDK, a session",
    "claude_agent": "Claude Agent SDK, the hooks",
    "otel": "OpenTelemetry, a trace",
    "crewai": "CrewAI, `tool.run` and hooks",
    "llamaindex": "LlamaIndex, `tool.acall`",
    "semantic_kernel": "Semantic Kernel, `kernel.invoke`",
    "google_adk": "Google ADK, a run",
    "bedrock": "Amazon Bedrock agents, returned control",
}


def lines(found: dict[str, Any]) -> list[str]:
    """The paragraph and its table."""
    made = [f"`{found['command']}`: {conditions(found)}", ""] if "machine" in found else []
    calm = any("calm_verdict_p99_ms" in row for row in found["rows"])
    rushed = any("rushed_verdict_p99_ms" in row for row in found["rows"])
    made += [
        "| call | calls in a go | without, µs | a hook that does nothing adds | Kaizen adds | our threads, beside "
        "| verdict p50, ms | p99 |"
        + (" p99 of the calm |" if calm else "")
        + (" p99 without a thinking model |" if rushed else ""),
        "|---|---|---|---|---|---|---|---|" + "---|" * (calm + rushed),
    ]
    for row in found["rows"]:
        cells = [_NAMES[row["what"]], row["calls"], row["bare_us"], row.get("hook_us"), row["more_us"], row["ours_us"]]
        cells += [row.get("verdict_p50_ms"), row.get("verdict_p99_ms")]
        cells += [_calm(row)] if calm else []
        cells += [row.get("rushed_verdict_p99_ms")] if rushed else []
        made.append("| " + " | ".join("" if cell is None else f"{cell}" for cell in cells) + " |")
    event = found["hook"]
    return [
        *made,
        "",
        f"An event of a coding assistant's hook takes {event['hook_wall_ms']:g} ms at least and "
        f"{event['hook_wall_median_ms']:g} ms in the median, {event['hook_cpu_ms']:g} ms of it CPU; an interpreter that only reads "
        f"the event takes {event['interpreter_wall_ms']:g}, {event['interpreter_wall_median_ms']:g} and "
        f"{event['interpreter_cpu_ms']:g} ms.",
    ]


def _calm(row: dict[str, Any]) -> str:
    found = row.get("calm_verdict_p99_ms")
    return "" if found is None else f"{found} ({100 * row['calm_verdicts'] // row['verdicts']} %)"
