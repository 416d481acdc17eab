"""What we send is what ``spec/schema`` says, and the schemas refuse what the codec refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from kaizen_security.contract import bundle, codec
from tests.properties import strategies as s

FOLDER = Path(__file__).parents[2] / "spec" / "schema"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
REGISTRY = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in SCHEMAS.values()])
VALID = {name: Draft202012Validator(schema, registry=REGISTRY) for name, schema in SCHEMAS.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_a_valid_schema(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@given(s.actions)
def test_encoded_actions_fit_their_schema(action):
    VALID["action"].validate(codec.encode_action(action))


@given(s.verdicts)
def test_encoded_verdicts_fit_their_schema(verdict):
    VALID["verdict"].validate(codec.encode_verdict(verdict))


@given(s.reports)
def test_encoded_reports_fit_their_schema(report):
    VALID["report"].validate(codec.encode_report(report))


@given(s.steps)
def test_encoded_steps_fit_exactly_one_form_of_their_schema(step):
    VALID["step"].validate(codec.encode_step(step))


@given(s.bundles)
def test_encoded_bundles_carry_the_keys_of_their_schema(bundle_):
    document = bundle.encode_bundle(bundle_)
    document["policies"] = []  # the strategy's policies have no rules; test_policy_vectors holds real ones
    VALID["bundle"].validate(document)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("action", {"tool": 7}),
        ("action", {"metadata": []}),
        ("verdict", {"decision": "ask"}),
        ("verdict", {"reason": "no decision"}),
        ("report", {"agent": "a"}),
        ("policy", {"mode": "denylist", "rules": {}}),
        ("policy", {"mode": "allowlist", "rules": {}}),
        ("policy", {"mode": "blocklist", "rules": {"domain": ["typo.example"]}}),
        ("step", {"step": "wish"}),
    ],
)
def test_a_schema_refuses_what_the_contract_refuses(name, document):
    assert list(VALID[name].iter_errors(document))
