"""``spec/openapi.yaml`` is made from what the server has: every route with its methods, and the types that its handlers decode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator
from starlette.routing import Route

from kaizen_security.contract.errors import InvalidInput, TooLarge
from kaizen_security.contract.hold import HoldAnswer, HoldState
from kaizen_security.contract.verdict import Decision, Mode
from kaizen_security.exports.destinations import EXPORTERS
from kaizen_security.reasoners.choice import Provider
from kaizen_security.server.api import bodies, reported
from kaizen_security.server.app import create_app, description
from kaizen_security.server.operation import decoded
from kaizen_security.store.base import Role, Scope, Status
from kaizen_security.store.exported import Which
from kaizen_security.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
SPEC = yaml.safe_load((ROOT / "spec" / "openapi.yaml").read_text())
METHODS = {"get", "post", "put", "patch", "delete"}


def test_making_it_again_changes_nothing():
    made = subprocess.run([sys.executable, ROOT / "spec" / "openapi.py", "--check"], capture_output=True, text=True)
    assert (made.returncode, made.stderr) == (0, ""), "run `make spec`"


def test_the_command_prints_it():
    made = subprocess.run(
        [sys.executable, "-m", "kaizen_security.cli", "server", "--openapi"], capture_output=True, text=True, check=True
    )
    assert json.loads(made.stdout) == SPEC == json.loads(json.dumps(description()))


def test_every_route_is_described_and_every_description_is_a_route(tmp_path):
    store = SqliteStore(tmp_path)
    app = create_app(store)
    served = {
        (method.lower(), route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route)
        and (route.path.startswith("/v1/") or route.path in ("/healthz", "/readyz", "/metrics", "/openapi.json"))
        for method in route.methods - {"HEAD"}
    }
    store.close()
    described = {(method, path) for path, item in SPEC["paths"].items() for method in METHODS & set(item)}
    assert served == described


WIRE = """
GET /v1/policy, POST /v1/verdicts, GET /v1/verdicts, POST /v1/agents/{agent}/manifest, POST /v1/score,
POST /v1/verdicts/{id}/status, POST /v1/verdicts/{id}/learn, GET /v1/agents/profiles,
POST /v1/agents/{agent}/settings, POST /v1/agents/{agent}/reset, GET /v1/org-policy, POST /v1/org-policy,
GET /v1/llm-config, POST /v1/llm-config, GET /v1/judge/usage, GET /v1/metrics/timeseries, GET /v1/keys,
POST /v1/keys, DELETE /v1/keys/{id}, POST /v1/verdicts:batch, GET /v1/bundle, GET /v1/holds, GET /v1/holds/{id},
POST /v1/holds/{id}, GET /v1/users, GET /v1/exports, POST /v1/exports
"""


def test_every_endpoint_of_the_wire_contract_is_described():
    asked = {tuple(one.split()) for one in WIRE.strip().replace("\n", " ").split(", ")}
    described = {(method.upper(), path) for path, item in SPEC["paths"].items() for method in METHODS & set(item)}
    assert asked <= described, asked - described


def test_every_schema_is_a_schema():
    for schema in SPEC["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_schema_has_a_name_of_its_own():
    assert all(name.isalnum() for name in SPEC["components"]["schemas"])


def test_every_operation_has_its_own_name_and_says_what_errors_look_like():
    operations = [item[method] for item in SPEC["paths"].values() for method in METHODS & set(item)]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert operation["summary"]
        assert "4XX" in operation["responses"]


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        (bodies.AgentSettings, "mode", Mode),
        (bodies.Triage, "status", Status),
        (bodies.HoldReply, "answer", HoldAnswer),
        (bodies.NewKey, "scope", Scope),
        (bodies.NewPerson, "role", Role),
        (bodies.NewRole, "role", Role),
        (bodies.NewExport, "kind", EXPORTERS),
        (bodies.NewExport, "verdicts", Which),
        (bodies.ExportChange, "verdicts", Which),
        (bodies.NewModel, "provider", Provider),
        (reported.ReportedVerdict, "decision", Decision),
        (reported.HeldAction, "state", HoldState),
        (reported.HeldAction, "answer", HoldAnswer),
    ],
)
def test_closed_sets_are_those_of_the_code(kind, field, values):
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"][field]
    listed = {value for one in schema.get("anyOf", [schema]) for value in one.get("enum", ())}
    assert listed - {""} == {str(value) for value in values}


SECRET = "hunter2 - at `$.name`"


@pytest.mark.parametrize(
    ("kind", "document", "field", "problem"),
    [
        (bodies.NewKey, {"name": 7}, "name", "must be text"),
        (bodies.NewKey, {}, "name", "is missing"),
        (bodies.NewKey, {"name": ""}, "name", "must say something"),
        (bodies.NewKey, {"name": "a\0b"}, "name", "holds a lone surrogate or a NUL, which is not text"),
        (bodies.NewKey, {"name": "a", "scope": SECRET}, "scope", "must be one of agent, collector, observer, sdk"),
        (bodies.AgentSettings, {"paused": SECRET}, "paused", "must be true or false"),
        (bodies.Declaration, {"tools": SECRET}, "tools", "must be a list"),
        (bodies.Declaration, {"tools": ["a", 7]}, "tools[1]", "must be text"),
        (bodies.NewModel, {"budget": {"calls_per_day": -1}}, "budget.calls_per_day", "expected `int` >= 0"),
        (bodies.NewModel, {"budget": SECRET}, "budget", "must be an object"),
        (
            bodies.NewExport,
            {"url": "https://a.example/", "kind": SECRET},
            "kind",
            "must be one of otlp, slack, webhook",
        ),
    ],
)
def test_what_is_refused_names_its_field_and_never_its_value(kind, document, field, problem):
    with pytest.raises(InvalidInput) as refused:
        decoded(document, kind, most=1000)
    assert (refused.value.field, refused.value.problem) == (field, problem)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("document", [{"name": "x" * 257}, {"name": "a", "agent": "x" * 257}])
def test_what_is_too_long_is_told_apart(document):
    with pytest.raises(TooLarge, match="longer than the 256"):
        decoded(document, bodies.NewKey, most=1000)
