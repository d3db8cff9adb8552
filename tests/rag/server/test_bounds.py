"""Quotas and bounds: what is too much, too slow or odd."""

import socket
import threading
import time


def test_quotas_are_answered_by_when_to_come_again(serve, model_server):
    quota = {"requests_per_minute": 40, "tokens_per_minute": 10, "documents": 2, "bytes": 1000}
    served = serve(users=[{**serve.users[0], "quota": quota}])
    served.ask("POST", "/v1/kb", "root", json={"name": "shop"})
    assert served.code(served.put("shop", {"long.md": b"x" * 1001}, "root")) == (429, "insufficient_quota")
    assert served.put("shop", {"a.md": served.handbook, "b.md": served.handbook}, "root").status_code == 202
    assert served.code(served.put("shop", {"c.md": b"x"}, "root")) == (429, "insufficient_quota")
    assert served.put("shop", {"a.md": b"x"}, "root").status_code == 202, "what is put in anew is not one more"
    served.until_done("shop", "root")
    document = served.ask("GET", "/v1/kb/shop/documents", "root").json()["data"][0]["id"]
    served.ask("DELETE", f"/v1/kb/shop/documents/{document}", "root")
    assert served.put("shop", {"c.md": served.handbook}, "root").status_code == 202, "what is removed makes room"
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken("Five days [1]."))
    body = {"model": "shop", "messages": [{"role": "user", "content": "refund?"}]}
    assert served.ask("POST", "/v1/chat/completions", "root", json=body).status_code == 200
    answer = served.ask("POST", "/v1/chat/completions", "root", json=body)
    assert served.code(answer) == (429, "rate_limit_exceeded")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    for _ in range(60):
        answer = served.ask("GET", "/v1/models", "root")
    assert served.code(answer) == (429, "rate_limit_exceeded")


def test_tokens_of_a_search_count(serve, model_server):
    """Each question is one token of the embedder here."""
    model_server.answer = model_server.word_vectors
    embedder = {"type": "server", "base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY"}
    quota = {"tokens_per_minute": 3}
    served = serve(llm=False, knowledge={"embedder": embedder}, users=[{**serve.users[0], "quota": quota}])
    served.filled("root")
    asked = [served.ask("POST", "/v1/kb/shop/search", "root", json={"query": f"refund {n}"}) for n in range(4)]
    assert [answer.status_code for answer in asked] == [200, 200, 200, 429]


def test_uploads_at_once_pass_no_quota(serve):
    served = serve(
        llm=False, users=[{**serve.users[0], "quota": {"documents": 3, "bytes": 1000}}], limits={"uploads": 8}
    )
    served.ask("POST", "/v1/kb", "root", json={"name": "shop"})
    told, ready = [], threading.Barrier(8)

    def put(number):
        ready.wait()
        told.append(served.put("shop", {f"{number}.md": b"x" * 300}, "root", hold="true").status_code)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [202] * 3 + [429] * 5


def test_a_file_may_be_put_in_anew_and_those_that_wait_count(serve):
    served = serve(llm=False, users=[{**serve.users[0], "quota": {"bytes": 1000}}])
    served.ask("POST", "/v1/kb", "root", json={"name": "shop"})
    put = lambda size, **how: served.put("shop", {"a.md": b"x" * size}, "root", **how).status_code  # noqa: E731
    assert put(900) == 202
    served.until_done("shop", "root")
    assert [put(990), put(1001)] == [202, 429], "it takes the place of the one before"
    served.until_done("shop", "root")
    assert [put(600, hold="true"), put(600, hold="true")] == [202, 429], "each that is held is on the disk"


def test_so_many_uploads_come_at_a_time(serve):
    served = serve(llm=False, limits={"uploads": 1})
    served.ask("POST", "/v1/kb", json={"name": "shop"})
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        head = f"POST /v1/kb/shop/documents HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n"
        client.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n".encode())
        end = time.monotonic() + 30
        while 'easyrec_rag_running{lane="uploads"} 1' not in served.client.get("/metrics").text:
            assert time.monotonic() < end
        assert served.code(served.put("shop", {"a.md": b"x"})) == (429, "busy")
    while served.put("shop", {"a.md": b"x"}).status_code != 202:
        assert time.monotonic() < end, "who goes away gives the place back"


def test_what_is_too_large_or_odd_is_refused_and_leaves_nothing(serve, tmp_path):
    served = serve(llm=False, limits={"file_bytes": 1000, "files": 2, "body_bytes": 2000})
    served.ask("POST", "/v1/kb", json={"name": "shop"})
    assert served.code(served.put("shop", {"a.md": b"x" * 1001})) == (413, "file_bytes")
    assert served.code(served.put("shop", {f"{n}.md": b"x" for n in range(3)})) == (413, "files")
    assert served.code(served.put("shop", {"a.md": b"x"}, folder="/".join("abcdefghi"))) == (400, "folder")
    assert served.code(served.put("shop", {"a.md": b"x"}, folder="handbook/../..")) == (400, "folder")
    assert served.code(served.put("shop", {"a.md": b"x"}, facts="[1]")) == (400, "facts")
    assert served.code(served.put("shop", {"a.md": b"x"}, facts='{"access": "hr"}')) == (400, "facts")
    assert served.code(served.put("shop", {"a.md": b"x"}, colour="red")) == (400, "field")
    broken = {"headers": {"content-type": "multipart/form-data; boundary=x"}, "content": b"--x\r\nfoo"}
    assert served.code(served.ask("POST", "/v1/kb/shop/documents", **broken)) == (400, "multipart")
    cut = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\nhalf'
    assert served.code(served.ask("POST", "/v1/kb/shop/documents", **(broken | {"content": cut}))) == (400, "multipart")
    assert served.code(served.ask("POST", "/v1/kb/shop/documents", json={})) == (415, "content_type")
    assert served.code(served.ask("POST", "/v1/kb/shop/search", content=b"[" * 1000)) == (400, "json_depth")
    assert served.code(served.ask("POST", "/v1/kb/shop/search", content=b"x" * 3000)) == (413, "body_bytes")
    parts = (b"x" * 500 for _ in range(6))  # without a length told before
    assert served.code(served.ask("POST", "/v1/kb/shop/search", content=parts)) == (413, "body_bytes")
    assert served.code(served.ask("POST", "/v1/kb/shop/search", json={"query": "x", "k": 5000})) == (400, "k")
    odd = {"query": "x", "search": {"reranker": {"type": "local", "path": "/"}}}
    assert served.code(served.ask("POST", "/v1/kb/shop/search", json=odd)) == (400, "config")
    assert served.code(served.ask("POST", "/v1/kb/shop/search", json={"query": "x", "kk": 5})) == (400, "body")
    assert served.ask("GET", "/v1/kb/shop/tasks").json()["data"] == []
    state = tmp_path / "bases" / ".server"
    assert [*(state / "files").iterdir(), *(state / "coming").iterdir()] == []


def test_a_body_that_does_not_come_is_not_waited_for(serve):
    served = serve(llm=False, limits={"body_timeout_s": 0.2})
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        head = f"POST /v1/kb HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n\r\n{{"
        client.sendall(head.encode())
        told = client.recv(4096).decode()
    assert told.startswith("HTTP/1.1 408 ")


def test_a_search_has_no_more_than_may_be_however_it_says_so(serve):
    served = serve(llm=False, limits={"k": 10})
    served.filled()
    for more in ({"k": 11}, {"search": {"k": 11}}, {"search": {"k": "11"}}):
        assert served.code(served.ask("POST", "/v1/kb/shop/search", json={"query": "refund", **more})) == (400, "k")


def test_a_truth_value_is_no_number(serve):
    served = serve()
    served.filled()
    search = "/v1/kb/shop/search"
    for body in ({"query": "refund", "k": True}, {"query": "refund", "search": {"k": True}}):
        answer = served.ask("POST", search, json=body)
        assert answer.status_code == 400
        assert "must be a number, but is True" in answer.json()["error"]["message"]
    merge = served.ask("POST", "/v1/kb/shop/chunks/1/merge", json={"chunks": [True]})
    assert served.code(merge) == (400, "body")
    talk = {"model": "shop", "messages": [{"role": "user", "content": "refund?"}]}
    for odd in ({"k": True}, {"n": True}):
        assert served.code(served.ask("POST", "/v1/chat/completions", json={**talk, **odd})) == (400, "body")
