"""A stand-in for a NameNode and a DataNode that speak WebHDFS: the folder that the command line names is their tree.

Prints `host:port` of the NameNode. Every request is checked against the protocol; what does not fit is refused, and noted
in the file `violations` beside the folder. A DataNode that is asked for a file called `*.broken` fails.
"""

import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

ROOT = Path(sys.argv[1])
METHODS = {
    "GETFILESTATUS": "GET",
    "LISTSTATUS": "GET",
    "OPEN": "GET",
    "CREATE": "PUT",
    "MKDIRS": "PUT",
    "RENAME": "PUT",
    "APPEND": "POST",
    "DELETE": "DELETE",
}
BY_DATA_NODE = ("OPEN", "CREATE", "APPEND")


class Node(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    data_node = False

    def handle_one(self):
        split = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[-1] for name, values in parse_qs(split.query, keep_blank_values=True).items()}
        path, op = unquote(split.path).removeprefix("/webhdfs/v1"), query.get("op", "")
        wrong = self.violation(split.path, path, op, query, body)
        if wrong:
            with (ROOT.parent / "violations").open("a") as file:
                file.write(f"{self.command} {self.path}: {wrong}\n")
            self.refuse(400, "IllegalArgumentException", wrong)
            return
        there = ROOT / path.strip("/")
        if op not in ("CREATE", "MKDIRS") and not there.exists():
            self.refuse(404, "FileNotFoundException", f"File does not exist: {path}")
        elif op in BY_DATA_NODE and not self.data_node:
            self.send_response(307)
            query["namenoderpcaddress"] = "stand-in:9000"
            self.send_header("Location", f"http://127.0.0.1:{data.server_port}{split.path}?{urlencode(query)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif there.name.endswith(".broken") and self.data_node:
            self.refuse(500, "IOException", "Could not obtain block BP-1:blk_7")
        else:
            getattr(self, op.lower())(there, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = handle_one

    def violation(self, raw, path, op, query, body):
        if not raw.startswith("/webhdfs/v1/") or ".." in path:
            return "no path of WebHDFS"
        if METHODS.get(op) != self.command:
            return f"'{op}' is no operation of {self.command}"
        if query.get("user.name") != "app":
            return "the user does not say who it is"
        if self.data_node != ("namenoderpcaddress" in query):
            return "a DataNode is asked where a NameNode sends to alone"
        if body and not self.data_node:
            return "data are for DataNodes"
        if op == "OPEN" and not (query.get("offset", "").isdecimal() and query.get("length", "1").isdecimal()):
            return "offset and length are numbers"
        if op == "RENAME" and not query.get("destination", "").startswith("/"):
            return "the destination is no absolute path"
        if op == "DELETE" and query.get("recursive") not in ("true", "false"):
            return "recursive is true or false"
        return ""

    def answer(self, content, code=200, kind="application/json"):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, code, name, text):
        self.answer({"RemoteException": {"exception": name, "javaClassName": name, "message": text}}, code)

    def status(self, there, suffix):
        folder = there.is_dir()
        return {
            "pathSuffix": suffix,
            "type": "DIRECTORY" if folder else "FILE",
            "length": 0 if folder else there.stat().st_size,
            "modificationTime": int(there.stat().st_mtime * 1000),
            "owner": "app",
            "permission": "755",
        }

    def getfilestatus(self, there, query, body):
        self.answer({"FileStatus": self.status(there, "")})

    def liststatus(self, there, query, body):
        found = [(path, path.name) for path in sorted(there.iterdir())] if there.is_dir() else [(there, "")]
        self.answer({"FileStatuses": {"FileStatus": [self.status(*entry) for entry in found]}})

    def open(self, there, query, body):
        with there.open("rb") as file:
            file.seek(int(query["offset"]))
            self.answer(file.read(int(query["length"]) if "length" in query else -1), kind="application/octet-stream")

    def create(self, there, query, body):
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(body)
        self.answer(b"", 201)

    def append(self, there, query, body):
        with there.open("ab") as file:
            file.write(body)
        self.answer(b"")

    def mkdirs(self, there, query, body):
        there.mkdir(parents=True, exist_ok=True)
        self.answer({"boolean": True})

    def rename(self, there, query, body):
        there.rename(ROOT / query["destination"].strip("/"))
        self.answer({"boolean": True})

    def delete(self, there, query, body):
        shutil.rmtree(there) if there.is_dir() else there.unlink()
        self.answer({"boolean": True})

    def log_message(self, *words):
        pass


class DataNode(Node):
    data_node = True


data = ThreadingHTTPServer(("127.0.0.1", 0), DataNode)
name = ThreadingHTTPServer(("127.0.0.1", 0), Node)
threading.Thread(target=data.serve_forever, daemon=True).start()
print(f"127.0.0.1:{name.server_port}", flush=True)
name.serve_forever()
