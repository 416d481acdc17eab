"""Spans of other conventions, in the words of OpenTelemetry's."""

from __future__ import annotations

import json

import pytest

from kaizen_security.integrations.otel_foreign import translated


def _given(given):
    attributes = {"openinference.span.kind": "TOOL", "tool.name": "send", "input.value": json.dumps(given)}
    return translated("send", attributes)["gen_ai.tool.call.arguments"]


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"to": "a@b.example"}, {"to": "a@b.example"}),
        ({"kwargs": {"to": "a@b.example"}}, {"to": "a@b.example"}),
        ({"args": [], "kwargs": {"to": "a@b.example"}}, {"to": "a@b.example"}),
        ({"args": ["a@b.example"], "kwargs": {}}, {"args": ["a@b.example"], "kwargs": {}}),
        ({"args": ["a@b.example"], "kwargs": {"text": "x"}}, {"args": ["a@b.example"], "kwargs": {"text": "x"}}),
    ],
)
def test_no_argument_is_lost_that_was_given_without_its_name(given, arguments):
    assert _given(given) == arguments
