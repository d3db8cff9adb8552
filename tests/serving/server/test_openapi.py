"""The OpenAPI description, and a server that is asked everything that it describes."""

import json
import subprocess
import sys

import pytest

from serving.server.endpoints import routes
from serving.server.endpoints.openapi import description


def test_every_route_is_described():
    told = description()
    assert {(route.path, route.method.lower()) for route in routes()} == {
        (path, method) for path, methods in told["paths"].items() for method in methods
    }
    assert json.loads(json.dumps(told)) == told


@pytest.mark.slow
def test_schemathesis_finds_no_server_error(serving, toys, tmp_path):
    pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")
    server = serving(models=[{"name": "ctr", "bundle": str(toys("deepfm").bundle)}], limits={"deadline_ms": 20_000})
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    done = subprocess.run(
        [*command, "--checks", checks, "--max-examples", "100"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert not server.events("a request failed")
