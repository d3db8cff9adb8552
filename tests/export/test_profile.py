"""Histograms of what a model saw, and the index that compares them."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.errors import BundleError
from easyrec.export.bundle import Bundle, write_bundle
from easyrec.export.manifest import Manifest
from easyrec.export.profile import FILE, ROWS, Histogram, Profile, ProfileBuilder
from easyrec.histograms import BINS, edges_of, psi
from feature_generator import FeatureGenerator
from feature_generator.columns import Column, Ragged

COUNTS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=30)


def slow_psi(reference, found):
    """The formula, term by term."""
    bins = [(a, b) for a, b in zip(reference, found, strict=True) if a or b]
    n, m, size = sum(a for a, _ in bins), sum(b for _, b in bins), len(bins)
    total = 0.0
    for a, b in bins:
        p, q = (a + 0.5) / (n + size / 2), (b + 0.5) / (m + size / 2)
        total += (p - q) * math.log(p / q)
    return total


@given(COUNTS)
def test_psi_is_its_formula(pairs):
    one, two = (np.array(counts) for counts in zip(*pairs, strict=True))
    found = psi(one, two)
    assert found == pytest.approx(slow_psi(one.tolist(), two.tolist()), rel=1e-9, abs=1e-12)
    assert found >= 0.0
    assert found == pytest.approx(psi(two, one), rel=1e-9, abs=1e-12)
    assert psi(one, one) == 0.0
    padded = np.insert(one, 0, 0), np.insert(two, 0, 0)
    assert psi(*padded) == pytest.approx(found, abs=1e-12)  # bins that nobody uses say nothing


def test_psi_of_a_known_shift_is_the_one_that_is_known():
    # Half and half against a quarter and three quarters: .25 ln 2 + .25 ln 1.5, as a million rows leave of the half rows.
    expected = 0.25 * math.log(2.0) + 0.25 * math.log(1.5)
    assert psi(np.array([500_000, 500_000]), np.array([250_000, 750_000])) == pytest.approx(expected, rel=1e-5)


def test_equal_shares_of_samples_are_about_as_far_as_theory_says():
    random, n, m = np.random.default_rng(0), 2000, 1000
    drawn = [psi(random.multinomial(n, [0.1] * 10), random.multinomial(m, [0.1] * 10)) for _ in range(300)]
    assert np.mean(drawn) == pytest.approx(9 * (1 / n + 1 / m), rel=0.1)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300))
def test_edges_make_bins_of_about_equally_many_values(values):
    array = np.array(values, np.float32)
    edges = edges_of(array)
    assert edges == sorted(set(edges))
    assert len(edges) <= 2 * BINS
    one = Histogram(what="score", name="x", kind="numbers", edges=edges, counts=[])
    counts = one.count(array)
    assert counts.sum() == len(values)
    for i, number in enumerate(counts[:-1]):  # a bin is small, or holds one value alone
        low, high = ([-np.inf, *edges][i], [*edges, np.inf][i])
        inside = array[(array >= np.float32(low)) & (array < np.float32(high))]
        assert len(inside) == number
        assert number <= 2 * len(values) / BINS + 1 or len(np.unique(inside)) == 1


def test_a_value_that_most_rows_have_has_a_bin_of_its_own_so_that_both_sides_of_it_are_seen():
    edges = edges_of(np.zeros(100, np.float32))
    one = Histogram(what="feature", name="x", kind="numbers", edges=edges, counts=[])
    assert one.count(np.array([-1.0, 0.0, 1.0, np.nan, np.inf], np.float32)).tolist() == [1, 1, 1, 2]
    assert edges_of(np.array([np.nan])) == []


@pytest.mark.parametrize(
    ("values", "offsets", "expected"),
    [
        ([7, 1, 9, 9], None, [1, 1, 2]),
        ([7, 7, 7, 1, 1, 9], [0, 0, 1, 3, 5, 6], [2, 1, 2]),
        ([], [0, 0], [1, 0, 0]),
        ([], [0], [0, 0, 0]),
    ],
    ids=["one-each", "several", "empty-row", "no-rows"],
)
def test_ids_are_missing_unknown_or_known(values, offsets, expected):
    column = Ragged(np.array(values, np.int64), None if offsets is None else np.array(offsets, np.int64))
    one = Histogram(what="feature", name="x", kind="ids", missing=7, unknown=1, counts=[0, 0, 0])
    assert one.count(column).tolist() == expected


def test_few_ids_are_counted_one_by_one():
    one = Histogram(what="feature", name="x", kind="codes", counts=[0, 0, 0, 0])
    column = Ragged(np.array([0, 2, 2, 1], np.int64), np.array([0, 1, 3, 3, 4], np.int64))
    assert one.count(column).tolist() == [1, 1, 2, 1]


FEATURES = [
    {"type": "id", "name": "user", "expression": "user:user", "hash_bucket_size": 10_000_000, "default_value": "none"},
    {"type": "id", "name": "word", "expression": "item:word", "vocab_list": [f"w{n}" for n in range(50)]},
    {"type": "id", "name": "few", "expression": "item:few", "num_buckets": 4},
    {"type": "raw", "name": "price", "expression": "item:price"},
    {"type": "raw", "name": "vector", "expression": "item:vector", "value_dim": 2, "separator": ","},
    {"type": "id", "name": "seq", "expression": "user:seq", "sequence_length": 5, "hash_bucket_size": 100},
]


def rows(count, seed, absent=0.2):
    random = np.random.default_rng(seed)
    blank = random.random(count) < absent
    return pa.record_batch(
        {
            "user": pa.array([None if b else f"u{n}" for n, b in enumerate(blank)]),
            "word": pa.array([f"w{n}" for n in random.integers(60, size=count)]),
            "few": pa.array(random.integers(4, size=count)),
            "price": pa.array(random.lognormal(size=count)),
            "vector": pa.array(["1,2"] * count),
            "seq": pa.array([[f"i{k}" for k in range(n)] for n in random.integers(6, size=count)]),
        }
    )


def grades(price):
    """(rows, 3) probabilities: cheap, dear, and a class that no row is of."""
    dear = price / (1.0 + price)
    return np.stack([0.9 * (1.0 - dear), 0.9 * dear, np.full_like(dear, 0.1)], axis=1).astype(np.float32)


def built(batch):
    generator = FeatureGenerator.load({"features": FEATURES})
    empty = generator.transform(pa.RecordBatch.from_arrays([pa.nulls(1, f.type) for f in batch.schema], batch.schema.names), bad_rows="default")  # fmt: skip
    builder = ProfileBuilder(generator.outputs, empty)
    table = generator.transform(batch)
    for start in range(0, batch.num_rows, 700):
        part = table.slice(start, start + 700)
        price = part["price"].values[:, 0]
        builder.add(part, {"click": price / 10, "grade": grades(price)})
    return builder.build(), table


def test_a_profile_holds_shares_of_rows_and_is_bounded():
    profile, table = built(rows(3000, 0))
    by_name = {one.name: one for one in profile.histograms if one.what != "class"}
    assert {name: one.kind for name, one in by_name.items()} == {
        "click": "numbers", "price": "numbers", "seq": "lengths", "user": "ids", "word": "ids", "few": "codes",
        "vector": "norms", "grade": "largest",
    }  # fmt: skip
    (classes,) = [one for one in profile.histograms if one.what == "class"]
    dear = int(np.sum(table["price"].values > 1.0))
    assert (classes.name, classes.kind, classes.counts) == ("grade", "classes", [3000 - dear, dear, 0, 0])
    assert max(by_name["grade"].counts) <= 310
    assert sum(np.float32(edge) < 0.45 for edge in by_name["grade"].edges) == 0  # of two, the larger one
    assert {name for name, one in by_name.items() if one.side == "user"} == {"user", "seq"}
    blank = sum(value is None for value in rows(3000, 0).column("user").to_pylist())
    assert by_name["user"].counts == [blank, 0, 3000 - blank]
    words = rows(3000, 0).column("word").to_pylist()
    outside = sum(int(word[1:]) >= 50 for word in words)
    assert by_name["word"].counts[1] + by_name["word"].counts[0] == outside
    assert max(by_name["price"].counts) <= 310
    assert all(sum(one.counts) in (3000, len(table.ragged("few").values)) for one in profile.histograms)
    assert len(profile.text()) < 10_000
    assert built(rows(ROWS + 500, 1))[0].rows == ROWS


def test_vectors_and_classes_that_move_are_seen():
    profile, table = built(rows(3000, 0))
    score, top = (next(h for h in profile.histograms if (h.what, h.name) == (w, "grade")) for w in ("score", "class"))
    norms = next(h for h in profile.histograms if h.name == "vector")
    price = table["price"].values[:, 0]
    for one in (score, top):
        assert psi(np.array(one.counts), one.count(grades(price))) == 0.0
        assert psi(np.array(one.counts), one.count(grades(4.0 * price))) > 0.2
    assert norms.count(table["vector"]).tolist() == norms.counts
    longer = Column(2.0 * table["vector"].values)
    assert psi(np.array(norms.counts), norms.count(longer)) > 0.2
    broken = np.array([[np.nan, 0.5], [0.2, 0.8], [np.inf, 0.0]], np.float32)
    assert Histogram(what="class", name="x", kind="classes", counts=[0, 0, 0]).count(broken).tolist() == [0, 1, 2]
    assert score.count(broken)[-1] == 2


def test_the_index_is_small_for_rows_of_the_same_kind_and_large_for_others():
    profile, _ = built(rows(5000, 0))
    for batch, moved in ((rows(3000, 1), set()), (rows(3000, 1, absent=0.6), {"user"})):
        table = FeatureGenerator.load({"features": FEATURES}).transform(batch)
        found = {
            one.name: psi(np.array(one.counts), one.count(table[one.name]))
            for one in profile.histograms
            if one.what == "feature"
        }
        assert {name for name, value in found.items() if value > 0.1} == moved


@pytest.mark.parametrize(
    "text", [None, b'{"format": 1, "rows": 3, "histograms": [{"what": "score"}]}'], ids=["none", "bad"]
)
def test_a_bundle_may_have_no_profile_and_a_damaged_one_is_named(tmp_path, text):
    with write_bundle(tmp_path / "bundle") as draft:
        if text is not None:
            (draft.path / FILE).write_bytes(text)
        draft.manifest = Manifest(
            name="toy",
            created="2026-01-01T00:00:00Z",
            config={},
            fingerprint="0" * 64,
            features=[],
            embeddings={},
            signature={"inputs": [], "outputs": []},
            scoring=[],
            runtimes={"torch_export": {"folder": "program", "tolerance": {}}},
            runtime="torch_export",
            warmup={"rows": 1},
            versions={},
        )
    bundle = Bundle.open(tmp_path / "bundle")
    if text is None:
        assert Profile.of(bundle) is None
        return
    with pytest.raises(BundleError, match=r"profile\.json: histograms\.0\.name"):
        Profile.of(bundle)
