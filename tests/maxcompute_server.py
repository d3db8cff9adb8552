"""A stand-in for MaxCompute's REST service and its tunnel: the folder that the command line names holds the tables.

Prints `host:port`. A table is a folder with `table.json` (`columns` and `partitions`, each with `name` and `type`) and
`rows/PARTITION.parquet`, or `rows/.parquet` where it has no partitions. Every request is checked against the protocol, its
signature too; what does not fit is refused, and noted in the file `violations` beside the folder. The file `faults.json`
beside it says what fails, see `fault`.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import sys
import time
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(sys.argv[1])
KEYS = {"id-1": ("secret/+1", None), "id-2": ("secret-2", "token-2")}  # by access id: its secret, and a token of a role
PROJECT = "shop_dev"
KINDS = {
    "string": pa.string(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("ms"),
    "array<bigint>": pa.list_(pa.int64()),
}
PAGE = 2
"""Partitions that are listed at once."""

CHUNK, BATCH = 512, 64
"""Bytes that share a checksum, and rows of a record batch."""


def crc_of(byte):
    for _ in range(8):
        byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRCS = [crc_of(byte) for byte in range(256)]


def crc32c(data, before=0):
    value = before ^ 0xFFFFFFFF
    for byte in data:
        value = CRCS[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


class Refused(Exception):
    def __init__(self, status, code, text):
        self.status, self.code, self.text = status, code, text


class Violation(Exception):
    """A request that the protocol does not allow."""


sessions, lock = {}, Lock()


def fault(name):
    """What a fault is set to: `forget` (sessions that are known no more), `cut` (bytes after which an answer ends, once),
    `corrupt` (a byte of an answer is another), `refuse` (code of the error that every request of the tunnel gets)."""
    path = ROOT.parent / "faults.json"
    return json.loads(path.read_text()).get(name) if path.exists() else None


def healed(name):
    path = ROOT.parent / "faults.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != name}))


class Table:
    def __init__(self, name):
        self.folder = ROOT / name
        if not (self.folder / "table.json").exists():
            raise Refused(
                404, "ODPS-0130131", f"ODPS-0130131:Table not found - table {PROJECT}.{name} cannot be resolved"
            )
        told = json.loads((self.folder / "table.json").read_text())
        self.columns, self.partitions = told["columns"], told.get("partitions", [])

    def file(self, spec):
        path = self.folder / "rows" / f"{spec.replace(chr(39), '')}.parquet"
        if not path.exists():
            raise Refused(404, "NoSuchPartition", "The specified partition does not exist.")
        return path

    def specs(self):
        return sorted(path.name.removesuffix(".parquet") for path in (self.folder / "rows").glob("*=*.parquet"))

    def schema(self):
        told = [{"name": c["name"], "type": c["type"], "isNullable": True} for c in self.columns]
        keys = [{"name": c["name"], "type": c["type"]} for c in self.partitions]
        return {"columns": told, "partitionKeys": keys}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece, or its end waits for the client's acknowledgement
    disable_nagle_algorithm = True

    def handle_one(self):
        split = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        try:
            self.check(split)
            self.route(unquote(split.path))
        except Refused as error:
            self.refuse(error.status, error.code, error.text)
        except Violation as error:
            with (ROOT.parent / "violations").open("a") as file:
                file.write(f"{self.command} {self.path}: {error}\n")
            self.refuse(400, "InvalidArgument", str(error))

    do_GET = do_POST = do_PUT = handle_one

    # ----------------------------------------------------------------------------------------- what is checked

    def check(self, split):
        """Who asks, by the signature over the method, the date, some headers and the resource."""
        date = self.headers.get("Date")
        if date is None or abs(parsedate_to_datetime(date).timestamp() - time.time()) > 900:
            raise Violation("no date, or one that is not now")
        found = re.fullmatch(r"ODPS ([^:]+):([A-Za-z0-9+/=]+)", self.headers.get("Authorization") or "")
        if found is None:
            raise Violation("no signature")
        if found[1] not in KEYS:
            raise Refused(401, "ODPS-0410051", "ODPS-0410051:Invalid credentials - accessKeyId not found.")
        secret, token = KEYS[found[1]]
        path = unquote(split.path)
        resource = path.removeprefix("/api") if path.startswith("/api/") else path
        if self.query:
            resource += "?" + "&".join(k + (f"={v}" if v else "") for k, v in sorted(self.query.items()))
        own = {k.lower(): v for k, v in self.headers.items() if k.lower().startswith("x-odps-")}
        own |= {k: v for k, v in self.query.items() if k.startswith("x-odps-")}
        signed = [self.command, self.headers.get("Content-MD5", ""), self.headers.get("Content-Type", ""), date]
        signed += [f"{name}:{own[name]}" for name in sorted(own)]
        text = "\n".join([*signed, resource])
        wanted = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()
        if not hmac.compare_digest(wanted, found[2]):
            raise Refused(401, "ODPS-0410042", "ODPS-0410042:Invalid signature value - User signature dose not match")
        if self.headers.get("authorization-sts-token") != token:
            raise Refused(401, "ODPS-0410051", "ODPS-0410051:Invalid credentials - the security token does not fit")

    def route(self, path):
        tunnel = not path.startswith("/api/")
        table = re.fullmatch(rf"(?:/api)?/projects/{PROJECT}/(?:schemas/(\w+)/)?tables/([\w]+)", path)
        if not tunnel and path == f"/api/projects/{PROJECT}/tunnel" and "service" in self.query:
            self.answer(f"127.0.0.1:{server.server_port}".encode(), "text/plain")
        elif not tunnel and path == "/api/logview/host":
            self.answer(b"http://logview.example", "text/plain")
        elif not tunnel and path == "/api/tenants":
            self.answer(json.dumps({"Tenant": {"Name": "t", "Parameters": {}}}).encode(), "application/json")
        elif not tunnel and path == f"/api/projects/{PROJECT}":
            self.answer(f"<Project><Name>{PROJECT}</Name></Project>".encode())
        elif table is not None and tunnel:
            self.tunnel(table[2])
        elif table is not None and self.command == "GET":
            self.service(table[2])
        elif re.match(r"(/api)?/projects/(?!shop_dev\b)", path):
            raise Refused(404, "NoSuchObject", "ODPS-0420111: Project not found")
        else:
            raise Violation("no resource of the service")

    # ---------------------------------------------------------------------------------------------- the service

    def service(self, name):
        if self.query.get("curr_project") != PROJECT:
            raise Violation("the project does not say that it is the current one")
        table = Table(name)
        if "partitions" in self.query:
            specs = table.specs()
            if prefix := self.query.get("partition", "").replace("'", ""):
                specs = [spec for spec in specs if spec == prefix or spec.startswith(f"{prefix},")]
            start = int(self.query.get("marker") or 0)
            shown, more = specs[start : start + PAGE], start + PAGE < len(specs)
            parts = "".join(f"<Partition>{self.columns_of(spec)}</Partition>" for spec in shown)
            marker = start + PAGE if more else ""
            self.answer(
                f"<Partitions><Marker>{marker}</Marker><MaxItems>{PAGE}</MaxItems>{parts}</Partitions>".encode()
            )
        elif "partition" in self.query:
            path = table.file(self.query["partition"])
            told = json.dumps({"createTime": 1, "lastDDLTime": 1, "lastModifiedTime": int(path.stat().st_mtime)})
            shown = self.columns_of(path.name.removesuffix(".parquet"))
            self.answer(f"<Partition>{shown}<Schema><![CDATA[{told}]]></Schema></Partition>".encode())
        else:
            changed = max((path.stat().st_mtime for path in (table.folder / "rows").iterdir()), default=0)
            told = json.dumps(table.schema() | {"tableName": name, "lastModifiedTime": int(changed)})
            date = self.date_time_string(changed)
            self.answer(
                f"<Table><Name>{name}</Name><Schema format='Json'><![CDATA[{told}]]></Schema>"
                f"<LastModifiedTime>{date}</LastModifiedTime></Table>".encode()
            )

    def columns_of(self, spec):
        parts = [part.partition("=") for part in spec.split(",")]
        return "".join(f"<Column Name={quoteattr(k)} Value={quoteattr(v)}/>" for k, _, v in parts)

    # ----------------------------------------------------------------------------------------------- the tunnel

    def tunnel(self, name):
        if self.headers.get("x-odps-tunnel-version") != "6" or self.headers.get("odps-tunnel-date-transform") != "v1":
            raise Violation("the version of the tunnel's protocol")
        if code := fault("refuse"):
            raise Refused(403, code, f"{code}: the tunnel says no")
        table, spec = Table(name), self.query.get("partition", "").replace("'", "")
        if bool(spec) != bool(table.partitions):
            raise Violation("a partition is named where the table has some, and nowhere else")
        if "downloads" in self.query and self.command == "POST":
            path = table.file(spec)
            with lock:
                key = f"download-{len(sessions):04}-{time.time_ns()}"
                sessions[key] = (name, spec, path.stat().st_mtime_ns)
            self.session(key, table, path)
            return
        if self.command != "GET":
            raise Violation("no operation of the tunnel")
        key = self.query.get("downloadid", "")
        with lock:
            if fault("forget"):
                sessions.clear()
                healed("forget")
            known = sessions.get(key)
        if known is None:
            raise Refused(404, "NoSuchDownload", f"The specified download id does not exist: {key}")
        if known[:2] != (name, spec):
            raise Violation("the session is of other rows")
        path = table.file(spec)
        if path.stat().st_mtime_ns != known[2]:
            text = "The specified table has been modified since the download initiated. Try initiate another download."
            raise Refused(400, "TableModified", text)
        if "data" in self.query:
            self.data(table, path)
        else:
            self.session(key, table, path)

    def session(self, key, table, path):
        told = {"DownloadID": key, "Status": "normal", "RecordCount": pq.read_metadata(path).num_rows}
        self.answer(json.dumps(told | {"Schema": table.schema()}).encode(), "application/json")

    def data(self, table, path):
        if "arrow" not in self.query:
            raise Violation("rows are asked for one by one, not as Arrow")
        found = re.fullmatch(r"\((\d+),(\d+)\)", self.query.get("rowrange", ""))
        names = self.query.get("columns", "").split(",")
        kinds = {column["name"]: KINDS[column["type"]] for column in table.columns}
        if found is None or not set(names) <= set(kinds):
            raise Violation("no range of rows, or columns that are not there")
        start, count = int(found[1]), int(found[2])
        rows = pq.read_table(path)
        if not 0 < count <= rows.num_rows - start:
            raise Violation("a range outside of the rows")
        # Columns come in the order of the table, whatever the order in which they are asked for.
        schema = pa.schema([(name, kind) for name, kind in kinds.items() if name in names])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(rows.slice(start, count).select(schema.names).cast(schema), max_chunksize=BATCH)
        whole, head = sink.getvalue().to_pybytes(), schema.serialize().to_pybytes()
        assert whole.startswith(head)  # the tunnel sends no schema: the client knows it
        body, total = struct.pack("!I", CHUNK), 0
        content = whole[len(head) :]
        for at in range(0, len(content), CHUNK):
            chunk = content[at : at + CHUNK]
            total = crc32c(chunk, total)
            body += chunk + struct.pack("!I", crc32c(chunk) if len(chunk) == CHUNK else total)
        if len(content) % CHUNK == 0:
            body += struct.pack("!I", total)
        if fault("corrupt"):
            body = body[:300] + bytes([body[300] ^ 1]) + body[301:]
        self.answer(body, "application/octet-stream", cut=fault("cut"))

    # ------------------------------------------------------------------------------------------------- answers

    def answer(self, body, kind="application/xml", status=200, cut=None):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("x-odps-request-id", "request-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut:
            healed("cut")
            self.wfile.write(body[:cut])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def refuse(self, status, code, text):
        told = f"<Code>{code}</Code><Message>{escape(text)}</Message><RequestId>request-1</RequestId><HostId>h</HostId>"
        self.answer(f"<?xml version='1.0' encoding='UTF-8'?><Error>{told}</Error>".encode(), status=status)

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
