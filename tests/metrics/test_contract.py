"""What every metric promises, members of tomorrow included."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.metrics import build
from easyrec.metrics._metric import ListConfig
from feature_generator.config import member, members

METRICS = members("easyrec.metrics")
KEYS = {
    "coverage": {"k": 3, "item": "item"},
    "hit_rate": {"k": 3},
    "recall_at": {"k": 3},
    "precision_at": {"k": 3},
    "ranker_hit_rate": {"k": 3, "by": "user", "score": "item"},
}
"""What a metric's config cannot do without, `by` apart."""
UNLABELLED = ("ranker_hit_rate",)
"""Metrics that read no labels, and so not what these weigh."""


def config(type, /, **keys):
    made = member("easyrec.metrics", type).Config
    needed = dict(KEYS.get(type, {}))
    if made.model_fields["by"].is_required():
        needed["by"] = "user"
    return made(**needed, **keys)


def is_of_lists(name):
    """Whether sample weights are those of lists: in a list twice as many rows are another list."""
    return isinstance(config(name), ListConfig)


def rows(kind, n=500, seed=0):
    r = np.random.default_rng(seed)
    columns = {"user": pa.array(r.integers(0, 20, n)).cast(pa.string()), "item": pa.array(r.integers(0, 90, n))}
    weights = r.random(n).astype(np.float32)
    if kind in ("multiclass", "ordinal"):
        p = np.round(r.dirichlet([1, 1, 1], n), 2).astype(np.float32)
        return r.integers(0, 3, n).astype(np.float32), p, weights, columns
    p = np.round(r.random(n), 2).astype(np.float32)  # ties
    labels = (r.random(n) < p).astype(np.float32)
    if kind != "binary":
        labels = labels * np.round(p + r.exponential(1, n), 1).astype(np.float32)
    return labels, p, weights, columns


def cases(but=()):
    return [(name, kind) for name in METRICS if name not in but for kind in sorted(config(name).task_types)]


def take(part, index):
    labels, p, weights, columns = part
    taken = {k: v.take(pa.array(index)) for k, v in columns.items()}
    return labels[index], p[index], None if weights is None else weights[index], taken


def value(name, *parts):
    metric = build(config(name))
    for part in parts:
        metric.update(*part)
    return metric.compute()


@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "no-weights"])
@pytest.mark.parametrize(("name", "kind"), cases())
def test_merged_shards_equal_the_whole(name, kind, weighted):
    whole = rows(kind)
    whole = whole if weighted else (*whole[:2], None, whole[3])
    first, second = build(config(name)), build(config(name))
    first.update(*take(whole, np.arange(0, 100)))
    first.update(*take(whole, np.arange(100, 100)))
    second.update(*take(whole, np.arange(100, 350)))
    second.update(*take(whole, np.arange(350, 500)))
    first.merge(second)
    assert first.compute() == pytest.approx(value(name, whole), rel=1e-9)
    assert 0 <= value(name, whole) < 10


@pytest.mark.parametrize(("name", "kind"), cases())
def test_the_order_of_rows_does_not_matter(name, kind):
    whole = rows(kind)
    for seed in range(3):
        mixed = take(whole, np.random.default_rng(seed).permutation(500))
        assert value(name, mixed) == pytest.approx(value(name, whole), rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), [c for c in cases(UNLABELLED) if not is_of_lists(c[0])])
def test_a_weight_of_two_counts_a_row_twice(name, kind):
    whole = rows(kind)
    weights = np.ones(500, np.float32)
    weights[:200] = 2
    twice = take((*whole[:2], None, whole[3]), np.concatenate([np.arange(500), np.arange(200)]))
    assert value(name, (*whole[:2], weights, whole[3])) == pytest.approx(value(name, twice), rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), [c for c in cases(UNLABELLED) if is_of_lists(c[0])])
def test_a_weight_of_two_counts_a_list_twice(name, kind):
    labels, p, _, columns = rows(kind)
    chosen = np.isin(columns["user"].to_numpy(zero_copy_only=False), ["3", "4", "11"])
    weights = np.where(chosen, np.float32(2), np.float32(1))
    copies = take((labels, p, None, columns), np.flatnonzero(chosen))
    copies[3]["user"] = pa.array([f"copy of {user}" for user in copies[3]["user"].to_pylist()])
    twice = value(name, (labels, p, None, columns), copies)
    assert value(name, (labels, p, weights, columns)) == pytest.approx(twice, rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), cases(UNLABELLED))
def test_rows_of_weight_0_are_not_there(name, kind):
    labels, p, _, columns = rows(kind)
    weights = (np.arange(500) % 3 > 0).astype(np.float32)
    expected = value(name, take((labels, p, None, columns), np.flatnonzero(weights)))
    assert value(name, (labels, p, weights, columns)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), cases())
def test_no_rows_have_no_value(name, kind):
    assert np.isnan(value(name))
    assert np.isnan(value(name, take(rows(kind), np.arange(0))))


@pytest.mark.parametrize(("name", "kind"), cases())
def test_a_score_that_is_no_number_is_no_value(name, kind):
    labels, p, weights, columns = rows(kind)
    p[7] = np.nan
    found = value(name, (labels, p, weights, columns))
    assert np.isnan(found) or name in ("accuracy", "precision", "recall", "f1")  # NaN is not above a threshold


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_where_it_is_listed(name):
    assert config(name).better in ("higher", "lower", None)
    assert config(name).key == (f"{name.removesuffix('_at')}@3" if name in KEYS else name)
    assert config(name, name="mine").key == "mine"
    assert config(name).task_types <= {"binary", "regression", "multiclass", "ordinal", "ziln"}
    assert config(name, slices=["country"]).sliced_by == ("country",)
