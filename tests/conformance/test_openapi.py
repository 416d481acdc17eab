"""``spec/openapi.yaml`` describes what the server has: every route with its methods, and nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from starlette.routing import Route

from kaizen_security.server.app import create_app
from kaizen_security.store.sqlite import SqliteStore

SPEC = yaml.safe_load((Path(__file__).parents[2] / "spec" / "openapi.yaml").read_text())
METHODS = {"get", "post", "put", "patch", "delete"}


def test_every_route_is_described_and_every_description_is_a_route(tmp_path):
    store = SqliteStore(tmp_path)
    app = create_app(store)
    served = {
        (method.lower(), route.path.replace(":path}", "}"))
        for route in app.routes
        if isinstance(route, Route)
        and (route.path.startswith("/v1/") or route.path in ("/healthz", "/readyz", "/metrics"))
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


def test_every_operation_has_its_own_name_and_says_what_errors_look_like():
    operations = [item[method] for item in SPEC["paths"].values() for method in METHODS & set(item)]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        assert operation["summary"]
        if operation["operationId"] not in ("health", "ready"):
            assert "4XX" in operation["responses"]
