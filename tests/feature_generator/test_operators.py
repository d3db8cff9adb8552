"""Every operator on random columns of every shape: compiled == reference, whatever batch, thread, order or process."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, FeatureGenerator
from feature_generator.features.overlap import Method

# Columns: what a cell of each kind may be. Keys and values come from few words, so that they meet.
KEYS = st.sampled_from(["a", "b", "c", "7", "-3", "x_y", "中"])
NUMBERS = st.sampled_from(["1", "2.5", "-3", "0", "1e3", "+4", "oops", "", "nan", "7", "1,2", ",", "3,x"])
FLAGS = st.sampled_from(["true", "false", "True", "1", "0", "0.0", "yes", "", "-2"])
PAIR = st.tuples(KEYS, NUMBERS).map(":".join) | KEYS | st.sampled_from(["a:", ":1", "a:b:2", "="])
NESTED = st.lists(st.tuples(KEYS, st.lists(PAIR, max_size=3).map(",".join)).map("^".join) | KEYS, max_size=3)
FLOATS = st.sampled_from([0.0, 1.0, 2.5, -3.0, 0.1, 1e300, float("nan"), float("inf"), 7.0])
INTEGERS = st.sampled_from([0, 1, 7, -3, 2, 2**62])


def joined(parts, separator="\x1d"):
    return st.lists(parts, max_size=4).map(separator.join)


def plain(words):
    """Columns of one or several values a row."""
    return {
        pa.string(): joined(words),
        pa.large_string(): joined(words),
        pa.string_view(): joined(words),
        pa.dictionary(pa.int32(), pa.string()): joined(words),
        pa.list_(pa.string()): st.lists(st.none() | words, max_size=4),
        pa.list_(pa.int64()): st.lists(st.none() | INTEGERS, max_size=4),
        pa.list_(pa.float32()): st.lists(st.none() | FLOATS.filter(lambda x: abs(x) < 1e30 or x != x), max_size=4),
        pa.int64(): INTEGERS,
        pa.float64(): FLOATS,
        pa.bool_(): st.booleans(),
        pa.null(): st.none(),
    }


def maps(items):
    return {
        pa.string(): joined(PAIR),
        pa.large_string(): joined(PAIR),
        pa.dictionary(pa.int32(), pa.string()): joined(PAIR),
        pa.list_(pa.string()): st.lists(PAIR, max_size=4),
        pa.map_(pa.string(), pa.string()): st.lists(st.tuples(KEYS, st.none() | items), max_size=4),
        pa.map_(pa.string(), pa.float64()): st.lists(st.tuples(KEYS, st.none() | FLOATS), max_size=4),
        pa.map_(pa.string(), pa.float32()): st.lists(st.tuples(KEYS, st.sampled_from([0.5, 0.1, 2.0])), max_size=4),
        pa.map_(pa.int64(), pa.int64()): st.lists(st.tuples(INTEGERS, st.none() | INTEGERS), max_size=4),
        pa.map_(pa.float64(), pa.string()): st.lists(st.tuples(FLOATS, st.none() | items), max_size=4),
        pa.map_(pa.string(), pa.list_(pa.float64())): st.lists(
            st.tuples(KEYS, st.none() | st.lists(st.none() | FLOATS, max_size=2)), max_size=3
        ),
        pa.int64(): INTEGERS,
        pa.null(): st.none(),
    }


NESTED_MAPS = {
    pa.string(): NESTED.map("|".join),
    pa.list_(pa.string()): NESTED,
    pa.map_(pa.string(), pa.string()): st.lists(st.tuples(KEYS, st.none() | joined(PAIR, ",")), max_size=3),
    pa.map_(pa.string(), pa.list_(pa.string())): st.lists(
        st.tuples(KEYS, st.none() | st.lists(st.none() | PAIR, max_size=3)), max_size=3
    ),
    pa.map_(pa.string(), pa.map_(pa.string(), pa.float64())): st.lists(
        st.tuples(KEYS, st.none() | st.lists(st.tuples(KEYS, st.none() | FLOATS), max_size=3)), max_size=3
    ),
    pa.map_(pa.float64(), pa.map_(pa.float64(), pa.int64())): st.lists(
        st.tuples(FLOATS, st.none() | st.lists(st.tuples(FLOATS, st.none() | INTEGERS), max_size=3)), max_size=3
    ),
    pa.null(): st.none(),
}


def steps(words):
    """Columns of sequences."""
    return {
        pa.string(): joined(joined(words), ";"),
        pa.list_(pa.string()): st.lists(st.none() | joined(words), max_size=4),
        pa.list_(pa.list_(pa.string())): st.lists(st.none() | st.lists(words, max_size=3), max_size=4),
        pa.list_(pa.int64()): st.lists(st.none() | INTEGERS, max_size=4),
        pa.list_(pa.float64()): st.lists(st.none() | FLOATS, max_size=4),
    }


@st.composite
def column(draw, kinds, rows):
    kind = draw(st.sampled_from(list(kinds)))
    cells = [draw(st.none() | kinds[kind]) for _ in range(rows)]
    return pa.array(cells, kind)


# Configs.
IDS = [
    {"hash_bucket_size": 100},
    {"num_buckets": 10},
    {"num_buckets": 10, "out_of_range": "error"},
    {"vocab_list": ["a", "1", "b_2.5", "2.5"]},
    {"vocab_dict": {"a": 3, "2.5": 5}, "default_bucketize_value": 1},
]
SINKS = [{}, {"boundaries": [-1, 0, 2]}, {"normalizer": "method=minmax,min=-1,max=4"}, {"boundaries": [1.5]}]
WORDS = KEYS | NUMBERS


@st.composite
def combine(draw):
    config = {"combiner": draw(st.sampled_from(["sum", "mean", "avg", "min", "max", "count", "gap_min", "gap_max"]))}
    if draw(st.booleans()):
        config["value_map"] = {"a": 1.0, "b": 2.5, "7": -4.0}
    config |= draw(st.sampled_from([*SINKS, {"num_buckets": 10}, {"num_buckets": 10, "out_of_range": "clip"}]))
    return config | {"default_value": draw(st.sampled_from(["", "0", "2"]))}, {"expression": ("x", WORDS, "plain")}


@st.composite
def lookup(draw):
    config = draw(st.sampled_from([*SINKS, *IDS]))
    numeric = not any(key in config for key in ("hash_bucket_size", "num_buckets", "vocab_list", "vocab_dict"))
    if numeric:
        config = config | {"combiner": draw(st.sampled_from(["", "sum", "mean", "avg", "min", "max", "count"]))}
        if config["combiner"] != "count":
            config["value_dim"] = draw(st.sampled_from([1, 2]))
        config["default_value"] = draw(st.sampled_from(["0", "2.5", ""]))
    else:
        config = config | {"need_key": draw(st.booleans()), "default_value": draw(st.sampled_from(["", "7"]))}
    return config, {"map": ("m", NUMBERS, "map"), "key": ("k", KEYS, "plain")}


@st.composite
def match(draw):
    config = draw(st.sampled_from([*SINKS, *IDS]))
    numeric = not any(key in config for key in ("hash_bucket_size", "num_buckets", "vocab_list", "vocab_dict"))
    if numeric:
        config = config | {"value_dim": draw(st.sampled_from([None, 0, 1]))}
    else:
        config = config | {"show_pkey": draw(st.booleans()), "show_skey": draw(st.booleans())}
    inputs = {"nested_map": ("n", None, "nested")}
    for key, name in (("pkey", "p"), ("skey", "s")):
        if draw(st.integers(0, 3)) == 0:
            config = config | {key: "ALL"}
        else:
            inputs[key] = (name, KEYS, "plain")
    return config | {"default_value": draw(st.sampled_from(["0", "7", ""]))}, inputs


@st.composite
def kv_dot_product(draw):
    config = draw(st.sampled_from(SINKS)) | {"default_value": draw(st.sampled_from(["", "0", "2"]))}
    config |= {"kv_delimiter": draw(st.sampled_from([":", "="]))}
    return config, {"query": ("q", NUMBERS, "map"), "document": ("d", NUMBERS, "map")}


@st.composite
def bool_mask(draw):
    config = draw(st.sampled_from(IDS)) | {"default_value": draw(st.sampled_from(["", "7", "1\x1d2"]))}
    return config | {"value_dim": draw(st.sampled_from([None, 0, 1]))}, [("x", WORDS, "plain"), ("y", FLAGS, "plain")]


@st.composite
def slice_(draw):
    place = st.none() | st.integers(-5, 5)
    config = draw(st.sampled_from(IDS)) | {"default_value": draw(st.sampled_from(["", "7", "1\x1d2"]))}
    config |= {"start": draw(place), "end": draw(place), "step": draw(st.integers(-3, 3).filter(bool))}
    return config, {"expression": ("x", WORDS, "plain")}


@st.composite
def overlap(draw):
    config = draw(st.sampled_from(SINKS)) | {"method": draw(st.sampled_from(get_args(Method)))}
    return config, {"query": ("q", KEYS, "plain"), "title": ("t", KEYS, "plain")}


@st.composite
def bm25(draw):
    config = draw(st.sampled_from(SINKS)) | {"default_value": draw(st.sampled_from(["0", "", "2"]))}
    config |= {"k1": draw(st.floats(0, 3)), "b": draw(st.floats(0, 1)), "avg_length": draw(st.floats(0.5, 9))}
    config |= {"doc_count": 50, "doc_freq": {"a": 50, "b": draw(st.integers(0, 50)), "7": 1, "中": 9}}
    return config, {"query": ("q", KEYS, "plain"), "title": ("t", KEYS, "plain")}


@st.composite
def custom(draw):
    operator, params, words = draw(
        st.sampled_from(
            [
                ("EditDistance", {"encoding": "latin"}, [WORDS, WORDS]),
                ("EditDistance", {}, [KEYS, WORDS]),
                ("RegexReplace", {"regex_pattern": "a|[0-9]", "replacement": "<>"}, [WORDS]),
                ("SeqExpr", {"formula": "x - 2 * y"}, [NUMBERS, NUMBERS]),
                ("SeqExpr", {"formula": "max"}, [NUMBERS, NUMBERS]),
            ]
        )
    )
    config = draw(st.sampled_from([*SINKS, *IDS])) | {"operator_name": operator, "operator_params": params}
    config |= {"default_value": draw(st.sampled_from(["0", "7"]))}
    return config, [(name, kind, "plain") for name, kind in zip("xy", words, strict=False)]


TYPES = {
    "bm25": bm25(),
    "bool_mask": bool_mask(),
    "combine": combine(),
    "custom": custom(),
    "kv_dot_product": kv_dot_product(),
    "lookup": lookup(),
    "match": match(),
    "overlap": overlap(),
    "slice": slice_(),
}
SHAPES = {"plain": plain, "map": maps, "nested": lambda _: NESTED_MAPS}


@st.composite
def jobs(draw, kind, shape, most_rows=6):
    """A feature of a type in a shape, and columns for it: (features, columns)."""
    config, inputs = draw(TYPES[kind])
    rows = draw(st.integers(0, most_rows))
    named = inputs if isinstance(inputs, dict) else {str(i): one for i, one in enumerate(inputs)}
    single = len(named) == 1
    columns, expressions = {}, {}
    stubs = []
    stretched = False
    for key, (name, words, role) in named.items():
        # In a sequence the last input carries its elements, and others do now and then.
        last = key == list(named)[-1]
        sequence = shape != "plain" and role == "plain" and (single or last or draw(st.booleans()))
        stretched = stretched or sequence
        side = "item" if sequence else "user"
        expressions[key] = f"{side}:{name}"
        full = f"s__{name}" if sequence and shape == "group" else name
        kinds = steps(words) if sequence else SHAPES[role](words)
        # Beside columns of a cell a row stand columns of one row, the outputs of features, and constants.
        # A formula calls its columns by their names.
        others = ["one row"] if kind == "custom" else ["one row", "feature", "constant"]
        place = draw(st.sampled_from(["rows", "rows", *others]))
        if last or sequence or place == "rows" or (place != "one row" and role == "nested"):
            columns[full] = draw(column(kinds, rows))
        elif place == "one row":
            columns[full] = draw(column(kinds, 1 if rows else 0))
        elif place == "feature":
            columns[full] = draw(column(SHAPES["plain"](PAIR if role == "map" else words), rows))
            stubs.append({"type": "id", "name": f"g_{name}", "expression": f"user:{name}", "stub_type": True})
            expressions[key] = f"feature:g_{name}"
        else:
            expressions[key] = "const:" + draw(joined(PAIR if role == "map" else words))
    if shape != "plain" and not stretched:  # nothing but wildcards and maps
        shape = "plain"
    config = {"type": kind, "name": "f", **config}
    config |= expressions if isinstance(inputs, dict) else {"expression": list(expressions.values())}
    rule = {"sequence_length": draw(st.sampled_from([2, 50])), "empty": draw(st.sampled_from(["none", "default"]))}
    rule |= {"lengths": "shortest"} if draw(st.booleans()) else {}
    if shape == "simple":
        return [*stubs, config | rule], columns
    if shape == "group":
        return [*stubs, {"type": "sequence", "name": "s", **rule, "features": [config]}], columns
    return [*stubs, config], columns


RUNS = [(kind, shape) for kind in TYPES for shape in ("plain", "simple", "group")]


def check(kit, features, columns):
    generator = kit.load(features)
    table = generator.transform(columns, bad_rows="default")
    kit.compare(generator, columns, table)
    return generator, table


@pytest.mark.parametrize(("kind", "shape"), RUNS)
def test_compiled_equals_reference(kind, shape, kit):
    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(jobs(kind, shape))
    def run(job):
        check(kit, *job)

    run()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "shape"), RUNS)
def test_compiled_equals_reference_on_ten_thousand_inputs(kind, shape, kit):
    seen = 0

    @settings(max_examples=1000, suppress_health_check=list(HealthCheck), deadline=None)
    @given(jobs(kind, shape, most_rows=24))
    def run(job):
        nonlocal seen
        _, table = check(kit, *job)
        seen += table.num_rows

    while seen < 10_000:
        run()


@pytest.mark.parametrize("kind", TYPES)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_neither_batch_nor_threads_nor_order_nor_a_saved_copy_matter(kind, kit, data, tmp_path_factory):
    features, columns = data.draw(jobs(kind, data.draw(st.sampled_from(["plain", "simple", "group"]))))
    generator = kit.load(features)
    most = max(len(array) for array in columns.values())
    once = {name for name, array in columns.items() if len(array) < most}  # stands beside every row
    many = {n: a if n in once else pa.chunked_array([a] * 700).combine_chunks() for n, a in columns.items()}
    whole = generator.transform(many, bad_rows="default")
    kit.equal(generator.transform(many, bad_rows="default", threads=3), whole)
    rows = whole.num_rows
    cuts = sorted({0, rows, rows // 3, 2 * rows // 3})
    parts = [
        generator.transform({n: a if n in once else a.slice(i, j - i) for n, a in many.items()}, bad_rows="default")
        for i, j in pairwise(cuts)
    ]
    if parts:
        joined_parts = type(whole).concat(parts)
        for name in whole:
            np.testing.assert_array_equal(joined_parts[name].values, whole[name].values)
    order = np.random.default_rng(0).permutation(rows)
    shuffled = {
        n: a if n in once else a.take(pa.array(order)) for n, a in many.items() if not pa.types.is_string_view(a.type)
    }
    if len(shuffled) == len(many):
        kit.equal(generator.transform(shuffled, bad_rows="default"), whole.take(order))
    folder = tmp_path_factory.mktemp("saved") / "g"
    generator.save(folder)
    again = FeatureGenerator.load(folder)
    assert again.fingerprint == generator.fingerprint
    kit.equal(again.transform(many, bad_rows="default"), whole)


def test_a_query_beside_many_documents_has_the_same_products_as_one_repeated(kit):
    dice = np.random.default_rng(3)

    def vector(most):
        size = dice.integers(1, most)
        return "\x1d".join(f"k{k}:{w}" for k, w in zip(dice.integers(0, 40, size), dice.normal(size=size), strict=True))

    generator = kit.load([{"type": "kv_dot_product", "name": "f", "query": "user:q", "document": "item:d"}])
    query, documents = vector(80), [vector(12) for _ in range(200)]
    beside = generator.request({"q": query}).score_items({"d": pa.array(documents)})
    repeated = generator.transform({"q": pa.array([query] * 200), "d": pa.array(documents)})
    assert len(np.unique(repeated["f"].values)) > 100
    kit.equal(beside, repeated)


def test_a_count_has_no_vector(kit):
    lookup = {"type": "lookup", "name": "f", "map": "user:m", "key": "item:k", "combiner": "count", "value_dim": 2}
    with pytest.raises(ConfigError, match="a count is one number"):
        kit.load([lookup])


@pytest.mark.parametrize("as_map", [False, True], ids=["text", "map"])
def test_separators_alone_are_no_value_behind_a_key(as_map, kit):
    vector = {"type": "lookup", "name": "v", "map": "user:m", "key": "item:k", "value_dim": 2}
    nested = {"type": "match", "name": "n", "nested_map": "user:n", "pkey": "item:k", "skey": "item:k"}
    generator = kit.load([vector, nested])
    m, n = pa.array(["a:,\x1da:1,2", "a:,"]), pa.array(["a^,|a^a:3", "a^,"])
    if as_map:
        pairs = pa.map_(pa.string(), pa.string())
        m = pa.array([[("a", ","), ("a", "1,2")], [("a", ",")]], pairs)
        n = pa.array([[("a", ","), ("a", "a:3")], [("a", ",")]], pairs)
    table = generator.transform({"m": m, "n": n, "k": pa.array(["a", "a"])})
    assert table["v"].values.tolist() == [[1, 2], [0, 0]]
    assert table["n"].values.tolist() == [[3], [0]]
