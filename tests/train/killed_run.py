"""Forks a training run per request on stdin (`[folder, seconds]`) and kills it with SIGKILL after `seconds`.

torch is imported once, so that runs start in milliseconds and die inside of training.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from easyrec.config import load_experiment
from easyrec.train.trainer import Trainer


def main():
    home = Path(sys.argv[1])
    config = json.loads((home / "config.json").read_text())
    data = json.loads((home / "data.json").read_text())
    for line in sys.stdin:
        run, seconds = json.loads(line)
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                Trainer(load_experiment(config), run, data=data, resume=True, bar=False, export=False).fit()
                code = 0
            finally:
                os._exit(code)
        if seconds is not None:
            while time.monotonic() - start < seconds and not os.waitid(
                os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
            ):
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - start]), flush=True)


main()
