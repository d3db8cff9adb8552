"""Serving: `easyrec serve` beside TorchServe, PyTriton, MLServer, and eager torch on uvicorn. The same models and questions.

    python benchmarks/serving.py [--runs 5] [--seconds 1] [--only NAME ...] [--page]
    python benchmarks/serving.py --export runtimes=auto --chosen precision=int8 tables=int8

Every contestant is started here and stopped at the end; the peers live in environments that
this script makes (TorchServe needs Java 17 beside). All of them score one user and 200 items, of a DeepFM and of a DIN
with 1,000 steps, and must answer what plain torch does within 1e-5 before anything is timed. Then 1, 2 and 4 clients in
another process ask one contestant after another, around and around; the figures are medians. The processors' time is
that of all processes of a contestant, from `/proc`, for each answer. Every process computes with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from record import ROOT, interleave, save, section, table
from serving_client import Connection, Reply
from serving_models import FOLDER, KEY, prepare
from train_throughput import peers_python

HERE = Path(__file__).resolve().parent
CLIENTS = (1, 2, 4)
TOLERANCE = 1e-5
START_S, STOP_S = 180.0, 15.0
QUIET = 0.5
"""Load of a machine on which QPS can be compared."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
TORCH = "torch==2.13.0"
TORCHSERVE = ("torchserve==0.12.0", "torch-model-archiver==0.12.0", TORCH, "numpy", "pyyaml", "packaging")
PYTRITON = ("nvidia-pytriton==0.7.0", "numpy<2", TORCH)
MLSERVER = ("mlserver==1.7.1", "uvloop<0.22", TORCH)


# ------------------------------------------------------------------------------------------------ servers


@dataclass
class Server:
    """A server and how it is started.

    Attributes:
        name: What its log is called.
        ready: Path that answers 200 once it serves.
        command: Makes the command line, given its folder and three free ports, the first for HTTP.
        environment: Variables beside ours.
    """

    name: str
    ready: str
    command: Callable[[Path, list[int]], list[Any]]
    environment: Mapping[str, str]

    @contextmanager
    def running(self) -> Iterator[tuple[int, int]]:
        """Its port and its process's id, for as long as the block lasts."""
        folder, ports = FOLDER / "servers" / self.name, free_ports(3)
        folder.mkdir(parents=True, exist_ok=True)
        one = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
        environment = {**os.environ, **one, "PYTHONWARNINGS": "ignore", **self.environment}
        with (folder / "log.txt").open("wb") as log:
            command = [str(word) for word in self.command(folder, ports)]
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._wait(process, ports[0], folder / "log.txt")
            yield ports[0], process.pid
        finally:
            stop(process)

    def _wait(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        request = f"GET {self.ready} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        end = time.monotonic() + START_S
        while time.monotonic() < end and process.poll() is None:
            try:
                if ask(port, request).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        sys.exit(f"{self.name} did not start:\n{log.read_text(errors='replace')[-3000:]}")


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def ask(port: int, request: bytes) -> Reply:
    """The answer to one request.

    Raises:
        OSError: There is none.
    """
    connection = Connection(port)
    try:
        connection.socket.sendall(request)
        return connection.read()
    finally:
        connection.socket.close()


def processes(root: int) -> dict[int, float]:
    """The processor seconds of a process and of each that it started, by their ids."""
    found: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        found[int(path.parent.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) * TICK_S
    tree, new = {}, {root} & found.keys()
    while new:
        tree |= {pid: found[pid][1] for pid in new}
        new = {pid for pid, (parent, _) in found.items() if parent in new}
    return tree


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and all that it started."""
    tree = processes(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in tree:  # what the server has left behind
        if pid != process.pid and Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def easyrec_server(count: int, bundles: Mapping[str, Path]) -> Server:
    """Ours, with all bundles as models of one server."""

    def command(folder: Path, ports: list[int]) -> list[Any]:
        models: list[dict[str, Any]] = [{"name": name, "bundle": str(path)} for name, path in bundles.items()]
        catalogue = {"source": {"path": str(FOLDER / "items.parquet")}, "key": KEY}
        for name, ahead in (("keyed", "embeddings"), ("layered", "layers")):
            models.append({"name": name, "bundle": str(bundles["raw"]), "catalogue": catalogue | {"ahead": ahead}})
        config = {"models": models, "port": ports[0], "processes": count, "watch_s": 0, "log": {"level": "warning"}}
        config["limits"] = {"deadline_ms": 60_000.0}  # the others have none
        (folder / "serving.yaml").write_text(yaml.safe_dump(config))
        return [sys.executable, "-m", "easyrec", "serve", "-c", "serving.yaml"]

    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return Server(f"easyrec-{count}", "/v2/health/ready", command, {"PYTHONPATH": paths})


def naive() -> Server:
    """Eager torch on uvicorn."""
    script = HERE / "peers" / "naive_server.py"
    return Server("naive", "/", lambda folder, ports: [sys.executable, script, FOLDER, ports[0]], {})


def torchserve() -> Server:
    """TorchServe with two workers."""
    if shutil.which("java") is None:
        sys.exit("TorchServe needs Java 17: apt-get install openjdk-17-jre-headless")
    python = peers_python("torchserve", TORCHSERVE)
    address = "http://127.0.0.1"

    def command(folder: Path, ports: list[int]) -> list[Any]:
        archive = [python.parent / "torch-model-archiver", "--model-name", "deepfm", "--version", "1", "--force"]
        archive += ["--serialized-file", FOLDER / "program.pt", "--handler", HERE / "peers" / "torchserve_handler.py"]
        subprocess.run([*archive, "--export-path", folder], check=True, capture_output=True)
        names = ("inference_address", "management_address", "metrics_address")
        lines = [f"{name}={address}:{port}" for name, port in zip(names, ports, strict=True)]
        lines += ["default_workers_per_model=2", "disable_token_authorization=true", "async_logging=true"]
        (folder / "config.properties").write_text("\n".join([*lines, "enable_envvars_config=false", ""]))
        start = [python.parent / "torchserve", "--start", "--foreground", "--ncs", "--disable-token-auth"]
        return [*start, "--model-store", folder, "--models", "deepfm=deepfm.mar", "--ts-config", "config.properties"]

    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    return Server("torchserve", "/ping", command, {"PATH": path, "PYTHONPATH": ""})


def pytriton() -> Server:
    """PyTriton with two instances."""
    python, script = peers_python("pytriton", PYTRITON), HERE / "peers" / "pytriton_server.py"
    environment = {"LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib"), "PYTHONPATH": ""}
    return Server(
        "pytriton",
        "/v2/models/deepfm/ready",
        lambda folder, ports: [python, script, FOLDER / "program.pt", *ports],
        environment,
    )


def mlserver() -> Server:
    """MLServer with two workers."""
    python = peers_python("mlserver", MLSERVER)

    def command(folder: Path, ports: list[int]) -> list[Any]:
        settings = {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2]}
        settings |= {"parallel_workers": 2, "debug": False, "metrics_endpoint": None, "access_log": False}
        parameters = {"uri": str(FOLDER / "program.pt")}
        model = {"name": "deepfm", "implementation": "mlserver_deepfm.DeepFM", "parameters": parameters}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        return [python.parent / "mlserver", "start", "."]

    return Server("mlserver", "/v2/models/deepfm/ready", command, {"PYTHONPATH": str(HERE / "peers")})


# -------------------------------------------------------------------------------------------- contestants


@dataclass
class Contestant:
    """A way of asking a server.

    Attributes:
        server: The server's name.
        requests: The folder of its requests.
        read: Makes scores of an answer.
        model: Whose scores they must be.
        workers: Processes that score.
        tolerance: How far scores may lie from plain torch's.
    """

    server: str
    requests: str
    read: Callable[[Reply], np.ndarray]
    model: str = "deepfm"
    workers: int = 1
    tolerance: float = TOLERANCE

    def files(self) -> list[Path]:
        return sorted((FOLDER / "requests" / self.requests).glob("*.http"))

    def check(self, port: int) -> float:
        """How far its scores lie from plain torch's at most."""
        expected, error = np.load(FOLDER / f"{self.model}.npy"), 0.0
        for path, scores in zip(self.files(), expected, strict=True):
            reply = ask(port, path.read_bytes())
            if reply.status != 200:
                sys.exit(f"{self.server}, {path}: answered {reply.status}: {reply.body[:1000]!r}")
            error = max(error, float(np.abs(self.read(reply) - scores).max()))
        return error


def as_floats(reply: Reply) -> np.ndarray:
    """Nothing but float32."""
    return np.frombuffer(reply.body, np.float32)


def as_tensors(reply: Reply) -> np.ndarray:
    """The Open Inference Protocol's."""
    head = json.loads(reply.body[: reply.json_bytes])
    data = head["outputs"][0].get("data")
    return np.array(data, np.float32) if data is not None else np.frombuffer(reply.body[reply.json_bytes :], np.float32)


def as_scores(reply: Reply) -> np.ndarray:
    """Ours."""
    return np.array(json.loads(reply.body)["scores"]["label"], np.float32)


OURS, NAIVE = "easyrec, ids, OIP binary", "eager torch on uvicorn, ids, binary"
JSON_IDS, MLSERVER_NAME = "easyrec, ids, OIP JSON", "MLServer 1.7.1, ids, OIP JSON"
RAW, RAW_COLUMNS = "easyrec, raw features, JSON", "easyrec, raw features, JSON by column"
BY_KEY, LAYERED = "easyrec, raw features, items by key", "easyrec, raw features, items by key, layers ahead"
CHOSEN, DIN, NAIVE_DIN = (
    "easyrec, chosen precision, ids, OIP binary",
    "easyrec, DIN, OIP binary",
    "eager torch, DIN, binary",
)
PEERS = ("TorchServe 0.12.0, ids, binary", "PyTriton 0.7.0, ids, OIP binary", MLSERVER_NAME)
"""The established servers."""


def two(name: str) -> str:
    """The name of the same with two processes."""
    return f"{name}, 2 processes"


def contestants(bundles: Mapping[str, Path]) -> dict[str, Contestant]:
    """All of them, by name."""
    found = {}
    for workers in (1, 2):
        ours = partial(Contestant, f"easyrec-{workers}", workers=workers)
        named: Callable[[str], str] = two if workers == 2 else str
        found[named(OURS)] = ours("ids_binary", as_tensors)
        found[named(JSON_IDS)] = ours("ids_json", as_tensors)
        found[named(RAW)] = ours("raw_objects", as_scores)
        found[named(BY_KEY)] = ours("keyed", as_scores)
        found[named(LAYERED)] = ours("layered", as_scores)
        if "chosen" in bundles:
            found[named(CHOSEN)] = ours("chosen_binary", as_tensors, tolerance=0.01)
        if workers == 1:
            found[RAW_COLUMNS] = ours("raw_columns", as_scores)
            found[NAIVE] = Contestant("naive", "naive", as_floats)
    torch_serve, triton, ml_server = PEERS
    found[torch_serve] = Contestant("torchserve", "torchserve", as_floats, workers=2)
    found[triton] = Contestant("pytriton", "peers_binary", as_tensors, workers=2)
    found[ml_server] = Contestant("mlserver", "peers_json", as_tensors, workers=2)
    found[DIN] = Contestant("easyrec-1", "din_binary", as_tensors, model="din")
    found[NAIVE_DIN] = Contestant("naive", "naive_din", as_floats, model="din")
    return found


def run(client: subprocess.Popen[str], contestant: Contestant, port: int, pid: int, seconds: float) -> dict[str, float]:
    """Ask it by each number of clients for some seconds."""
    figures: dict[str, float] = {}
    for clients in CLIENTS:
        order: dict[str, Any] = {"port": port, "folder": str(contestant.files()[0].parent), "clients": clients}
        command(client, order | {"seconds": 0.3})  # what was idle for long wakes up
        before = sum(processes(pid).values())
        result = command(client, order | {"seconds": seconds})
        spent = sum(processes(pid).values()) - before
        figures |= {f"{key} {clients}": round(result[key], 3) for key in ("qps", "p50_ms", "p99_ms")}
        figures[f"cpu_ms {clients}"] = round(1000 * spent / result["requests"], 3)
    return figures


def command(client: subprocess.Popen[str], order: Mapping[str, Any]) -> dict[str, float]:
    """What the clients measured."""
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write(json.dumps(order) + "\n")
    client.stdin.flush()
    result: dict[str, Any] = json.loads(client.stdout.readline())
    if "error" in result:
        sys.exit(f"{order['folder']}: {result['error']}")
    return result


# -------------------------------------------------------------------------------------------------- result


def bars(medians: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """What was wished for, and whether it is so; without what was not run."""
    peers = [medians[name] for name in PEERS if name in medians]
    best_cpu = {"cpu_ms 1": min((m["cpu_ms 1"] for m in peers), default=0.0)}
    best_qps = {"qps 2": max((m["qps 2"] for m in peers), default=0.0)}
    wished: list[tuple[str, Mapping[str, float] | None, Mapping[str, float] | None, str, float]] = [
        ("CPU, best server / DeepFM by ids", medians.get(two(OURS)), best_cpu if peers else None, "cpu_ms 1", 5.0),
        ("CPU, eager torch / DeepFM by ids", medians.get(OURS), medians.get(NAIVE), "cpu_ms 1", 3.0),
        (
            "QPS of 2 clients, DeepFM by ids / best server",
            medians.get(two(OURS)),
            best_qps if peers else None,
            "qps 2",
            5.0,
        ),
        ("CPU, best server / chosen precision", medians.get(two(CHOSEN)), best_cpu if peers else None, "cpu_ms 1", 8.0),
        ("CPU, MLServer / OIP JSON", medians.get(two(JSON_IDS)), medians.get(MLSERVER_NAME), "cpu_ms 1", 4.0),
        ("CPU, eager torch / DIN", medians.get(DIN), medians.get(NAIVE_DIN), "cpu_ms 1", 8.0),
        ("CPU, best server / raw features", medians.get(two(RAW)), best_cpu if peers else None, "cpu_ms 1", 2.5),
        (
            "CPU, best server / raw features by column",
            medians.get(RAW_COLUMNS),
            best_cpu if peers else None,
            "cpu_ms 1",
            2.5,
        ),
        ("CPU, best server / items by key", medians.get(two(BY_KEY)), best_cpu if peers else None, "cpu_ms 1", 4.0),
        (
            "CPU, best server / items by key, layers ahead",
            medians.get(two(LAYERED)),
            best_cpu if peers else None,
            "cpu_ms 1",
            4.0,
        ),
        ("QPS of 4 clients, 2 processes / 1", medians.get(two(OURS)), medians.get(OURS), "qps 4", 1.7),
    ]
    rows = []
    for what, ours, other, key, least in wished:
        if ours is None or other is None:
            continue
        ratio = other[key] / ours[key] if key.startswith("cpu") else ours[key] / other[key]
        verdict = "met" if ratio >= least else "not met"
        rows.append({"ratio": what, "measured": f"{ratio:.2f}", "wished": f">= {least:g}", "verdict": verdict})
    return rows


def lines(medians: Mapping[str, Mapping[str, float]], about: Mapping[str, Contestant]) -> list[dict[str, Any]]:
    """A row for each contestant."""
    return [
        {"contestant": name, "workers": about[name].workers}
        | {f"QPS, {n} client{'s' * (n > 1)}": f"{m[f'qps {n}']:,.0f}" for n in CLIENTS}
        | {"p50 ms": f"{m['p50_ms 1']:.2f}", "p99 ms": f"{m['p99_ms 1']:.2f}", "CPU ms": f"{m['cpu_ms 1']:.2f}"}
        for name, m in medians.items()
    ]


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Of `key=value`, the value as YAML."""
    return {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each number of clients in each run")
    parser.add_argument("--only", nargs="*", help="parts of names of contestants")
    parser.add_argument("--export", nargs="*", default=[], metavar="KEY=VALUE", help="export section of all bundles")
    parser.add_argument("--chosen", nargs="*", default=[], metavar="KEY=VALUE", help="that of one more, lossy bundle")
    parser.add_argument("--page", action="store_true", help="write the tables into docs/benchmarks.md")
    args = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    if load > QUIET:
        print(f"this machine does other work (load {load}): ratios of processor time tell something, QPS do not")
    bundles = prepare(settings(args.export), settings(args.chosen))
    known = contestants(bundles)
    chosen = {n: c for n, c in known.items() if not args.only or any(part in n for part in args.only)}
    makers: dict[str, Callable[[], Server]] = {
        "easyrec-1": partial(easyrec_server, 1, bundles),
        "easyrec-2": partial(easyrec_server, 2, bundles),
        "naive": naive,
        "torchserve": torchserve,
        "pytriton": pytriton,
        "mlserver": mlserver,
    }
    with ExitStack() as stack:
        servers = {}
        for name in dict.fromkeys(contestant.server for contestant in chosen.values()):
            print(f"starting {name}", flush=True)
            servers[name] = stack.enter_context(makers[name]().running())
        errors = {name: contestant.check(servers[contestant.server][0]) for name, contestant in chosen.items()}
        for name, error in errors.items():
            print(f"  {name}: {error:.1e} from plain torch")
            if error > chosen[name].tolerance:
                sys.exit(f"{name} answers other scores than plain torch")
        client = stack.enter_context(
            subprocess.Popen(
                [sys.executable, HERE / "serving_client.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
        medians = interleave(
            {n: partial(run, client, c, *servers[c.server], args.seconds) for n, c in chosen.items()}, args.runs
        )
    rows, verdicts = lines(medians, chosen), bars(medians)
    table(rows)
    print()
    table(verdicts)
    if args.page:
        section("serving", rows)
        section("serving-bars", verdicts)
    if not args.only:
        about = {"runs": args.runs, "seconds": args.seconds, "export": args.export, "chosen": args.chosen}
        save(
            "serving", {"settings": about, "load before": load, "errors": errors, "medians": medians, "bars": verdicts}
        )


if __name__ == "__main__":
    main()
