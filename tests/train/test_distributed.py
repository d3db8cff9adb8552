"""Several workers train as one process does. They are real processes, which torchrun starts."""

import copy
import json
import os
import signal as signals
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.config import load_experiment
from easyrec.errors import ConfigError
from easyrec.train.snapshot import read_folder
from easyrec.train.trainer import Trainer

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


def alone(runs):
    """Train what is listed in this process."""
    for config, folder, resume in runs:
        Trainer(load_experiment(config), folder, resume=resume, bar=False, export=False).fit()


def together(home, workers, runs):
    """Do what is listed with so many workers."""
    listed = home / f"{workers}.json"
    listed.write_text(json.dumps(runs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [*command, str(RUNS), str(listed)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:8000]


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def compare(one, many):
    """The losses of all steps, what happened to ids, and the metrics of what was learned and of all evaluations."""
    logs = [lines(folder, "progress.jsonl") for folder in (many, one)]
    ours, theirs = ([line["loss"] for line in log] for log in logs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    ours, theirs = ([line.get("dynamic") for line in log] for log in logs)
    assert ours == theirs
    ours, theirs = ([v for line in log for v in line.get("metrics", {}).values()] for log in logs)
    np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=0, atol=1e-5)
    ours, theirs = ([line["valid"] for line in lines(folder, "metrics.jsonl")] for folder in (many, one))
    assert [list(values) for values in ours] == [list(values) for values in theirs]
    for values in zip(ours, theirs, strict=True):
        mine, other = (np.array(list(found.values()), float) for found in values)  # null is NaN
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5)


TASKS = [
    {"name": "click", "label": "click"},
    {"name": "buy", "label": "buy", "mask": "click == 1", "weight": 0.5},
]
SMOOTH = {"train__sparse_optimizer": OPTIMIZERS["adagrad"], "train__dense_optimizer": {"type": "sgd", "lr": 0.1}}
LATELY = {"metrics": ["auc", "logloss", {"type": "gauc", "by": "user_id"}], "decay": 0.5, "rows": 200}


def features(number=None, **dynamic):
    """The features with larger tables, or with dynamic ones."""
    found = copy.deepcopy(FEATURES)
    for feature in found:
        if number is not None and "num_buckets" in feature:
            feature["num_buckets"] = number
        elif dynamic and feature["name"] in ("user_id", "item_id", "history"):
            del feature["num_buckets"]
            feature["dynamic"] = dynamic
    return found


MIXED = {"sharding": {"user_id": "table", "item_id": "row", "tags": "column", "default": "auto"}}


@pytest.fixture(scope="module")
def trained(home, config):
    """By name the folders of one process and of two workers; and one where they took turns: 1, 2, 1."""
    cases = {
        # Adam makes steps of the rounding in the gradient of a bias before batch norm, which is 0.
        "row": config(
            "row",
            model__batch_norm=True,
            train__sparse_optimizer=OPTIMIZERS["rowwise_adagrad"],
            train__dense_optimizer={"type": "sgd", "lr": 0.1},
        ),
        "mixed": config("row", train__distributed=MIXED, train__embedding_regularizer=1e-3),
        "dynamic": config(
            "auto",
            features=features(capacity=90, admission={"min_count": 3}),
            train__metrics=LATELY,
            train__log_every=3,
            **SMOOTH,
        ),
        "stored": config("row", features=features(60_000), train__storage={"memory_mb": 1}),
        "network": config(
            "row",
            features=features(capacity=90, admission={"min_count": 2}),
            model__batch_norm=True,
            train__distributed={"transport": "gloo"},
            **SMOOTH,
        ),
        "tasks": config("data_parallel", model__type="mmoe", model__tasks=TASKS, model__experts=2),
    }
    del cases["tasks"]["model"]["hidden"]
    alone((case, home / f"one-{name}", False) for name, case in cases.items())
    work = [{"config": case, "folder": str(home / f"two-{name}")} for name, case in cases.items()]
    first = config("row", train__distributed=MIXED)
    second, third = config("data_parallel", train__epochs=2), config("row", train__epochs=3)
    turns = home / "turns"
    alone([(first, turns, False), (third, home / "never", False)])
    start = newest(turns).name
    work += [{"config": first, "folder": str(turns), "resume": True, "copied": str(home / "copied")}]
    together(home, 2, [*work, {"config": second, "folder": str(turns), "resume": True}])
    equal_checkpoints(turns / "checkpoints" / start, home / "copied")
    alone([(third, turns, True)])
    return {name: (home / f"one-{name}", home / f"two-{name}") for name in cases}, turns


@pytest.mark.parametrize("name", ["row", "mixed", "dynamic", "stored", "network", "tasks"])
def test_workers_learn_what_one_process_learns(trained, name):
    compare(*trained[0][name])


def test_workers_tell_what_happened_to_ids_and_rows_of_all(trained):
    def log(name):
        return lines(trained[0][name][1], "progress.jsonl")

    ids = [line["dynamic"]["user_id"] for line in log("dynamic")]
    assert ids[-1]["rows"] == sum(told["admitted"] for told in ids) > 40
    assert all(line["metrics"] for line in log("dynamic"))
    assert any(line["storage"]["user_id"]["read"] for line in log("stored"))


def test_checkpoints_are_of_any_number_of_workers(trained, home):
    compare(home / "never", trained[1])


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
    alone((case, folder / f"one-{name}", False) for name, case in cases.items())
    together(folder, workers, [{"config": case, "folder": str(folder / f"all-{name}")} for name, case in cases.items()])
    for name in cases:
        compare(folder / f"one-{name}", folder / f"all-{name}")


@pytest.mark.slow
def test_workers_pick_the_steps_that_one_process_picks(home, config):
    def searching(kind, encoder, **more):
        sequences = [{"sequence": "history", "encoder": {"top": 2, **encoder}}]
        group = {"features": ["user_id", "item_id"], "sequences": sequences}
        model = {"type": "sim", "embedding_dim": 6, "hidden": [8], "groups": {"deep": group}}
        model |= {"embedding_init": {"type": "normal", "std": 0.1}, "tasks": [{"name": "click", "label": "click"}]}
        kept = [f for f in more.pop("features", FEATURES) if f["name"] in ("user_id", "item_id", "history")]
        return config(kind, **more, **SMOOTH, model=model, features=kept)

    cases = {
        "eta": searching("row", {"type": "eta", "bits": 48}),
        "soft": searching("table", {"type": "sim", "mode": "soft"}),
        "hard": searching("auto", {"type": "sim"}, features=features(capacity=90, admission={"min_count": 2})),
    }
    folder = home / "picks"
    folder.mkdir()
    alone((case, folder / f"one-{name}", False) for name, case in cases.items())
    together(folder, 2, [{"config": case, "folder": str(folder / f"two-{name}")} for name, case in cases.items()])
    for name in cases:
        compare(folder / f"one-{name}", folder / f"two-{name}")


@pytest.fixture(scope="module")
def matching(home, config):
    """`(sampler, **settings)`: a config of two towers; without a sampler they learn clicks."""
    ids = np.random.default_rng(5).permutation(40)
    pq.write_table(pa.table({"item_id": ids, "shop": ids % 5}), home / "items.parquet")
    towers = {"type": "dssm", "embedding_dim": 8, "hidden": [16], "output_dim": 8}
    towers |= {"embedding_init": {"type": "normal", "std": 0.1}, "groups": {"user": ["user_id"], "item": ["item_id"]}}
    measured = [{"type": "ndcg", "k": 5}, {"type": "recall", "k": 5}, {"type": "popularity", "k": 5}]

    def made(sampler, kind="row", kept=("user_id", "item_id"), **settings):
        found = config(kind, **{"features": FEATURES, "model": towers, **SMOOTH, **settings})
        found["features"] = [feature for feature in found["features"] if feature["name"] in kept]
        items = {"type": "parquet", "path": str(home / "items.parquet")}
        found["data"] |= {"items": items, "item_id": "item_id", "labels": [] if sampler else ["click"]}
        found["data"] |= {"sampler": sampler} if sampler else {}
        found["eval"] = {"retrieval": {"metrics": measured}, "slices": ["click"]}
        return found

    return made


@pytest.mark.slow
def test_workers_compare_users_with_items_as_one_process_does(home, matching):
    """Where all items are candidates, or none is drawn, the losses are equal; the metrics in any case."""
    moving = features(capacity=90, admission={"min_count": 2})
    group = {"user": {"features": ["user_id"], "sequences": [{"sequence": "history"}]}, "item": ["item_id"]}
    steps = {"type": "dssm", "embedding_dim": 8, "hidden": [16], "output_dim": 8, "groups": group}
    everything, both = {"type": "everything"}, ("user_id", "item_id", "history")
    cases = {
        "row": matching(everything),
        "dynamic": matching(everything, features=[{**moving[0]}, FEATURES[1]]),
        "sequence": matching(everything, "table", both, model=steps),
        "clicks": matching(None, "data_parallel"),
    }
    # Nothing moves, so that any two batches of 16 rows are a step of two workers.
    still = {"train__sparse_optimizer": {"type": "sgd", "lr": 1e-30}}
    still["train__dense_optimizer"] = {"type": "sgd", "lr": 1e-30}
    own = matching({"type": "in_batch"}, **still)
    half = {**own, "data": {**own["data"], "batch_size": SHARE}}
    folder = home / "matching"
    folder.mkdir()
    alone([(case, folder / f"one-{name}", False) for name, case in cases.items()] + [(half, folder / "half", False)])
    work = [{"config": case, "folder": str(folder / f"two-{name}")} for name, case in (cases | {"own": own}).items()]
    together(folder, 2, work)
    for name in cases:
        compare(folder / f"one-{name}", folder / f"two-{name}")
    parts = np.array([line["loss"] for line in lines(folder / "half", "progress.jsonl")][:20]).reshape(10, 2)
    weights = pq.read_table(home / "train.parquet")["weight"].to_numpy()[: 20 * SHARE].reshape(10, 2, SHARE).sum(axis=2)
    expected = (parts * weights).sum(axis=1) / weights.sum(axis=1)
    found = [line["loss"] for line in lines(folder / "two-own", "progress.jsonl")][:10]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_workers_start_from_other_runs_as_one_process_does(home, config):
    """Runs of one process and of two; into dynamic tables and static ones, with the optimizers' state and without."""
    moving = features(capacity=90, admission={"min_count": 2})
    once = config("row", features=moving, **SMOOTH)
    alone([(once, home / "old-one", False)])
    folder = home / "starts"
    folder.mkdir()
    together(folder, 2, [{"config": once, "folder": str(home / "old-two")}])
    cases = {
        "all-of-one": config("row", features=moving, train__init_from=old(home, "one", optimizer=True), **SMOOTH),
        "all-of-two": config("row", features=moving, train__init_from=old(home, "two", optimizer=True), **SMOOTH),
        "static": config("row", train__init_from=old(home, "two"), train__distributed=MIXED, **SMOOTH),
        "smaller": config("row", features=features(capacity=64), train__init_from=old(home, "one"), **SMOOTH),
        "stored": config(
            "row",
            features=features(capacity=90_000),
            train__init_from=old(home, "two", optimizer=True),
            train__storage={"memory_mb": 16},
            **SMOOTH,
        ),
    }
    alone((case, folder / f"one-{name}", False) for name, case in cases.items())
    together(folder, 2, [{"config": case, "folder": str(folder / f"two-{name}")} for name, case in cases.items()])
    for name in cases:
        compare(folder / f"one-{name}", folder / f"two-{name}")


def old(home, name, **more):
    """What `train.init_from` says of a former run."""
    return {"path": str(home / f"old-{name}"), **more}


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


REFUSED = {
    "former-batches": ({"data": {"sampler": {"type": "cross_batch"}}}, "data . sampler"),
    "found-items": ({"data": {"sampler": {"type": "hard", "index": {"type": "flat"}}}}, "data . sampler"),
    "compiled": ({"train": {"compile": True}}, "train . compile"),
    "weighing": (
        {"model": {"type": "mmoe", "experts": 2}, "train": {"task_weighting": "uncertainty"}},
        "train . task_weighting",
    ),
    "dynamic-by-table": (
        {"features": features(capacity=9), "train": {"distributed": {"sharding": {"item_id": "table"}}}},
        "sharding . item_id",
    ),
    "nccl-without-gpus": ({"train": {"distributed": {"backend": "nccl"}}}, "train . distributed . backend"),
    "one-gpu": ({"train": {"device": "cuda:0"}}, "train . device"),
    "no-such-table": ({"train": {"distributed": {"sharding": {"item": "row"}}}}, "sharding . item"),
    "rowwise-by-column": (
        {
            "train": {
                "sparse_optimizer": {"type": "rowwise_adagrad"},
                "distributed": {"sharding": {"default": "column"}},
            }
        },
        "sharding . default",
    ),
    "compared-by-column": (
        {
            "model": {
                "type": "sim",
                "groups": {"deep": {**GROUP, "sequences": [{"sequence": "history", "encoder": {"type": "eta"}}]}},
            },
            "train": {"distributed": {"sharding": {"default": "column"}}},
        },
        "sharding . default",
    ),
    "listwise-over-the-batch": (
        {"model": {"tasks": [{"name": "click", "label": "click", "loss": {"type": "listwise"}}]}},
        "model . tasks[0] 'click' . loss",
    ),
}


@pytest.mark.parametrize(("more", "place"), REFUSED.values(), ids=list(REFUSED))
def test_what_workers_cannot_do_is_refused_with_its_place(config, more, place):
    found = config("row")
    if "sampler" in more.get("data", {}):
        found["model"] = {"type": "dssm", "embedding_dim": 6, "groups": {"user": ["user_id"], "item": ["item_id"]}}
        del found["eval"]
    for section, values in more.items():
        found[section] = values if section == "features" else found[section] | values
    if found["model"]["type"] == "mmoe":
        found["model"]["tasks"] = TASKS
        del found["model"]["hidden"]
    found["train"].setdefault("distributed", {})
    with pytest.raises(ConfigError) as caught:
        load_experiment(found)
    assert any(place in str(problem) for problem in caught.value.problems), str(caught.value)
    del found["train"]["distributed"]
    if "sharding" not in place and "backend" not in place:
        load_experiment(found)  # one process can


# ------------------------------------------------------------------------------------------- the command


def command(file, folder, *more):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "easyrec"]
    return [*words, "train", "-c", str(file), "--run-dir", str(folder), *more]


def workers_of(pid):
    """Process ids of the workers that torchrun started, by their rank."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        told = dict(
            entry.split("=", 1) for entry in Path(f"/proc/{child}/environ").read_text().split("\0") if "=" in entry
        )
        if "RANK" in told:
            found[int(told["RANK"])] = int(child)
    return found


@pytest.fixture(scope="module")
def long_run(home, config):
    """A config file with all that has a state, and many checkpoints; and what its run leaves undisturbed.

    Dropout, shuffled rows, ids that come and go, rows on disk, and metrics of what was learned lately.
    """
    shuffled = config("row", model__dropout=0.2, data__shuffle={"buffer_rows": 64}, train__epochs=8)
    moving = features(capacity=30, admission={"min_count": 2, "counter": "sketch"}, eviction={"policy": "lfu"})
    shuffled["features"] = [{**f, "num_buckets": 150_000} if f["name"] == "tags" else f for f in moving]
    shuffled["train"] |= {"storage": {"memory_mb": 1}, "metrics": LATELY, "log_every": 7}
    shuffled["train"] |= {"checkpoint": {"every": {"steps": 10}}, "evaluate_every": {"steps": 20}}
    file = home / "long.yaml"
    file.write_text(json.dumps(shuffled))
    done = subprocess.run(command(file, home / "whole"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("valid") == 1  # one table, of the first worker
    assert (home / "whole" / "bundle" / "manifest.json").exists()
    assert any(line["dynamic"]["item_id"]["evicted"] for line in lines(home / "whole", "progress.jsonl"))
    return file, *told(home / "whole")


def told(folder):
    """What a run measured, at evaluations and lately, and what happened to its ids."""
    lately = [(line["step"], line["metrics"], line["dynamic"]) for line in lines(folder, "progress.jsonl")]
    return lines(folder, "metrics.jsonl"), lately


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "signal"), [(0, "SIGKILL"), (1, "SIGKILL"), (1, "SIGTERM")])
def test_a_lost_worker_ends_the_job_with_one_message_and_it_goes_on(home, long_run, rank, signal):
    file, *whole = long_run
    folder = home / f"lost-{rank}-{signal}"
    job = subprocess.Popen(command(file, folder, "--no-bar"), stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(6000):
            if len(list(folder.glob("checkpoints/step-*"))) or job.poll() is not None:
                break
            time.sleep(0.01)
        os.kill(workers_of(job.pid)[rank], getattr(signals, signal))
        _, said = job.communicate(timeout=120)
    finally:
        job.kill()
    assert job.returncode != 0
    assert said.count("To go on: the same command with --resume") == 1, said
    done = subprocess.run(command(file, folder, "--resume"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [*told(folder)] == whole


@pytest.mark.slow
def test_workers_read_the_version_that_the_first_one_has_opened(home, config):
    deltalake = pytest.importorskip("deltalake", reason="needs the extra 'delta'")
    folder = home / "versions"
    properties = deltalake.WriterProperties(max_row_group_size=SHARE)
    deltalake.write_deltalake(folder / "log", table(4 * SHARE, 1), writer_properties=properties)
    made = config("row")
    made["data"]["train"] = {"type": "delta", "path": str(folder / "log")}
    del made["data"]["valid"]
    (folder / "config.json").write_text(json.dumps(made))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = Path(__file__).parent / "versions_run.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:8000]
    first, second = (json.loads((folder / f"worker-{rank}.json").read_text()) for rank in range(2))
    assert (first["opened"], second["opened"]) == (0, 1)
    assert first["read"] == second["read"] == 0
    assert first["samples"] == second["samples"] == 4 * SHARE
