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
