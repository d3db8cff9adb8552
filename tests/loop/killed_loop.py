"""Joins and trains in children, each of which is killed after a while, while the world goes on; the last ones come to the end.

killed_loop.py FOLDER KILLS SEED: prints as JSON how many were killed at work, and which bundles were seen to be served.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from world import World, loop

from easyrec.export.bundle import digest_of
from easyrec.loop.config import load_loop
from easyrec.loop.publishing import Publisher
from easyrec.loop.versions import Versions
from easyrec.loop.worker import ModelWorker, join


def work(config, role):
    if role == "join":
        join(config, until_end=True)
        return
    worker = ModelWorker(config)
    worker.begin()
    while worker.once():
        pass


def child(config, role):
    """A process that does the work of a role."""
    number = os.fork()
    if number == 0:
        try:
            work(config, role)
        except BaseException as error:  # noqa: BLE001 (told to the parent, which is another process)
            print(f"{role}: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return number


def main(folder, kills, seed):
    moments, world = random.Random(seed), World(folder / "logs", seed)
    content = loop(
        folder, train={"every": "5m", "min_rows": 200, "max_rows": 1500}, keep=1000, publish={"full_every": 3}
    )
    config = load_loop(content)
    work(config, "model")  # nothing yet: what it imports is there before the forks
    killed, failed, seen, backs = {"join": 0, "model": 0}, [], [], []
    longest = {"join": 0.6, "model": 4.0}  # about as long as each takes, so that most are killed at work
    current = folder / "served" / "current"

    def look():
        if current.exists() and (not seen or seen[-1] != (digest := digest_of(current))):
            seen.append(digest_of(current) if not seen else digest)

    for attempt in range(kills):
        world.pass_time(50, minutes=3)
        role = moments.choice(["join", "model"])
        if role == "model":
            ended = child(config, "join")
            failed += [("join", code)] if (code := os.waitpid(ended, 0)[1]) else []
        number, begun = child(config, role), time.monotonic()
        end = begun + moments.uniform(0.0, longest[role])
        status = None
        while time.monotonic() < end and status is None:
            look()
            time.sleep(0.005)
            gone, code = os.waitpid(number, os.WNOHANG)
            status = code if gone else None
        if status is None:
            os.kill(number, signal.SIGKILL)
            status = os.waitpid(number, 0)[1]
        if os.WIFSIGNALED(status):
            killed[role] += 1
        elif status:
            failed.append((role, status))
        else:
            longest[role] = time.monotonic() - begun
        versions = Versions(config.folder)
        if attempt % 10 == 9 and versions.served is not None and sum(1 for _ in versions) > 2:
            served = versions.served
            fine = [
                n for n in versions if n < served and versions.read(n, "publish") and not versions.is_rolled_back(n)
            ]
            if fine:
                backs.append(Publisher(config, versions).roll_back(why="a test"))
                look()
    world.pass_time(200, minutes=12)
    for role in ("join", "model"):
        code = os.waitpid(child(config, role), 0)[1]
        failed += [(role, code)] if code else []
    look()
    told = {"killed": killed, "failed": failed, "seen": seen, "backs": backs}
    print(json.dumps({**told, "exposed": world.exposed, "clicked": sorted(world.clicked)}))


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
