"""A guarded tool is the same tool, except that it does not run when it must not."""

from __future__ import annotations

import asyncio
import functools
import inspect

import pytest

from kaizen_security import Kaizen, KaizenBlocked, Policy
from kaizen_security.contract.errors import Misconfigured

DENY = Policy("blocklist", {"domains": ["evil.example"], "skill_patterns": ["forbidden.*"]})


@pytest.fixture
def judged():
    return []


@pytest.fixture
def kaizen(judged):
    with Kaizen(policies=[DENY], on_verdict=lambda verdict, action: judged.append(action)) as kaizen:
        yield kaizen


@pytest.fixture
def results(kaizen, monkeypatch):
    found = []
    monkeypatch.setattr(kaizen, "note_result", lambda action, content, failed: found.append((content, failed)))
    return found


def test_signature_name_docstring_and_annotations_stay(kaizen):
    def fetch(url: str, *, tries: int = 3) -> bytes:
        """Get it."""
        return url.encode() * tries

    guarded = kaizen.guard(fetch)
    assert inspect.signature(guarded) == inspect.signature(fetch)
    assert (guarded.__name__, guarded.__doc__, guarded.__module__) == ("fetch", "Get it.", __name__)
    assert guarded.__wrapped__ is fetch
    assert guarded("x", tries=2) == b"xx"


@pytest.mark.parametrize("decorate", [lambda kaizen: kaizen.guard, lambda kaizen: kaizen.guard()])
def test_with_and_without_parentheses(kaizen, judged, decorate):
    @decorate(kaizen)
    def search(query, limit=5):
        return query, limit

    assert search("a") == ("a", 5)
    assert (judged[0].tool, judged[0].kind) == ("search", "tool_call")
    assert judged[0].metadata["arguments"] == {"query": "a", "limit": 5}


def test_a_blocked_tool_does_not_run(kaizen, results):
    ran = []
    forbidden = kaizen.guard(lambda: ran.append(1), tool="forbidden_thing")
    with pytest.raises(KaizenBlocked, match="malicious skill pattern"):
        forbidden()
    assert ran == []
    assert results == []


@pytest.mark.parametrize("call", [lambda f: f("evil.example"), lambda f: f(url="evil.example"), lambda f: f()])
def test_the_target_is_taken_from_its_argument_however_it_is_passed(kaizen, call):
    @kaizen.guard(tool="fetch", kind="http", target="url")
    def fetch(url="https://evil.example/x"):
        return url

    with pytest.raises(KaizenBlocked, match="malicious domain"):
        call(fetch)
    assert fetch("https://good.example/") == "https://good.example/"


def test_a_target_that_is_no_argument_is_refused_when_decorating(kaizen):
    with pytest.raises(Misconfigured, match="'uri'"):
        kaizen.guard(target="uri")(lambda url: url)
    with pytest.raises(Misconfigured, match="callable"):
        kaizen.guard(tool="x")(3)


def test_exceptions_pass_untouched_and_are_noted(kaizen, results):
    error = ValueError("the tool's own")

    @kaizen.guard
    def broken():
        raise error

    with pytest.raises(ValueError) as raised:
        broken()
    assert raised.value is error
    assert raised.value.__cause__ is None
    assert results == [(None, True)]


def test_a_call_that_does_not_fit_gets_pythons_own_error(kaizen):
    @kaizen.guard
    def one(a):
        return a

    with pytest.raises(TypeError, match=r"one\(\) missing 1 required positional argument"):
        one()


class Tools:
    def __init__(self, kaizen):
        self.name = "instance"
        self.send = kaizen.guard(self.send)

    def send(self, to):
        return self.name, to


def test_methods_of_every_kind(kaizen, judged, results):
    class Desk:
        size = 3

        @kaizen.guard(target="host")
        def connect(self, host):
            return self.size, host

        @classmethod
        @kaizen.guard
        def made(cls, n):
            return cls.size, n

        @kaizen.guard
        @staticmethod
        def free(n):
            return n

        @kaizen.guard
        @classmethod
        def other(cls, n):
            return cls.size, n

    assert Desk().connect("h") == (3, "h")
    assert Desk.made(1) == (3, 1)
    assert (Desk.free(2), Desk().free(2)) == (2, 2)
    assert Desk.other(1) == (3, 1)
    assert Tools(kaizen).send("bob") == ("instance", "bob")
    assert [action.metadata["arguments"] for action in judged] == [
        {"host": "h"}, {"n": 1}, {"n": 2}, {"n": 2}, {"n": 1}, {"to": "bob"},
    ]  # fmt: skip
    with pytest.raises(KaizenBlocked):
        Desk().connect("evil.example")
    assert len(results) == 6


def test_callables_that_are_no_functions(kaizen, judged):
    class Adder:
        """Adds."""

        def __call__(self, a, b=1):
            return a + b

    assert kaizen.guard(Adder())(1) == 2
    assert kaizen.guard(functools.partial(max, 3), tool="max")(5) == 5
    assert kaizen.guard(len)([1]) == 1
    assert kaizen.guard(dict.get)({1: 2}, 1) == 2
    assert [action.tool for action in judged] == ["Adder", "max", "len", "get"]


def test_coroutines(kaizen, results):
    ran = []

    @kaizen.guard(target="host")
    async def fetch(host):
        ran.append(host)
        await asyncio.sleep(0)
        if host == "broken":
            raise ConnectionError(host)
        return host.upper()

    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("good.example")) == "GOOD.EXAMPLE"
    with pytest.raises(KaizenBlocked):
        asyncio.run(fetch("evil.example"))
    with pytest.raises(ConnectionError):
        asyncio.run(fetch("broken"))
    assert ran == ["good.example", "broken"]
    assert results == [("GOOD.EXAMPLE", False), (None, True)]


def test_a_cancelled_coroutine_is_cancelled_and_noted(kaizen, results):
    @kaizen.guard
    async def slow():
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert results == [(None, True)]


def conversation(guard):
    """A generator that answers what it is sent, survives what is thrown in, and returns something."""

    @guard
    def talk(first):
        got = [first]
        try:
            while len(got) < 4:
                try:
                    got.append((yield got[-1]))
                except KeyError as err:
                    got.append(err.args[0])
        finally:
            got.append("closed")
        return got

    return talk


def played(talk):
    gen = talk("a")
    heard = [next(gen), gen.send("b"), gen.throw(KeyError("c"))]
    try:
        gen.send("d")
    except StopIteration as stop:
        heard.append(stop.value)
    return heard


def test_generators_behave_as_before(kaizen, results):
    guarded = conversation(kaizen.guard)
    assert inspect.isgeneratorfunction(guarded)
    assert played(guarded) == played(conversation(lambda fn: fn)) == ["a", "b", "c", ["a", "b", "c", "d", "closed"]]
    assert results == [(["a", "b", "c"], False)]


def test_a_generator_that_nobody_finishes_is_closed(kaizen, results):
    closed = []

    @kaizen.guard
    def numbers():
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    gen = numbers()
    assert [next(gen), next(gen)] == [0, 1]
    gen.close()
    assert closed == [True]
    assert results == [([0, 1], False)]


def test_an_error_thrown_into_a_generator_comes_out_of_it(kaizen, results):
    @kaizen.guard
    def numbers():
        yield 1

    gen = numbers()
    next(gen)
    with pytest.raises(LookupError, match="mine"):
        gen.throw(LookupError("mine"))
    assert results == [([1], True)]


def test_a_blocked_generator_never_takes_its_first_step(kaizen):
    ran = []

    @kaizen.guard(tool="forbidden_stream")
    def stream():
        ran.append(1)
        yield 1

    with pytest.raises(KaizenBlocked):
        next(stream())
    assert ran == []


def test_async_generators_behave_as_before(kaizen, results):
    def make(guard):
        @guard
        async def talk(first):
            got = first
            closed.append("open")
            try:
                while got != "end":
                    try:
                        got = yield got
                    except KeyError as err:
                        got = err.args[0]
            finally:
                closed.append("closed")

        return talk

    async def play(talk):
        gen = talk("a")
        heard = [await anext(gen), await gen.asend("b"), await gen.athrow(KeyError("c"))]
        with pytest.raises(StopAsyncIteration):
            await gen.asend("end")
        other = talk("x")
        heard.append(await anext(other))
        await other.aclose()
        return heard

    closed = []
    guarded = make(kaizen.guard)
    assert inspect.isasyncgenfunction(guarded)
    assert asyncio.run(play(guarded)) == asyncio.run(play(make(lambda fn: fn))) == ["a", "b", "c", "x"]
    assert closed == ["open", "closed"] * 4
    assert results == [(["a", "b", "c"], False), (["x"], False)]
    with pytest.raises(KaizenBlocked):
        asyncio.run(anext(kaizen.guard(make(lambda fn: fn), tool="forbidden")("x")))


def test_a_sensitive_tool_is_marked(kaizen, judged):
    kaizen.guard(lambda: 1, tool="read_mail", sensitive=True)()
    assert judged[0].sensitive


def test_arguments_are_named_and_the_object_is_left_out(kaizen, judged):
    @kaizen.guard
    def everything(a, /, b, *rest, c=3, **more):
        return a

    everything(1, 2, 3, 4, d=5)
    assert judged[0].metadata["arguments"] == {"a": 1, "b": 2, "rest": (3, 4), "c": 3, "more": {"d": 5}}
