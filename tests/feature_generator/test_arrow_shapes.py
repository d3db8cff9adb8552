"""Arrow columns of unusual shape: what they hold is read as it is, or refused; memory is never read past its end."""

import numpy as np
import pyarrow as pa
import pytest

from feature_generator import DataError, FeatureGenerator
from feature_generator.native import Plan

ID = {"type": "id", "name": "f", "expression": "item:v", "hash_bucket_size": 100}


def load(*features):
    return FeatureGenerator.load({"features": list(features)})


@pytest.mark.parametrize(
    "entries",
    [pa.array([{"a": 1}, {"a": 2}]), pa.array([[1], [2]]), pa.array([[("a", 1)], [("b", 2)]], pa.map_(pa.string(), pa.int64()))],
    ids=["structs", "lists", "maps"],
)  # fmt: skip
def test_lists_of_dictionaries_of_anything_but_plain_values_are_refused(entries):
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 5000, pa.int32()), entries)
    lists = pa.ListArray.from_arrays(pa.array(range(0, 10001, 2), pa.int32()), column)
    sink = {"discretizer": "hash", "size": 10}
    plan = Plan([("v", 2)], [{"features": [{"inputs": [{"column": 0}], "sink": sink}]}])
    with pytest.raises(ValueError, match="column 'v': a plain feature reads text, numbers, or a list of them"):
        plan.run([(2, pa.RecordBatch.from_pydict({"v": lists}))], len(lists), 1)


def test_the_items_of_a_list_in_a_dictionary_are_not_split():
    lists = pa.array([["a:1\x1db:2", "b:3"], ["c:5"]])
    entries = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), lists)
    generator = load({"type": "lookup", "name": "f", "map": "user:m", "key": "item:k"})
    table = generator.transform({"m": entries, "k": ["c", "b"]}, bad_rows="default")
    assert table["f"].values.tolist() == [[5], [3]]


def test_the_items_of_a_sequence_in_a_dictionary_are_not_split():
    lists = pa.array([[["a:1\x1db:2", "b:3"], ["b:4"]]])
    generator = load({"type": "lookup", "name": "f", "map": "user:m", "key": "item:k", "sequence_fields": ["m"], "sequence_length": 9})  # fmt: skip
    entries = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), lists)
    for column in (lists, entries):
        table = generator.transform({"m": column, "k": ["b"]}, bad_rows="default")
        assert table["f"].values.tolist() == [[3], [4]]


@pytest.mark.parametrize(
    "feature",
    [
        {"type": "lookup", "map": "user:m", "key": "item:k"},
        {"type": "lookup", "map": "user:m", "key": "item:k", "hash_bucket_size": 100, "default_value": "0"},
        {"type": "kv_dot_product", "query": "user:m", "document": "item:k"},
        {"type": "kv_dot_product", "query": "item:k", "document": "user:m"},
    ],
    ids=["number", "word", "query", "document"],
)
@pytest.mark.parametrize("order", [None, "oldest_first", "newest_first"])
def test_a_number_beyond_63_bits_behind_a_key_is_bad_where_it_is_used(feature, order):
    maps = [[("a", 2**63 + 5), ("b", 2)]]
    feature = {"name": "f", **feature}
    column = pa.array(maps, pa.map_(pa.string(), pa.uint64()))
    if order is not None:
        feature |= {"sequence_fields": ["m"], "sequence_length": 1, "order": order}
        column = pa.array([maps * 2], pa.list_(column.type))
    generator = load(feature)
    table = generator.transform({"m": column, "k": ["a"]}, bad_rows="default")
    assert [(bad.row, bad.column) for bad in table.bad] == [(0, "m")]
    assert table.bad[0].reason.endswith("a number beyond 63 bits")
    missing = generator.transform({"m": column, "k": ["nothing"]}, bad_rows="default")
    if feature["type"] == "lookup":
        assert not missing.bad
        assert table["f"].values.tolist() == missing["f"].values.tolist()
        assert not generator.transform({"m": column, "k": ["b"]}, bad_rows="default").bad


def test_a_number_beyond_63_bits_behind_two_keys_is_bad_where_it_is_used():
    maps = pa.array([[("p", [("a", 2**63 + 5), ("b", 2)])]], pa.map_(pa.string(), pa.map_(pa.string(), pa.uint64())))
    generator = load({"type": "match", "name": "f", "nested_map": "user:m", "pkey": "item:p", "skey": "item:s"})
    table = generator.transform({"m": maps, "p": ["p"], "s": ["a"]}, bad_rows="default")
    assert [(bad.column, bad.reason) for bad in table.bad] == [("m", "a number beyond 63 bits")]
    assert generator.transform({"m": maps, "p": ["p"], "s": ["b"]})["f"].values.tolist() == [[2]]


def test_a_column_of_maps_counts_for_the_lengths_of_a_sequence_it_is_not_read_for():
    features = [
        {"type": "id", "name": "w", "expression": "item:w", "weighted": True, "hash_bucket_size": 10},
        {"type": "combo", "name": "c", "expression": ["item:i", "item:x"], "sequence_fields": ["i"], "hash_bucket_size": 10},
    ]  # fmt: skip
    generator = load({"type": "sequence", "name": "s", "features": features})
    kind = pa.list_(pa.map_(pa.string(), pa.float64()))
    maps = pa.array([[[("a", 1.0)], [("b", 2.0)]], [[("a", 1.0)]]], kind)
    data = {"s__i": ["1;2", "1;2"], "s__w": maps, "x": ["q", "q"]}
    table = generator.transform(data, bad_rows="default")
    assert {bad.row for bad in table.bad} == {1}
    assert table["s__c"].lengths.tolist() == table["s__w"].lengths.tolist() == [2, 1]


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_too_large_for_32_bits_is_refused_before_it_is_read(sequence, threads):
    column = pa.LargeListArray.from_arrays(pa.array([0, 5 << 30]), pa.nulls(5 << 30))  # nulls take no memory
    generator = load({**ID, "sequence_length": 5} if sequence else ID)
    with pytest.raises(DataError, match="a row holds more than 4 GiB of text, or half a billion items"):
        generator.transform(pa.RecordBatch.from_arrays([column], ["v"]), threads=threads)


def test_a_batch_of_another_length_is_refused():
    sink = {"discretizer": "hash", "size": 10}
    plan = Plan([("v", 2)], [{"features": [{"inputs": [{"column": 0}], "sink": sink}]}])
    with pytest.raises(ValueError, match="a batch has 2 rows, but 3 are computed"):
        plan.run([(2, pa.RecordBatch.from_pydict({"v": ["a", "b"]}))], 3, 1)


def called(function):
    """A plan of one feature that a Python function computes from the numbers in the column `v`."""
    sink = {"discretizer": "hash", "size": 2**40, "default_ids": [1]}
    parameters = {"numbers": True}
    feature = {"operator": "call", "call": function, "parameters": parameters, "inputs": [{"column": 0}], "sink": sink}
    return Plan([("v", 2)], [{"features": [feature]}])


def test_broken_results_of_a_function_keep_their_rows_where_other_rows_are_bad():
    def function(_, elements):
        kind = pa.list_(pa.uint64())
        return pa.array([[2**63 + 5, 7] if i % 3 == 0 else [i] for i in range(elements)], kind)

    made = {}
    for texts in (["1", "2", "3", "4", "5", "6", "7"], ["1", "x", "3", "4", "oops", "6", "7"]):
        (output,), _, bad = called(function).run([(2, pa.RecordBatch.from_pydict({"v": texts}))], 7, 1)
        made[texts[1]] = np.split(output[0], output[1][1:-1]), bad
    good, spoiled = made["2"], made["x"]
    assert [bad[0] for bad in good[1]] == [0, 3, 6]
    assert [bad[0] for bad in spoiled[1]] == [0, 1, 3, 4, 6]
    for row, (one, other) in enumerate(zip(good[0], spoiled[0], strict=True)):
        assert other.tolist() == ([1] if row in (1, 4) else one.tolist())


@pytest.mark.parametrize("threads", [1, 4])
def test_a_function_that_fails_on_several_threads_fails_once(threads):
    def function(operands, elements):
        raise ArithmeticError(f"of {elements}")

    rows = 20_000
    plan = called(function)
    for _ in range(20):
        with pytest.raises(ArithmeticError, match="of 1024"):
            plan.run([(2, pa.RecordBatch.from_pydict({"v": np.arange(rows)}))], rows, threads)


def test_blocks_and_threads_leave_what_stands_beside_all_rows_alone(kit):
    features = [
        {"type": "combo", "name": "c", "expression": ["user:w", "item:b"], "sequence_fields": ["w"], "sequence_length": 99, "hash_bucket_size": 999},
        {"type": "id", "name": "k", "expression": "const:a\x1db\x1dc", "hash_bucket_size": 999, "weighted": True},
    ]  # fmt: skip
    generator = load(*features)
    user = pa.RecordBatch.from_pydict({"w": [";".join(map(str, range(60)))]})
    items = pa.RecordBatch.from_pydict({"b": list(range(3000))})
    stage = generator.stage()
    expected = generator.transform({"w": [user.column(0)[0].as_py()] * 3000, "b": items.column(0)})
    for threads in (1, 3):
        kit.equal(stage.run([(1, user), (2, items)], 3000, threads)[0], expected)
