"""Who may what: keys, rights, whom documents are for, and what is told to nobody."""

import logging


def test_keys_say_who_asks_and_what_they_may(serve):
    served = serve(users=serve.users)
    assert served.code(served.ask("GET", "/v1/kb")) == (401, "invalid_api_key")
    assert served.code(served.ask("GET", "/v1/kb", headers={"authorization": "Bearer x"})) == (401, "invalid_api_key")
    assert served.code(served.ask("POST", "/v1/kb", "anna", json={"name": "shop"})) == (403, "forbidden")
    assert served.code(served.ask("GET", "/metrics")) == (401, "invalid_api_key")
    assert served.ask("GET", "/health").status_code == 200
    document = served.filled("anna")
    served.ask("POST", "/v1/kb", "root", json={"name": "other"})
    assert [one["id"] for one in served.ask("GET", "/v1/kb", "anna").json()["data"]] == ["shop"]
    assert served.code(served.ask("GET", "/v1/kb/other", "anna")) == (404, "unknown_base")
    assert served.code(served.put("shop", {"a.md": b"x"}, "otto")) == (403, "forbidden")
    assert served.code(served.ask("DELETE", f"/v1/kb/shop/documents/{document}", "otto")) == (403, "forbidden")
    assert served.ask("POST", "/v1/kb/shop/search", "otto", json={"query": "refund"}).json()["data"]


def test_documents_are_there_for_those_whom_they_name(serve, model_server):
    served = serve(users=serve.users)
    document = served.filled("anna", access="hr")
    for who, sees in (("anna", True), ("root", True), ("otto", False)):
        found = served.ask("POST", "/v1/kb/shop/search", who, json={"query": "refund"}).json()["data"]
        assert bool(found) == sees, who
        paths = [f"documents/{document}", f"documents/{document}/chunks", "chunks/1", f"pages/{document}/1?chunk=1"]
        assert {served.ask("GET", f"/v1/kb/shop/{path}", who).status_code for path in paths} == {200 if sees else 404}
        assert bool(served.ask("GET", "/v1/kb/shop/documents", who).json()["data"]) == sees
        assert served.ask("GET", "/v1/kb/shop", who).json()["documents"] == sees
    asked = len(model_server.asked)
    body = {"model": "shop", "messages": [{"role": "user", "content": "refund?"}]}
    answer = served.ask("POST", "/v1/chat/completions", "otto", json=body).json()
    assert answer["choices"][0]["message"]["known"] is False
    assert len(model_server.asked) == asked, "the model is not asked about what is kept for others"
    assert served.code(served.put("shop", {"b.md": served.handbook}, "anna", access="board")) == (403, "access")
    served.put("shop", {"refunds.md": served.handbook + b"\nMore.\n"}, "anna")
    served.until_done("shop", "anna")
    (told,) = served.ask("GET", "/v1/kb/shop/documents", "root").json()["data"]
    assert told["facts"]["access"] == ["hr"], "put in again, it is for the same"


def test_a_document_that_is_kept_for_others_is_not_replaced(serve):
    users = [*serve.users, {"name": "eve", "key": "the key of eve, who writes", "rights": ["write"]}]
    serve.keys["eve"] = "the key of eve, who writes"
    served = serve(users=users)
    served.filled("anna", access="hr")
    assert served.code(served.put("shop", {"refunds.md": b"# Mine\n\nNo refunds.\n"}, "eve")) == (409, "exists")
    assert served.ask("GET", "/v1/kb/shop/tasks", "eve").json()["data"] == [], "nor are others' tasks told"


def test_pages_of_elsewhere_cannot_ask_a_server_without_keys(serve):
    served = serve(llm=False)
    assert served.code(served.ask("GET", "/v1/kb", headers={"host": "evil.example"})) == (403, "host")
    assert served.code(served.ask("GET", "/v1/kb", headers={"origin": "http://evil.example"})) == (403, "origin")


def test_nothing_that_is_secret_or_said_is_logged(serve, model_server, capsys, monkeypatch):
    served = serve(users=serve.users, log={"level": "debug"})
    from rag.server.events import write_events

    for name in ("rag.server", "uvicorn"):
        for what in ("handlers", "propagate", "level"):  # as they are now, they are again after the test
            monkeypatch.setattr(logging.getLogger(name), what, getattr(logging.getLogger(name), what))
    write_events("debug")
    served.filled("root")
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken("Five days [1]."))
    body = {"model": "shop", "messages": [{"role": "user", "content": "a question of mine"}]}
    served.ask("POST", "/v1/chat/completions", "root", json=body)
    model_server.answer = lambda path, body: model_server.Reply(
        {"error": {"message": "words of the model"}}, status=400
    )
    served.ask("POST", "/v1/chat/completions", "root", json=body)
    served.ask("GET", "/v1/kb?key=of-mine", headers={"authorization": "Bearer wrong-key-of-mine"})
    told = capsys.readouterr().err
    assert '"path":"/v1/chat/completions"' in told
    assert '"user":"root"' in told
    for secret in ("of mine", "of-mine", "of who may all", "Five days", "words of the model", model_server.key):
        assert secret not in told
