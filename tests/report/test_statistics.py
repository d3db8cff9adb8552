import numpy as np
import pytest

from easyrec.report.statistics import statistics
from feature_generator import FeatureGenerator

FEATURES = {
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 10},
        {"type": "id", "name": "tags", "expression": "item:tags", "num_buckets": 10},
        {"type": "raw", "name": "price", "expression": "item:price"},
        {"type": "raw", "name": "vector", "expression": "item:vector", "value_dim": 2},
        {
            "type": "sequence",
            "name": "seq",
            "features": [
                {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 10},
                {"type": "raw", "name": "hours", "expression": "user:hours"},
            ],
        },
    ]
}
ROWS = {
    "user_id": [1, 1, 1, 2],
    "tags": [[1, 2], [], [3], [1]],
    "price": [0.0, 1.0, 2.0, 3.0],
    "vector": [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [3.0, 4.0]],
    "seq__item": [[5, 6, 5], [], [5], []],
    "seq__hours": [[0.5, 1.5, 2.5], [], [3.5], []],
}


@pytest.fixture(scope="module")
def found():
    generator = FeatureGenerator.load(FEATURES)
    return {s.name: s for s in statistics(generator.transform(ROWS), generator.outputs)}


def test_every_feature_has_its_statistics(found):
    assert list(found) == ["user_id", "tags", "price", "vector", "seq__item", "seq__hours"]


def test_ids_are_counted(found):
    user, tags = found["user_id"], found["tags"]
    assert (user.empty, user.per_row, user.distinct, user.num_embeddings, user.top_share) == (0.0, 1.0, 2, 10, 0.75)
    assert user.histogram == (3.0, 1.0)
    assert (tags.empty, tags.per_row, tags.distinct, tags.top_share) == (0.25, 1.0, 3, 0.5)


def test_numbers_have_moments(found):
    price = found["price"]
    assert (price.empty, price.mean, price.low, price.high) == (0.25, 1.5, 0.0, 3.0)
    assert price.std == pytest.approx(np.std([0, 1, 2, 3]))
    assert sum(price.histogram) == 4
    assert found["vector"].empty == 0.5
    assert found["vector"].per_row == 2


def test_sequences_tell_their_length(found):
    item, hours = found["seq__item"], found["seq__hours"]
    assert (item.empty, item.per_row, item.distinct) == (0.5, 1.0, 2)
    assert (hours.empty, hours.per_row, hours.mean) == (0.5, 1.0, 2.0)


def test_no_rows_give_statistics_of_nothing():
    generator = FeatureGenerator.load(FEATURES)
    empty = generator.transform({name: [] for name in ROWS})
    assert [s.per_row for s in statistics(empty, generator.outputs)][:2] == [0.0, 0.0]
