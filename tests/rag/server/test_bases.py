"""Knowledge bases and their settings over HTTP, and how the interface describes itself."""

import re

import pytest


def test_settings_are_checked_and_hold(serve, monkeypatch):
    monkeypatch.setenv("SECRET_OF_OURS", "do not tell")
    served = serve(llm=False)
    served.ask("POST", "/v1/kb", json={"name": "shop", "settings": {"chunker": {"type": "structure", "size": 64}}})
    assert served.ask("GET", "/v1/kb/shop").json()["settings"]["chunker"]["size"] == 64
    wrong = served.ask("PATCH", "/v1/kb/shop", json={"settings": {"search": {"modd": "keyword"}}})
    assert "unknown key; did you mean 'mode'?" in wrong.json()["error"]["message"]
    told = {"answer": {"instructions": "${SECRET_OF_OURS}"}, "search": {"k": 1}}
    answer = served.ask("PATCH", "/v1/kb/shop", json={"settings": told})
    assert answer.json()["settings"]["answer"]["instructions"] == "${SECRET_OF_OURS}"
    assert "do not tell" not in answer.text
    served.put("shop", {"refunds.md": served.handbook})
    served.until_done("shop")
    assert len(served.ask("POST", "/v1/kb/shop/search", json={"query": "days"}).json()["data"]) == 1
    for name in ("../x", "A", "x" * 65, ""):
        assert served.code(served.ask("POST", "/v1/kb", json={"name": name})) == (400, "config")
    assert served.code(served.ask("POST", "/v1/kb", json={"name": "shop"})) == (409, "exists")
    for name in ("手册", "../shop", "Shop", ""):
        answer = served.ask("POST", "/v1/kb", json={"name": name})
        assert answer.status_code == 400
        assert "small letters, digits, '-' and '_', at most 64" in answer.json()["error"]["message"]
    assert served.ask("DELETE", "/v1/kb/shop").status_code == 200
    assert served.ask("GET", "/v1/kb").json()["data"] == []


def test_the_interface_describes_itself(serve):
    jsonschema = pytest.importorskip("jsonschema")
    served = serve(llm=False)
    told = served.ask("GET", "/openapi.json").json()
    for path, methods in told["paths"].items():
        for method in methods:
            asked = re.sub(r"{\w+}", "1", path)
            assert served.ask(method.upper(), asked).status_code != 405, path
    for schema in told["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    answer = served.ask("PUT", "/v1/kb")
    assert (served.code(answer), answer.headers["allow"]) == ((405, "method"), "GET, POST")
    answer = served.ask("GET", "/nothing", headers={"x-request-id": "mine-1"})
    assert (*served.code(answer), answer.headers["x-request-id"]) == (404, "unknown_path", "mine-1")
