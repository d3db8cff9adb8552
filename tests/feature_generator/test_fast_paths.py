"""The fast ways of the native plan - whole numbers hashed without text, plain decimals, few edges, few words, keys of
eight bytes - against the obvious ones, above all where one way meets the other."""

import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feature_generator import FeatureGenerator, native
from feature_generator.values import BadValueError, as_number, as_text


def load(**feature):
    return FeatureGenerator.load({"features": [{"name": "f", **feature}]})


def values_of(column, **feature):
    made = load(**feature).values({"v": column})["f"]
    return [row[0] if row else None for row in made.to_pylist()]


# ------------------------------------------------------------------------------------------------ hashes

EDGES = sorted({s * (10**d + k) for d in range(19) for k in (-1, 0, 1) for s in (1, -1)} | {2**63 - 1, -(2**63)})
WHOLE = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 18).flatmap(lambda d: st.integers(0, 10 ** (d + 1) - 1)),
    st.integers(-(2**63), 2**63 - 1),
)


@given(
    st.lists(WHOLE, min_size=1, max_size=600), st.sampled_from([1, 2, 3, 97, 2**20, 2**31 - 1, 2**40 + 7, 2**63 - 1])
)
@example(list(range(1025)), 2**40 + 7)
@example(EDGES, 2**63 - 1)
@example([e for e in EDGES if 0 <= e < 10**8], 2**63 - 1)
def test_whole_numbers_hash_as_their_text(numbers, buckets):
    generator = load(type="id", expression="item:v", hash_bucket_size=buckets)
    expected = [native.murmur64a(str(number).encode()) % buckets for number in numbers]
    for column in (pa.array(numbers, pa.int64()), pa.array([str(n) for n in numbers])):
        assert generator.transform({"v": column})["f"].values.tolist() == expected


def test_every_whole_number_of_few_digits_hashes_as_its_text():
    rng = np.random.default_rng(0)
    numbers = np.concatenate([np.arange(20000), *(rng.integers(10**d, 10 ** (d + 1), 3000) for d in range(4, 8))])
    table = load(type="id", expression="item:v", hash_bucket_size=2**62).transform({"v": numbers})
    assert table["f"].values.tolist() == [native.murmur64a(str(n).encode()) % 2**62 for n in numbers.tolist()]


# ------------------------------------------------------------------------------------------------ numbers

DIGITS = st.text(alphabet="0123456789", max_size=20)
DECIMALS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+", "--", "-+", " ", "\t-"]),
        DIGITS,
        st.sampled_from(["", ".", ".."]),
        DIGITS,
        st.sampled_from(["", "", "", "e5", "E-7", "e+300", "e-320", "e-400", "e400", "e", "e-", "x", " ", "_"]),
    ),
)
TEXTS = st.one_of(
    DECIMALS,
    st.floats(allow_nan=True).map(repr),
    st.floats(width=32).map(repr),
    st.integers(-(10**17), 10**17).map(str),
    st.builds("{}.{}".format, st.integers(0, 10**8), DIGITS),
)
HARD = [
    "-", ".", "-.", "+", "+-1", "1.", ".5", "-.5", "-5.", "00", "-0", "-0.0", "007", "0.1", "1e", "1e+", " 1 ", "1 2",
    "999999999999999", "9999999999999999", "0.99999999999999", "123456789012345", "1234567890123456", "0.123456789012345",
    "0.1234567890123456", "00000000000000001", "9007199254740993", "5e-324", "2.4703282292062327e-324", "1e-400",
    "-1e-400", "1.7976931348623157e308", "1.7976931348623159e308", "1e309", "0e999", "0x10", "infinity", "nan", "1_0",
    "٣", "1\x00", "",
]  # fmt: skip


def obvious(text):
    try:
        return as_number(text) if text else None
    except BadValueError:
        return None


def bits(number):
    return None if number is None else struct.pack("<d", number)


@given(st.lists(TEXTS, min_size=1, max_size=20))
@example(HARD)
def test_numbers_in_text_are_rounded_correctly(texts):
    read = values_of(pa.array(texts, pa.string()), type="raw", expression="item:v", separator="|")
    assert [bits(number) for number in read] == [bits(obvious(text)) for text in texts]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20), st.booleans())
@example(
    [5e-324, 2.2250738585072014e-308, 1e15, 1e16, 1e17, 123456789012345680.0, 1e-4, 1e-5, 0.1, -0.0, 2.0**63], False
)
@example([1e-4, 1e-5, 9.999e-5, 1.1e-4], True)
@example([1e-45, 1.1754943508222875e-38, 16777216.0, 16777217.0, 3.4028234663852886e38, 0.1, 2.0**63], True)
def test_numbers_are_written_as_python_writes_them(numbers, narrow):
    if narrow:
        numbers = [np.float32(number) for number in numbers if abs(number) < 3.4e38] or [np.float32(0)]
    column = pa.array(numbers, pa.float32() if narrow else pa.float64())
    assert values_of(column, type="id", expression="item:v", stub_type=True) == [as_text(n) for n in numbers]


# ------------------------------------------------------------------------------------------------ buckets


@pytest.mark.parametrize("count", [1, 2, 16, 17, 33])
@given(data=st.data())
def test_a_bucket_is_the_number_of_edges_that_are_no_larger(count, data):
    floats = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, -0.0, 2.0**-149, -(2.0**-149)])
    edges = sorted(data.draw(st.lists(floats, min_size=count, max_size=count, unique_by=lambda x: x + 0.0)))
    generator = load(type="raw", expression="item:v", boundaries=edges)
    near = [math.nextafter(edge, side) for edge in edges for side in (-math.inf, math.inf)]
    numbers = [*edges, *near, *data.draw(st.lists(floats, max_size=600))]
    expected = np.searchsorted(np.array(edges, np.float32), np.array(numbers, np.float32), side="right")
    assert generator.transform({"v": numbers})["f"].values.tolist() == expected.tolist()


# ------------------------------------------------------------------------------------------------ words and keys

FEW_WORDS = st.sampled_from(["a", "b", "ab", "c", "中", "abcdefgh", "abcdefgi", "7", "A"]) | st.integers(0, 60).map(str)


@given(st.lists(FEW_WORDS, min_size=1, max_size=70), st.lists(FEW_WORDS, min_size=1, max_size=70), st.booleans())
@example([str(i) for i in range(32)], [str(i) for i in range(0, 64, 2)], True)
@example([str(i) for i in range(33)], ["1"] * 32, False)
def test_a_common_ratio_is_the_share_of_distinct_words(query, title, beside):
    for method, of, other in (("query_common_ratio", query, title), ("title_common_ratio", title, query)):
        generator = load(type="overlap", query="user:q", title="item:t", method=method)
        rows = [title, ["nothing"], title]
        table = generator.transform({"q": pa.array([query] if beside else [query] * 3), "t": pa.array(rows)})
        expected = np.float32(len(set(of) & set(other)) / len(set(of)))
        assert table["f"].values[[0, 2], 0].tolist() == [expected, expected]


KEYS = st.text(alphabet="ab:\x1d", min_size=1, max_size=12) | st.sampled_from(["abababab", "abababa", "ababababa"])
PAIRS = st.builds(
    "".join, st.tuples(KEYS, st.sampled_from([":", "::", "", ":"]), st.sampled_from(["", "1", "22", "3333333333"]))
)


@given(st.lists(PAIRS, max_size=40), st.lists(KEYS, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_a_key_is_found_in_text_as_in_the_pairs_of_it(pairs, keys, listed, beside):
    known = {}
    for pair in pairs if listed else "\x1d".join(pairs).split("\x1d"):
        key, _, value = pair.partition(":")
        if value:
            known.setdefault(key, value)
    generator = load(type="lookup", map="user:m", key="item:k", hash_bucket_size=2**60, default_value="")
    column = pa.array([pairs] if listed else ["\x1d".join(pairs)], pa.list_(pa.string()) if listed else pa.string())
    if not beside:  # the finder takes another way where a map stands beside one key only
        column = pa.concat_arrays([column] * len(keys))
    table = generator.transform({"m": column, "k": pa.array([[key] for key in keys])})
    found = [[native.murmur64a(known[key].encode()) % 2**60] if key in known else [] for key in keys]
    got = table["f"]
    assert np.split(got.values, np.cumsum(got.lengths)[:-1])[0].tolist() == found[0]
    assert got.values.tolist() == [one for row in found for one in row]
