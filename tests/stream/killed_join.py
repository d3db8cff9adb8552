"""Joins the samples of a folder in children, each of which is killed after a while; the last one comes to the end.

killed_join.py FOLDER KILLS SEED BATCH_ROWS SECONDS: kills after at most so many seconds, and prints how many were killed in the middle of their work.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from events import definitions

from easyrec.store.definitions import load_store
from easyrec.stream.joining import Joining


def join(config, begun):
    joining = Joining(config, "ctr", until_end=True)
    os.write(begun, b"!")
    joining.run()
    joining.flush()
    joining.close()


def main(folder, kills, seed, batch_rows, seconds):
    config = load_store(definitions(folder, batch_rows=batch_rows))
    moments, killed = random.Random(seed), 0
    for attempt in range(kills + 1):
        heard, begun = os.pipe()
        child = os.fork()
        if child == 0:
            join(config, begun)
            os._exit(0)
        os.close(begun)
        if attempt < kills:
            os.read(heard, 1)
            time.sleep(moments.uniform(0.0, seconds))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(heard)
        killed += os.WIFSIGNALED(status)
        if attempt == kills and status:
            sys.exit("the last one failed")
    print(killed)


main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), float(sys.argv[5]))
