"""Documents over HTTP: put in, held, looked at, edited, removed, found."""

import json
import time


def test_documents_are_put_in_found_edited_and_removed(serve):
    served = serve(llm=False)
    document = served.filled(facts=json.dumps({"team": "shop"}), folder="handbook/2026")
    (told,) = served.ask("GET", "/v1/kb/shop/documents").json()["data"]
    assert (told["source"], told["facts"]) == ("handbook/2026/refunds.md", {"team": ["shop"]})
    chunks = served.ask("GET", f"/v1/kb/shop/documents/{document}/chunks").json()["data"]
    assert [chunk["text"] for chunk in chunks] == ["A refund takes five days.", "By post in two days."]
    asked = {"query": "how long does a refund take?", "filter": {"team": "shop"}, "k": 1}
    (hit,) = served.ask("POST", "/v1/kb/shop/search", json=asked).json()["data"]
    assert (hit["id"], hit["headings"], list(hit["scores"])) == (chunks[0]["id"], ["Shop", "Refunds"], ["keyword"])
    one = f"/v1/kb/shop/chunks/{hit['id']}"
    assert served.ask("PATCH", one, json={"text": "A refund takes a fortnight."}).json()["text"].endswith("fortnight.")
    parts = served.ask("POST", f"{one}/split", json={"texts": ["A refund takes", "a fortnight."]}).json()["data"]
    assert [part["text"] for part in parts] == ["A refund takes", "a fortnight."]
    whole = served.ask("POST", f"{one}/merge", json={"chunks": [parts[1]["id"]]}).json()
    assert (whole["id"], whole["text"]) == (hit["id"], "A refund takes\n\na fortnight.")
    assert served.code(served.ask("POST", f"{one}/merge", json={"chunks": [999]})) == (404, "unknown_chunk")
    (hit,) = served.ask("POST", "/v1/kb/shop/search", json={"query": "fortnight"}).json()["data"]
    page = served.ask("GET", f"/v1/kb/shop/pages/{document}/1", params={"chunk": hit["id"]}).json()
    assert [(p["line"], p["marked"]) for p in page["passages"]] == [(5, True), (9, False)]
    assert served.ask("DELETE", one).json() == {"id": hit["id"], "deleted": True}
    assert served.ask("POST", "/v1/kb/shop/search", json={"query": "fortnight"}).json()["data"] == []
    assert served.ask("DELETE", f"/v1/kb/shop/documents/{document}").status_code == 200
    assert served.ask("POST", "/v1/kb/shop/search", json={"query": "post days"}).json()["data"] == []
    assert served.code(served.ask("GET", f"/v1/kb/shop/documents/{document}")) == (404, "unknown_document")


def test_a_file_that_is_held_is_looked_at_before_it_is_taken_in(serve):
    served = serve(llm=False)
    served.ask("POST", "/v1/kb", json={"name": "shop"})
    (task,) = served.put("shop", {"refunds.md": served.handbook}, hold="true").json()["data"]
    assert task["state"] == "held"
    one = f"/v1/kb/shop/tasks/{task['id']}"
    chunks = served.ask("GET", f"{one}/chunks").json()
    assert [chunk["text"] for chunk in chunks["data"]] == ["A refund takes five days.", "By post in two days."]
    assert served.ask("GET", "/v1/kb/shop/documents").json()["data"] == []
    assert served.ask("POST", f"{one}/index").status_code == 202
    assert served.until_done("shop")["refunds.md"]["state"] == "done"
    assert served.code(served.ask("POST", f"{one}/index")) == (409, "state")
    (task,) = served.put("shop", {"other.md": served.handbook}, hold="true").json()["data"]
    assert served.ask("DELETE", f"/v1/kb/shop/tasks/{task['id']}").json()["state"] == "cancelled"
    assert [d["source"] for d in served.ask("GET", "/v1/kb/shop/documents").json()["data"]] == ["refunds.md"]


def test_a_file_that_cannot_be_read_fails_alone_and_says_why_without_our_paths(serve, tmp_path):
    served = serve(llm=False)
    served.ask("POST", "/v1/kb", json={"name": "shop"})
    served.put("shop", {"broken.pdf": b"%PDF-1.4 nothing", "good.md": served.handbook, "what.xyz": b"?"})
    tasks = served.until_done("shop")
    assert {name: task["state"] for name, task in tasks.items()} == {
        "broken.pdf": "failed",
        "good.md": "done",
        "what.xyz": "failed",
    }
    assert tasks["broken.pdf"]["error"].startswith("broken.pdf: is damaged")
    assert str(tmp_path) not in json.dumps(tasks)
    end = time.monotonic() + 30  # a file goes once its task is told to have failed
    while len(list((tmp_path / "bases" / ".server" / "files").iterdir())) > 1:
        assert time.monotonic() < end, "what failed is not kept"
        time.sleep(0.01)


def test_who_sent_a_file_finds_its_task_behind_those_of_others(serve):
    served = serve(llm=False, users=serve.users)
    served.filled("root")
    for name in ("a.md", "b.md"):
        served.put("shop", {name: served.handbook}, "anna")
    served.put("shop", {"c.md": served.handbook}, "root")
    served.until_done("shop", "root")

    def names(who, **params):
        found = served.ask("GET", "/v1/kb/shop/tasks", who, params=params).json()["data"]
        return [task["source"] for task in found]

    assert (names("anna", limit=1), names("anna", limit=1, offset=1)) == (["b.md"], ["a.md"])
    assert names("root", limit=2, offset=1) == ["b.md", "a.md"]
