"""Several workers train as one process does. They are real processes, which torchrun starts."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.train.snapshot import read_folder

RUNS = Path(__file__).with_name("distributed_runs.py")
KINDS = ("row", "table", "column", "data_parallel")
OPTIMIZERS = {
    "adam": {"type": "adam", "lr": 0.01},
    "lazy_adam": {"type": "lazy_adam", "lr": 0.01},
    "rowwise_adagrad": {"type": "rowwise_adagrad", "lr": 0.05},
    "adagrad": {"type": "adagrad", "lr": 0.05, "initial_accumulator": 0.1},
    "sgd": {"type": "sgd", "lr": 0.5},
    "ftrl": {"type": "ftrl", "lr": 0.1, "l2": 0.01},
}
SHARE = 16
"""Rows of a worker's batch, and of a row group: two workers' batches are those of one process."""


def table(number, seed):
    """Clicks on items by users with histories, tags with weights, and a price."""
    random = np.random.default_rng(seed)
    user, item = random.integers(0, 60, number), random.integers(0, 40, number)
    price = random.normal(0, 1, number).astype(np.float32)
    appeal = np.random.default_rng(8).normal(0, 1.2, 40)
    click = random.random(number) < 1 / (1 + np.exp(0.5 - appeal[item] - 0.8 * price))
    tags = [";".join(f"{t}:{random.random():.2f}" for t in random.integers(0, 20, random.integers(0, 4))) for _ in user]
    history = [";".join(map(str, random.integers(0, 40, random.integers(0, 6)))) for _ in user]
    columns = {"user_id": user, "item_id": item, "price": price, "tags": tags, "history": history}
    labels = {"click": click.astype(np.int64), "buy": (click & (item % 3 == 0)).astype(np.int64)}
    return pa.table({**columns, **labels, "weight": random.random(number).astype(np.float32) + 0.5})


FEATURES = [
    {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 60},
    {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 40},
    {"type": "id", "name": "tags", "expression": "item:tags", "num_buckets": 20, "separator": ";", "weighted": True},
    {"type": "raw", "name": "price", "expression": "item:price", "embedding_dim": 6},
    {
        "type": "id",
        "name": "history",
        "expression": "user:history",
        "num_buckets": 40,
        "embedding_name": "item_id",
        "sequence_length": 5,
        "sequence_delim": ";",
    },
]
GROUP = {"features": ["user_id", "item_id", "tags", "price"], "sequences": [{"sequence": "history"}]}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def config(home):
    """`(sharding, **settings)`: a config, `__` in a setting's name standing for a dot."""
    # The last group is short, and one worker has a group more than the other.
    for name, rows, size in (("train", 10 * 2 * SHARE + 7, SHARE), ("valid", 200, 50)):
        pq.write_table(table(rows, len(name)), home / f"{name}.parquet", row_group_size=size)

    def made(kind, **settings):
        found = {
            "name": "shared",
            "data": {
                "train": {"type": "parquet", "path": str(home / "train.parquet")},
                "valid": {"type": "parquet", "path": str(home / "valid.parquet")},
                "labels": ["click", "buy"],
                "sample_weight": "weight",
                "batch_size": 2 * SHARE,
                "shuffle": False,
            },
            "features": copy.deepcopy(FEATURES),
            "model": {"type": "deepfm", "embedding_dim": 6, "hidden": [8], "groups": {"deep": GROUP}},
            "train": {
                "epochs": 1,
                "threads": 1,
                "log_every": 1,
                "grad_clip": {"norm": 0.5},
                "ema": {"decay": 0.9},
                "net_regularizer": 1e-3,
                "distributed": {"sharding": {"default": kind}},
            },
            "eval": {"metrics": ["auc", {"type": "gauc", "by": "user_id"}, "logloss"], "slices": ["item_id"]},
        }
        found["model"]["tasks"] = [{"name": "click", "label": "click"}]
        for path, value in settings.items():
            place = found
            *steps, last = path.split("__")
            for step in steps:
                place = place.setdefault(step, {})
            place[last] = value
        return found

    return made


def train(home, workers, runs):
    """Do what is listed with so many workers."""
    listed = home / "runs.json"
    listed.write_text(json.dumps(runs))
    command = [sys.executable]
    if workers > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*command, str(RUNS), str(listed)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:8000]


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def compare(one, many):
    """The losses of all steps, and the metrics of all evaluations."""
    ours, theirs = ([line["loss"] for line in lines(folder, "progress.jsonl")] for folder in (many, one))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    ours, theirs = ([line["valid"] for line in lines(folder, "metrics.jsonl")] for folder in (many, one))
    assert [list(values) for values in ours] == [list(values) for values in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(list(mine.values()), list(other.values()), rtol=0, atol=1e-4, equal_nan=True)


def pairs_equal(home, workers, cases):
    train(home, 1, [{"config": case, "folder": str(home / f"one-{name}")} for name, case in cases.items()])
    many = f"{workers}"
    train(home, workers, [{"config": case, "folder": str(home / f"{many}-{name}")} for name, case in cases.items()])
    for name in cases:
        compare(home / f"one-{name}", home / f"{many}-{name}")


TASKS = [
    {"name": "click", "label": "click"},
    {"name": "buy", "label": "buy", "mask": "click == 1", "weight": 0.5},
]


def test_workers_learn_what_one_process_learns(home, config):
    rowwise = OPTIMIZERS["rowwise_adagrad"]
    mixed = {"user_id": "table", "item_id": "row", "tags": "column", "default": "auto"}
    cases = {
        "row": config("row", train__sparse_optimizer=rowwise),
        "mixed": config("row", train__distributed={"sharding": mixed}, train__embedding_regularizer=1e-3),
        "tasks": config("data_parallel", model__type="mmoe", model__tasks=TASKS, model__experts=2),
    }
    del cases["tasks"]["model"]["hidden"]
    pairs_equal(home, 2, cases)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_every_sharding_takes_every_optimizer(home, config, workers):
    cases = {
        f"{kind}-{name}": config(kind, train__sparse_optimizer=optimizer)
        for kind in KINDS
        for name, optimizer in OPTIMIZERS.items()
        if (kind, name) != ("column", "rowwise_adagrad")
    }
    if workers == 3:  # three batches of 16 rows are none of two
        cases = {name: {**case, "data": {**case["data"], "batch_size": 3 * SHARE}} for name, case in cases.items()}
    folder = home / str(workers)
    folder.mkdir()
    pairs_equal(folder, workers, cases)


def newest(folder):
    return max((folder / "checkpoints").glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))


def equal_checkpoints(one, other):
    first, second = read_folder(one), read_folder(other)
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert np.array_equal(array, second.arrays[name]), name
    for name in ("dense", "optimizer", "ema"):
        assert first.tensors[name].keys() == second.tensors[name].keys()
        assert all(t.equal(second.tensors[name][key]) for key, t in first.tensors[name].items())


def test_checkpoints_are_of_any_number_of_workers(home, config):
    mixed = {"user_id": "table", "item_id": "row", "tags": "column", "default": "auto"}
    case = config("row", train__distributed={"sharding": mixed})
    later = config("data_parallel", train__epochs=2)
    folder, copies = home / "moved", [home / "copied-by-2", home / "copied-by-1"]
    train(home, 1, [{"config": case, "folder": str(folder)}])
    first = newest(folder)
    work = [{"config": case, "folder": str(folder), "resume": True, "copied": str(copies[0])}]
    train(home, 2, [*work, {"config": later, "folder": str(folder), "resume": True}])
    equal_checkpoints(first, copies[0])
    second = newest(folder)
    assert second != first
    last = {**later, "train": {**later["train"], "epochs": 3}}
    work = [{"config": later, "folder": str(folder), "resume": True, "copied": str(copies[1])}]
    work += [{"config": last, "folder": str(folder), "resume": True}, {"config": last, "folder": str(home / "never")}]
    train(home, 1, work)
    equal_checkpoints(second, copies[1])
    compare(home / "never", folder)
