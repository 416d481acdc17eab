"""Bodies of the sidecar: how many values one may hold, counted before it is parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.errors import TooLarge
from kaizen_security.sidecar import http
from kaizen_security.sidecar.http import MAX_VALUES, check_values

FULL = MAX_VALUES - 10


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b",".join([b"0"] * FULL) + b"]",
        json.dumps({"q": "," * (2 * MAX_VALUES)}).encode(),
        json.dumps({"q": '"[{,\\' * MAX_VALUES, "r": [1, 2]}).encode(),
        json.dumps(["\\" * 9 + '"' * 9 + ",,,"] * 20_000).encode(),
        b"no JSON at all",
        b"",
    ],
)
def test_what_holds_few_values_is_left_to_the_parser_however_long_its_texts_are(data):
    check_values(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * (MAX_VALUES + 2),
        b"[" + b",".join([b"0"] * (MAX_VALUES + 2)) + b"]",
        b"[" + b",".join([b'","'] * (MAX_VALUES + 2)) + b"]",
        b"{" + b",".join(b'"%d":{}' % i for i in range(MAX_VALUES)) + b"}",
        json.dumps(['\\"'] * (MAX_VALUES + 2)).encode(),
    ],
)
def test_what_holds_too_many_is_refused(data):
    with pytest.raises(TooLarge, match="values"):
        check_values(data)


def _count(value):
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, below))


documents = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\\\,[{é', max_size=8),
    lambda below: (
        st.lists(below, max_size=6) | st.dictionaries(st.text(alphabet='b",\\\\', max_size=4), below, max_size=6)
    ),
    max_leaves=40,
)


@given(documents, st.integers(1, 60), st.booleans())
def test_the_count_is_right_within_a_factor_of_two(document, most, ascii_only):
    data = json.dumps(document, ensure_ascii=ascii_only).encode()
    there = _count(document)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "MAX_VALUES", most)
        if there <= most // 2:
            check_values(data)
        if there > 2 * most + 1:
            with pytest.raises(TooLarge):
                check_values(data)
