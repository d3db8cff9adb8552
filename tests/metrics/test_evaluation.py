import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.config import EvalConfig, TaskConfig
from easyrec.errors import ConfigError, DataError
from easyrec.metrics import Evaluation, evaluate

CLICK = TaskConfig(name="click", label="click")
BUY = TaskConfig(name="cvr", label="buy", mask="click == 1")
PRICE = TaskConfig(name="price", label="price", type="regression")


@dataclass
class Rows:
    predictions: dict
    labels: dict
    sample_weight: np.ndarray | None = None
    reserved: pa.Table | None = None
    extra: dict = field(default_factory=dict)


def drawn(n=600, seed=0):
    r = np.random.default_rng(seed)
    p = r.random(n).astype(np.float32)
    click = (r.random(n) < p).astype(np.float32)
    labels = {"click": click, "buy": click * r.integers(0, 2, n).astype(np.float32), "price": p + 1}
    predictions = {"click": p, "cvr": r.random(n).astype(np.float32), "price": p}
    reserved = pa.table({"country": r.choice(["US", "CN", None], n), "user": r.integers(0, 9, n)})
    return Rows(predictions, labels, r.random(n).astype(np.float32), reserved)


def run(batches, tasks, **keys):
    return evaluate(lambda batch: batch.predictions, batches, tasks, EvalConfig(**keys))


def test_a_single_task_reports_plain_keys():
    rows = drawn()
    rows.sample_weight = None
    found = run([rows], [CLICK])
    assert list(found) == ["auc", "logloss"]
    assert found["auc"] == pytest.approx(roc_auc_score(rows.labels["click"], rows.predictions["click"]))


def test_several_tasks_report_by_name_the_metrics_that_fit():
    found = run([drawn()], [CLICK, PRICE], metrics=["auc", "mae"])
    assert list(found) == ["click/auc", "price/mae"]
    assert found["price/mae"] == pytest.approx(1.0)


def test_a_task_may_have_its_own_metrics():
    own = TaskConfig(name="click", label="click", metrics=[{"type": "gauc", "by": "user", "name": "by_user"}])
    assert list(run([drawn()], [own], metrics=["auc"])) == ["by_user"]


def test_the_mask_says_which_rows_count():
    rows = drawn()
    clicked = rows.labels["click"] == 1
    expected = roc_auc_score(
        rows.labels["buy"][clicked], rows.predictions["cvr"][clicked], sample_weight=rows.sample_weight[clicked]
    )
    assert run([rows], [BUY], metrics=["auc"])["auc"] == pytest.approx(expected)


@pytest.mark.parametrize("task", [CLICK, BUY], ids=["all-rows", "masked"])
def test_a_slice_is_the_metric_over_its_rows(task):
    rows = drawn()
    found = run([rows], [task], metrics=["auc", {"type": "gauc", "by": "user"}], slices=["country"])
    assert set(found) == {
        f"{m}{s}" for m in ("auc", "gauc") for s in ("", "[country=US]", "[country=CN]", "[country=null]")
    }
    countries = np.array(rows.reserved["country"].to_pylist(), object)
    for country in ("US", "CN", None):
        mine = countries == country
        if task is BUY:
            mine &= rows.labels["click"] == 1
        labels, scores = rows.labels[task.label][mine], rows.predictions[task.name][mine]
        expected = roc_auc_score(labels, scores, sample_weight=rows.sample_weight[mine])
        assert found[f"auc[country={country or 'null'}]"] == pytest.approx(expected)


def test_a_metric_may_have_slices_of_its_own():
    by = {"type": "logloss", "by": "country"}
    of_groups = {"type": "gauc", "by": "user", "slices": ["country"]}
    config = {"metrics": ["auc", by, of_groups]}
    assert EvalConfig(**config).columns([CLICK]) == ("country", "user")
    found = run([drawn()], [CLICK, PRICE], **config)
    places = [f"[country={value}]" for value in ("CN", "US", "null")]
    assert list(found) == [
        *("click/auc", "click/logloss", "click/gauc"),
        *(f"click/{metric}{place}" for place in places for metric in ("logloss", "gauc")),
    ]
    everything = run([drawn()], [CLICK, PRICE], metrics=["logloss"], slices=["country"])
    assert found["click/logloss[country=US]"] == everything["click/logloss[country=US]"]


def test_batches_and_merged_shards_equal_one_pass():
    rows, config = drawn(), EvalConfig(metrics=["auc", {"type": "gauc", "by": "user"}, "logloss"], slices=["country"])
    parts = []
    for start in range(0, 600, 70):
        cut = slice(start, start + 70)
        part = Rows(*({k: v[cut] for k, v in d.items()} for d in (rows.predictions, rows.labels)))
        part.sample_weight, part.reserved = rows.sample_weight[cut], rows.reserved.slice(start, 70)
        parts.append(part)
    tasks = [CLICK, BUY]
    whole = evaluate(lambda b: b.predictions, [rows], tasks, config)
    assert evaluate(lambda b: b.predictions, parts, tasks, config) == pytest.approx(whole)
    shards = [Evaluation(tasks, config), Evaluation(tasks, config)]
    for index, part in enumerate(parts):
        columns = {c: part.reserved[c] for c in config.columns(tasks)}
        shards[index % 2].update(part.predictions, part.labels, part.sample_weight, columns)
    shards[0].merge(shards[1])
    assert shards[0].compute() == pytest.approx(whole)


def test_a_value_that_is_not_defined_is_nan():
    rows = drawn()
    rows.labels["click"] = np.ones(600, np.float32)
    assert np.isnan(run([rows], [CLICK], metrics=["auc"])["auc"])


def test_too_many_slices_are_refused():
    rows = drawn(1500)
    rows.reserved = pa.table({"user": np.arange(1500)})
    with pytest.raises(DataError, match="at most 1000 values"):
        run([rows], [CLICK], slices=["user"])


def test_a_metric_that_fits_no_task_is_refused():
    with pytest.raises(ConfigError, match="'rmse' fits none of the tasks, which are of type: binary"):
        run([drawn()], [CLICK], metrics=["auc", "rmse"])


def test_the_columns_that_must_be_read_are_known():
    config = EvalConfig(metrics=[{"type": "gauc", "by": "user"}], slices=["country", "user"])
    assert config.columns([CLICK]) == ("country", "user")


def test_equal_keys_are_refused():
    with pytest.raises(ValueError, match="two metrics would be reported as 'gauc'"):
        EvalConfig(metrics=[{"type": "gauc", "by": "user"}, {"type": "gauc", "by": "item"}])


def test_torch_tensors_are_read_in_place():
    torch = pytest.importorskip("torch")
    rows = drawn()
    rows.labels = {k: torch.from_numpy(v) for k, v in rows.labels.items()}
    rows.sample_weight = torch.from_numpy(rows.sample_weight)
    assert run([rows], [CLICK]) == run([drawn()], [CLICK])


def test_metrics_need_no_torch():
    code = "import sys, easyrec.metrics, easyrec.metrics.gauc; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
