"""Random columns and features, and the comparison of the compiled plan with the reference."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from feature_generator import FeatureGenerator, _reference

# `--hypothesis-profile=deep` looks longer.
settings.register_profile("quick", max_examples=120, deadline=None)
settings.register_profile("deep", max_examples=4000, deadline=None)
settings.load_profile("quick")

# ------------------------------------------------------------------------------------------------ cells

WORDS = st.sampled_from(
    ["a", "b", "abc", "x:0.5", "b:2", "c:oops", "7", "-3", "+12", " 5 ", "0", "1.5", "1e3", ".5", "5.", "nan", "inf"]
)
PIECES = st.one_of(WORDS, st.text(alphabet="ab;|\x1d\x03:_ é中0179.", max_size=12), st.integers(-30, 130).map(str))
TEXTS = st.lists(PIECES, max_size=4).flatmap(
    lambda parts: st.sampled_from([";", "\x1d", "|", "\x03"]).map(lambda sep: sep.join(parts))
)
FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-100, 100),
    st.sampled_from([0.0, -0.0, 0.1, 1e16, 1e-5, 123456789.0, 2.0**53, 1e300]),
)
FLOATS32 = st.floats(width=32)
SCALARS = {
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.string_view(): TEXTS,
    pa.binary(): TEXTS.map(str.encode),
    pa.dictionary(pa.int8(), pa.string()): TEXTS,
    pa.dictionary(pa.uint32(), pa.int64()): st.integers(-9, 150),
    pa.int64(): st.one_of(st.integers(-9, 150), st.integers(-(2**63), 2**63 - 1)),
    pa.uint64(): st.integers(0, 2**63 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int16(): st.integers(-9, 150),
    pa.int8(): st.integers(-9, 120),
    pa.uint8(): st.integers(0, 255),
    pa.float64(): FLOATS,
    pa.float32(): FLOATS32,
    pa.bool_(): st.booleans(),
    pa.null(): st.none(),
}
ITEMS = {kind: cells for kind, cells in SCALARS.items() if kind != pa.null()}


def cells_of(kind):
    if kind in SCALARS:
        return st.none() | SCALARS[kind]
    if pa.types.is_map(kind):
        return st.none() | st.lists(st.tuples(SCALARS[kind.key_type], cells_of(kind.item_type)), max_size=3)
    return st.none() | st.lists(cells_of(kind.value_type), max_size=4)


PLAIN = st.one_of(
    st.sampled_from(list(SCALARS)),
    st.sampled_from(list(ITEMS)).flatmap(lambda k: st.sampled_from([pa.list_(k), pa.large_list(k)])),
)
MAPS = st.sampled_from([pa.map_(pa.string(), pa.float64()), pa.map_(pa.int64(), pa.float32())])
NESTED = st.sampled_from(list(ITEMS)).map(lambda k: pa.list_(pa.list_(k)))


@st.composite
def arrays(draw, kinds, rows):
    """An array that may start inside its buffers, and whose null lists may cover items."""
    kind = draw(kinds)
    before = draw(st.integers(0, 9))
    cells = [draw(cells_of(kind)) for _ in range(before + rows + draw(st.integers(0, 3)))]
    array = pa.array(cells, kind)
    if (pa.types.is_list(kind) or pa.types.is_string(kind)) and draw(st.booleans()):
        hidden = pa.array([draw(st.booleans()) for _ in cells], pa.bool_())
        parts = [pa.array([not h for h in hidden.to_pylist()], pa.bool_()).buffers()[1], *array.buffers()[1:2]]
        if pa.types.is_list(kind):
            array = pa.Array.from_buffers(kind, len(cells), parts, children=[array.values])
        else:
            array = pa.Array.from_buffers(kind, len(cells), [*parts, array.buffers()[2]])
    return array.slice(before, rows)


def as_cells(array):
    """The cells as the reference reads them: float32 keeps its width, binary becomes text."""

    def convert(value, kind):
        if value is None:
            return None
        if pa.types.is_dictionary(kind):
            return convert(value, kind.value_type)
        if pa.types.is_float32(kind):
            return np.float32(value)
        if pa.types.is_binary(kind):
            return value.decode()
        if pa.types.is_map(kind):
            return [(convert(k, kind.key_type), convert(v, kind.item_type)) for k, v in value]
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return [convert(v, kind.value_type) for v in value]
        return value

    return [convert(value, array.type) for value in array.to_pylist()]


# --------------------------------------------------------------------------------------------- features

DISCRETIZERS = st.sampled_from(
    [
        {"hash_bucket_size": 100},
        {"hash_bucket_size": 1},
        {"hash_bucket_size": 2**40 + 7},
        {"num_buckets": 100},
        {"num_buckets": 100, "out_of_range": "clip"},
        {"num_buckets": 100, "out_of_range": "error"},
        {"vocab_list": ["a", "abc", "7", "中"]},
        {"vocab_list": ["a", "abc", "7"], "default_bucketize_value": 1},
        {"vocab_dict": {"a": 2, "b": 5, "7": 2}},
        {"vocab_dict": {"a": 0, "b": 5}, "default_bucketize_value": 7},
    ]
)
SEPARATORS = st.sampled_from([{}, {"separator": "|"}])
SEQUENCES = st.fixed_dictionaries(
    {
        "sequence_length": st.sampled_from([1, 2, 50]),
        "order": st.sampled_from(["oldest_first", "newest_first"]),
        "truncate": st.sampled_from(["newest", "oldest"]),
        "empty": st.sampled_from(["none", "default"]),
        "lengths": st.sampled_from(["equal", "shortest"]),
        "sequence_delim": st.sampled_from([";", "|"]),
    }
)


@st.composite
def ids(draw, name, column):
    config = {"type": "id", "name": name, "expression": f"user:{column}", **draw(DISCRETIZERS), **draw(SEPARATORS)}
    return config | {
        "value_dim": draw(st.sampled_from([None, 0, 1])),
        "default_value": draw(
            st.sampled_from(["", "7", "3\x1d7", "7|a"] if "num_buckets" not in config else ["", "7", "99"])
        ),
        "weighted": draw(st.booleans()),
    }


@st.composite
def raws(draw, name, column):
    dim = draw(st.sampled_from([1, 1, 2]))
    normalizers = [
        "",
        "method=log10",
        "method=log10,threshold=0.05,default=-5",
        "method=zscore,mean=3,standard_deviation=2.5",
        "method=minmax,min=-1,max=9",
        "method=expression,expr=sqrt(x) + 1",
        "method=expression,expr=x == 0 ? 1 / x : max(x, 0.5)",
    ]
    config = {"type": "raw", "name": name, "expression": f"user:{column}", "value_dim": dim, **draw(SEPARATORS)}
    config["normalizer"] = draw(st.sampled_from(normalizers))
    config["boundaries"] = draw(
        st.sampled_from([None, None, [0.1], [-1, 0, 0.5, 7], [float(i) / 4 for i in range(40)]])
    )
    config["default_value"] = draw(
        st.sampled_from(["", "0", "0.1", "1.5\x1d-2"] if dim == 2 else ["", "0", "0.1", "-3e2"])
    )
    return config


@st.composite
def combos(draw, name, columns):
    sides = ["user:" if draw(st.booleans()) else "item:" for _ in columns]
    discretizer = draw(DISCRETIZERS.filter(lambda d: "num_buckets" not in d))
    config = {
        "type": "combo",
        "name": name,
        "expression": [s + c for s, c in zip(sides, columns, strict=True)],
        **discretizer,
        **draw(SEPARATORS),
    }
    return config | {
        "value_dim": draw(st.sampled_from([None, 0, 1])),
        "default_value": draw(st.sampled_from(["", "xyz"])),
    }


@st.composite
def exprs(draw, name, columns):
    a, b = columns
    texts = ["{a} + {b}", "{a} / {b} - 1", "dot({a}, {b})", "{a} > {b} ? {a} : {b}", "len({a}) + avg({b}, 1)", "{a}"]
    config = {
        "type": "expr",
        "name": name,
        "expression": draw(st.sampled_from([*texts, "len({a}) == len({b}) ? corr({a}, {b}) : 0"])).format(a=a, b=b),
        "variables": [f"user:{a}", f"item:{b}"],
        "boundaries": draw(st.sampled_from([None, [0.0, 1.0, 50.0]])),
        "fill_missing": draw(st.sampled_from([None, 0, 1.5])),
        "value_dim": draw(st.sampled_from([None, None, 0, 1, 2])),
        "normalizer": draw(st.sampled_from(["", "method=zscore,mean=3,standard_deviation=2.5"])),
        **draw(SEPARATORS),
    }
    return config | {"default_value": draw(st.sampled_from(["0", "", "0.1"]))}


# ------------------------------------------------------------------------------------------- comparison


def flatten(spec, made):
    """The reference's rows as the flat buffers that the compiled plan makes."""
    elements = [e for row in made.rows for e in row] if spec.sequence else made.rows
    lengths = [len(row) for row in made.rows] if spec.sequence else None
    if spec.kind.startswith("dense"):
        return {"values": np.array(elements, np.float32).reshape(len(elements), spec.value_dim), "lengths": lengths}
    return {
        "values": np.array([i for e, _ in elements for i in e], np.int64),
        "weights": np.array([w for _, ws in elements for w in ws], np.float32) if spec.weighted else None,
        "lengths": lengths if spec.sequence else [len(e) for e, _ in elements],
        "key_lengths": [len(e) for e, _ in elements] if spec.sequence else None,
    }


def compare(generator, columns, table, folder=None):
    made = _reference.transform(
        generator._resolved, {n: as_cells(a) for n, a in columns.items()}, generator.config.hash, folder
    )
    bad = {(b.row, b.feature) for b in table.bad}
    rows_bad = {row for row, _ in bad}
    assert rows_bad == {row for feature in made.values() for row in feature.bad}
    assert list(table) == list(generator.outputs)
    for name, spec in generator.outputs.items():
        expected, got = flatten(spec, made[name]), table[name]
        np.testing.assert_array_equal(got.values, expected["values"], err_msg=name)
        if spec.kind == "dense":
            continue
        assert got.lengths.tolist() == expected["lengths"], name
        if expected.get("key_lengths") is not None:
            assert got.key_lengths.tolist() == expected["key_lengths"], name
        if spec.weighted:
            np.testing.assert_array_equal(got.weights, expected["weights"], err_msg=name)


def equal(first, second):
    """Whether two tables are the same to the bit."""
    assert list(first) == list(second)
    assert first.num_rows == second.num_rows
    np.testing.assert_array_equal(first.dense.view(np.uint32), second.dense.view(np.uint32))
    for name in first:
        a, b = first[name], second[name]
        if name in first.dense_slices:
            continue
        np.testing.assert_array_equal(a.values.view(np.uint8), b.values.view(np.uint8), err_msg=name)
        np.testing.assert_array_equal(a.lengths, b.lengths, err_msg=name)
        np.testing.assert_array_equal(a.key_lengths, b.key_lengths, err_msg=name)
        assert (a.weights is None) == (b.weights is None)
        if a.weights is not None:
            np.testing.assert_array_equal(a.weights.view(np.uint32), b.weights.view(np.uint32), err_msg=name)


@pytest.fixture(scope="session")
def kit():
    """What several test files share."""
    return SimpleNamespace(
        arrays=arrays,
        plain=PLAIN,
        maps=MAPS,
        nested=NESTED,
        sequences=SEQUENCES,
        ids=ids,
        raws=raws,
        combos=combos,
        exprs=exprs,
        compare=compare,
        equal=equal,
        as_cells=as_cells,
        load=lambda features, **more: FeatureGenerator.load({"features": features, **more}),
    )
