"""Semantic Kernel: a filter around every function of a kernel, and the runs of agents and orchestrations.

    attach(kaizen, agent)               an agent, an orchestration or a kernel, with its runs
    attach(kaizen)                      every kernel and every chat completion agent of this process
    kernel.add_filter("function_invocation", kaizen_filter(kaizen))      the filter alone

Functions that a model calls, that the host invokes and that stream all go through this one kind of filter. A refusal becomes the
function's result.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from kaizen_security.contract.errors import HookUnavailable, Misconfigured
from kaizen_security.integrations.base import AttachPoint, Refused, attach_point, call_of
from kaizen_security.integrations.runs import MAX_TEXT, RUNNING, Conversations, Running, beside
from kaizen_security.integrations.semantic_kernel_words import asked, streamed, text, voiced

try:
    from semantic_kernel import Kernel
    from semantic_kernel.agents import Agent, ChatCompletionAgent
    from semantic_kernel.agents.orchestration.handoffs import HANDOFF_PLUGIN_NAME, HandoffAgentActor
    from semantic_kernel.agents.orchestration.orchestration_base import OrchestrationBase
    from semantic_kernel.contents import AuthorRole
    from semantic_kernel.filters import FilterTypes
    from semantic_kernel.functions import FunctionResult
except ImportError as err:
    raise HookUnavailable("semantic_kernel: needs semantic-kernel 1.37 or newer (pip install semantic-kernel)") from err

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

SOURCE = "semantic-kernel"
Next = Callable[[Any], Awaitable[None]]
_CALL_ID: ContextVar[str] = ContextVar("kaizen_sk_call", default="")
_AGENTS: ContextVar[tuple[str, ...]] = ContextVar("kaizen_sk_agents", default=())
"""The agents down to the one that runs just now, without the first."""


def kaizen_filter(
    kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
) -> Callable[[Any, Next], Awaitable[None]]:
    """A filter of type ``function_invocation``: judges the call, and gives the refusal as its result instead of running it.

    Add it after all others: it judges the arguments that they leave behind. Raises Misconfigured for a setting that cannot be used.
    """
    return _function_filter(attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask))


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None, *parts: Any, identity: bool = True, always_ask: bool = False
) -> AttachPoint:
    """Attach kernels, agents and orchestrations in place, or, without any, all kernels and chat completion agents of this process.

    Their functions, signatures and results stay as they are.
    An agent alone acts as the client's own agent; members of an orchestration, and agents that another one calls as a function, as
    ``AGENT/name``, unless ``identity`` is False. Raises Misconfigured for another thing or a setting that cannot be used.
    """
    point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
    if not parts:
        _attach_all(point)
    for part in parts:
        if isinstance(part, Kernel):
            _attach_kernel(point, part)
        elif isinstance(part, Agent):
            _attach_agent(point, part, None, ())
        elif isinstance(part, OrchestrationBase):
            _attach_orchestration(point, part)
        else:
            raise Misconfigured(
                f"attach: {type(part).__name__} is no kernel, agent or orchestration of Semantic Kernel"
            )
    return point


def detach() -> None:
    """Take off what ``attach`` without parts put on."""
    _GLOBAL.clear()


_GLOBAL: list[AttachPoint] = []


def _attach_all(point: AttachPoint) -> None:
    _GLOBAL[:] = [point]
    inner = Kernel.construct_call_stack
    if hasattr(inner, "_kaizen"):
        return

    @functools.wraps(inner)
    def construct_call_stack(self: Any, filter_type: Any, inner_function: Any) -> Any:
        if _GLOBAL and filter_type == FilterTypes.FUNCTION_INVOCATION:
            inner_function = partial(_filtered, _GLOBAL[0], next=inner_function)
        elif _GLOBAL and filter_type == FilterTypes.AUTO_FUNCTION_INVOCATION:
            inner_function = partial(_named, next=inner_function)
        return inner(self, filter_type, inner_function)

    construct_call_stack._kaizen = True  # type: ignore[attr-defined]
    Kernel.construct_call_stack = construct_call_stack
    for method, around in (("invoke", _streamed), ("invoke_stream", _streamed), ("get_response", _answered)):
        setattr(ChatCompletionAgent, method, _for_all(getattr(ChatCompletionAgent, method), method, around))


def _for_all(inner: Callable[..., Any], name: str, around: Callable[..., Any]) -> Callable[..., Any]:
    """A method of all agents; one that was attached by itself has its own before this one."""

    @functools.wraps(inner)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not _GLOBAL:
            return inner(self, *args, **kwargs)
        return around(_GLOBAL[0], partial(inner, self), self.name, None, ())(*args, **kwargs)

    method._kaizen = inner  # type: ignore[attr-defined]
    return method


# --- functions


async def _filtered(point: AttachPoint, context: Any, next: Next) -> None:  # noqa: A002  # the framework's own name
    """Around one function of a kernel."""
    function = context.function
    if _hands_over(function):
        _tell_hand_over(point, function)
        await next(context)
        return
    if function.is_prompt and not _CALL_ID.get():
        await next(context)  # the host's own prompt: its functions pass here one by one
        return
    method = getattr(function, "method", None)
    publisher = function.plugin_name or ""
    call = call_of(function.name, _given(context), _CALL_ID.get(), _AGENTS.get(), None, publisher=publisher, fn=method)
    said = await point.abefore(call)
    if isinstance(said, Refused):
        context.result = FunctionResult(function=function.metadata, value=said.text)
        return
    within = _CALL_ID.set("")
    try:
        with point.noted(said) as kept:
            await next(context)
            kept.content = _plain(context.result)
    finally:
        _CALL_ID.reset(within)


# Kernels are cloned with a deep copy of their filters; functions, unlike other callables, stay what they are.


def _function_filter(point: AttachPoint) -> Callable[[Any, Next], Awaitable[None]]:
    async def kaizen_function_filter(context: Any, next: Next) -> None:  # noqa: A002
        await _filtered(point, context, next)

    return kaizen_function_filter


def _call_filter(filter_: Callable[..., Any]) -> Callable[[Any, Next], Awaitable[None]]:
    """Around one call of a model: its id, and our filter where it belongs, next to the function."""

    async def kaizen_call_filter(context: Any, next: Next) -> None:  # noqa: A002
        _innermost(context.kernel, filter_)
        await _named(context, next)

    return kaizen_call_filter


async def _named(context: Any, next: Next) -> None:  # noqa: A002
    token, run = _CALL_ID.set(str(getattr(context.function_call_content, "id", "") or "unnamed")), RUNNING.get()
    try:
        if run is not None:
            run.asked((id(context.chat_history), context.request_sequence_index))
        await next(context)
        if run is not None and _AGENTS.get() in run.ended:
            context.terminate = True  # the model is not asked again
    finally:
        _CALL_ID.reset(token)


def _attach_kernel(point: AttachPoint, kernel: Any) -> None:
    for filters in (kernel.function_invocation_filters, kernel.auto_function_invocation_filters):
        filters[:] = [one for one in filters if getattr(one[1], "__module__", "") != __name__]
    filter_ = _function_filter(point)
    kernel.add_filter(FilterTypes.FUNCTION_INVOCATION, filter_)
    kernel.add_filter(FilterTypes.AUTO_FUNCTION_INVOCATION, _call_filter(filter_))


def _innermost(kernel: Any, filter_: Callable[..., Any]) -> None:
    """The host may have added filters of its own since: ours has to see the arguments last."""
    filters = kernel.function_invocation_filters
    if filters and filters[0][1] is not filter_:
        for index, one in enumerate(filters):
            if one[1] is filter_:
                filters.insert(0, filters.pop(index))
                return


def _given(context: Any) -> dict[str, object]:
    """Of all that the host carries along, what this function takes."""
    names = {one.name for one in context.function.parameters}
    return {name: value for name, value in context.arguments.items() if not names or name in names}


def _plain(result: Any) -> object:
    value = getattr(result, "value", None)
    return value if value is None or isinstance(value, str | int | float | list | dict | bool) else str(result)


def _hands_over(function: Any) -> bool:
    """One of the functions by which an orchestration lets its members hand work on; no tool of an agent's."""
    if function.plugin_name != HANDOFF_PLUGIN_NAME:
        return False
    method = getattr(function, "method", None)
    method = method.func if isinstance(method, partial) else method
    return isinstance(getattr(method, "__self__", None), HandoffAgentActor)


def _tell_hand_over(point: AttachPoint, function: Any) -> None:
    run = RUNNING.get()
    if run is not None and function.name.startswith("transfer_to_"):
        run.message(function.name, kaizen=point.agent(_AGENTS.get()), to=function.name.removeprefix("transfer_to_"))


# --- agents and orchestrations
class _Shared:
    """The run of an orchestration, whose members work in tasks of the runtime and not in its caller's context."""

    def __init__(self) -> None:
        self.run: Running | None = None


def _attach_agent(point: AttachPoint, agent: Any, shared: _Shared | None, name: tuple[str, ...]) -> None:
    _attach_kernel(point, agent.kernel)
    for method in ("invoke", "invoke_stream"):
        inner = _inner(agent, method)
        _put(agent, method, _streamed(point, inner, agent.name, shared, name))
    inner = _inner(agent, "get_response")
    _put(agent, "get_response", _answered(point, inner, agent.name, shared, name))


def _inner(part: Any, name: str) -> Any:
    """The framework's own method, below whatever of ours is on it."""
    method = getattr(part, name)
    below = getattr(method, "_kaizen", None)
    return getattr(method, "_kaizen_inner", method) if below is None else partial(below, part)


def _put(part: Any, name: str, made: Callable[..., Any]) -> None:
    # Agents are pydantic models: an attribute that is no field of theirs is put past their own ``__setattr__``.
    object.__setattr__(part, name, made)


def _answered(
    point: AttachPoint, inner: Callable[..., Any], agent: str, shared: _Shared | None, name: tuple[str, ...]
) -> Callable[..., Any]:
    async def get_response(*args: Any, **kwargs: Any) -> Any:
        with _begun(point, agent, shared, name, asked(args, kwargs), kwargs.get("thread")) as scope:
            with scope.inside():
                answer = await inner(*args, **kwargs)
            scope.goes_on_in(getattr(answer, "thread", None))
            word = scope.last_word()
            if word:
                voiced(answer, word)
            scope.said(text(answer))
            return answer

    get_response._kaizen_inner = inner  # type: ignore[attr-defined]
    return get_response


def _streamed(
    point: AttachPoint, inner: Callable[..., Any], agent: str, shared: _Shared | None, name: tuple[str, ...]
) -> Callable[..., Any]:
    async def invoke(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        said: list[str] = []
        thread = kwargs.get("thread")
        with _begun(point, agent, shared, name, asked(args, kwargs), thread) as scope:
            items = inner(*args, **kwargs)
            try:
                while True:
                    # A generator runs in its reader's context: what is set in one step is taken back in it.
                    try:
                        with scope.inside():
                            item = await anext(items)
                    except StopAsyncIteration:
                        break
                    thread = item.thread
                    scope.goes_on_in(thread)
                    if item.message.role == AuthorRole.TOOL and (word := scope.last_word()):
                        voiced(item, word)
                    if len(said) < MAX_TEXT:
                        said.append(text(item))
                    yield item
            finally:
                await items.aclose()
            if word := scope.last_word():
                said.append(word)
                yield streamed(word, agent, thread)
            scope.said("".join(said))

    invoke._kaizen_inner = inner  # type: ignore[attr-defined]
    return invoke


class _Scope:
    """One invocation of an agent within its run."""

    def __init__(self, point: AttachPoint, run: Running, agents: tuple[str, ...], *, own: bool = False) -> None:
        self._point, self._run, self._agents, self._own = point, run, agents, own

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The context of one step of the agent."""
        tokens = _AGENTS.set(self._agents), _CALL_ID.set("")
        try:
            with self._run.within():
                yield
        finally:
            _AGENTS.reset(tokens[0])
            _CALL_ID.reset(tokens[1])

    def last_word(self) -> str:
        """Of an agent that goes on asking for what it is refused; empty for any other. Once."""
        return self._run.ended.pop(self._agents, "")

    def goes_on_in(self, thread: Any) -> None:
        """The thread that the host may hand to the next invocation."""
        if self._own:
            _THREADS.keep(thread, self._run)

    def said(self, words: str) -> None:
        """Words of the agent."""
        self._run.message(words, kaizen=self._point.agent(self._agents))


_THREADS = Conversations()


@contextmanager
def _begun(
    point: AttachPoint, agent: str, shared: _Shared | None, name: tuple[str, ...], words: str, thread: Any
) -> Iterator[_Scope]:
    outer = RUNNING.get() or (shared.run if shared is not None else None)
    if outer is None:
        run = _THREADS.begin(point.kaizen, thread, words)
        completed = False
        try:
            yield _Scope(point, run, name, own=True)
            completed = True
        except GeneratorExit:
            completed = True  # whoever reads it has enough
            raise
        finally:
            run.end(completed=completed)
        return
    above = _AGENTS.get()
    agents = (*above, agent) if RUNNING.get() is outer else name
    if RUNNING.get() is outer and words:
        outer.message(words, kaizen=point.agent(above), to=agent)
    yield _Scope(point, outer, agents)


def _attach_orchestration(point: AttachPoint, orchestration: Any) -> None:
    shared = _Shared()
    for member in orchestration._members:
        _attach_agent(point, member, shared, (member.name,))
    inner = _inner(orchestration, "invoke")

    async def invoke(*args: Any, **kwargs: Any) -> Any:
        run = point.run(asked(args, kwargs, "task")).begin()
        shared.run = run
        result = None
        try:
            result = await inner(*args, **kwargs)
        finally:
            if result is None:
                run.end(completed=False)
        beside(_ended(run, shared, result))
        return result

    invoke._kaizen_inner = inner  # type: ignore[attr-defined]
    orchestration.invoke = invoke


async def _ended(run: Running, shared: _Shared, result: Any) -> None:
    completed = False
    try:
        await result.event.wait()
        completed = result.exception is None
    finally:
        if shared.run is run:
            shared.run = None
        run.end(completed=completed)
