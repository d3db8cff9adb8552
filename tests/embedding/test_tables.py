import numpy as np
import pytest

from easyrec.config.train import SGD, Adagrad, RowwiseAdagrad
from easyrec.embedding.spec import Initializer, TableSpec
from easyrec.embedding.tables import TrainedTables, flat_arrays


def spec(name, rows=20_000, dim=4, init=None, trainable=True):
    return TableSpec(name, rows, dim, (name,), trainable, init or Initializer("normal", 0.5))


def weights(*specs, seed=0):
    tables = TrainedTables(specs, SGD(), 0.0, seed, 1)
    return dict(zip((s.name for s in specs), tables.weights, strict=True))


def test_first_weights_follow_from_seed_and_name_alone():
    alone = weights(spec("a"))["a"]
    among = weights(spec("b"), spec("a"), spec("c", dim=2))
    np.testing.assert_array_equal(alone, among["a"])
    assert not np.array_equal(among["a"], among["b"])
    assert not np.array_equal(alone, weights(spec("a"), seed=1)["a"])


@pytest.mark.parametrize(
    ("init", "mean", "std"),
    [(Initializer("normal", 0.5), 0.0, 0.5), (Initializer("uniform", 0.3), 0.0, 0.3 / 3**0.5)],
    ids=["normal", "uniform"],
)
def test_first_weights_have_the_distribution(init, mean, std):
    values = weights(spec("a", init=init))["a"]
    assert values.mean() == pytest.approx(mean, abs=0.01)
    assert values.std() == pytest.approx(std, rel=0.02)
    if init.type == "uniform":
        assert np.abs(values).max() <= init.value


def test_tables_of_equal_dim_share_one_aligned_array():
    a, b, c = flat_arrays([spec("a", 3, 16), spec("b", 5, 2), spec("c", 4, 16)])
    assert (a.shape, b.shape, c.shape) == ((3, 16), (5, 2), (4, 16))
    assert c.ctypes.data - a.ctypes.data == a.nbytes
    assert a.ctypes.data % 64 == 0


def test_accumulators_start_at_the_configured_value():
    rowwise = TrainedTables([spec("a", 3)], RowwiseAdagrad(initial_accumulator=0.1), 0.0, 0, 1).arrays()
    full = TrainedTables([spec("a", 3)], Adagrad(initial_accumulator=0.2), 0.0, 0, 1).arrays()
    np.testing.assert_array_equal(rowwise["a/sum"], np.full((3, 1), 0.1, np.float32))
    np.testing.assert_array_equal(full["a/sum"], np.full((3, 4), 0.2, np.float32))
