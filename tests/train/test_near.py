"""The items near each one equal those of sorting all products."""

import numpy as np
import pytest

from easyrec.retrieval.indexes.flat import Config
from easyrec.train import near
from easyrec.train.near import near_items


@pytest.mark.parametrize("metric", ["inner", "cosine"])
@pytest.mark.parametrize("top", [(0, 3), (2, 5), (4, 30)])
def test_near_items_are_those_of_sorting(metric, top, monkeypatch):
    monkeypatch.setattr(near, "QUERIES", 7)
    vectors = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    found = near_items(vectors, Config(metric=metric), top)
    scaled = vectors if metric == "inner" else vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = scaled @ scaled.T
    np.fill_diagonal(scores, -np.inf)
    expected = np.full((20, top[1] - top[0]), -1)
    order = np.argsort(-scores, axis=1)[:, :19][:, top[0] : top[1]]
    expected[:, : order.shape[1]] = order
    np.testing.assert_array_equal(found, expected)
