"""What the hook command does (``integrations.hook``): an event from standard input, the answer to standard output, status 0.

A process is started for every event, so it loads nothing but the interpreter and the two libraries in C that it cannot do without:
the sidecar, which goes on running, does the judging. ``kaizen attach`` enters the command into an assistant's configuration.

With no sidecar an event is answered by the mode: observe lets the assistant go on, enforce denies the call.
"""

import _socket  # Python's own ``socket`` loads six modules more
import sys
from time import monotonic

from kaizen_security.integrations import coding
from kaizen_security.integrations.lean_json import dumps, loads

MAX_INPUT = 8 << 20
MAX_ANSWER = 1 << 20
MAX_NAME = 256
LONGEST = {"target": 4096, "transcript": 4096, "text": 65_536, "arguments": 65_536}
"""Characters of an event's texts that a sidecar takes, where these are not names."""
DEADLINE = 2.0
FLAGS = {"--socket": "", "--agent": "coding-assistant", "--mode": "observe", "--hold": "50", "--source": "claude-code"}


class NoAnswer(Exception):
    """The sidecar did not answer."""


class Refused(NoAnswer):
    """It answered that it cannot take this: too long, too deep, or with signs that no text has."""


def main(argv: list[str]) -> int:
    """One event."""
    settings = dict(FLAGS)
    settings.update(zip(argv[::2], argv[1::2], strict=False))
    try:
        document = loads(sys.stdin.buffer.read(MAX_INPUT))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        # Nobody knows what was to be allowed. All assistants take status 2 for a denial.
        print("kaizen: the event cannot be read", file=sys.stderr)
        return 2 if settings["--mode"] == "enforce" else 0
    said = coding.event(document)
    print(dumps(answer(said, settings)))
    return 0


def answer(said: coding.Event, settings: dict[str, str]) -> dict[str, object]:
    """The answer to the event, after the sidecar was told."""
    try:
        try:
            return _answered(said, settings)
        except (Refused, RecursionError, TypeError, ValueError):
            # A model writes the arguments: with a NUL or a megabyte in them a call would else pass unjudged in observe.
            return _answered(_readable(said), settings)
    except (NoAnswer, OSError, ValueError, TypeError, RecursionError) as err:
        print(f"kaizen: {err}", file=sys.stderr)
        if said.what == coding.CALL and settings["--mode"] == "enforce":
            return coding.denial(said, "Blocked by Kaizen: engine error, failed closed. The sidecar did not answer.")
    return coding.consent(said)


def _answered(said: coding.Event, settings: dict[str, str]) -> dict[str, object]:
    if said.what == coding.CALL:
        return _judged(said, settings)
    agent = _agent(said, settings)
    step = _step(said, agent)
    if step is not None:
        _post(settings, "/v1/steps", {"agent": agent, "steps": [step]}, DEADLINE)
    if said.what in (coding.REQUEST, coding.END) and said.run_id:
        _post(settings, "/v1/heartbeats", _sign(said, settings), DEADLINE)
    return coding.consent(said)


def _readable(said: coding.Event) -> coding.Event:
    """The event as far as a sidecar takes it: cut, and what is no text replaced."""
    from kaizen_security.client.arguments import plain  # loads more than an ordinary event may cost

    for name in coding.Event.__slots__:
        value = plain(getattr(said, name))
        setattr(
            said, name, value[: LONGEST.get(name, MAX_NAME)] if isinstance(value, str) and name != "content" else value
        )
    return said


def _judged(said: coding.Event, settings: dict[str, str]) -> dict[str, object]:
    agent = _agent(said, settings)
    document: dict[str, object] = {"agent": agent, "action": _action(said, settings, agent)}
    verdict = _post(settings, "/v1/inspect", document, DEADLINE)
    pending = verdict.get("pending")
    until = monotonic() + float(settings["--hold"])
    while isinstance(pending, dict) and (rest := until - monotonic()) > 0:
        _get(settings, f"/v1/holds/{pending.get('id', '')}?wait={int(min(rest, 20)) + 1}", min(rest, 21) + DEADLINE)
        verdict = _post(settings, "/v1/inspect", document, DEADLINE)
        pending = verdict.get("pending")
    if verdict.get("decision") == "allow":
        if said.content is not None:
            try:
                _post(settings, "/v1/steps", {"agent": agent, "steps": [_brought(said, agent)]}, DEADLINE)
            except (NoAnswer, OSError, ValueError) as err:
                print(f"kaizen: {err}", file=sys.stderr)  # the call itself was allowed
        return coding.consent(said)
    return coding.denial(said, _refusal(verdict))


def _action(said: coding.Event, settings: dict[str, str], agent: str) -> dict[str, object]:
    metadata = {"source": settings["--source"], "arguments": said.arguments}
    action = {"kind": said.kind, "tool": said.tool, "publisher": said.publisher, "target": said.target}
    chain = [settings["--agent"]] if said.agent else []
    ids = {"id": _id(said), "run_id": said.run_id, "act_id": said.id, "delegation": chain}
    return {**action, "metadata": metadata, "agent": agent, **{key: value for key, value in ids.items() if value}}


def _step(said: coding.Event, agent: str) -> dict[str, object] | None:
    head: dict[str, object] = {"run_id": said.run_id, "agent": agent}
    if said.what == coding.REQUEST:
        return {"step": "request", **head, "text": said.text}
    if said.what == coding.RESULT:
        return _brought(said, agent)
    return {"step": "end", **head, "completed": True} if said.what == coding.END else None


def _brought(said: coding.Event, agent: str) -> dict[str, object]:
    head: dict[str, object] = {"run_id": said.run_id, "agent": agent}
    return {"step": "result", **head, "action_id": _id(said), "content": said.content, "failed": said.failed}


def _sign(said: coding.Event, settings: dict[str, str]) -> dict[str, object]:
    """A sign of life of the session, which the sidecar then speaks for: this process is over in a moment."""
    head: dict[str, object] = {"agent": settings["--agent"], "process": said.run_id[:256]}
    points = [{"source": settings["--source"]}]
    return {**head, "points": points, "leaving": said.what == coding.END, "transcript": said.transcript[:4096]}


def _agent(said: coding.Event, settings: dict[str, str]) -> str:
    return f"{settings['--agent']}/{said.agent}"[:256] if said.agent else settings["--agent"]


def _id(said: coding.Event) -> str:
    """The same for a call and its result, which are two processes."""
    if said.id:
        return f"{said.run_id}:{said.id}"[:256]
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256  # which loads OpenSSL as well

    shape = dumps([said.tool, said.arguments], sort_keys=True).encode()
    return f"{said.run_id[:192]}:{sha256(shape).hexdigest()[:16]}{coding.UNNAMED}"


def _refusal(verdict: dict[str, object]) -> str:
    text = f"Blocked by Kaizen: {verdict.get('reason')}"
    evidence = verdict.get("evidence")
    for finding in evidence[:2] if isinstance(evidence, list) else ():
        if isinstance(finding, dict) and finding.get("expected"):
            text += f" Allowed instead: {str(finding['expected'])[:300]}."
    if verdict.get("pending"):
        return text + " A person has been asked and has not answered yet; the same call may be made again later."
    return text + " Go on with the rest of the task without this call, or ask the user."


def _post(settings: dict[str, str], path: str, document: dict[str, object], within: float) -> dict[str, object]:
    body = dumps(document).encode()
    return _exchange(settings["--socket"], "POST", path, body, within)


def _get(settings: dict[str, str], path: str, within: float) -> dict[str, object]:
    return _exchange(settings["--socket"], "GET", path, b"", within)


def _exchange(place: str, method: str, path: str, body: bytes, within: float) -> dict[str, object]:
    """One HTTP/1.1 exchange with ``Connection: close`` (RFC 9112 9.6): the answer ends where the connection does."""
    until = monotonic() + within
    family = getattr(_socket, "AF_UNIX", None)
    if family is None:
        raise NoAnswer("this system has no Unix sockets")
    held = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        held.settimeout(within)
        held.connect(place)
        head = f"{method} {path} HTTP/1.1\r\nHost: kaizen\r\nConnection: close\r\nContent-Type: application/json\r\n"
        held.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        heard = b""
        while len(heard) < MAX_ANSWER:
            held.settimeout(max(until - monotonic(), 0.001))
            part = held.recv(64 << 10)
            if not part:
                break
            heard += part
    finally:
        held.close()
    top, _, content = heard.partition(b"\r\n\r\n")
    status = top.split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        kind = Refused if status[:1] in ([b"400"], [b"413"], [b"422"]) else NoAnswer
        raise kind(f"the sidecar answered {top.partition(bytes([13]))[0].decode('latin-1') or 'nothing'}")
    try:
        document = loads(content)
    except (ValueError, RecursionError) as err:
        # It took what was sent: to send it again would report it twice.
        raise NoAnswer("the sidecar answered with something that is no JSON") from err
    if not isinstance(document, dict):
        raise NoAnswer("the sidecar answered with something else than an object")
    return document
