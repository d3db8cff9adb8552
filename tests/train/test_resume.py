import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from easyrec.errors import CheckpointError, DataError
from easyrec.train.checkpoint import CheckpointStore
from easyrec.train.interrupt import Interrupted
from easyrec.train.snapshot import read_folder
from easyrec.train.trainer import Trainer

# Everything that has a state: dropout, batch norm, averages, a plateau, a schedule, clipping, early stop, sampling.
SETTINGS = {
    "train__epochs": 4,
    "train__log_every": 7,
    "train__ema": {"decay": 0.9},
    "train__grad_clip": 1.0,
    "train__early_stop": {"metric": "logloss", "patience": 30},
    "train__evaluate_every": {"steps": 9},
    "train__checkpoint": {"every": {"steps": 5}, "keep": 2},
    "train__dense_optimizer": {"type": "adam", "lr": 0.03, "schedule": {"type": "plateau", "patience": 1}},
    "train__sparse_optimizer": {"type": "lazy_adam", "lr": 0.02, "schedule": {"type": "cosine", "steps": 50}},
    "model__batch_norm": True,
    "data__negative_sampling": {"keep_rate": 0.9},
    "data__sample_weight": "weight",
    "data__batch_size": 70,
    "eval__calibration": {"method": "platt"},
    "train__metrics": {"metrics": ["auc", {"type": "gauc", "by": "user_id"}], "decay": 0.5, "rows": 150},
}


def outcome(path):
    """All of a run that must not depend on interruptions; clocks are left out."""
    newest = max((path / "checkpoints").iterdir(), key=lambda p: int(p.name.removeprefix("step-")))
    snapshot = read_folder(newest)
    state = {name: value for name, value in snapshot.state.items() if name not in ("seconds", "files")}
    metrics = {k: v for k, v in json.loads((path / "metrics.json").read_text()).items() if k != "seconds"}
    clocks = ("seconds", "samples_per_second")
    progress = [json.loads(line) for line in (path / "progress.jsonl").read_text().splitlines()]
    return {
        "state": state,
        "tensors": {f"{a}/{b}": t.numpy().tobytes() for a, part in snapshot.tensors.items() for b, t in part.items()},
        "tables": {name: array.tobytes() for name, array in snapshot.arrays.items()},
        "metrics.json": metrics,
        "metrics.jsonl": (path / "metrics.jsonl").read_bytes(),
        "progress.jsonl": [{k: v for k, v in record.items() if k not in (*clocks, "storage")} for record in progress],
        "calibration": (path / "calibration.json").read_bytes(),
        "checkpoints": sorted(p.name for p in (path / "checkpoints").iterdir()),
    }


def assert_equal(one, two):
    for part, value in one.items():
        assert value == two[part], part


class Signalled(Trainer):
    """Gets a signal inside of one step."""

    at, number = 0, signal.SIGINT

    def _learn(self, batch):
        super()._learn(batch)
        if self.step == self.at:
            os.kill(os.getpid(), self.number)


class Crashing(Trainer):
    """Ends in the middle of a step, saving nothing."""

    at = 0

    def _learn(self, batch):
        if self.step == self.at:
            raise KeyError
        super()._learn(batch)


@pytest.fixture(scope="module")
def undisturbed_run(tmp_path_factory, data, toy_experiment):
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    return Trainer(toy_experiment(**SETTINGS), path, data=data, bar=False, export=False).fit().path


@pytest.fixture
def undisturbed(undisturbed_run):
    return outcome(undisturbed_run)


def test_resuming_equals_never_having_stopped(toy, undisturbed):
    """Signals and crashes at steps before, at and after evaluations, checkpoints and ends of epochs."""
    steps = 56
    assert undisturbed["state"]["step"] == steps
    for at in (1, 4, 5, 9, 14, 15, 29, 45, steps):
        shutil.rmtree(toy.path / "run", ignore_errors=True)
        kind = type("At", (Signalled,), {"at": at, "number": random.Random(at).choice([signal.SIGINT, signal.SIGTERM])})
        with pytest.raises(Interrupted) as stop:
            toy.trainer(kind=kind, **SETTINGS).fit()
        assert stop.value.exit_code == 130
        assert f"step {at}" in str(stop.value)
        assert "--resume" in str(stop.value)
        assert_equal(outcome(toy.trainer(resume=True, **SETTINGS).fit().path), undisturbed)


def test_resuming_after_a_crash_equals_never_having_stopped(toy, undisturbed):
    for at in (3, 7, 18, 55):
        shutil.rmtree(toy.path / "run", ignore_errors=True)
        with pytest.raises(KeyError):
            toy.trainer(kind=type("At", (Crashing,), {"at": at}), **SETTINGS).fit()
        assert_equal(outcome(toy.trainer(resume=True, **SETTINGS).fit().path), undisturbed)


def test_several_interruptions_in_one_run(toy, undisturbed):
    for at in (2, 11, 12, 30):
        with pytest.raises(Interrupted):
            toy.trainer(kind=type("At", (Signalled,), {"at": at}), resume=True, **SETTINGS).fit()
    assert_equal(outcome(toy.trainer(resume=True, **SETTINGS).fit().path), undisturbed)


class DuringEvaluation(Trainer):
    """Gets a signal inside of the first evaluation after a step."""

    at = 0

    def measure(self, loader, watch=None):
        if self.step >= self.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().measure(loader, watch)


def test_a_signal_during_an_evaluation_does_not_lose_it(toy, undisturbed):
    for at in (9, 56):
        shutil.rmtree(toy.path / "run", ignore_errors=True)
        with pytest.raises(Interrupted):
            toy.trainer(kind=type("At", (DuringEvaluation,), {"at": at}), **SETTINGS).fit()
        assert_equal(outcome(toy.trainer(resume=True, **SETTINGS).fit().path), undisturbed)


def test_resuming_a_finished_run_gives_it_again(toy, undisturbed, undisturbed_run):
    shutil.copytree(undisturbed_run, toy.path / "run")
    run = toy.trainer(resume=True, **SETTINGS).fit()
    assert_equal(outcome(run.path), undisturbed)


def test_more_epochs_go_on_where_the_run_ended(toy):
    settings = {**SETTINGS, "train__early_stop": None, "train__evaluate_every": {"epochs": 1}}
    settings["train__dense_optimizer"] = {"type": "adam", "lr": 0.03}
    longer = outcome(toy.trainer(run="longer", **settings).fit().path)
    toy.trainer(**{**settings, "train__epochs": 2}).fit()
    assert_equal(outcome(toy.trainer(resume=True, **settings).fit().path), longer)


@pytest.mark.parametrize(
    "optimizers",
    [
        ({"type": "adagrad"}, {"type": "rowwise_adagrad"}),
        ({"type": "sgd", "momentum": 0.9, "lr": 0.01}, {"type": "ftrl", "lr": 0.1}),
        ({"type": "adamw"}, {"type": "adam"}),
        ({"type": "sgd", "lr": 0.01}, {"type": "adagrad"}),
    ],
    ids=lambda pair: "-".join(p["type"] for p in pair),
)
def test_every_optimizer_resumes_exactly(toy, optimizers):
    settings = {
        **SETTINGS,
        "train__epochs": 2,
        "train__dense_optimizer": optimizers[0],
        "train__sparse_optimizer": optimizers[1],
    }
    expected = outcome(toy.trainer(run="undisturbed", **settings).fit().path)
    with pytest.raises(Interrupted):
        toy.trainer(kind=type("At", (Signalled,), {"at": 17}), **settings).fit()
    assert_equal(outcome(toy.trainer(resume=True, **settings).fit().path), expected)


TASKS = [{"name": "click", "label": "click"}, {"name": "buy", "label": "buy"}]


@pytest.mark.parametrize("kind", ["fixed", "uncertainty", "gradnorm", "pcgrad", "mgda"])
def test_every_task_weighting_resumes_exactly(toy, kind):
    """The metrics' rhythm and the log's fall together with the signal, after and before a checkpoint."""
    settings = {**SETTINGS, "train__epochs": 2, "train__task_weighting": kind, "model__tasks": TASKS}
    expected = outcome(toy.trainer(run="undisturbed", **settings).fit().path)
    for at in (7, 18):
        shutil.rmtree(toy.path / "run", ignore_errors=True)
        with pytest.raises(Interrupted):
            toy.trainer(kind=type("At", (Signalled,), {"at": at}), **settings).fit()
        assert_equal(outcome(toy.trainer(resume=True, **settings).fit().path), expected)


def rows_on_disk(toy, data):
    """Settings under which all rows are in memory, and such under which few are."""
    random = np.random.default_rng(4)
    users = {name: frame.assign(user_id=random.integers(0, 40_000, len(frame))) for name, frame in data.items()}
    features = [{**toy.config["features"][0], "num_buckets": 40_000}, *toy.config["features"][1:]]
    settings = {
        **SETTINGS,
        "features": features,
        "train__epochs": 2,
        "data__batch_size": 35,
        "model__embedding_dim": 64,
    }
    settings["data"] = users
    few = {"train__storage": {"memory_mb": 1}, **settings}
    return settings, few


def test_rows_on_disk_change_nothing(toy, data):
    """Neither what is learned nor what is written."""
    settings, few = rows_on_disk(toy, data)
    expected = toy.trainer(run="whole", export=True, **settings).fit().path
    parted = toy.trainer(run="parted", export=True, **few)
    run = parted.fit().path
    assert_equal(outcome(run), outcome(expected))
    (tier,) = parted.collection.tables.tiers._by_name.values()
    assert tier.spec.slots < 40_000
    told = [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
    assert sum(t["storage"]["user_id"]["read"] for t in told) > 900
    for path in (expected / "bundle" / "tables").iterdir():
        assert path.read_bytes() == (run / "bundle" / "tables" / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_a_run_goes_on_with_more_or_fewer_rows_in_memory(toy, data):
    settings, few = rows_on_disk(toy, data)
    expected = toy.trainer(run="whole", **settings).fit().path
    for number, (before, kind, after) in enumerate(
        [
            (few, Signalled, settings),
            (settings, Signalled, few),
            (few, Crashing, {**few, "train__storage": {"memory_mb": 2}}),
        ]
    ):
        with pytest.raises((Interrupted, KeyError)):
            toy.trainer(run=f"{number}", kind=type("At", (kind,), {"at": 23}), **before).fit()
        assert_equal(outcome(toy.trainer(run=f"{number}", resume=True, **after).fit().path), outcome(expected))


# ---------------------------------------------------------------------------------------- refusals


def stopped(toy, **settings):
    with pytest.raises(Interrupted):
        toy.trainer(kind=type("At", (Signalled,), {"at": 12}), **{**SETTINGS, **settings}).fit()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model__hidden": [16, 9]}, r"deep\.\d+\.weight.*is \[8, 16\] in the checkpoint, but \[9, 16\] in the model"),
        ({"model__embedding_dim": 4}, "another model|table"),
        ({"features[user_id]__num_buckets": 41}, "features"),
        ({"train__sparse_optimizer": {"type": "adagrad"}}, "sparse_optimizer was 'lazy_adam'.*'adagrad' now"),
        ({"train__dense_optimizer": {"type": "sgd"}}, "dense_optimizer was 'adam'.*'sgd' now"),
        ({"model__tasks": TASKS, "train__task_weighting": "gradnorm"}, "task_weighting was 'fixed'.*'gradnorm' now"),
    ],
    ids=["width", "dim", "buckets", "sparse-optimizer", "dense-optimizer", "weighting"],
)
def test_another_model_is_refused_by_name(toy, change, message):
    stopped(toy)
    with pytest.raises(CheckpointError, match=message):
        toy.trainer(resume=True, **{**SETTINGS, **change}).fit()


def test_other_data_are_refused(toy, data):
    stopped(toy)
    with pytest.raises(DataError, match="rows"):
        toy.trainer(resume=True, data={**data, "train": data["train"].iloc[:-5]}, **SETTINGS).fit()


def test_a_damaged_newest_checkpoint_is_passed_over(toy, undisturbed, caplog):
    stopped(toy)
    newest = toy.path / "run" / "checkpoints" / "step-12" / "dense.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    run = toy.trainer(resume=True, **SETTINGS).fit()
    assert any("step-12/dense.safetensors" in m and "damaged" in m for m in caplog.messages)
    assert_equal(outcome(run.path), undisturbed)


def test_only_damaged_checkpoints_are_an_error_that_names_them(toy):
    stopped(toy)
    for folder in (toy.path / "run" / "checkpoints").iterdir():
        (folder / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"state\.json"):
        toy.trainer(resume=True, **SETTINGS).fit()


def test_a_full_disk_stops_training_and_leaves_the_former_checkpoint(toy, undisturbed):
    stopped(toy)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(p.stat().st_size for p in (toy.path / "run" / "checkpoints" / "step-12").rglob("*") if p.is_file())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, before[1]))  # its length varies by the digits of seconds
    try:
        with pytest.raises(CheckpointError, match=r"cannot write the checkpoint.*needs .* MB"):
            toy.trainer(resume=True, **SETTINGS).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    store = CheckpointStore(toy.path / "run" / "checkpoints")
    assert store.newest()[0] == 12
    assert not [p for p in store.path.iterdir() if p.name.startswith(".")]
    assert_equal(outcome(toy.trainer(resume=True, **SETTINGS).fit().path), undisturbed)


# ------------------------------------------------------------------------------------------ kill -9


class Killed:
    """A process that forks a training run for each request and kills it after so many seconds."""

    def __init__(self, folder, config, sources):
        (folder / "data.json").write_text(json.dumps(sources))
        (folder / "config.json").write_text(json.dumps(config))
        script = Path(__file__).with_name("killed_run.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, path, seconds=None):
        """Train or resume in `path`; returns how it ended and after how many seconds."""
        self.process.stdin.write(json.dumps([str(path), seconds]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def as_parquet(folder, name, frame, request):
    frame.to_parquet(folder / f"{name}.parquet")
    return {"type": "parquet", "path": str(folder / f"{name}.parquet")}


def as_jsonl(folder, name, frame, request):
    (folder / name).mkdir()
    for start in range(0, len(frame), 150):  # some units
        frame[start : start + 150].to_json(folder / name / f"{start:04}.jsonl", orient="records", lines=True)
    return {"type": "jsonl", "path": str(folder / name)}


def as_table(uri, name, frame):
    driver = pytest.importorskip("adbc_driver_sqlite" if uri.startswith("file:") else "adbc_driver_postgresql")
    dbapi = importlib.import_module(f"{driver.__name__}.dbapi")
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, pa.Table.from_pandas(frame), mode="replace")


def as_sqlite(folder, name, frame, request):
    as_table(f"file:{folder}/rows.db", name, frame)
    return {"type": "sql", "uri": f"sqlite:///{folder}/rows.db", "table": name, "order_by": "row", "unit_rows": 150}


def as_postgresql(folder, name, frame, request):
    uri = request.getfixturevalue("postgres")
    as_table(uri, name, frame)
    query = f'SELECT * FROM "{name}"'
    return {"type": "sql", "uri": uri, "query": query, "order_by": "row", "unit_rows": 150}


@pytest.fixture
def killed(toy, data, request):
    write = getattr(request, "param", as_parquet)
    sources = {name: write(toy.path, name, frame, request) for name, frame in data.items()}
    experiment = toy.experiment(**SETTINGS)
    server = Killed(toy.path, experiment.document.raw, sources)
    yield server
    server.close()


def kill_at(killed, path, moments, seed):
    """Kill runs at `moments` random moments of their life, resume each to the end, compare."""
    code, life = killed.run(path / "undisturbed")
    assert code == 0
    expected = outcome(path / "undisturbed")
    draw, deaths = random.Random(seed), 0
    for moment in range(moments):
        run = path / f"killed-{moment}"
        code, seconds = killed.run(run, draw.uniform(0, life))
        deaths += code == -signal.SIGKILL
        life = min(life, seconds) if code == 0 else life  # with less beside it a run takes less
        while draw.random() < 0.3:  # some die more than once
            killed.run(run, draw.uniform(0, life))
        code, _ = killed.run(run)
        assert code == 0
        assert_equal(outcome(run), expected)
        shutil.rmtree(run)
    return deaths


def test_kill_9_and_resume_equals_never_having_stopped(toy, killed):
    assert kill_at(killed, toy.path, moments=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [as_jsonl, as_sqlite, as_postgresql], indirect=True)
def test_kill_9_and_resume_on_other_sources_loses_and_repeats_nothing(toy, killed):
    assert kill_at(killed, toy.path, moments=2, seed=3)


@pytest.mark.slow
def test_kill_9_at_20_moments(toy, killed):
    assert kill_at(killed, toy.path, moments=20, seed=2) >= 10


def test_tensors_compare_by_bytes():
    """What `outcome` relies on: equal bytes are equal numbers."""
    assert (
        torch.tensor([1.0]).numpy().tobytes()
        != torch.tensor([np.nextafter(1.0, 2.0, dtype=np.float32)]).numpy().tobytes()
    )


@pytest.mark.slow
def test_resuming_dynamic_tables_equals_never_having_stopped(toy):
    settings = {**SETTINGS, "features": toy.dynamic, "data__batch_size": 20}
    whole = outcome(toy.trainer(run="whole", **settings).fit().path)
    told = [json.loads(line)["dynamic"] for line in (toy.path / "whole/progress.jsonl").read_text().splitlines()]
    assert sum(t["user_id"]["evicted"] for t in told) > 0
    assert sum(t["item_id"]["expired"] for t in told) > 0
    for at in (3, 9, 61):
        shutil.rmtree(toy.path / "run", ignore_errors=True)
        kind = type("At", (Signalled,), {"at": at, "number": signal.SIGTERM})
        with pytest.raises(Interrupted):
            toy.trainer(kind=kind, **settings).fit()
        assert_equal(outcome(toy.trainer(resume=True, **settings).fit().path), whole)
