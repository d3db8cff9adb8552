"""What features cost alone."""

import pyarrow as pa
import pytest

from feature_generator import FeatureGenerator
from feature_generator.profiling import alone, profile, table_bytes

FEATURES = [
    {"type": "id", "name": "words", "expression": "user:w", "stub_type": True},
    {"type": "combo", "name": "cross", "expression": ["feature:words", "item:i"], "hash_bucket_size": 99},
    {"type": "id", "name": "item", "expression": "item:i", "num_buckets": 99},
    {
        "type": "sequence",
        "name": "s",
        "sequence_length": 9,
        "features": [
            {"type": "id", "name": "a", "expression": "item:a", "num_buckets": 9},
            {"type": "raw", "name": "b", "expression": "item:b"},
        ],
    },
]


@pytest.fixture
def generator():
    return FeatureGenerator.load({"features": FEATURES})


@pytest.fixture
def batch():
    n = 400
    return pa.record_batch(
        {
            "w": [f"p\x1dq{k}" for k in range(n)],
            "i": [k % 99 for k in range(n)],
            "s__a": [list(range(8))] * n,
            "s__b": [[0.5] * 8] * n,
        }
    )


def test_a_feature_alone_makes_what_it_makes_among_others(generator, batch, kit):
    whole = generator.transform(batch)
    for name in generator.outputs:
        one = alone(generator, name)
        assert list(one.outputs) == [name]
        made = one.transform(batch)[name]
        assert made.values.tolist() == whole[name].values.tolist()
    assert set(alone(generator, "cross").inputs) == {"w", "i"}
    assert set(alone(generator, "s__b").inputs) == {"s__b"}


def test_every_output_has_a_cost_and_shares_add_up_to_one(generator, batch):
    costs, whole = profile(generator, [batch, batch.slice(0, 100), batch.slice(0, 0)], rounds=2)
    assert [cost.feature for cost in costs] == list(generator.outputs)
    assert sum(cost.share for cost in costs) == pytest.approx(1)
    assert all(cost.micros > 0 for cost in [*costs, whole])
    by_name = {cost.feature: cost for cost in costs}
    assert (by_name["cross"].ids, by_name["s__a"].ids, by_name["s__b"].ids) == (2, 8, 8)
    assert whole.output_bytes == pytest.approx(sum(cost.output_bytes for cost in costs), rel=0.01)


def test_bytes_are_those_of_the_buffers(batch):
    feature = {"type": "id", "name": "item", "expression": "item:i", "num_buckets": 99}
    assert table_bytes(FeatureGenerator.load({"features": [feature]}).transform(batch)) == 8 * 400
