import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.data.gathering import Gathering
from easyrec.data.rows import Rows
from feature_generator import Ragged, Table


def part(rng, rows, single):
    lengths = np.ones(rows, np.int64) if single else rng.integers(0, 4, rows)
    offsets = np.concatenate([[0], lengths.cumsum()])
    elements = int(offsets[-1])
    keys = np.concatenate([[0], rng.integers(0, 3, elements).cumsum()])
    ragged = {
        "one": Ragged(rng.integers(0, 9, rows)),
        "many": Ragged(rng.integers(0, 9, elements), None if single else offsets, rng.random(elements, np.float32)),
        "vectors": Ragged(rng.random((elements, 2), np.float32), offsets),
        "nested": Ragged(rng.integers(0, 9, int(keys[-1])), offsets, None, keys),
    }
    table = Table(rows, ragged, rng.random((rows, 3), np.float32), {"x": slice(0, 1), "v": slice(1, 3)})
    reserved = pa.table({"r": rng.integers(0, 9, rows)})
    return Rows(table, {"y": rng.random(rows, np.float32)}, rng.random(rows, np.float32), reserved)


def plain(rows):
    return [
        rows.table.to_arrow().to_pydict(),
        {name: label.tolist() for name, label in rows.labels.items()},
        rows.sample_weight.tolist(),
        rows.reserved.to_pydict(),
    ]


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=4), max_size=4),
    seed=st.integers(0, 1000),
)
def test_every_block_equals_the_plain_concatenation_of_its_parts(blocks, seed):
    rng, memory = np.random.default_rng(seed), Gathering()
    for block in blocks:
        parts = [part(rng, rows, single) for rows, single in block]
        assert plain(memory.concat(parts)) == plain(Rows.concat(parts))


def test_memory_is_used_again():
    rng, memory = np.random.default_rng(0), Gathering()
    blocks = [memory.concat([part(rng, 100, single=False) for _ in range(2)]) for _ in range(2)]
    assert np.shares_memory(blocks[0].table.dense, blocks[1].table.dense)
    assert np.shares_memory(blocks[0].table["one"].values, blocks[1].table["one"].values)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_one_part_is_itself(rows):
    only = part(np.random.default_rng(0), rows, single=False)
    assert Gathering().concat([only]) is only
