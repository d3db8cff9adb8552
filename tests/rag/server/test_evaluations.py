"""Evaluations over HTTP."""

import threading
import time


def test_questions_with_known_answers_are_asked_and_compared(serve):
    served = serve(users=serve.users)
    served.filled("root")
    place = [{"source": "refunds.md", "quote": "five days"}]
    questions = [
        {"question": "how long does a refund take?", "references": place},
        {"question": "how is it sent, by post?", "references": [{"source": "refunds.md", "quote": "By post"}]},
    ]
    one = "/v1/kb/shop/evaluations"
    assert served.code(served.ask("POST", one, "anna", json={"questions": questions})) == (403, "access")
    wrong = served.ask("POST", one, "root", json={"questions": questions, "metrics": ["mrrr"]})
    assert "did you mean 'mrr'?" in wrong.json()["error"]["message"]
    numbers = []
    for k in (1, 5):
        body = {"questions": questions, "name": f"k {k}", "settings": {"search": {"k": k}}, "metrics": ["mrr@1"]}
        answer = served.ask("POST", one, "root", json=body)
        assert answer.status_code == 202, answer.text
        numbers.append(answer.json()["id"])
    end = time.monotonic() + 60
    while any(run["state"] in ("waiting", "running") for run in served.ask("GET", one, "root").json()["data"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    found = served.ask("GET", f"{one}/{numbers[1]}", "root", params={"against": numbers[0]}).json()
    assert (found["state"], found["name"], found["report"]["questions"]) == ("done", "k 5", 2), found
    assert found["report"]["metrics"][0]["mean"] == 1.0
    (compared,) = found["compared"]
    assert (compared["name"], compared["difference"], compared["count"]) == ("mrr@1", 0.0, 2)
    for number in ("0" * 32, "..%2f..%2fx"):
        assert served.code(served.ask("GET", f"{one}/{number}", "root"))[0] == 404


def test_an_evaluation_that_waits_goes_with_its_knowledge_base(serve, model_server):
    served = serve()
    for name in ("shop", "shop2"):
        served.ask("POST", "/v1/kb", json={"name": name})
        served.put(name, {"refunds.md": served.handbook})
        served.until_done(name)
    go = threading.Event()

    def slow(path, body):
        go.wait(30)
        return model_server.Reply(pieces=serve.spoken("Five days [1]."))

    model_server.answer = slow
    questions = [{"question": "refund?", "kind": "unanswerable"}]
    body = {"questions": questions, "answers": True, "metrics": ["abstention"]}
    try:
        for name in ("shop2", "shop"):
            assert served.ask("POST", f"/v1/kb/{name}/evaluations", json=body).status_code == 202
        assert served.ask("DELETE", "/v1/kb/shop").status_code == 200
        served.ask("POST", "/v1/kb", json={"name": "shop"})
    finally:
        go.set()
    assert served.ask("POST", "/v1/kb/shop/evaluations", json=body).status_code == 202
    end = time.monotonic() + 30
    while any(one["state"] != "done" for one in served.ask("GET", "/v1/kb/shop/evaluations").json()["data"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert len(served.ask("GET", "/v1/kb/shop/evaluations").json()["data"]) == 1
