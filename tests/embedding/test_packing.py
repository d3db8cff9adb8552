"""Tables in fewer bits: what the kernels read is what the specification says."""

import numpy as np
import pytest
import torch

from easyrec.embedding import native
from easyrec.embedding.packing import pack, stored_width, unpack, worthwhile

PRECISIONS = ("fp16", "bf16", "int8")
DIMS = (1, 3, 8, 16, 21, 33)


def rows_of(count, dim, seed=0):
    return (np.random.default_rng(seed).standard_normal((count, dim)) * 3).astype(np.float32)


def looked_up(table, ids, dim, offsets=None, weights=None, mean=False, opened=False, threads=1):
    tables = native.Tables([table], [], [], [False], threads)
    bags = native.Bags(tables, [("f", 0, 0, dim, 0, 1, mean, False, opened)])
    rows = len(ids) if offsets is None else len(offsets) - 1
    out = np.full((rows, dim), np.nan, np.float32)
    bad = bags.bind([(ids, offsets, weights, None)], rows).lookup_counting(out)
    return out, bad


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dim", DIMS)
def test_the_kernel_reads_a_row_as_the_specification(precision, dim):
    packed = pack(rows_of(50, dim), precision)
    assert packed.shape == (50, stored_width(precision, dim))
    ids = np.random.default_rng(1).integers(50, size=300)
    out, bad = looked_up(packed, ids, dim, threads=2)
    np.testing.assert_array_equal(out, unpack(packed, precision)[ids])
    assert bad == 0


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
def test_bags_are_summed_with_their_weights(precision, mean):
    packed, dim = pack(rows_of(20, 16), precision), 16
    ids, offsets = np.array([3, 5, 5, 0, 19]), np.array([0, 2, 2, 5])
    weights = np.array([1.0, 0.5, 2.0, 1.0, -1.0], np.float32)
    out, _ = looked_up(packed, ids, dim, offsets, weights, mean)
    exact = unpack(packed, precision)[ids].astype(np.float64) * weights[:, None]
    expected = np.stack([exact[0:2].sum(0), exact[2:2].sum(0), exact[2:5].sum(0)])
    if mean:
        expected /= np.array([2, 1, 3])[:, None]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("opened", [False, True], ids=["counted", "open"])
def test_ids_outside_add_nothing(precision, opened):
    packed = pack(rows_of(5, 16), precision)
    out, bad = looked_up(packed, np.array([1, 5, -1, 2**40, 4]), 16, opened=opened)
    expected = unpack(packed, precision)[[1, 0, 0, 0, 4]]
    expected[1:4] = 0
    np.testing.assert_array_equal(out, expected)
    assert bad == (0 if opened else 3)


def test_fp16_and_bf16_are_those_of_torch():
    rows = np.concatenate([rows_of(100, 16), np.full((1, 16), 1e-6, np.float32), np.full((1, 16), -65504, np.float32)])
    for precision, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        expected = torch.from_numpy(rows).to(dtype).float().numpy()
        out, _ = looked_up(pack(rows, precision), np.arange(102), 16)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_loses_no_more_than_a_step(precision):
    rows = rows_of(100, 32)
    found = unpack(pack(rows, precision), precision)
    step = {"fp16": 2.0**-11, "bf16": 2.0**-8}.get(precision)
    bound = np.abs(rows) * step if step else (np.ptp(rows, axis=1, keepdims=True) / 255 * 0.501)
    assert (np.abs(found - rows) <= bound + 1e-7).all()


def test_equal_numbers_of_a_row_stay_equal_in_int8():
    rows = np.stack([np.zeros(16, np.float32), np.full(16, -0.37, np.float32)])
    np.testing.assert_array_equal(unpack(pack(rows, "int8"), "int8"), rows)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_no_number_is_refused(precision):
    with pytest.raises(ValueError, match="not finite"):
        pack(np.array([[1.0, np.nan]], np.float32), precision)


def test_a_number_too_large_for_fp16_is_refused():
    with pytest.raises(ValueError, match="beyond 65504"):
        pack(np.array([[1.0, -7e4]], np.float32), "fp16")


def test_rows_too_short_for_int8_are_stored_in_fp16():
    assert [worthwhile("int8", dim) for dim in (1, 8, 9, 64)] == ["fp16", "fp16", "int8", "int8"]
    assert worthwhile("bf16", 1) == "bf16"


def test_a_packed_table_cannot_learn():
    with pytest.raises(TypeError, match="wrong type"):
        native.Tables([pack(rows_of(5, 16), "fp16")], [], [], [True], 1)
    with pytest.raises(TypeError, match="wrong type"):
        native.Tables([np.zeros((5, 4), np.uint8)], [], [], [False], 1)  # too narrow for a scale


@pytest.mark.parametrize("precision", PRECISIONS)
def test_searches_compare_what_the_rows_stand_for(precision):
    packed, dim = pack(rows_of(40, 12), precision), 12
    exact = np.ascontiguousarray(unpack(packed, precision))
    steps = (np.random.default_rng(3).integers(40, size=90), np.array([0, 30, 30, 90]), None)
    candidates = (np.array([7, 8, 9]), None, None)
    directions = rows_of(dim, 64, seed=5)
    found = []
    for table in (packed, exact):
        tables = native.Tables([table], [], [], [False], 1)
        codes = tables.add_codes(0, directions)
        found.append(
            [
                *tables.largest("s", steps, 3, 5, candidates, 0),
                *tables.nearest("s", steps, 3, 5, candidates, codes, 64),
                tables.codes(codes),
            ]
        )
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_fewer_bits_take_less_room():
    sizes = {p: pack(rows_of(1000, 64), p).nbytes for p in ("fp32", *PRECISIONS)}
    assert sizes == {"fp32": 256_000, "fp16": 128_000, "bf16": 128_000, "int8": 72_000}
