"""What `make demo-shop` runs: trains small models on the embedded shop, starts the engine with a page in front, tells its address.

Usage: python examples/demo_shop [--port 8030] [--rows 400000] [--minutes N] [--smoke] [--fresh] [--no-loop]
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from front import Shop, application
from training import built

from easyrec.errors import RunError
from feature_generator.config import read_yaml
from serving.engine.config import load_engine_config
from serving.engine.service import EngineService
from serving.engine.worker import one_thread_a_search
from serving.server.events import write_events
from serving.server.run import listening, need
from serving.server.worker import run

LOOP_STARTS_S = 180.0
"""How long the loop is waited for."""


def main() -> None:
    """Build what is not there, serve until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="demo_shop", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", default="runs/demo_shop", help="where all of it is made [runs/demo_shop]")
    parser.add_argument("--rows", type=int, default=400_000, help="exposures of the embedded shop [400000]")
    parser.add_argument("--clicks", type=int, default=200_000, help="newest clicks that the two towers see [200000]")
    parser.add_argument("--fresh", action="store_true", help="make all of it anew, and forget what visitors did")
    parser.add_argument("--host", default="127.0.0.1", help="where the page is served [127.0.0.1]")
    parser.add_argument("--port", type=int, default=8030, help="0 takes a free one [8030]")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--no-loop", dest="loop", action="store_false", help="let the ranker not learn meanwhile")
    parser.add_argument("--smoke", action="store_true", help="tiny models, one list, and out: a test")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("faiss").setLevel(logging.ERROR)
    need()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # until the server has one of its own: the loop ends with us
    if args.smoke:
        args.rows, args.clicks, args.port, args.loop = min(args.rows, 30_000), min(args.clicks, 20_000), 0, False
    folder = Path(args.folder).resolve()
    try:
        made = built(folder, args.rows, args.clicks, fresh=args.fresh, tell=say)
    except RunError as error:
        sys.exit(str(error))
    if made:
        words = [word for word in sys.orig_argv[1:] if word != "--fresh"]
        os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 (ourselves, without the memory that training took)
    sys.exit(serve(folder, args))


def serve(folder: Path, args: argparse.Namespace) -> int:
    """The engine and the page, in this process, and the loop beside it; the exit code."""
    os.chdir(folder)
    overrides = [f"host={args.host}", f"port={args.port}"]
    failed: list[str] = []
    with learning() if args.loop else contextlib.nullcontext() as more:
        config = load_engine_config("engine.yaml", [*overrides, *(more or ())])
        write_events("warning")
        one_thread_a_search()
        with listening(config) as (listener, state):
            service = EngineService(config, state)
            app = application(service, Shop(folder, read_yaml("experiments.yaml").data))
            host, port = listener.getsockname()[:2]
            threading.Thread(target=_tell, args=(service, f"http://{host}:{port}/"), daemon=True).start()
            if args.smoke:
                threading.Thread(target=_smoke, args=(f"http://{host}:{port}", failed), daemon=True).start()
            elif args.minutes is not None:
                timer = threading.Timer(60.0 * args.minutes, os.kill, (os.getpid(), signal.SIGTERM))
                timer.daemon = True
                timer.start()
            run(config, app, service, listener, None)
    for told in failed:
        say(told)
    return 1 if failed else 0


@contextlib.contextmanager
def learning() -> Iterator[list[str]]:
    """`easyrec loop run` in a process of its own; where the engine finds what it serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "easyrec", "loop", "run", "-c", "loop.yaml", "-o", f"status.port={port}"]
    with Path("loop.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:  # noqa: S603 (our own)
        try:
            end = time.monotonic() + LOOP_STARTS_S
            while not Path("served/current").exists() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.2)
            if Path("served/current").exists():
                say(f"the loop: http://127.0.0.1:{port}/")
                yield ["models[ranker].bundle=served/current", "models[ranker].deltas=served/deltas"]
            else:
                say(f"the loop did not start, so the ranker does not learn: {Path('loop.log').resolve()} tells why")
                yield []
        finally:
            process.terminate()


def _tell(service: EngineService, address: str) -> None:
    while not service.ready:
        time.sleep(0.05)
    say(f"the demo shop: {address}")


def _smoke(address: str, failed: list[str]) -> None:
    """Look at the page and a list, as soon as there is one; then stop."""
    failed.append("no list was answered")
    body = b'{"scene": "feed", "user_id": "somebody"}'
    for _ in range(600):
        try:
            page, _ = _fetched(f"{address}/")
            status, text = _fetched(f"{address}/recommend", body)
        except OSError:
            time.sleep(0.1)
            continue
        if page == status == 200:
            say(text[:300])
            failed.clear()
            break
    os.kill(os.getpid(), signal.SIGTERM)


def _fetched(address: str, body: bytes | None = None) -> tuple[int, str]:
    asked = urllib.request.Request(address, body, {"content-type": "application/json"})  # noqa: S310 (our own)
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        return answer.status, answer.read().decode()


def say(text: str) -> None:
    """Tell who runs it."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
