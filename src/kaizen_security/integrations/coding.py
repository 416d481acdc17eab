"""What coding assistants tell their hooks, in our words, and our answer in theirs. Pure, and imports nothing: the hook command
(``integrations.hook``) has milliseconds.

Shapes: the hook references of Claude Code (also the Claude Agent SDK's), Codex, Copilot CLI, Cursor and Gemini CLI.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Document: TypeAlias = Mapping[str, object]

CALL, RESULT, REQUEST, END, OTHER = "call", "result", "request", "end", "other"
ASSISTANTS = ("claude-code", "codex", "copilot-cli", "cursor", "gemini-cli")
UNNAMED = "~"
"""How the id of a call ends that the assistant gives none: it is made of what is called, so an equal call later has the same."""

_KINDS = {
    "Bash": ("exec", ()),
    "Shell": ("exec", ()),
    "run_shell_command": ("exec", ()),
    "Read": ("file", ("file_path", "path")),
    "Write": ("file", ("file_path", "path")),
    "Edit": ("file", ("file_path", "path")),
    "MultiEdit": ("file", ("file_path",)),
    "Delete": ("file", ("file_path", "path")),
    "NotebookEdit": ("file", ("notebook_path",)),
    "view_image": ("file", ("path",)),
    "read_file": ("file", ("file_path", "absolute_path")),
    "write_file": ("file", ("file_path",)),
    "replace": ("file", ("file_path",)),
    "apply_patch": ("file", ()),
    "WebFetch": ("http", ("url",)),
}
"""Built-in tools: the kind of action, and the arguments of which one names its target."""
_EVENTS = {
    "PreToolUse": CALL,
    "PostToolUse": RESULT,
    "PostToolUseFailure": RESULT,
    "UserPromptSubmit": REQUEST,
    "SessionEnd": END,
    "BeforeTool": CALL,
    "AfterTool": RESULT,
    "BeforeAgent": REQUEST,
    "preToolUse": CALL,
    "postToolUse": RESULT,
    "postToolUseFailure": RESULT,
    "beforeShellExecution": CALL,
    "beforeMCPExecution": CALL,
    "beforeReadFile": CALL,
    "afterShellExecution": RESULT,
    "afterMCPExecution": RESULT,
    "beforeSubmitPrompt": REQUEST,
    "sessionEnd": END,
}
_TWICE = ("Shell", "Read")
"""Tools that Cursor tells of twice, as of its MCP tools: by an event of their own, which older versions have too, and by the one
for all tools, which is left aside.
"""


class Event:
    """One event. ``what`` is CALL, RESULT, REQUEST, END or OTHER; ``name`` the assistant's own name of it.

    ``id``     the assistant's own id of the call, empty where it has none
    ``agent``  the sub-agent that acts, empty for the one that the user talks to
    ``content``  what a call brought; with a call, what it will bring, where that is known before
    ``transcript``  the file that the assistant writes the session to, where it says so with a request or an end
    """

    # A dataclass would load a dozen modules for the sake of this.
    __slots__ = (
        "agent", "arguments", "content", "failed", "id", "kind", "name", "publisher", "run_id", "target", "text", "tool",
        "transcript", "what",
    )  # fmt: skip

    def __init__(
        self,
        what: str,
        name: str,
        run_id: str,
        *,
        id: str = "",  # noqa: A002
        tool: str = "",
        arguments: object = None,
        kind: str = "tool_call",
        target: str = "",
        publisher: str = "",
        agent: str = "",
        content: object = None,
        failed: bool = False,
        text: str = "",
        transcript: str = "",
    ) -> None:
        self.what, self.name, self.run_id, self.id = what, name, run_id, id
        self.tool, self.arguments, self.kind, self.target, self.publisher = tool, arguments, kind, target, publisher
        self.agent, self.content, self.failed, self.text = agent, content, failed, text
        self.transcript = transcript


def event(document: "Document") -> Event:
    """The event in a hook's input. What an assistant leaves out is empty."""
    name = _text(document.get("hook_event_name"))
    what = OTHER if _told_twice(name, document) else _EVENTS.get(name, OTHER)
    run_id = _text(document.get("session_id")) or _text(document.get("conversation_id"))
    transcript = _text(document.get("transcript_path"))
    if what == REQUEST:
        return _said(document, name, run_id, transcript)
    if what not in (CALL, RESULT):
        return Event(what, name, run_id, transcript=transcript)
    tool, arguments = _called(name, document)
    kind, fields = _KINDS.get(tool, ("tool_call", ()))
    named = [arguments[field] for field in fields if field in arguments] if isinstance(arguments, dict) else []
    if tool == "apply_patch" and isinstance(arguments, dict):
        named = _patched(_text(arguments.get("command")))
    content = next((document[key] for key in _BROUGHT if document.get(key) is not None), None)
    if name == "beforeReadFile":
        content = document.get("content")  # Cursor shows what the file holds, and no event after it does
    return Event(
        what,
        name,
        run_id,
        id=_text(document.get("tool_use_id")),
        tool=tool,
        arguments=arguments,
        kind=kind,
        target=_text(named[0]) if named else "",
        publisher=_server(document) or publisher(tool),
        agent=_text(document.get("agent_type")) if document.get("agent_id") else "",
        content=content,
        failed=name.endswith("Failure") or (name == "AfterTool" and isinstance(content, dict) and "error" in content),
    )


_OTHERS = ("<task-notification", "<teammate-message", "<cross-session-message", "<agent-message")
"""How a prompt begins with which Claude Code hands on what another agent or a task in the background said."""


def _said(document: "Document", name: str, run_id: str, transcript: str) -> Event:
    """A prompt, if it is the user's. Words of other agents come in the same event, and what they have read may speak in them."""
    text = _text(document.get("prompt"))
    if document.get("agent_id"):
        return Event(OTHER, name, run_id)  # Codex: what a sub-agent is told by the agent that started it
    if text.lstrip().startswith(_OTHERS):
        return Event(RESULT, name, run_id, id=_text(document.get("prompt_id")) or name, content=text)
    return Event(REQUEST, name, run_id, text=text, transcript=transcript)


_BROUGHT = ("tool_response", "tool_result", "tool_output", "error", "error_message", "result_json", "output")


def _told_twice(name: str, document: "Document") -> bool:
    tool = _text(document.get("tool_name"))
    return name in ("preToolUse", "postToolUse", "postToolUseFailure") and (tool in _TWICE or tool.startswith("MCP:"))


def _called(name: str, document: "Document") -> tuple[str, object]:
    if name.endswith("ShellExecution"):
        return "Bash", {"command": document.get("command"), "cwd": document.get("cwd")}
    if name == "beforeReadFile":
        return "Read", {"file_path": document.get("file_path")}
    # A call that says not of what is no declared tool's.
    return _text(document.get("tool_name")) or "unnamed", document.get("tool_input")


_PATCHED = ("*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: ")


def _patched(patch: str) -> list[object]:
    """The file that one of Codex's patches changes; nothing where these are several, of which none is the target."""
    names = [line[len(head) :] for line in patch.split("\n") for head in _PATCHED if line.startswith(head)]
    return [names[0].strip()] if len(names) == 1 else []


def _server(document: "Document") -> str:
    """The MCP server that Gemini CLI, or a newer Claude Code, names beside the call."""
    for beside, name in (("mcp_context", "server_name"), ("mcp_server", "name")):
        said = document.get(beside)
        if isinstance(said, dict):
            return _text(said.get(name))
    return ""


def publisher(tool: str) -> str:
    """The MCP server behind a tool's name (``mcp__SERVER__TOOL``, ``MCP:SERVER:TOOL``), empty for a built-in one."""
    parts = tool.split("__", 2) if tool.startswith("mcp__") else tool.split(":", 2) if tool.startswith("MCP:") else []
    return parts[1] if len(parts) == 3 else ""


def denial(said: Event, text: str) -> dict[str, object]:
    """What the hook answers to keep the call from running; the model reads ``text``."""
    if said.name == "PreToolUse":
        decision = {"hookEventName": said.name, "permissionDecision": "deny", "permissionDecisionReason": text}
        return {"hookSpecificOutput": decision}
    if said.name == "BeforeTool":
        return {"decision": "deny", "reason": text}
    return {"permission": "deny", "user_message": text, "agent_message": text}


def consent(said: Event) -> dict[str, object]:
    """What the hook answers when nothing is to be prevented: the assistant's own rules go on to hold."""
    if said.what == REQUEST and said.name == "beforeSubmitPrompt":
        return {"continue": True}
    return {"permission": "allow"} if said.what == CALL and said.name.startswith("before") else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
