"""What every metric promises, members of tomorrow included."""

import numpy as np
import pyarrow as pa
import pytest

from easyrec.metrics import build
from feature_generator.config import member, members

METRICS = members("easyrec.metrics")
KEYS = {"gauc": {"by": "user"}}  # what a metric's config cannot do without


def config(name):
    return member("easyrec.metrics", name).Config(**KEYS.get(name, {}))


def rows(kind, n=500, seed=0):
    r = np.random.default_rng(seed)
    columns = {"user": pa.array(r.integers(0, 20, n)).cast(pa.string())}
    weights = r.random(n).astype(np.float32)
    if kind == "multiclass":
        p = r.dirichlet([1, 1, 1], n).astype(np.float32)
        return r.integers(0, 3, n).astype(np.float32), p, weights, columns
    p = np.round(r.random(n), 2).astype(np.float32)  # ties
    labels = (r.random(n) < p).astype(np.float32) if kind == "binary" else (p + r.normal(0, 1, n)).astype(np.float32)
    return labels, p, weights, columns


def cases():
    return [(name, kind) for name in METRICS for kind in sorted(config(name).task_types)]


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


@pytest.mark.parametrize(("name", "kind"), cases())
def test_the_order_of_rows_does_not_matter(name, kind):
    whole = rows(kind)
    mixed = take(whole, np.random.default_rng(1).permutation(500))
    assert value(name, mixed) == pytest.approx(value(name, whole), rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), cases())
def test_a_weight_of_two_counts_a_row_twice(name, kind):
    whole = rows(kind)
    weights = np.ones(500, np.float32)
    weights[:200] = 2
    twice = take((*whole[:2], None, whole[3]), np.concatenate([np.arange(500), np.arange(200)]))
    assert value(name, (*whole[:2], weights, whole[3])) == pytest.approx(value(name, twice), rel=1e-9)


@pytest.mark.parametrize(("name", "kind"), cases())
def test_no_rows_have_no_value(name, kind):
    assert np.isnan(value(name))
    assert np.isnan(value(name, take(rows(kind), np.arange(0))))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_where_it_is_listed(name):
    assert config(name).better in ("higher", "lower", None)
    assert config(name).key == name
    assert member("easyrec.metrics", name).Config(name="mine", **KEYS.get(name, {})).key == "mine"
    assert config(name).task_types <= {"binary", "regression", "multiclass", "ziln"}
