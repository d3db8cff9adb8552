"""A server that speaks the interface of language models and says what a test wrote down; it checks what it is asked."""

import json
import threading
import time
import zlib
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

PATHS = {
    "/v1/chat/completions": {"model", "messages"},
    "/v1/embeddings": {"model", "input"},
    "/v1/rerank": {"model", "query", "documents"},
}


def says(text, *, finish="stop", usage=(10, 5), refusal=None):
    """An answer in words."""
    message = {"role": "assistant", "content": None if refusal else text}
    if refusal:
        message["refusal"] = refusal
    body = {"model": "small-1", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return body


class ModelServer(ThreadingHTTPServer):
    """Answers by a function of path and body: an object, or a `Reply`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, key):
        super().__init__(("127.0.0.1", 0), Handler)
        self.key, self.asked, self.script = key, [], deque()
        self.answer = lambda path, body: says("yes")
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    says = staticmethod(says)

    def bodies(self):
        return [body for _, body in self.asked]


class Reply:
    """An answer that is not plain: its status, headers, pieces, slowness, or that it breaks off."""

    def __init__(self, body=None, *, status=200, headers=None, pieces=None, wait=0.0, cut=False, raw=None):
        self.body, self.status, self.headers, self.pieces = body, status, headers or {}, pieces
        self.wait, self.cut, self.raw = wait, cut, raw


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = (
        True  # head and body are written apart: the second would wait 40 ms for an acknowledgement
    )

    def log_message(self, *_):
        pass

    def do_POST(self):
        server = self.server
        content = self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            self.reply(self.decided(content))
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with server.lock:
                server.now -= 1

    def decided(self, content):
        server = self.server
        if server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
            return Reply({"error": {"message": f"bad key: {self.headers.get('Authorization')}"}}, status=401)
        body = json.loads(content)
        needed = PATHS.get(self.path)
        if needed is None or needed - set(body) or self.headers["Content-Type"] != "application/json":
            return Reply({"error": {"message": f"not understood: {self.path} {sorted(body)}"}}, status=400)
        with server.lock:
            server.asked.append((self.path.removeprefix("/v1"), body))
            reply = server.script.popleft() if server.script else None
        if reply is None:
            reply = server.answer(self.path.removeprefix("/v1"), body)
        return reply if isinstance(reply, Reply) else Reply(reply)

    def reply(self, reply):
        if reply.pieces is None:
            time.sleep(reply.wait)
            content = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
            self.send_response(reply.status)
            for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + (10 if reply.cut else 0)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = reply.cut
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in reply.pieces:
            time.sleep(reply.wait)
            text = piece if isinstance(piece, str) else f"data: {json.dumps(piece)}\n\n"
            self.wfile.write(text.encode())
            self.wfile.flush()
        if not reply.cut:
            self.wfile.write(b"data: [DONE]\n\n")


def word_vectors(path, body, dim=64):
    """Vectors by which texts are near that share words."""
    data = []
    for index, text in enumerate(body["input"]):
        words = text.lower().replace(".", " ").replace("?", " ").split()
        rows = [np.random.default_rng(zlib.crc32(word.encode())).normal(size=dim) for word in words] or [np.ones(dim)]
        data.append({"index": index, "embedding": np.sum(rows, axis=0).tolist()})
    return {"data": data, "usage": {"prompt_tokens": len(data)}}
