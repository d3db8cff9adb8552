"""A stand-in for Elasticsearch: it speaks the part of the protocol that the store uses, and refuses all that is not documented.

It is no Elasticsearch: what it searches it compares one by one, and it holds all in memory. What it checks is what a real
server would refuse: bodies with keys that no page of the reference names, vectors of another dimension, numbers out of their
bounds, documents that a strict mapping does not know. As a real server it finds what was written only after a refresh.

`python elastic_server.py PORT [USER PASSWORD | API_KEY]`
"""

import base64
import contextlib
import json
import math
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Refused(Exception):
    """An answer that is none."""

    def __init__(self, status, kind, reason):
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason


def parsing(reason):
    return Refused(400, "parsing_exception", reason)


def known(body, names, where):
    if not isinstance(body, dict):
        raise parsing(f"[{where}] is no object")
    for name in body:
        if name not in names:
            raise parsing(f"unknown key [{name}] in [{where}]")


def whole(value, low, high, name):
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(400, "illegal_argument_exception", f"[{name}] must be in [{low}, {high}], but is [{value}]")
    return value


def numbers(value, dims, name):
    if not isinstance(value, list) or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        raise parsing(f"[{name}] must be an array of numbers")
    if len(value) != dims:
        text = f"[{name}] has a different number of dimensions [{len(value)}] than defined in the mapping [{dims}]"
        raise Refused(400, "document_parsing_exception", text)
    if not all(map(math.isfinite, value)):
        raise parsing(f"[{name}] has a number that is not finite")
    return value


SIMILARITIES = ("l2_norm", "dot_product", "cosine", "max_inner_product")


class Index:
    def __init__(self, body):
        known(body, ("settings", "mappings", "aliases"), "create index")
        settings = body.get("settings", {})
        known(settings, ("index",), "settings")
        known(
            settings.get("index", {}), ("number_of_shards", "number_of_replicas", "refresh_interval"), "settings.index"
        )
        whole(settings.get("index", {}).get("number_of_shards", 1), 1, 1024, "index.number_of_shards")
        mappings = body.get("mappings", {})
        known(mappings, ("dynamic", "properties", "_meta", "_source"), "mappings")
        assert mappings.get("dynamic") in ("strict", "true", "false", True, False, "runtime")
        self.mappings = mappings
        self.fields = mappings["properties"]
        for name, field in self.fields.items():
            kind = field.get("type")
            if kind == "dense_vector":
                known(field, ("type", "dims", "index", "similarity", "index_options", "element_type"), name)
                whole(field["dims"], 1, 4096, "dims")
                if field.get("similarity", "cosine") not in SIMILARITIES:
                    raise Refused(400, "mapper_parsing_exception", f"unknown similarity [{field['similarity']}]")
                options = field.get("index_options", {"type": "hnsw"})
                known(options, ("type", "m", "ef_construction", "confidence_interval"), "index_options")
                if options["type"] not in ("hnsw", "int8_hnsw", "int4_hnsw", "flat", "int8_flat", "int4_flat"):
                    raise Refused(400, "mapper_parsing_exception", f"unknown index options type [{options['type']}]")
                whole(options.get("m", 16), 2, 512, "m")
                whole(options.get("ef_construction", 100), 1, 3200, "ef_construction")
            elif kind == "keyword":
                known(field, ("type", "ignore_above", "doc_values", "index"), name)
            elif kind == "object":
                known(field, ("type", "enabled", "dynamic", "properties"), name)
            else:
                raise Refused(400, "mapper_parsing_exception", f"no handler for type [{kind}]")
        self.live, self.seen, self.sequence = {}, {}, 0

    def put(self, key, source, *, create=False, seq_no=None):
        now = self.live.get(key)
        if (create and now is not None) or (seq_no is not None and (now is None or now[1] != seq_no)):
            raise Refused(409, "version_conflict_engine_exception", f"[{key}]: version conflict")
        for name, value in source.items():
            field = self.fields.get(name)
            if field is None:
                text = f"mapping set to strict, dynamic introduction of [{name}] is not allowed"
                raise Refused(400, "strict_dynamic_mapping_exception", text)
            if field["type"] == "dense_vector":
                numbers(value, field["dims"], name)
            elif field["type"] == "keyword":
                for one in value if isinstance(value, list) else [value]:
                    if len(one.encode()) > 32766:
                        raise Refused(400, "document_parsing_exception", f"[{name}] holds an immense term")
        if len(key.encode()) > 512:
            raise Refused(400, "illegal_argument_exception", "id is too long")
        self.live[key] = (source, self.sequence)
        self.sequence += 1
        return 201 if now is None else 200

    def delete(self, key):
        self.sequence += 1
        return 404 if self.live.pop(key, None) is None else 200

    def passes(self, query, source):
        """Whether a document does; the query is checked to its end, whatever the document is."""
        if not isinstance(query, dict) or len(query) != 1:
            raise parsing("a query is an object of one key")
        ((kind, body),) = query.items()
        if kind == "match_all":
            known(body, ("boost",), kind)
            return True
        if kind == "match_none":
            return False
        if kind in ("term", "terms"):
            ((name, wanted),) = body.items()
            if self.fields.get(name, {}).get("type") != "keyword":
                raise parsing(f"[{kind}] of [{name}], which is no keyword")
            if kind == "term":
                known(wanted, ("value", "boost", "case_insensitive"), kind)
                wanted = [wanted["value"]]
            if not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
                raise parsing("[terms] must be an array of texts")
            if len(wanted) > 65536:
                raise Refused(400, "illegal_argument_exception", "too many terms")
            return bool(set(wanted) & set(source.get(name, [])))
        if kind == "bool":
            known(body, ("must", "filter", "should", "must_not", "minimum_should_match", "boost"), kind)
            told = {
                part: [self.passes(one, source) for one in body.get(part, [])]
                for part in ("must", "filter", "must_not")
            }
            return all(told["must"]) and all(told["filter"]) and not any(told["must_not"])
        raise parsing(f"unknown query [{kind}]")

    def search(self, body):
        known(body, ("knn", "size", "_source"), "search")
        knn, size = body["knn"], whole(body.get("size", 10), 0, 10_000, "size")
        known(knn, ("field", "query_vector", "k", "num_candidates", "filter", "similarity", "boost"), "knn")
        field = self.fields.get(knn["field"], {})
        if field.get("type") != "dense_vector":
            raise parsing(f"[{knn['field']}] is no dense_vector")
        asked = numbers(knn["query_vector"], field["dims"], "query_vector")
        candidates = whole(knn["num_candidates"], 1, 10_000, "num_candidates")
        k = whole(knn["k"], 1, candidates, "k")
        self.passes(knn.get("filter", {"match_all": {}}), {})
        found = []
        for key, (source, _) in self.seen.items():
            own = source.get(knn["field"])
            if own is not None and self.passes(knn.get("filter", {"match_all": {}}), source):
                product = math.fsum(a * b for a, b in zip(asked, own, strict=True))
                found.append((key, 1.0 + product if product >= 0 else 1.0 / (1.0 - product)))
        found.sort(key=lambda one: -one[1])
        hits = [{"_index": "x", "_id": key, "_score": score} for key, score in found[: min(k, size)]]
        total = {"value": min(k, len(found)), "relation": "eq"}
        return {"took": 1, "timed_out": False, "hits": {"total": total, "max_score": None, "hits": hits}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one(self):
        server = self.server
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        try:
            if server.secret is not None and self.headers.get("Authorization") != server.secret:
                raise Refused(401, "security_exception", "unable to authenticate user")
            with server.lock:
                status, body = self.answer(raw)
        except Refused as error:
            cause = {"type": error.kind, "reason": error.reason}
            status, body = error.status, {"error": {"root_cause": [cause], **cause}, "status": error.status}
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            cause = {"type": "x_content_parse_exception", "reason": repr(error)}
            status, body = 400, {"error": {"root_cause": [cause], **cause}, "status": 400}
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-elastic-product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_PUT = do_POST = do_DELETE = handle_one

    def answer(self, raw):
        url, indexes = urlsplit(self.path), self.server.indexes
        query, parts = dict(parse_qsl(url.query)), url.path.strip("/").split("/")
        name, rest = parts[0], parts[1:]
        allowed = {"_delete_by_query": ("conflicts", "refresh"), "_doc": ("if_seq_no", "if_primary_term")}
        allowed["_search"] = ("allow_partial_search_results",)
        known(query, allowed.get(rest[0] if rest else "", ()), "parameters")
        if raw:
            kind = "application/x-ndjson" if rest == ["_bulk"] else "application/json"
            if self.headers.get("Content-Type") != kind:
                raise Refused(406, "media_type_header_exception", "invalid content type")
        method = self.command
        if method == "PUT" and not rest:
            if name != name.lower() or name[0] in "_-+" or len(name) > 255:
                raise Refused(400, "invalid_index_name_exception", f"Invalid index name [{name}]")
            if name in indexes:
                raise Refused(400, "resource_already_exists_exception", f"index [{name}] already exists")
            indexes[name] = Index(json.loads(raw))
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}
        if name not in indexes:
            raise Refused(404, "index_not_found_exception", f"no such index [{name}]")
        index = indexes[name]
        match (method, *rest):
            case ("DELETE",):
                del indexes[name]
                return 200, {"acknowledged": True}
            case ("GET", "_mapping"):
                return 200, {name: {"mappings": index.mappings}}
            case ("GET", "_doc", key):
                if key not in index.live:
                    return 404, {"_index": name, "_id": key, "found": False}
                source, number = index.live[key]
                told = {"_seq_no": number, "_primary_term": 1, "found": True, "_source": source}
                return 200, {"_index": name, "_id": key, **told}
            case ("PUT", "_create", key):
                return index.put(key, json.loads(raw), create=True), {"_id": key, "result": "created"}
            case ("PUT", "_doc", key):
                number = int(query["if_seq_no"]) if query else None
                return index.put(key, json.loads(raw), seq_no=number), {"_id": key, "result": "updated"}
            case ("POST", "_refresh"):
                index.seen = dict(index.live)
                return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
            case ("POST", "_search"):
                return 200, index.search(json.loads(raw))
            case ("POST", "_count"):
                body = json.loads(raw)
                known(body, ("query",), "count")
                return 200, {"count": sum(index.passes(body["query"], source) for source, _ in index.seen.values())}
            case ("POST", "_delete_by_query"):
                body = json.loads(raw)
                known(body, ("query", "max_docs"), "delete_by_query")
                gone = [key for key, (source, _) in index.seen.items() if index.passes(body["query"], source)]
                for key in gone:
                    index.delete(key)
                if query.get("refresh") == "true":
                    index.seen = dict(index.live)
                return 200, {"deleted": len(gone), "failures": []}
            case ("POST", "_bulk"):
                return 200, self.bulk(index, raw)
        raise Refused(405, "illegal_argument_exception", f"no handler for [{method} {self.path}]")

    def bulk(self, index, raw):
        if not raw.endswith(b"\n"):
            raise Refused(400, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]")
        lines, items, at = raw.decode().split("\n")[:-1], [], 0
        while at < len(lines):
            ((action, about),) = json.loads(lines[at]).items()
            known(about, ("_id", "routing", "if_seq_no", "if_primary_term", "require_alias"), action)
            key, at = about["_id"], at + 1
            if action == "delete":
                items.append({action: {"_id": key, "status": index.delete(key)}})
                continue
            if action != "index":
                raise Refused(400, "illegal_argument_exception", f"Malformed action/metadata line: [{action}]")
            try:
                items.append({action: {"_id": key, "status": index.put(key, json.loads(lines[at]))}})
            except Refused as error:
                told = {"type": error.kind, "reason": error.reason}
                items.append({action: {"_id": key, "status": error.status, "error": told}})
            at += 1
        return {"took": 1, "errors": any("error" in told for item in items for told in item.values()), "items": items}


class ElasticServer(ThreadingHTTPServer):
    """The server; `with` starts and stops it."""

    daemon_threads = True

    def __init__(self, port=0, secret=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.indexes, self.lock, self.secret, self.clients = {}, threading.Lock(), secret, []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def get_request(self):
        found = super().get_request()
        self.clients.append(found[0])
        return found

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()
        for client in self.clients:
            with contextlib.suppress(OSError):  # it went before
                client.shutdown(socket.SHUT_RDWR)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


if __name__ == "__main__":
    given = sys.argv[2:]
    with ElasticServer(
        int(sys.argv[1]), basic(*given) if len(given) == 2 else f"ApiKey {given[0]}" if given else None
    ) as it:
        print(it.url, flush=True)
        it.thread.join()
