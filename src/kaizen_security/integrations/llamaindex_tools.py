"""A tool of LlamaIndex, guarded by itself, whoever calls it: see ``integrations.llamaindex``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from kaizen_security.contract.errors import HookUnavailable, Misconfigured
from kaizen_security.integrations.base import AttachPoint, Call, Refused, attach_point, call_of

try:
    from llama_index.core.tools import FunctionTool, ToolOutput
    from llama_index.core.tools.types import AsyncBaseTool, BaseTool
except ImportError as err:
    raise HookUnavailable("llamaindex: needs llama-index-core 0.14.15 or newer (pip install llama-index-core)") from err

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

    T = TypeVar("T")

SOURCE = "llamaindex"
AGENTS: ContextVar[tuple[str, ...]] = ContextVar("kaizen_llamaindex_agents", default=())
"""The agents down to the one whose workflow runs just now."""


def guard_tool(kaizen: Kaizen | AsyncKaizen | None, tool: T) -> T:
    """Judge the calls of ``tool``, in place, and return it. Its name, schema, results and exceptions stay as they are.

    A refused call gives a ``ToolOutput`` that is an error. Whoever takes the function out of the tool (``tool.fn``, LangChain) gets
    KaizenBlocked.
    """
    if not isinstance(tool, BaseTool):
        raise Misconfigured(f"guard_tool: {type(tool).__name__} is no tool of LlamaIndex")
    guard = getattr(tool, "_kaizen", None)
    if isinstance(guard, _Guard):
        guard.point = attach_point(kaizen, SOURCE)
        return tool
    guard = tool._kaizen = _Guard(attach_point(kaizen, SOURCE), tool)
    if isinstance(tool, AsyncBaseTool):
        tool.call, tool.acall = guard.called(tool.call), guard.acalled(tool.acall)
        if isinstance(tool, FunctionTool):
            tool._fn, tool._async_fn = guard.taken(tool._fn), guard.ataken(tool._async_fn)
    else:
        # Python looks ``tool(…)`` up on the class, so this one tool gets a class of its own.
        own = type(tool)
        body = {"__call__": _method(guard.called(functools.partial(own.__call__, tool)))}
        tool.__class__ = type(own.__name__, (own,), {**body, "__module__": own.__module__})
    return tool


def _method(fn: Callable[..., Any]) -> Callable[..., Any]:
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return __call__


class _Guard:
    """A guarded tool."""

    def __init__(self, point: AttachPoint, tool: Any) -> None:
        self.point = point
        self._tool = tool
        self._fn = getattr(tool, "real_fn", None)
        self._signature = _signature(self._fn or getattr(type(tool), "call", None) or type(tool).__call__)
        self._context = getattr(tool, "ctx_param_name", None)

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The call as we say it, without LlamaIndex's own context."""
        given: dict[str, Any] = dict(kwargs)
        if args:
            try:
                bound = self._signature.bind_partial(*args, **kwargs) if self._signature is not None else None
            except TypeError:
                bound = None
            given = dict(bound.arguments) if bound is not None else {"input": list(args), **kwargs}
        given = {**getattr(self._tool, "partial_params", {}), **given}
        if self._context is not None:
            given.pop(self._context, None)
        return call_of(self._tool.metadata.get_name(), given, "", AGENTS.get(), None, fn=self._fn)

    def called(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Around ``call``."""

        @_like(inner)
        def call(*args: Any, **kwargs: Any) -> Any:
            made = self.call(args, kwargs)
            said = self.point.before(made)
            if isinstance(said, Refused):
                return refusal_of(self._tool, made.arguments, said)
            with self.point.noted(said) as kept:
                found = inner(*args, **kwargs)
                kept.content, kept.failed = found.content, bool(found.is_error)
            return found

        return call

    def acalled(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Around ``acall``."""

        @_like(inner)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            made = self.call(args, kwargs)
            said = await self.point.abefore(made)
            if isinstance(said, Refused):
                return refusal_of(self._tool, made.arguments, said)
            with self.point.noted(said) as kept:
                found = await inner(*args, **kwargs)
                kept.content, kept.failed = found.content, bool(found.is_error)
            return found

        return acall

    def taken(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Around the function, for who takes it out of the tool; inside of the tool's own call it is silent."""

        @functools.wraps(fn)
        def called(*args: Any, **kwargs: Any) -> Any:
            return self.point.through(self.call(args, kwargs), lambda: fn(*args, **kwargs), _raise)

        return called

    def ataken(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """The same for the coroutine function."""

        @functools.wraps(fn)
        async def called(*args: Any, **kwargs: Any) -> Any:
            return await self.point.athrough(self.call(args, kwargs), lambda: fn(*args, **kwargs), _raise)

        return called


def _like(inner: Callable[..., Any]) -> Callable[[T], T]:
    def named(fn: T) -> T:
        functools.update_wrapper(fn, inner)  # type: ignore[arg-type]  # what has no name gives none
        return fn

    return named


def _signature(fn: Any) -> inspect.Signature | None:
    try:
        found = inspect.signature(fn)
    except (TypeError, ValueError):
        return None
    parameters = [one for one in found.parameters.values() if one.name != "self"]
    return found.replace(parameters=parameters)


def refusal_of(tool: Any, given: Any, refused: Refused) -> Any:
    """A refusal as a tool's output that says it is an error."""
    made = ToolOutput(
        content=refused.text,
        tool_name=tool.metadata.get_name(),
        raw_input=dict(given) if isinstance(given, Mapping) else {"input": given},
        raw_output=refused.text,
        is_error=True,
    )
    if hasattr(made, "exception"):
        made._exception = refused.error()  # versions before 0.14.6 carry none
    return made


def _raise(refused: Refused) -> Any:
    raise refused.error()
