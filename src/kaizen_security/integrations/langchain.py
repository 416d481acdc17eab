"""LangChain and LangGraph: a callback handler for a run, ``guard_tool`` for one tool, or ``attach(kaizen)`` once for all.

Callbacks can only observe: what they raise ends the run or is swallowed. Each way to a tool (``invoke``, ``ainvoke``, ``ToolNode``,
agents old and new) leads through ``BaseTool.run`` and ``arun``, so these two ask, wherever one of our handlers is among the
callbacks of the call, and the handler tells who acts in which run.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.client import Kaizen
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.base import Call, Refused, attach_point, call_of, in_order
from kaizen_security.integrations.langchain_hosted import Place, brought_before, tell_answer
from kaizen_security.integrations.langchain_messages import (
    brought,
    conversation,
    handlers,
    last_words,
    own_words,
    request,
    state,
    without_injected,
)
from kaizen_security.integrations.runs import Running

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
    from langchain_core.runnables.config import ensure_config, var_child_runnable_config
    from langchain_core.tools import BaseTool
    from langchain_core.tracers.context import register_configure_hook
except ImportError as err:
    raise HookUnavailable("LangChain is not installed, or too old: pip install 'langchain-core>=1'") from err

SOURCE = "langchain"
MOST = 10_000
"""Runs within runs that are remembered while they go on; LangGraph makes one for every node."""


class KaizenCallbackHandler(BaseCallbackHandler):  # type: ignore[misc]  # LangChain is not there when types are checked
    """``agent.invoke(…, config={"callbacks": [KaizenCallbackHandler(kaizen)]})``: every tool of the run is judged before it runs.

    ``agents`` names nodes of your graph that are agents of their own; those of ``create_agent(name=…)`` are known by themselves.
    ``identity`` and ``always_ask`` as for ``base.AttachPoint``. Pickled, it is one for the other process's own client.
    """

    run_inline = True

    def __init__(
        self,
        kaizen: Kaizen | AsyncKaizen | None = None,
        *,
        agents: Iterable[str] = (),
        identity: bool = True,
        always_ask: bool = False,
    ) -> None:
        self.point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        self._agents = frozenset(agents)
        self._places: OrderedDict[UUID, Place] = OrderedDict()
        self._read: set[str] = set()
        self._unheard: set[str] = set()
        """Runs that began without a word."""
        self._lock = threading.Lock()
        _install()

    def __reduce__(self) -> tuple[Callable[..., KaizenCallbackHandler], tuple[tuple[str, ...], bool, bool]]:
        return _again, (tuple(self._agents), self.point.identity, self.point.always_ask)

    def __copy__(self) -> KaizenCallbackHandler:
        return self  # runs are told apart in it, so a copy would know none

    def __deepcopy__(self, memo: object) -> KaizenCallbackHandler:
        return self

    def place(self, run_id: UUID | None) -> Place | None:
        """Where the run of that id is; None when its beginning was not heard."""
        return None if run_id is None else self._places.get(run_id)

    # --- LangChain's events

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """A run, or a part of one, begins."""
        told = (metadata or {}).get("lc_agent_name")
        above = self.place(parent_run_id)
        if above is None:
            if parent_run_id is not None and not isinstance(inputs, dict):
                return
            asked = request(inputs)
            running = self.point.run(asked).begin()
            if not asked:
                if len(self._unheard) > MOST:
                    self._unheard.clear()  # those of runs that were never told to be over
                self._unheard.add(running.id)
            self._put(run_id, Place(running, (), told or name or ""))
            return
        if above.running.id in self._unheard:
            self._taken_up(above, inputs)
        acts = told if told else name if name in self._agents else above.name
        same = acts in ("", above.name)
        self._put(run_id, above if same else Place(above.running, (*above.agents, acts), acts))

    def _taken_up(self, place: Place, inputs: Any) -> None:
        """A run that waited for a person begins without a word, and its tools may run before a model is asked: the first of its
        parts that is given the conversation shows what it has been through.
        """
        found = conversation(inputs)
        if not found:
            return
        self._unheard.discard(place.running.id)
        if not place.agents and (said := own_words(found)):
            place.running.request(said)
        self._reads(place.running, found)

    def _reads(self, running: Running, found: Any) -> None:
        """What tools brought in earlier runs of the conversation. Once for a run."""
        if running.id in self._read:
            return
        if len(self._read) > MOST:
            self._read.clear()
        self._read.add(running.id)
        for id_, content in brought_before(found):
            running.read(content, action_id=id_)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """A tool runs, which was judged before; what it calls is part of the same run."""
        above = self.place(parent_run_id)
        if above is not None:
            self._put(run_id, above)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """A model is asked: the first time in a run, what tools brought in earlier runs of the conversation."""
        above = self.place(parent_run_id)
        if above is None:
            return
        above.running.asked()
        self._reads(above.running, messages)

    def on_llm_end(self, response: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any) -> None:
        """A model answered: tools that its provider ran on the way are told."""
        tell_answer(self.point, self.place(parent_run_id), response, run_id)

    def last_word(self, run_id: UUID | None) -> str:
        """Of the agent in the run of that id, which goes on asking for what it is refused; empty for any other. Said once."""
        place = self.place(run_id)
        return "" if place is None else place.running.ended.pop(place.agents, "")

    def on_chain_end(self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any) -> None:
        """It is over."""
        place = self._places.pop(run_id, None)
        if place is not None and self._is_whole(place, parent_run_id):
            self._unheard.discard(place.running.id)
            place.running.message(last_words(outputs))
            place.running.end()

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **_: Any
    ) -> None:
        """It broke off."""
        place = self._places.pop(run_id, None)
        # An interrupt of LangGraph is none: the run waits for a person, and goes on later under an id of its own.
        if place is not None and self._is_whole(place, parent_run_id):
            self._unheard.discard(place.running.id)
            place.running.end(completed=False)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        """A tool is done; what it brought was noted where it ran."""
        self._places.pop(run_id, None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """A tool raised."""
        self._places.pop(run_id, None)

    def _is_whole(self, place: Place, parent_run_id: UUID | None) -> bool:
        above = self.place(parent_run_id)
        return above is None or above.running is not place.running

    def _put(self, run_id: UUID, place: Place) -> None:
        with self._lock:
            self._places[run_id] = place
            if len(self._places) > MOST:
                self._places.popitem(last=False)

    # --- one call

    def call(self, tool: Any, given: Any, call_id: str, run_id: UUID | None, config: Any = None) -> Call:
        """The call of a tool in our words."""
        place = self.place(run_id)
        if place is not None and place.running.id in self._unheard:
            self._taken_up(place, state(config))
        return call_of(
            str(tool.name),
            without_injected(tool, given) if isinstance(given, dict) else given,
            call_id,
            () if place is None else place.agents,
            None if place is None else place.running,
            fn=getattr(tool, "func", None) or getattr(tool, "coroutine", None),
        )


def _again(agents: tuple[str, ...], identity: bool, always_ask: bool) -> KaizenCallbackHandler:
    return KaizenCallbackHandler(agents=agents, identity=identity, always_ask=always_ask)


def guard_tool(kaizen: Kaizen | AsyncKaizen | None, tool: Any = None, **settings: Any) -> Any:
    """A copy of the tool whose calls are judged, whoever calls it. A plain function is guarded as ``Kaizen.guard`` does.

    ``guard_tool(tool)`` alone takes the client of this process; the two may be given in either order.
    """
    kaizen, tool = in_order(kaizen, tool)
    handler = KaizenCallbackHandler(kaizen, **settings)
    if not isinstance(tool, BaseTool):
        return handler.point.kaizen.guard(tool)
    given = tool.callbacks
    own = list(given) if isinstance(given, list) else list(getattr(given, "handlers", ()))
    return tool.model_copy(update={"callbacks": [*own, handler]})


_GLOBAL: list[KaizenCallbackHandler] = []


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None,
    *,
    agents: Iterable[str] = (),
    identity: bool = True,
    always_ask: bool = False,
) -> Callable[[], None]:
    """Judge every tool of every run of this process. Gives what takes it off again."""
    handler = KaizenCallbackHandler(kaizen, agents=agents, identity=identity, always_ask=always_ask)
    _GLOBAL[:] = [handler]

    def detach() -> None:
        if handler in _GLOBAL:
            _GLOBAL.clear()

    return detach


class _Everywhere:
    """Stands for a context variable where LangChain looks for handlers that are always there."""

    def get(self, default: Any = None) -> Any:
        return _GLOBAL[0] if _GLOBAL else default


_INSTALLED: list[_Everywhere] = []


def _install() -> None:
    """Let ``BaseTool.run`` and ``arun`` ask. Once; without one of our handlers around, they are what they were."""
    if _INSTALLED:
        return
    _INSTALLED.append(_Everywhere())
    register_configure_hook(_INSTALLED[0], inheritable=True)
    run, arun = BaseTool.run, BaseTool.arun

    @functools.wraps(run)
    def asking_run(self: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        handler, run_id = _handler(self, args, kwargs)
        if handler is None:
            return run(self, tool_input, *args, **kwargs)

        def body() -> Any:
            token = _AROUND.set((handler, run_id))
            try:
                return run(self, tool_input, *args, **kwargs)
            finally:
                _AROUND.reset(token)

        call = handler.call(self, tool_input, str(kwargs.get("tool_call_id") or ""), run_id, kwargs.get("config"))
        return handler.point.through(call, body, functools.partial(_refused, self, kwargs), brought)

    @functools.wraps(arun)
    async def asking_arun(self: Any, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        handler, run_id = _handler(self, args, kwargs)
        if handler is None:
            return await arun(self, tool_input, *args, **kwargs)

        async def body() -> Any:
            token = _AROUND.set((handler, run_id))
            try:
                return await arun(self, tool_input, *args, **kwargs)
            finally:
                _AROUND.reset(token)

        call = handler.call(self, tool_input, str(kwargs.get("tool_call_id") or ""), run_id, kwargs.get("config"))
        return await handler.point.athrough(call, body, functools.partial(_refused, self, kwargs), brought)

    BaseTool.run, BaseTool.arun = asking_run, asking_arun
    _install_models()


def _install_models() -> None:
    """Let a model that goes on asking for what it is refused not be asked again: the refusal is its answer. Where a run has none to
    end, models are what they were.
    """
    invoke, ainvoke = BaseChatModel.invoke, BaseChatModel.ainvoke
    stream, astream = BaseChatModel.stream, BaseChatModel.astream

    @functools.wraps(invoke)
    def asked(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002  # its own name
        word = _last_word(config, kwargs)
        return AIMessage(content=word) if word else invoke(self, input, config, **kwargs)

    @functools.wraps(ainvoke)
    async def aasked(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002
        word = _last_word(config, kwargs)
        return AIMessage(content=word) if word else await ainvoke(self, input, config, **kwargs)

    @functools.wraps(stream)
    def streamed(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        word = _last_word(config, kwargs)
        return iter([AIMessageChunk(content=word)]) if word else stream(self, input, config, **kwargs)

    @functools.wraps(astream)
    async def astreamed(self: Any, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        word = _last_word(config, kwargs)
        if word:
            yield AIMessageChunk(content=word)
            return
        async with aclosing(astream(self, input, config, **kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk

    BaseChatModel.invoke, BaseChatModel.ainvoke = asked, aasked
    BaseChatModel.stream, BaseChatModel.astream = streamed, astreamed


def _last_word(config: Any, kwargs: dict[str, Any]) -> str:
    """Empty wherever the model is to be asked. Only where it may choose between tools and words are words an answer."""
    free = kwargs.get("tool_choice") in (None, "auto", {"type": "auto"}) and "response_format" not in kwargs
    if not _ENDING or not free or not kwargs.get("tools"):
        return ""
    callbacks = ensure_config(config).get("callbacks")
    for handler in (*handlers(callbacks), *_GLOBAL):
        if isinstance(handler, KaizenCallbackHandler):
            return handler.last_word(getattr(callbacks, "parent_run_id", None))
    return ""


_ENDING: list[bool] = []
"""Whether any run of this process had to be ended: before that no model pays for a look."""


def _refused(tool: Any, kwargs: dict[str, Any], refused: Refused) -> Any:
    if refused.ends:
        _ENDING[:] = [True]
    if not (call_id := kwargs.get("tool_call_id")):
        return refused.text
    return ToolMessage(content=refused.text, tool_call_id=call_id, name=tool.name, status="error")


_AROUND: ContextVar[tuple[Any, UUID | None]] = ContextVar("kaizen_langchain", default=(None, None))
"""The handler and the run of the judged call whose body runs: what that calls by hand tells its own body of no callbacks at all."""


def _handler(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, UUID | None]:
    """Our handler among the callbacks of a call, and the id of the run that it is part of."""
    given = kwargs["callbacks"] if "callbacks" in kwargs else args[3] if len(args) > 3 else None
    for handler in (*handlers(given), *handlers(tool.callbacks), *_GLOBAL):
        if isinstance(handler, KaizenCallbackHandler):
            return handler, getattr(given, "parent_run_id", None)
    # A tool's body that calls another one by hand tells it nothing; LangChain keeps the run that it is part of in the context.
    around = (var_child_runnable_config.get() or {}).get("callbacks")
    for handler in handlers(around):
        if isinstance(handler, KaizenCallbackHandler):
            return handler, getattr(around, "parent_run_id", None)
    return _AROUND.get()
