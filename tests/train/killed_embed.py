"""Forks an `easyrec.embed` per request on stdin: `[items, output, index, overwrite, seconds]`.

It is killed with SIGKILL `seconds` after its model was read. torch is imported once, so that it starts in milliseconds.
"""

import json
import os
import signal
import sys
import time

import easyrec
from easyrec.train import api, embed


def main():
    run = sys.argv[1]
    embed.PART_ROWS, real = 64, embed.embed_items
    for line in sys.stdin:
        items, output, index, overwrite, seconds = json.loads(line)
        begun, begins = os.pipe()
        child = os.fork()
        if child == 0:

            def embed_items(*args, pipe=begins, **options):
                os.write(pipe, b"!")
                return real(*args, **options)

            api.embed_items = embed_items
            code = 1
            try:
                options = {"index": index, "attributes": ["cate"], "overwrite": overwrite}
                easyrec.embed(run, items, output, progress=False, **options)
                code = 0
            except BaseException as error:  # noqa: BLE001 (the process edge)
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(code)
        os.close(begins)
        os.read(begun, 1)
        os.close(begun)
        start = time.monotonic()
        while (seconds is None or time.monotonic() - start < seconds) and not os.waitid(
            os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
        ):
            time.sleep(0.0002)
        took = time.monotonic() - start
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), took]), flush=True)


main()
