"""Guard: a tool whose calls are judged before they run. What the tool is, to its callers, does not change."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from kaizen_security.client.acts import ACT, is_told
from kaizen_security.client.arguments import plain
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen

F = TypeVar("F", bound=Callable[..., object])
MAX_ITEMS = 200
"""Items of a generator that are noted as its result."""


STATED = "__kaizen_stated__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What was said of a tool when it was guarded; ``target`` is the name of an argument, empty when none was named."""

    tool: str
    kind: str = "tool_call"
    target: str = ""
    sensitive: bool = False

    def target_in(self, arguments: object) -> str:
        """What the argument of that name says, in arguments that are a document."""
        found = arguments.get(self.target) if self.target and isinstance(arguments, dict) else None
        return found if isinstance(found, str) else "" if found is None else str(found)


def stated_of(fn: object) -> Stated | None:
    """What was said of ``fn`` by ``guard``, None when it is not guarded. An attachment further out judges the call by it."""
    found = getattr(fn, STATED, None)
    return found if isinstance(found, Stated) else None


class _Guard:
    """One decorated tool."""

    def __init__(
        self,
        kaizen: Kaizen,
        fn: Callable[..., object],
        *,
        tool: str | None,
        kind: str,
        target: str | None,
        sensitive: bool,
    ) -> None:
        self._kaizen = kaizen
        self.tool = tool or getattr(fn, "__name__", "") or type(fn).__name__
        self._kind = kind
        self._target = target
        self._sensitive = sensitive
        self._signature = _signature(fn)
        self._skip = _bound_first(fn, self._signature)
        if target is not None and (self._signature is None or target not in self._signature.parameters):
            raise Misconfigured(f"guard: {self.tool} has no argument {target!r} that could be the target")

    def action(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Action:
        """The call as an action. A call that does not fit the signature is judged by its tool; Python refuses it afterwards."""
        arguments = self._arguments(args, kwargs)
        metadata: dict[str, object] = {"source": "sdk", "arguments": arguments}
        if self._sensitive:
            metadata["sensitive"] = True
        target = arguments.get(self._target) if self._target is not None else ""
        return Action(
            kind=self._kind,
            tool=self.tool,
            target=target if isinstance(target, str) else "" if target is None else str(plain(target)),
            metadata=metadata,  # type: ignore[arg-type]  # made plain before it goes anywhere
            id=self._kaizen.ids.new(),
        )

    def _arguments(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> dict[str, object]:
        if self._signature is None:
            return {"args": list(args), **kwargs} if args else dict(kwargs)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:
            return {}
        bound.apply_defaults()
        return {name: value for name, value in bound.arguments.items() if name != self._skip}

    def before(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Action | None:
        """Judge the call; None when an attachment further out has had this very act judged. Raises KaizenBlocked."""
        action = self.action(args, kwargs)
        if ACT.get() is not None and is_told(action):
            return None
        self._kaizen.enforce(action)
        return action

    async def before_async(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Action | None:
        """The same without holding up the event loop."""
        action = self.action(args, kwargs)
        if ACT.get() is not None and is_told(action):
            return None
        await self._kaizen.aenforce(action)
        return action

    def after(self, action: Action | None, content: object, *, failed: bool) -> None:
        """Note what it brought back, unless somebody further out does."""
        if action is not None:
            self._kaizen.note_result(action, content, failed=failed)


def guarded(kaizen: Kaizen, fn: F, *, tool: str | None, kind: str, target: str | None, sensitive: bool) -> F:
    """``fn`` judged by ``kaizen`` before each call. Raises Misconfigured for a target that is no argument of it."""
    if isinstance(fn, staticmethod | classmethod):
        inner = guarded(kaizen, fn.__func__, tool=tool, kind=kind, target=target, sensitive=sensitive)
        return type(fn)(inner)
    if not callable(fn):
        raise Misconfigured(f"guard: a tool must be callable, and {type(fn).__name__} is not")
    guard = _Guard(kaizen, fn, tool=tool, kind=kind, target=target, sensitive=sensitive)
    called = fn if inspect.isroutine(fn) or isinstance(fn, functools.partial) else type(fn).__call__
    if inspect.isasyncgenfunction(called):
        wrapper = _async_generator(guard, fn)
    elif inspect.iscoroutinefunction(called):
        wrapper = _coroutine(guard, fn)
    elif inspect.isgeneratorfunction(called):
        wrapper = _generator(guard, fn)
    else:
        wrapper = _function(guard, fn)
    stands_for = functools.update_wrapper(wrapper, fn)
    vars(stands_for)[STATED] = Stated(tool=guard.tool, kind=kind, target=target or "", sensitive=sensitive)
    return stands_for  # type: ignore[return-value]  # it stands for fn


def _function(guard: _Guard, fn: Callable[..., object]) -> Callable[..., object]:
    def wrapper(*args: object, **kwargs: object) -> object:
        action = guard.before(args, kwargs)
        outer = None if action is None else ACT.set(action)
        result, failed = None, True
        try:
            result = fn(*args, **kwargs)
            failed = False
            return result
        finally:
            if outer is not None:
                ACT.reset(outer)
            guard.after(action, result, failed=failed)

    return wrapper


def _coroutine(guard: _Guard, fn: Callable[..., object]) -> Callable[..., object]:
    async def wrapper(*args: object, **kwargs: object) -> object:
        action = await guard.before_async(args, kwargs)
        outer = None if action is None else ACT.set(action)
        result, failed = None, True
        try:
            result = await fn(*args, **kwargs)  # type: ignore[misc]  # a coroutine function gives an awaitable
            failed = False
            return result
        finally:
            if outer is not None:
                ACT.reset(outer)
            guard.after(action, result, failed=failed)

    return wrapper


def _generator(guard: _Guard, fn: Callable[..., object]) -> Callable[..., object]:
    def wrapper(*args: object, **kwargs: object) -> Generator[object, object, object]:
        # Nothing of a generator function runs before its first step, and neither does the judging.
        action = guard.before(args, kwargs)
        seen: list[object] = []
        failed = True
        try:
            result = yield from _relayed(fn(*args, **kwargs), seen)  # type: ignore[arg-type]
            failed = False
            return result
        except GeneratorExit:
            failed = False  # whoever reads it has enough
            raise
        finally:
            guard.after(action, seen, failed=failed)

    return wrapper


def _relayed(inner: Generator[object, object, object], seen: list[object]) -> Generator[object, object, object]:
    """PEP 380's ``yield from``, with a look at what passes: values sent and exceptions thrown in reach ``inner``."""
    try:
        item = next(inner)
        while True:
            if len(seen) < MAX_ITEMS:
                seen.append(item)
            try:
                sent = yield item
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as err:  # noqa: BLE001  # a listed boundary
                item = inner.throw(err)
            else:
                item = inner.send(sent)
    except StopIteration as stop:
        return stop.value


def _async_generator(guard: _Guard, fn: Callable[..., object]) -> Callable[..., object]:
    async def wrapper(*args: object, **kwargs: object) -> AsyncGenerator[object, object]:
        action = await guard.before_async(args, kwargs)
        inner: AsyncGenerator[object, object] = fn(*args, **kwargs)  # type: ignore[assignment]
        seen: list[object] = []
        failed = True
        try:
            item = await anext(inner)
            while True:
                if len(seen) < MAX_ITEMS:
                    seen.append(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    failed = False
                    await inner.aclose()
                    raise
                except BaseException as err:  # noqa: BLE001  # a listed boundary
                    item = await inner.athrow(err)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            failed = False
        finally:
            guard.after(action, seen, failed=failed)

    return wrapper


def _signature(fn: Callable[..., object]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except (ValueError, TypeError):
        return None  # some built-in functions have none


def _bound_first(fn: Callable[..., object], signature: inspect.Signature | None) -> str:
    """The first parameter of a function that stands in a class: the object, which is no argument of the tool."""
    first = next(iter(signature.parameters), "") if signature else ""
    return first if first in ("self", "cls") else ""
