"""Boundaries by the label, and what the features make of them."""

import numpy as np
import pytest

from easyrec.config.cross import BoundariesConfig
from easyrec.tune.cross.buckets import bucket_number, coded, edges_of, words_of
from feature_generator import FeatureGenerator


def test_boundaries_lie_where_the_rate_changes_and_hold_enough_rows():
    random = np.random.default_rng(0)
    numbers = random.uniform(0, 100, 20_000)
    rate = np.where(numbers < 30, 0.1, np.where(numbers < 72, 0.5, 0.2))
    labels = (random.random(20_000) < rate).astype(float)

    edges = edges_of(numbers, labels, BoundariesConfig(buckets=3))
    many = edges_of(numbers, labels, BoundariesConfig(buckets=64, min_rows=10, min_share=0.05))

    assert edges == pytest.approx([30, 72], abs=0.5)
    assert np.bincount(coded(numbers, many).values)[1:].min() >= 1000


@pytest.mark.parametrize("numbers", [[], [2.0, 2.0, np.nan]], ids=["none", "one"])
def test_numbers_that_do_not_differ_have_no_boundaries(numbers):
    numbers = np.array(numbers, float)
    assert edges_of(numbers, np.zeros(len(numbers)), BoundariesConfig(min_rows=1)) == []


@pytest.mark.parametrize("column", ["price", "list price"])
def test_the_features_make_the_buckets_that_were_searched(column):
    edges = [float(np.float32(e)) for e in (-1.5, 0.1, 7.3)]
    numbers = np.array([-2, -1.5, 0.1, 0.0999, 7.3, 1e9, np.nan, 0.10001], np.float32)
    helper = bucket_number("b", f"item:{column}", edges)
    features = [
        helper,
        {"type": "raw", "name": "own", "expression": f"item:{column}", "boundaries": edges, "default_value": ""},
    ]
    generator = FeatureGenerator.load({"features": features})
    rows = {column: [None if np.isnan(value) else float(value) for value in numbers]}

    found = coded(numbers.astype(float), edges).values

    assert [value[0] + 1 if value else 0 for value in generator.values(rows)["b"].to_pylist()] == found.tolist()
    table = generator.transform(rows)["own"]
    assert (table.values + 1).tolist() == found[found > 0].tolist()
    assert table.lengths.tolist() == (found > 0).astype(int).tolist()


def test_few_numbers_are_words_and_many_are_not():
    assert words_of(np.array([5.0, np.nan, 2.0, 5.0])).values.tolist() == [2, 0, 1, 2]
    assert words_of(np.arange(40.0)) is None
