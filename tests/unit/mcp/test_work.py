"""How much is done for one call: in calls of functions, which are the same on every machine and at every hour."""

from __future__ import annotations

import sys

from kaizen_security.client.client import Kaizen
from kaizen_security.mcp.main import desk_of
from tests.unit.mcp.relaying import call, line, text_result

MOST = 150
"""Functions of ours and of the standard library that one call and its result may enter; 142 are needed, 16 of them to see how the
result is worded."""
TEXT = "a result of an ordinary length, " * 8


def entered(act):
    names = []

    def note(frame, event, _):
        if event == "call":
            names.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return names


def test_an_ordinary_call_and_its_result_enter_few_functions(tmp_path):
    kaizen = Kaizen(agent="mcp-agent", report=False, sync=False, data=tmp_path)
    desk = desk_of(kaizen, "orders", "run", {})
    for id_ in range(3):
        asked = line(call(id_, "look", query="orders of the last week", limit=20, url="https://api.internal/v1/orders"))
        # The first ones learn what words hold, which is done once for each word.
        up = entered(lambda asked=asked: desk.client(asked))
        answer = line(text_result(id_, TEXT))
        down = entered(lambda answer=answer: desk.server(answer))
    kaizen.close()
    assert "signs_in_result" in down
    assert len(up) + len(down) <= MOST, (up, down)
