"""Tables that two workers share: real processes, which torchrun starts, beside one process that does the work of both."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("shared_tables.py")
FAST = ("dynamic-lazy_adam", "goes-on-exact", "moves-to-one")
SLOW = (
    *(f"static-{name}" for name in ("lazy_adam", "rowwise_adagrad", "adagrad", "sgd", "ftrl")),
    *(f"dynamic-{name}" for name in ("rowwise_adagrad", "adagrad", "sgd", "ftrl")),
    *(f"goes-on-{name}" for name in ("lru", "score", "ttl", "sketch", "chance")),
    *("columns", "static-goes-on", "searched-newest", "searched-hard"),
)


def wrong(folder, names):
    """What two workers found wrong, by case."""
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(SCRIPT), str(folder), *names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:8000]
    return {name: (folder / f"{name}.txt").read_text() for name in names}


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return wrong(tmp_path_factory.mktemp("fast"), FAST)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return wrong(tmp_path_factory.mktemp("slow"), SLOW)


@pytest.mark.parametrize("name", FAST)
def test_workers_hold_together_what_one_process_holds(fast, name):
    assert not fast[name], fast[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_so_do_they_by_all_optimizers_and_rules(slow, name):
    assert not slow[name], slow[name]
