"""Laws of the codec and the bundle: what is encoded comes back, what arrives is refused cleanly or understood."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract import bundle as b
from kaizen_security.contract import codec, fields
from kaizen_security.contract.errors import InvalidInput
from tests.properties import strategies as s

KEYS = tuple(
    "kind tool target metadata action verdict decision evidence confidence step at agent delegation tools destinations "
    "version mode policies pending content run_id".split()
)
KEY = b.signing_key(b.key_hash("kz_live_example"))


def through_json(document: object) -> object:
    return fields.parse(json.dumps(document).encode())


@given(s.actions)
def test_an_action_survives_the_wire(action):
    assert codec.decode_action(through_json(codec.encode_action(action))) == action


@given(s.steps)
def test_a_step_survives_the_wire(step):
    known = step if not hasattr(step, "action") else replace(step, action=replace(step.action, agent=step.agent))
    assert codec.decode_step(through_json(codec.encode_step(known))) == known


@given(s.verdicts)
def test_a_verdict_survives_the_wire(verdict):
    assert codec.decode_verdict(through_json(codec.encode_verdict(verdict))) == verdict


@given(s.reports)
def test_a_report_survives_the_wire(report):
    assert codec.decode_report(through_json(codec.encode_report(report))) == report


@given(s.declarations)
def test_a_declaration_survives_the_wire(declaration):
    assert codec.decode_declaration(through_json(codec.encode_declaration(declaration))) == declaration


@given(s.bundles)
def test_a_sealed_bundle_comes_back_unchanged_while_it_is_valid(bundle):
    sealed = b.seal(bundle, KEY)
    before = bundle.expires_at - 0.5
    assert b.unseal(sealed, KEY, agent=bundle.agent, now=before, newest=bundle.version) == bundle


@given(s.bundles, st.data())
def test_a_bundle_with_one_changed_byte_is_refused(bundle, data):
    sealed = bytearray(b.seal(bundle, KEY))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.sampled_from([1, 2, 4, 8, 16, 32]))
    try:
        opened = b.unseal(bytes(sealed), KEY, agent=bundle.agent, now=bundle.expires_at - 0.5)
    except InvalidInput:
        return
    assert opened == bundle  # the change fell into white space or the spelling of an escape, not into what was said


@given(s.bundles)
def test_a_bundle_is_refused_under_another_key_for_another_agent_after_its_time_and_as_a_rollback(bundle):
    sealed = b.seal(bundle, KEY)
    good = {"agent": bundle.agent, "now": bundle.expires_at - 0.5, "newest": bundle.version}
    other = b.signing_key(b.key_hash("kz_live_other"))
    with pytest.raises(InvalidInput, match="signature"):
        b.unseal(sealed, other, **good)
    for field, wrong in (
        ("bundle.agent", {"agent": bundle.agent + "x"}),
        ("bundle.expires_at", {"now": bundle.expires_at}),
        ("bundle.version", {"newest": bundle.version + 1}),
    ):
        with pytest.raises(InvalidInput) as said:
            b.unseal(sealed, KEY, **(good | wrong))
        assert said.value.field == field


decoders = st.sampled_from(
    [
        codec.decode_action,
        codec.decode_step,
        codec.decode_verdict,
        codec.decode_report,
        codec.decode_declaration,
        b.decode_bundle,
    ]
)
shaped = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(KEYS, s.documents),
)


@given(decoders, s.documents | shaped)
def test_any_document_is_understood_or_refused_by_name(decode, document):
    try:
        decode(document)
    except InvalidInput as err:
        assert err.problem


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_refused(data):
    try:
        fields.parse(data)
    except InvalidInput as err:
        assert "JSON" in err.problem
