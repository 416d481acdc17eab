"""Which provider's endpoint a path is: whatever stands before it (a version, a deployment) is the server's own."""

from __future__ import annotations

from urllib.parse import unquote

from kaizen_security.testing import bedrock_agents, converse, dialects, gemini
from kaizen_security.testing.dialects import Dialect

_PATHS = {
    "/chat/completions": dialects.CHAT,
    "/responses": dialects.RESPONSES,
    "/messages": dialects.MESSAGES,
    "/converse": converse.CONVERSE,
    "/converse-stream": converse.CONVERSE_STREAM,
    ":generateContent": gemini.GENERATE,
    ":streamGenerateContent": gemini.STREAM,
}


def dialect_of(path: str) -> Dialect | None:
    """The provider's shapes; None for a path that is no model's."""
    path = path.partition("?")[0]
    if path.startswith("/agents/"):
        return bedrock_agents.INVOKE_AGENT  # with and without an alias: inline agents have none
    for ending, dialect in _PATHS.items():
        if path.endswith(ending):
            return dialect
    return None


def model_in(path: str) -> str:
    """The model that a path names, as with Bedrock and Google; empty where it names none."""
    path = unquote(path.partition("?")[0])
    if "/model/" in path:
        return path.rpartition("/model/")[2].rpartition("/")[0]
    if "/models/" in path:
        return path.rpartition("/models/")[2].partition(":")[0]
    return ""
