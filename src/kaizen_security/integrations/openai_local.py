"""Tools of the OpenAI Agents SDK that act by an object of the host's and have no ``on_invoke_tool``: an editor that applies
patches, a computer that is clicked and typed at. Each method of it is a call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from kaizen_security.integrations.base import AttachPoint, Call, Refused

EDITS = ("create_file", "update_file", "delete_file")
ACTS = ("screenshot", "click", "double_click", "scroll", "type", "wait", "move", "keypress", "drag")
BLANK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
"""One black pixel: what a model sees of a screen that it may not see."""

Asked = Callable[[Any, dict[str, object]], tuple[AttachPoint, Call] | None]
"""For a tool and the arguments of a call: who judges it, and the call in our words; None outside of any run of ours."""


def guard(tool: Any, asked: Asked) -> None:
    """Judge what the tool's editor or computer does. Once for an object; a method that the host puts in its place is met again."""
    for part, names in ((getattr(tool, "editor", None), EDITS), (getattr(tool, "computer", None), ACTS)):
        if part is None or isinstance(part, type) or not all(hasattr(part, name) for name in names):
            continue  # a factory: what it makes stands in its place before it acts
        made = {}
        for name in names:
            given = getattr(part, name)
            if not hasattr(given, "__kaizen_judged__"):
                made[name] = _edits(tool, name, given, asked) if names is EDITS else _acts(tool, name, given, asked)
        _put(part, made)


def _put(part: Any, made: dict[str, Callable[..., Any]]) -> None:
    try:
        for name, method in made.items():
            setattr(part, name, method)
    except AttributeError:
        # No room on the object itself: a class of its own, which is laid out like the one that it had.
        kind = type(part)
        methods = {name: _method(method) for name, method in made.items()}
        part.__class__ = type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **methods})


def _method(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return method


def marked(made: Any) -> Any:
    """``made``, known as ours when it is met again."""
    made.__kaizen_judged__ = True
    return made


async def awaited(found: Any) -> Any:
    """What a host's function gives, whether it has to be awaited or not."""
    return await found if inspect.isawaitable(found) else found


def _edits(tool: Any, name: str, given: Callable[..., Any], asked: Asked) -> Any:
    """The SDK awaits whatever an editor gives that can be awaited."""

    @functools.wraps(given)
    def edit(operation: Any) -> Any:
        said = {"do": name, "path": operation.path, "diff": getattr(operation, "diff", None)}
        if getattr(operation, "move_to", None):
            said["move_to"] = operation.move_to
        call = asked(tool, said)
        if call is None:
            return given(operation)
        return call[0].athrough(call[1], lambda: awaited(given(operation)), _no_edit, _words)

    return marked(edit)


def _no_edit(refused: Refused) -> Any:
    from agents.editor import ApplyPatchResult

    return ApplyPatchResult(status="failed", output=refused.text)


def _words(found: Any) -> object:
    return found if isinstance(found, str) else getattr(found, "output", None)


def _acts(tool: Any, name: str, given: Callable[..., Any], asked: Asked) -> Any:
    """Older versions call a computer that is not async without waiting: it stays so, and the loop waits for the verdict."""
    sees = name == "screenshot"
    refuse, shown = _no_screen if sees else _nothing, _seen if sees else _same
    signature = inspect.signature(given)

    def of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[AttachPoint, Call] | None:
        bound = signature.bind_partial(*args, **kwargs).arguments
        return asked(tool, {"do": name, **{key: value for key, value in bound.items() if value is not None}})

    if inspect.iscoroutinefunction(given):

        @functools.wraps(given)
        async def aact(*args: Any, **kwargs: Any) -> Any:
            call = of(args, kwargs)
            if call is None:
                return await given(*args, **kwargs)
            return await call[0].athrough(call[1], lambda: given(*args, **kwargs), refuse, shown)

        return marked(aact)

    @functools.wraps(given)
    def act(*args: Any, **kwargs: Any) -> Any:
        call = of(args, kwargs)
        if call is None:
            return given(*args, **kwargs)
        return call[0].through(call[1], lambda: given(*args, **kwargs), refuse, shown)

    return marked(act)


def _no_screen(refused: Refused) -> str:
    return BLANK


def _nothing(refused: Refused) -> None:
    """An action of a computer has no result but the next picture: nothing has changed in it."""


def _seen(found: Any) -> object:
    return {"picture": len(found)} if isinstance(found, str) else None  # of no use to anybody as text


def _same(found: Any) -> object:
    return found
