"""Laws of the MCP relay, over frames of any shape."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.mcp.events import Events, LargeEvent, TooLong
from kaizen_security.mcp.frames import LIMITS, Limits, Unreadable, read, too_deep
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.lines import Line, Lines
from tests.unit.mcp.lenient import called
from tests.unit.mcp.relaying import Talk

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
methods = st.sampled_from(
    ["tools/call", "ping", "resources/read", "tools/list", "notifications/x", "vendor/x", "", "TOOLS/CALL"]
)
params = values | st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["look", "delete_all"]) | values, "arguments": values, "uri": values, "_meta": values}
)  # fmt: skip
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | scalars,
        "id": scalars,
        "method": methods | scalars,
        "params": params,
        "result": values,
    },
)  # fmt: skip


@st.composite
def frames(draw):
    """A frame as a peer might write it, then perhaps damaged."""
    document = draw(messages | st.lists(messages, max_size=3))
    data = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 2)) :]
    return data


@given(frames() | st.binary(max_size=60))
def test_no_frame_of_a_client_breaks_the_relay_or_calls_what_is_denied(data):
    talk = Talk(denied=["delete_all"])
    to_server, to_client = talk.client(data)
    assert set(called(to_server)) <= {action.tool for action in talk.judged} - {"delete_all"}
    for answer in to_client:
        json.loads(answer)


@given(frames() | st.binary(max_size=60))
def test_no_frame_of_a_server_breaks_the_relay_or_answers_what_nobody_asked(data):
    talk = Talk()
    for line in talk.server(data)[1]:
        document = json.loads(line)
        for message in document if isinstance(document, list) else [document]:
            assert "method" in message


@given(frames())
def test_what_is_read_is_what_goes_on(data):
    try:
        frame = read(data)
    except Unreadable:
        return
    assert frame.raw == data.rstrip(b"\r\n")
    assert all(json.loads(message.raw) == message.body or "nan" in str(message.body) for message in frame.messages)


@given(values)
def test_depth_is_counted_as_the_reader_sees_it(value):
    def depth(one):
        below = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return 1 + max(map(depth, below), default=0) if isinstance(one, dict | list) else 0

    assert [too_deep(value, limit) for limit in range(8)] == [depth(value) > limit for limit in range(8)]


@given(
    st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and line.strip()), max_size=5),
    st.integers(1, 9),
)
def test_lines_do_not_depend_on_how_they_were_cut(found, step):
    data = b"".join(line + b"\n" for line in found)
    lines = Lines(1000)
    assert [one for at in range(0, len(data), step) for one in lines.feed(data[at : at + step])] == [
        Line(line) for line in found
    ]


@given(values, st.integers(1, 40), st.permutations(["jsonrpc", "id", "result"]))
def test_a_large_reply_has_the_same_envelope_as_when_it_is_read_whole(value, step, order):
    document = {"jsonrpc": "2.0", "id": 5, "result": {"value": value}}
    data = json.dumps({key: document[key] for key in order}).encode()
    large = Large(LIMITS)
    for at in range(0, len(data), step):
        large.feed(data[at : at + step])
    assert json.loads(large.skeleton()) == {"jsonrpc": "2.0", "id": 5, "result": None}
    assert b"".join(large.chunks()) == data
    large.close()


ends = st.sampled_from([b"\n", b"\r\n"])
event_lines = st.sampled_from(
    [b"data: {}", b"data:x", b"data: ", b"id: 7", b": note", b"event: message", b"retry: 5", b"odd"]
)


@given(st.lists(st.tuples(st.lists(event_lines, min_size=1, max_size=4), ends), max_size=5), st.integers(1, 9))
def test_events_do_not_depend_on_how_they_were_cut_and_lose_no_byte(found, step):
    data = b"".join(end.join([*lines, b"", b""]) for lines, end in found)
    whole = list(Events(LIMITS).feed(data))
    assert b"".join(event.raw for event in whole) == data
    cut = Events(LIMITS)
    assert [one for at in range(0, len(data), step) for one in cut.feed(data[at : at + step])] == whole
    for event in whole:
        [again] = list(Events(LIMITS).feed(event.carrying(b"new"))) or [None]
        assert (again.data, again.fields) == (b"new", event.fields)


replies = st.builds(
    lambda n, before, after: (
        before,
        json.dumps({"jsonrpc": "2.0", "id": n, "result": {"x": "y" * n}}).encode(),
        after,
    ),
    st.integers(0, 200),
    st.sampled_from([(), (b"id: 7",), (b"event: message", b": note")]),
    st.sampled_from([(), (b"id: 8",)]),
)


@given(st.lists(st.tuples(replies, ends), max_size=4), st.integers(1, 70))
def test_events_that_are_kept_on_disk_lose_no_byte_either(found, step):
    data = b"".join(end.join([*before, b"data: " + line, *after, b"", b""]) for (before, line, after), end in found)
    events, out, large = Events(Limits(frame=120)), [], 0
    for at in range(0, len(data), step):
        for one in events.feed(data[at : at + step]):
            if isinstance(one, LargeEvent):
                large += 1
                out += [one.head, *one.large.chunks(), one.tail]
                assert json.loads(one.large.skeleton())["result"] is None
                [instead] = list(Events(LIMITS).feed(one.carrying(b"new")))
                assert instead.data == b"new"
                one.large.close()
            else:
                out.append(one.raw)
    events.close()
    assert b"".join(out) == data
    assert large >= sum(len(line) > 120 + step for (_, line, _), _ in found)


@pytest.mark.parametrize(
    "data",
    [b"data: {}\ndata: " + b"x" * 300, b"data: " + b"x" * 300 + b"\ndata: y\n\n", b": " + b"x" * 300],
)
def test_a_large_event_that_is_not_one_line_of_data_is_refused(data):
    events = Events(Limits(frame=100))
    pieces = [data[at : at + 50] for at in range(0, len(data), 50)]
    with pytest.raises(TooLong):
        list(itertools.chain.from_iterable(map(events.feed, pieces)))
    events.close()
