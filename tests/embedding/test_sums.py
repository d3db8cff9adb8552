"""Sums over fields equal what is looked up, times its matrix, whether it was computed ahead or not."""

import numpy as np
import pytest

from easyrec.embedding import native
from easyrec.embedding.lookup import KINDS
from easyrec.embedding.sums import GROUP, Block, SumsOf

DIM, ROWS = 5, 23
SIZES = {"a": 7, "b": 300, "c": 4}


def offsets_of(random, count, most):
    return np.concatenate([[0], np.cumsum(random.integers(0, most, count))]).astype(np.int64)


def parts(random, kind, size):
    """A column: an id for each row, none or several, several with weights, elements of several, or with wrong ones."""
    if kind in ("one", "wrong"):
        ids = random.integers(0, size, ROWS).astype(np.int64)
        ids[3:5] = (-1, size) if kind == "wrong" else ids[3:5]
        return ids, None, None, None
    offsets = offsets_of(random, ROWS, 4)
    count = int(offsets[-1])
    if kind == "elements":
        keys = offsets_of(random, count, 3)
        return random.integers(0, size, keys[-1]).astype(np.int64), offsets, None, keys
    weights = random.random(count).astype(np.float32) if kind == "weighted" else None
    return random.integers(0, size, count).astype(np.int64), offsets, weights, None


@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize("ahead", [(True, True, True), (True, False, True)], ids=["all", "some"])
@pytest.mark.parametrize("kind", ["one", "several", "weighted", "elements", "wrong"])
def test_sums_equal_what_is_looked_up_times_its_matrix(kind, ahead, mean):
    random = np.random.default_rng(4)
    arrays = [random.normal(size=(size, DIM)).astype(np.float32) for size in SIZES.values()]
    tables = native.Tables(arrays, [], [], [False] * 3, 1)
    specs = [(name, KINDS["ids"], table, DIM, DIM * table, 1, mean, False, False) for table, name in enumerate(SIZES)]
    specs += [("n", KINDS["copy"], -1, 2, 3 * DIM, 2, False, False, False)]
    bags = native.Bags(tables, specs)
    numbers = random.normal(size=(ROWS, 4)).astype(np.float32)[:, 1:3]
    columns = [parts(random, "one", 7), parts(random, kind, 300), parts(random, "one", 4), (numbers, None, None, None)]
    call = bags.bind(columns, ROWS)
    rows = np.empty((ROWS, 3 * DIM + 2), np.float32)
    wrong = call.lookup_counting(rows)
    matrices = [random.normal(size=(3 * DIM + 2, n)).astype(np.float32) for n in (20, 3, GROUP)]
    sums = SumsOf(("a", "b", "c", "n"), tuple(map(Block, (1, 2, 1), matrices)))
    computed = [sums.of_rows(a, DIM * i) if own else None for i, (a, own) in enumerate(zip(arrays, ahead, strict=True))]
    native_sums = native.Sums([DIM, DIM, DIM, 2], sums.matrix, sums.powers, [*computed, None])
    out = np.full((ROWS, sums.width + 3), np.nan, np.float32)
    assert native_sums.run(call, out[:, 2:-1]) == wrong == (2 if kind == "wrong" else 0)
    at = 2
    for power, matrix in zip((1, 2, 1), matrices, strict=True):
        np.testing.assert_allclose(out[:, at : at + matrix.shape[1]], rows**power @ matrix, rtol=1e-4, atol=1e-4)
        at += -(-matrix.shape[1] // GROUP) * GROUP
    assert np.isnan(out[:, [0, 1, -1]]).all()


def test_sums_that_do_not_fit_their_call_are_refused():
    random = np.random.default_rng(0)
    array = random.normal(size=(4, DIM)).astype(np.float32)
    tables = native.Tables([array], [], [], [False], 1)
    spec = ("a", KINDS["ids"], 0, DIM, 0, 1, False, False, False)
    call = native.Bags(tables, [spec]).bind([(np.zeros(2, np.int64), None, None, None)], 2)
    matrix, out = np.zeros((DIM, GROUP), np.float32), np.empty((2, GROUP), np.float32)
    assert native.Sums([DIM], matrix, [1], [None]).run(call, out) == 0
    for dims, factors, powers, ahead in (
        ([DIM - 1], matrix[1:].copy(), [1], [None]),
        ([DIM], matrix, [1], [np.zeros((5, GROUP), np.float32)]),
        ([DIM, 1], np.zeros((DIM + 1, GROUP), np.float32), [1], [None, None]),
    ):
        with pytest.raises(ValueError, match="other fields"):
            native.Sums(dims, factors, powers, ahead).run(call, out)
    for dims, factors, powers, ahead in (
        ([DIM], matrix, [1, 1], [None]),
        ([DIM], matrix, [3], [None]),
        ([DIM], matrix[1:].copy(), [1], [None]),
        ([0], matrix, [1], [None]),
        ([DIM], matrix, [1], []),
        ([DIM], matrix, [1], [np.zeros((4, GROUP + 1), np.float32)]),
    ):
        with pytest.raises(ValueError, match=r"fit each other|power|columns|another width"):
            native.Sums(dims, factors, powers, ahead)
    with pytest.raises(ValueError, match="out does not fit"):
        native.Sums([DIM], matrix, [1], [None]).run(call, np.empty((2, GROUP - 1), np.float32))
