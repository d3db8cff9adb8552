"""Compressed tables: what the kernels read is what the specification says, and codecs lose what they may lose."""

import json
from functools import cache

import numpy as np
import pytest

from easyrec.config.compress import CODECS
from easyrec.config.train import SGD
from easyrec.embedding import native
from easyrec.embedding.codecs import encode
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.counting import count_rows
from easyrec.embedding.encoded import Encoded, map_of, row_of
from easyrec.embedding.reader import TableReader, compressible, write_tables
from easyrec.errors import BundleError
from feature_generator.config import member

WAYS = {
    "prune": [{"type": "prune", "min_count": 3}],
    "low_rank": [{"type": "low_rank", "dim": 5}],
    "product": [{"type": "product", "entries": 16}],
    "pairs": [{"type": "product", "numbers": 2, "entries": 16}],
    "fours": [{"type": "product", "numbers": 4, "entries": 16}],
    "triples": [{"type": "product", "numbers": 3, "entries": 16}],
    "all": [
        {"type": "prune", "share": 0.4},
        {"type": "low_rank", "dim": 6},
        {"type": "product", "numbers": 2, "entries": 16},
    ],
}


def configs(way):
    return [member(CODECS, keys["type"]).Config(**keys) for keys in way]


def rows_of(count, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def counts_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 9, count)


@cache
def made(way, precision="fp32"):
    return encode("t", rows_of(2000, 24), counts_of(2000), configs(WAYS[way]), precision)


def looked_up(table, ids, dim, offsets=None, weights=None, mean=False, opened=False, threads=1):
    tables = native.Tables([table], [], [], [False], threads)
    bags = native.Bags(tables, [("f", 0, 0, dim, 0, 1, mean, False, opened)])
    rows = len(ids) if offsets is None else len(offsets) - 1
    out = np.full((rows, dim), np.nan, np.float32)
    bad = bags.bind([(ids, offsets, weights, None)], rows).lookup_counting(out)
    return out, bad


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
@pytest.mark.parametrize("way", WAYS)
def test_the_kernel_decodes_to_the_bits_of_the_specification(way, precision):
    table = made(way, precision)
    ids = np.random.default_rng(1).integers(2000, size=700)
    out, bad = looked_up(table.native(), ids, 24, threads=2)
    np.testing.assert_array_equal(out, table.decode(ids))
    assert bad == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
def test_bags_of_compressed_rows_are_summed_with_their_weights(way, mean):
    table = made(way)
    ids, offsets = np.array([3, 5, 5, 0, 1999]), np.array([0, 2, 2, 5])
    weights = np.array([1.0, 0.5, 2.0, 1.0, -1.0], np.float32)
    out, _ = looked_up(table.native(), ids, 24, offsets, weights, mean)
    exact = table.decode(ids).astype(np.float64) * weights[:, None]
    expected = np.stack([exact[0:2].sum(0), exact[2:2].sum(0), exact[2:5].sum(0)])
    if mean:
        expected /= np.array([2, 1, 3])[:, None]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["prune", "product", "all"])
@pytest.mark.parametrize("opened", [False, True], ids=["counted", "open"])
def test_ids_outside_of_a_compressed_table_add_nothing(way, opened):
    table = made(way)
    out, bad = looked_up(table.native(), np.array([1, 2000, -1, 2**40, 4]), 24, opened=opened)
    expected = table.decode(np.array([1, 0, 0, 0, 4]))
    expected[1:4] = 0
    np.testing.assert_array_equal(out, expected)
    assert bad == (0 if opened else 3)


def test_a_damaged_map_or_code_reads_no_memory_of_others():
    table = made("all")
    kept = np.full_like(table.kept, 2**64 - 1)
    codes = np.full_like(table.rows, 255)
    harmed = Encoded(table.ids, codes, kept, table.books, table.project)
    out, _ = looked_up(harmed.native(), np.arange(2000), 24)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_the_map_gives_the_place_among_the_ids_that_are_kept(count):
    kept = np.random.default_rng(count).random(count) < 0.3
    expected = np.where(kept, np.cumsum(kept) - 1, kept.sum())
    np.testing.assert_array_equal(row_of(map_of(kept), np.arange(count), int(kept.sum())), expected)


def test_frequent_ids_keep_their_rows_and_rare_ones_share_the_mean_by_counts():
    rows, counts = rows_of(400, 8), counts_of(400)
    table = encode("t", rows, counts, configs([{"type": "prune", "min_count": 4}]), "fp32")
    frequent = counts >= 4
    np.testing.assert_array_equal(table.floats()[frequent], rows[frequent])
    mean = np.average(rows[~frequent], axis=0, weights=counts[~frequent])
    np.testing.assert_allclose(table.floats()[~frequent], np.tile(mean, ((~frequent).sum(), 1)), atol=1e-6)


def test_rows_of_zeros_are_left_out_without_a_loss():
    rows = rows_of(400, 8)
    rows[::2] = 0
    table = encode("t", rows, np.ones(400), configs([{"type": "prune", "below": 0}]), "fp32")
    np.testing.assert_array_equal(table.floats(), rows)
    assert len(table.rows) == 201


def test_rows_in_a_plane_are_two_numbers_each():
    rows = rows_of(500, 2) @ rows_of(2, 16, 1)
    table = encode("t", rows, counts_of(500), configs([{"type": "low_rank", "energy": 0.9999}]), "fp32")
    assert table.rows.shape == (500, 2)
    np.testing.assert_allclose(table.floats(), rows, atol=1e-4)


@pytest.mark.parametrize("numbers", [1, 2])
def test_codes_of_few_different_rows_lose_nothing(numbers):
    few = np.round(rows_of(7, 8), 2)
    rows = few[np.random.default_rng(2).integers(7, size=3000)]
    table = encode("t", rows, np.ones(3000), configs([{"type": "product", "numbers": numbers, "entries": 64}]), "fp32")
    np.testing.assert_allclose(table.floats(), rows, atol=2e-3)  # centres are in fp16
    assert table.rows.shape == (3000, 8 // numbers)


def test_frequent_rows_are_coded_better_than_rare_ones():
    counts = np.where(np.arange(4000) < 200, 1000, 0)
    rows = rows_of(4000, 4)
    table = encode("t", rows, counts, configs([{"type": "product", "numbers": 4, "entries": 64}]), "fp32")
    errors = np.square(table.floats() - rows).sum(axis=1)
    assert errors[:200].mean() < 0.5 * errors[200:].mean()


def test_a_table_that_would_not_become_smaller_stays_as_it_is():
    assert encode("t", rows_of(4, 4), np.ones(4), configs(WAYS["product"]), "int8") is None
    assert encode("t", rows_of(400, 4), np.full(400, 9), configs(WAYS["prune"]), "fp32") is None


def test_a_codec_is_for_the_tables_that_it_lists():
    named = configs([{"type": "product", "tables": ["other"]}])
    assert encode("t", rows_of(3000, 8), np.ones(3000), named, "fp32") is None
    assert encode("other", rows_of(3000, 8), np.ones(3000), named, "fp32") is not None


@pytest.mark.parametrize("way", ["low_rank", "product", "pairs"])
def test_numbers_that_are_not_finite_are_refused(way):
    rows = rows_of(300, 8)
    rows[7, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        encode("t", rows, np.ones(300), configs(WAYS[way]), "fp32")


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def written(make_world, tmp_path):
    """Large tables of a world, all ways in turn, and what they stand for."""
    world = make_world(3, 40, 12, 3000)
    collection = EmbeddingCollection(world.plan, SGD(), seed=3)
    served = collection.served
    ways = [*WAYS.values()]
    encoded = {}
    for number, name in enumerate(compressible(world.plan)):
        weights, table = served.weights[name], None
        if len(weights) == 3000:
            table = encode(name, weights, counts_of(3000), configs(ways[number % len(ways)]), "int8")
        if table is not None:
            encoded[name] = table
    write_tables(tmp_path, served, {}, encoded)
    for name, table in encoded.items():
        collection.weights[name][...] = table.floats()
    return tmp_path, world, collection, encoded


def test_a_reader_gives_what_the_tables_stand_for(written):
    folder, world, collection, encoded = written
    assert len(encoded) >= 5
    reader = TableReader.open(folder)
    expected = collection.lookup(world.batch).tensors
    for key, array in reader.lookup(world.table).items():
        np.testing.assert_allclose(array, expected[key].detach().numpy(), atol=1e-6, err_msg=key)
    assert json.loads((folder / "index.json").read_text())["version"] == 4


@pytest.mark.parametrize("harm", ["bits", "shape", "missing", "name"])
def test_damaged_parts_are_refused(written, harm):
    folder, *_ = written
    path = next(iter(sorted(folder.glob("*-books.npy"))))
    if harm == "bits":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif harm == "shape":
        np.save(path, np.load(path)[:0])
    elif harm == "missing":
        path.unlink()
    else:
        text = (folder / "index.json").read_text()
        (folder / "index.json").write_text(text.replace('"books"', '"pages"'))
    with pytest.raises(BundleError, match="pages" if harm == "name" else "books"):
        TableReader.open(folder)
    if harm == "shape":
        with pytest.raises(BundleError, match="books"):
            TableReader.open(folder, verify=False)


def test_rows_are_counted_as_often_as_ids_ask_for_them(make_world):
    world = make_world(3, 40)
    served = EmbeddingCollection(world.plan, SGD(), seed=3).served
    counts = count_rows(served, [world.columns, world.columns])
    shared = [world.table[name].values for name in ("one", "many", "seq__one")]
    np.testing.assert_array_equal(counts["one"], 2 * np.bincount(np.concatenate(shared), minlength=7))
    np.testing.assert_array_equal(counts["mean"], 2 * np.bincount(world.table["mean"].values, minlength=7))
