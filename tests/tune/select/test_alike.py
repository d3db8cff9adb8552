"""Which columns tell each other, and which only seem to."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.tune.select.alike import alike, families, tellers

RANDOM = np.random.default_rng(0)
ROWS = 20_000
ITEM = np.minimum(RANDOM.pareto(1.0, ROWS) * 20, 999).astype(int)
NUMBER = RANDOM.normal(size=ROWS).astype(np.float32)
LISTS = [[int(i), int(i * 3 % 7)] if i % 5 else [] for i in ITEM]
NOISY = np.where(RANDOM.random(ROWS) < 0.01, RANDOM.integers(0, 1000, ROWS), ITEM)
COLUMNS = {
    "item": pa.array(ITEM),
    "renamed": pa.array((ITEM * 7919 + 5) % 1009),
    "noisy": pa.array(NOISY),
    "cate": pa.array(ITEM % 20),  # an item tells its category, but not the other way
    "other": pa.array(np.minimum(RANDOM.pareto(1.0, ROWS) * 20, 999).astype(int)),
    "unique": pa.array(np.arange(ROWS)),
    "unique_too": pa.array(RANDOM.permutation(ROWS)),
    "number": pa.array(NUMBER),
    "scaled": pa.array(NUMBER * 100),
    "tags": pa.array(LISTS),
    "tags_again": pa.array([[value + 1000 for value in one] for one in LISTS]),
    "nothing": pa.array(np.zeros(ROWS, dtype=int)),
    "nested": pa.array([[[1]]] * ROWS),
    "holes": pa.array([None if i % 7 == 0 else int(i) for i in ITEM]),
}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("alike") / "train.parquet"
    pq.write_table(pa.table(COLUMNS), path, row_group_size=6000)
    return path


def test_only_columns_that_tell_each_other_are_alike(file):
    found = alike(file, {name: (name,) for name in COLUMNS}, 0.95)
    pairs = {
        ("item", "renamed"): 1.0,
        ("number", "scaled"): 1.0,
        ("tags", "tags_again"): 1.0,
    }
    assert {pair: value for pair, value in found.items() if value > 0.9999} == pytest.approx(pairs)
    assert set(found) - set(pairs) == {("item", "noisy"), ("renamed", "noisy")}


def test_what_is_finer_tells_what_is_coarser_and_not_the_other_way(file):
    names = [
        "item",
        "renamed",
        "noisy",
        "cate",
        "other",
        "unique",
        "number",
        "tags",
        "nothing",
    ]  # a fifth of the tags are empty
    found = tellers(file, {name: (name,) for name in names}, ["item", "cate", "other", "nothing"], names, 0.95)
    assert found == {"item": ["renamed", "noisy"], "cate": ["item", "renamed", "noisy"]}


@pytest.mark.slow
def test_the_measure_is_adjusted_mutual_information(file):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    found = alike(file, {name: (name,) for name in ("item", "noisy", "holes")}, 0.5)
    for (a, b), value in found.items():
        x, y = (np.array(COLUMNS[name].fill_null(-1)) for name in (a, b))
        expected = metrics.adjusted_mutual_info_score(x, y, average_method="max")
        assert value == pytest.approx(expected, abs=0.01)
    assert len(found) == 3


def test_units_of_several_features_are_left_alone(file):
    assert alike(file, {"both": ("item", "cate"), "renamed": ("renamed",)}, 0.5) == {}


def test_families_join_what_is_alike_by_steps():
    assert families({("a", "b"): 1.0, ("c", "d"): 1.0, ("b", "c"): 0.96, ("x", "y"): 1.0}) == [
        ["a", "b", "c", "d"],
        ["x", "y"],
    ]
