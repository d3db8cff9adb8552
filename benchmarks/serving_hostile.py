"""Hostile clients of a running `easyrec serve`: no crash, no 500, no memory that is not given back.

    python benchmarks/serving_hostile.py [--seconds 1800] [--seed 1]

Half of the time schemathesis asks all that the server's OpenAPI description allows (`pip install schemathesis`); the other
half requests of all forms are broken: bits flipped, bytes cut and doubled, values, keys, shapes and lengths replaced. An
answer may be 200 or any 4xx that names what is wrong, 503 or 504; a 500, a dead process, a lost connection without an
answer to a whole request, or a secret in an answer or the log is a finding, and ends the script with 1. What was found
stays in `build/hostile`.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from record import ROOT, save
from serving_client import Connection
from serving_load import memory
from serving_models import FOLDER, prepare

from serving import Server, processes

FINDINGS = ROOT / "build" / "hostile"
TOKEN, ADMIN = "token-of-a-client-0123456789", "token-of-an-admin-0123456789"
FINE = {200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 422, 429, 431, 503, 504}
FORMS = ("ids_binary", "ids_json", "raw_objects", "raw_columns", "din_binary")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1 << 31, 1 << 63, 1 << 64, -(1 << 63), 10**40, 1e308, -1e-320, 0.1),
    *("", "a", "\0", "\ud7ff", "x" * 70_000, "${HOME}", "../../etc/passwd", "NaN", "1e999"),
    *([], [[]], [None], [1, "a"], {}, {"": 0}, {"a": {"b": [1]}}, [0] * 3000),
)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def server() -> Server:
    """Ours, with tokens, small limits and a log of requests."""

    def command(folder: Path, ports: list[int]) -> list[Any]:
        models = [{"name": name, "bundle": str(FOLDER / name / "bundle")} for name in ("ids", "raw", "din")]
        config = {
            "models": models,
            "port": ports[0],
            "watch_s": 0.2,
            "log": {"level": "warning"},
            "auth": {"tokens": [TOKEN], "admin": [ADMIN]},
            "limits": {"body_bytes": 1 << 20, "body_timeout_s": 2.0},
            "request_log": {"path": str(folder / "requests"), "sample": 0.05},
        }
        (folder / "serving.yaml").write_text(yaml.safe_dump(config))
        return [sys.executable, "-m", "easyrec", "serve", "-c", "serving.yaml"]

    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return Server("hostile", "/v2/health/ready", command, {"PYTHONPATH": paths})


# ------------------------------------------------------------------------------------------- broken requests


def broken(rng: random.Random, request: bytes) -> bytes:
    """A whole HTTP request whose path, headers or body were changed; the length is that of the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    kind = rng.random()
    if kind < 0.5:
        body = restructured(rng, body, lines)
    elif kind < 0.8:
        body = scrambled(rng, body)
    elif kind < 0.9:
        path = rng.choice(
            [b"/v2/models/../infer", b"/models/%2e%2e/predict", b"/v2/models/ids/versions/x/infer", b"/" * 99]
        )
        lines[0] = b"POST " + path + b" HTTP/1.1"
    else:
        lines.append(
            rng.choice(
                [
                    b"Inference-Header-Content-Length: 7",
                    b"Inference-Header-Content-Length: -1",
                    b"Content-Encoding: gzip",
                    b"Content-Encoding: br",
                    b"X-Deadline-Ms: nan",
                    b"X-Deadline-Ms: 0.001",
                    b"Authorization: Bearer " + b"x" * 2000,
                    b"X-Request-Id: <script>",
                ]
            )
        )
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def scrambled(rng: random.Random, body: bytes) -> bytes:
    """Bytes flipped, cut out, doubled or put in."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(data) + 1), rng.choice([1, 1, 2, 8, 200])
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = rng.randbytes(size)
            case _:
                del data[at:]
    return bytes(data)


def restructured(rng: random.Random, body: bytes, lines: list[bytes]) -> bytes:
    """The JSON part with values, keys or lists replaced; what stands behind it stays."""
    size = next((int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"inference-header")), len(body))
    whole = json.loads(body[:size])
    for _ in range(rng.randint(1, 3)):
        if not whole:
            break
        spot, key = place(rng, whole)
        match rng.randrange(4):
            case 0 if isinstance(spot, dict):
                spot[rng.choice(["", "x", "user", "items", "data", "shape", "é" * 50])] = copy.deepcopy(
                    rng.choice(VALUES)
                )
            case 1 if isinstance(spot, dict):
                del spot[key]
            case 2 if isinstance(spot, list):
                spot[key:key] = spot[: rng.choice([1, 2, 500])]
            case _:
                spot[key] = copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(whole, separators=(",", ":")).encode()
    if rng.random() < 0.05:
        text = b"[" * rng.choice([15, 17, 5000]) + text
    for number, line in enumerate(lines):
        if line.lower().startswith(b"inference-header"):
            lines[number] = b"Inference-Header-Content-Length: %d" % len(text)
    return text + body[size:]


def place(rng: random.Random, whole: Any) -> tuple[Any, Any]:
    """A list or an object inside of `whole`, and one of its keys."""
    spot = whole
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        inner = [key for key in keys if isinstance(spot[key], dict | list) and spot[key]]
        if not inner or rng.random() < 0.3:
            return spot, rng.choice(keys)
        spot = spot[rng.choice(inner)]


def attack(port: int, seconds: float, rng: random.Random) -> Counter[int]:
    """The statuses of the answers to broken requests.

    Raises:
        RuntimeError: An answer is a finding.
    """
    requests = [path.read_bytes() for form in FORMS for path in sorted((FOLDER / "requests" / form).glob("*.http"))[:8]]
    token = b"\r\nAuthorization: Bearer " + TOKEN.encode()
    requests = [request.replace(b"\r\nHost: localhost", b"\r\nHost: localhost" + token, 1) for request in requests]
    found: Counter[int] = Counter()
    connection, end = Connection(port), time.monotonic() + seconds
    while time.monotonic() < end:
        sent = broken(rng, rng.choice(requests))
        try:
            connection.socket.sendall(sent)
            reply = connection.read()
        except OSError:
            # A server may close while it is being sent what is too large; on a fresh connection it must answer the rest.
            connection.socket.close()
            connection = Connection(port)
            found[0] += 1
            if len(sent) < 1 << 20:
                connection.socket.sendall(sent)
                reply = connection.read()
            else:
                continue
        found[reply.status] += 1
        secret = TOKEN.encode() in reply.body or ADMIN.encode() in reply.body
        if reply.status not in FINE or secret or (reply.status != 200 and b'"error"' not in reply.body):
            keep(sent, reply.body)
            raise RuntimeError(f"answered {reply.status}: {reply.body[:300]!r}; the request is in {FINDINGS}")
        if reply.status in (408, 413, 503):
            connection.socket.close()
            connection = Connection(port)
    connection.socket.close()
    return found


def keep(sent: bytes, answer: bytes) -> None:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    (FINDINGS / "request.http").write_bytes(sent)
    (FINDINGS / "answer").write_bytes(answer)


# ------------------------------------------------------------------------------------------------- schemathesis


def described(port: int, seconds: float, seed: int) -> int:
    """How often schemathesis went through all operations, in so many seconds.

    Raises:
        RuntimeError: It found a failure.
    """
    end, rounds = time.monotonic() + seconds, 0
    # Who comes while the server drains, or waits too long on a busy machine, is told so.
    (ROOT / "build" / "schemathesis.toml").write_text(
        '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503, 504]\n'
    )
    words = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"http://127.0.0.1:{port}/openapi.json",
        "--checks",
        CHECKS,
    ]
    while time.monotonic() < end:
        given = ["--max-examples", "100", "--seed", str(seed + rounds), "-H", f"Authorization: Bearer {ADMIN}"]
        done = subprocess.run([*words, *given], cwd=ROOT / "build", capture_output=True, text=True, check=False)
        if done.returncode:
            keep(done.stdout.encode(), done.stderr.encode())
            raise RuntimeError(f"schemathesis, seed {seed + rounds}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        rounds += 1
    return rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800.0, help="both halves together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("described", "broken"), help="one half alone")
    args = parser.parse_args()
    prepare({}, {})
    (ROOT / "build").mkdir(exist_ok=True)
    rng = random.Random(args.seed)  # noqa: S311 (no secrets)
    statuses, rounds, sizes = Counter[int](), 0, []
    with server().running() as (port, pid):
        before, turns = set(processes(pid)), 8
        for turn in range(turns):
            share = args.seconds / turns / (1 if args.only else 2)
            if args.only != "broken":
                rounds += described(port, share, args.seed + 1000 * turn)
            if args.only != "described":
                statuses += attack(port, share, rng)
            sizes.append(round(memory(pid), 1))
            print(
                f"  {turn + 1}/{turns}: {dict(statuses)}, {rounds} rounds of schemathesis, {sizes[-1]} MiB", flush=True
            )
        if set(processes(pid)) != before:
            sys.exit("a process of the server has died")
    log = (FOLDER / "servers" / "hostile" / "log.txt").read_text(errors="replace")
    wrong = [line for line in log.splitlines() if re.search(r"a request failed|Traceback", line)]
    if wrong or TOKEN in log or ADMIN in log:
        sys.exit(f"the server's log tells of failures or secrets: {wrong[:3]}")
    told = {str(status): count for status, count in sorted(statuses.items())}
    save("serving_hostile", {"seconds": args.seconds, "statuses": told, "rounds": rounds, "mib": sizes})


if __name__ == "__main__":
    main()
