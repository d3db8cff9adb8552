"""Tables that two workers share: real processes, which torchrun starts, beside one process that does the work of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("shared_tables.py")
CASES = (
    *(
        f"{kind}-{name}"
        for kind in ("static", "dynamic")
        for name in ("lazy_adam", "rowwise_adagrad", "adagrad", "sgd", "ftrl")
    ),
    *(f"goes-on-{name}" for name in ("lru", "score", "ttl", "exact", "sketch", "chance")),
    *(f"searched-{kind}-by-{other}" for kind in ("hash", "soft") for other in ("row", "table", "data_parallel")),
    *("searched-newest", "searched-hard", "searched-hard-by-column", "columns", "static-goes-on", "moves-to-one"),
)


FAR = ("dynamic-lazy_adam", "columns", "goes-on-exact", "searched-hash-by-row")
"""Those that are tried by the network, too."""


def told(folder, transport, *cases):
    """What two workers found wrong, by case."""
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT), str(folder), transport]
    words += cases
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:8000]
    return {file.stem: file.read_text() for file in folder.glob("*.txt")}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """What was found wrong in all cases."""
    return told(tmp_path_factory.mktemp("shared"), "auto")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_workers_hold_together_what_one_process_holds(wrong, name):
    assert not wrong[name], wrong[name]


@pytest.mark.slow
def test_every_case_is_told(wrong):
    assert set(wrong) == set(CASES)


@pytest.mark.slow
def test_workers_hold_the_same_by_the_network(tmp_path):
    assert told(tmp_path, "gloo", *FAR) == dict.fromkeys(FAR, "")
