"""What is encoded is read back to the same table, bit for bit."""

import io
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import DataError, FeatureGenerator
from feature_generator.encoding import column_type, encode

SEP = "\x1d"


def through_parquet(columns, rows):
    """The columns as they come out of a file."""
    if not columns:
        return pa.RecordBatch.from_struct_array(pa.array([{}] * rows, pa.struct([])))
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return pq.read_table(file).combine_chunks()


def round_trip(features, data, kit, *, bad_rows="default"):
    """Transform, encode, write, read and read as encoded columns; the two tables must be the same."""
    raw = FeatureGenerator.load({"features": features})
    table = raw.transform(data, bad_rows=bad_rows)
    columns = encode(table, raw.outputs)
    assert {name: array.type for name, array in columns.items()} == {
        name: column_type(spec) for name, spec in raw.outputs.items()
    }
    encoded = FeatureGenerator.load({"features": features}, mode="encoded")
    assert set(encoded.inputs) == set(raw.outputs)
    again = encoded.transform(through_parquet(columns, table.num_rows))
    kit.equal(again, table)
    assert {n: s.num_embeddings for n, s in encoded.outputs.items()} == {
        n: s.num_embeddings for n, s in raw.outputs.items()
    }
    return columns


@given(st.data())
def test_plain_features_of_every_kind_come_back(kit, data):
    rows = data.draw(st.sampled_from([0, 1, 2, 9]))
    features = [
        data.draw(kit.ids("i", "a")),
        data.draw(kit.ids("j", "b")),
        data.draw(kit.raws("r", "c")),
        data.draw(kit.combos("x", ["d", "e"])),
    ]
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in "abcde"}
    if features[0]["weighted"] and data.draw(st.booleans()):
        columns["a"] = data.draw(kit.arrays(kit.maps, rows))
    generator = FeatureGenerator.load({"features": features})
    wanted = {name: columns[name] for name in generator.inputs}
    round_trip(features, pa.RecordBatch.from_pydict(wanted), kit)


@given(st.data())
def test_simple_sequences_come_back(kit, data):
    rows = data.draw(st.sampled_from([0, 1, 2, 9]))
    kind = st.one_of(kit.plain, kit.nested)
    shape = data.draw(kit.sequences)
    features = [data.draw(kit.ids("i", "a")) | shape, data.draw(kit.raws("r", "b")) | shape]
    columns = {name: data.draw(kit.arrays(kind, rows)) for name in "ab"}
    round_trip(features, pa.RecordBatch.from_pydict(columns), kit)


@given(st.data())
def test_grouped_sequences_come_back(kit, data):
    rows = data.draw(st.sampled_from([0, 1, 2, 9]))
    children = [data.draw(kit.ids("i", "a")), data.draw(kit.raws("r", "b"))]
    shape = data.draw(kit.sequences) | {"lengths": "shortest"}
    features = [{"type": "sequence", "name": "s", "features": children, **shape}]
    # The children are the user's: every input of theirs is a column of the sequence.
    for child in children:
        child["expression"] = child["expression"].replace("user:", "item:")
    kind = st.one_of(kit.plain, kit.nested)
    columns = {f"s__{name}": data.draw(kit.arrays(kind, rows)) for name in "ab"}
    round_trip(features, pa.RecordBatch.from_pydict(columns), kit)


class TestEveryShape:
    """Shapes by name, so that none is missed."""

    WEIGHTED: ClassVar = {"type": "id", "name": "w", "expression": "user:w", "hash_bucket_size": 99, "weighted": True}
    SEQUENCE: ClassVar = {"sequence_length": 2}

    @pytest.mark.parametrize(
        ("feature", "cells", "kind"),
        [
            ({"num_buckets": 9}, ["1", f"2{SEP}3", "", None], pa.list_(pa.int64())),
            ({"num_buckets": 9, "value_dim": 1}, ["1", f"2{SEP}3", "", None], pa.int64()),
            ({"num_buckets": 9, "default_value": "7"}, ["1", "88", "", None], pa.list_(pa.int64())),
            ({"hash_bucket_size": 9, "weighted": True}, ["a:2", f"b:0.1{SEP}b:3", "", None], "map"),
            ({"num_buckets": 9, "sequence_length": 2}, ["1;2;3", "4", "", None], pa.list_(pa.int64())),
            (
                {"num_buckets": 9, "sequence_length": 2, "order": "newest_first"},
                ["1;2;3", "4", "", None],
                pa.list_(pa.int64()),
            ),
            ({"num_buckets": 9, "sequence_length": 2, "truncate": "oldest"}, ["1;2;3", "4"], pa.list_(pa.int64())),
            ({"num_buckets": 9, "sequence_length": 2, "empty": "default"}, ["", None, "3"], pa.list_(pa.int64())),
            (
                {"num_buckets": 9, "sequence_length": 3, "value_dim": 0},
                [f"1{SEP}2;;3", "88;1", "", None],
                pa.list_(pa.list_(pa.int64())),
            ),
            (
                {"hash_bucket_size": 9, "sequence_length": 3, "weighted": True},
                ["a:2;b", "", None],
                pa.list_(pa.map_(pa.int64(), pa.float32())),
            ),
            ({"type": "raw"}, ["0.1", "1e30", "", None, "nan"], pa.float32()),
            ({"type": "raw", "value_dim": 2}, [f"0.1{SEP}-0.0", "", None], pa.list_(pa.float32())),
            ({"type": "raw", "boundaries": [0.5]}, ["0.1", "0.7", ""], pa.int64()),
            ({"type": "raw", "boundaries": [0.5], "default_value": ""}, ["0.1", "0.7", "", None], pa.int64()),
            (
                {"type": "raw", "boundaries": [0.5], "value_dim": 2},
                [f"0.1{SEP}0.9", ""],
                pa.list_(pa.int64()),
            ),
            ({"type": "raw", "sequence_length": 3}, ["0.1;0.2", "", None, ";"], pa.list_(pa.float32())),
            (
                {"type": "raw", "sequence_length": 3, "value_dim": 2},
                [f"0.1{SEP}2;0.2{SEP}3", "", None],
                pa.list_(pa.list_(pa.float32())),
            ),
            ({"type": "raw", "sequence_length": 3, "boundaries": [0.5]}, ["0.1;0.7", ""], pa.list_(pa.int64())),
        ],
    )
    @pytest.mark.parametrize("rows", ["all", "none"])
    def test_it_comes_back_and_has_the_type_that_is_documented(self, feature, cells, kind, rows, kit):
        feature = {"type": "id", "name": "f", "expression": "user:a", **feature}
        data = pa.record_batch({"a": pa.array(cells if rows == "all" else [], pa.string())})
        columns = round_trip([feature], data, kit)
        assert columns["f"].type == (pa.map_(pa.int64(), pa.float32()) if kind == "map" else kind)


def test_an_empty_row_stays_empty_and_gets_no_default_twice(kit):
    feature = {"type": "id", "name": "f", "expression": "user:a", "num_buckets": 9}
    table = FeatureGenerator.load({"features": [feature]}).transform({"a": ["", None, "3"]})
    columns = encode(table, FeatureGenerator.load({"features": [feature]}).outputs)
    assert columns["f"].to_pylist() == [[], [], [3]]
    # In raw mode the default stands for the empty row; the encoded column holds it once, as what it became.
    round_trip([feature | {"default_value": "4"}], {"a": ["", None, "3"]}, kit)


def test_what_was_newest_first_is_oldest_first_in_the_file_and_is_not_turned_again(kit):
    feature = {"type": "id", "name": "f", "expression": "user:a", "num_buckets": 9, "sequence_length": 2}
    columns = round_trip([feature | {"order": "newest_first"}], {"a": ["3;2;1"]}, kit)
    assert columns["f"].to_pylist() == [[2, 3]]


def test_intermediates_are_no_columns_and_encoded_mode_asks_for_none(kit):
    features = [
        {"type": "id", "name": "words", "expression": "user:a", "stub_type": True},
        {"type": "combo", "name": "x", "expression": ["feature:words", "feature:words"], "hash_bucket_size": 99},
    ]
    assert list(round_trip(features, {"a": ["p", f"q{SEP}r", None]}, kit)) == ["x"]


def test_the_default_word_decides_how_many_ids_there_are_in_both_modes():
    feature = {"type": "id", "name": "f", "expression": "user:a", "vocab_dict": {"a": 2, "b": 5}, "default_value": "b"}
    sizes = [
        FeatureGenerator.load({"features": [feature]}, mode=mode).outputs["f"].num_embeddings
        for mode in ("raw", "encoded")
    ]
    assert sizes == [3, 3]


def test_encoded_columns_of_others_are_cut_like_before():
    feature = {"type": "id", "name": "f", "expression": "user:a", "num_buckets": 9, "sequence_length": 2}
    table = FeatureGenerator.load({"features": [feature]}, mode="encoded").transform({"f": [[1, 2, 3], []]})
    assert table["f"].values.tolist() == [2, 3]
    with pytest.raises(DataError):
        FeatureGenerator.load({"features": [feature]}, mode="encoded").transform({"f": [["x"]]})
