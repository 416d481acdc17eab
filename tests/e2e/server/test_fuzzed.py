"""Schemathesis makes requests out of ``spec/openapi.yaml``, good and bad; no answer is a 500, and all are as described."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.slow
@pytest.mark.parametrize("who", ["agent", "person"])
def test_no_made_up_request_is_answered_with_a_server_error(server, person, who, tmp_path):
    token = server.key() if who == "agent" else person.headers["Authorization"].split()[1]
    # Signing out would end the session that the other requests need; a burst of sign-ins is slowed, as it should be.
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", str(ROOT / "spec/openapi.yaml"), "--url", server.url,
        "--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--max-examples", "10", "--seed", "1", "--generation-database", "none", "--no-color",
        "--exclude-operation-id", "signOut", "--exclude-operation-id", "signIn", "--request-timeout", "20",
    ]  # fmt: skip
    answer = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert answer.returncode == 0, answer.stdout[-6000:] + answer.stderr[-2000:]
    made, passed = re.search(r"(\d+) generated, (\d+) passed", answer.stdout).groups()
    assert made == passed
    assert int(made) > 500
