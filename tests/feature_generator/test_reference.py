"""The compiled plan equals the plain Python reference on random columns of every Arrow type."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator import _reference_hashes, native

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "golden" / "fg_hash_vectors.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
HASHES = st.sampled_from(["murmur64a", "farmhash"])
ROWS = st.sampled_from([0, 1, 2, 7])


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{i}-{len(v['string'])}-chars" for i, v in enumerate(VECTORS)])
def test_both_hashes_give_the_golden_64_bits(vector):
    text = vector["string"].encode()
    assert native.murmur64a(text) == _reference_hashes.murmur64a(text) == int(vector["murmur64a"])
    assert native.fingerprint64(text) == _reference_hashes.farmhash(text) == int(vector["farmhash"])


@given(st.binary(max_size=400))
def test_hashes_agree_at_every_length(text):
    assert native.murmur64a(text) == _reference_hashes.murmur64a(text)
    assert native.fingerprint64(text) == _reference_hashes.farmhash(text)


@given(st.data())
def test_an_id_feature(kit, data):
    feature = data.draw(kit.ids("f", "c"))
    kinds = st.one_of(kit.plain, kit.maps) if feature["weighted"] else kit.plain
    columns = {"c": data.draw(kit.arrays(kinds, data.draw(ROWS)))}
    generator = kit.load([feature], hash=data.draw(HASHES))
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_a_raw_feature(kit, data):
    columns = {"c": data.draw(kit.arrays(kit.plain, data.draw(ROWS)))}
    generator = kit.load([data.draw(kit.raws("f", "c"))])
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_a_combo_feature(kit, data):
    rows = data.draw(ROWS)
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in data.draw(st.sampled_from(["ab", "abc"]))}
    generator = kit.load([data.draw(kit.combos("f", list(columns)))], hash=data.draw(HASHES))
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_an_expr_feature(kit, data):
    rows = data.draw(ROWS)
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in "ab"}
    if rows and data.draw(st.booleans()):
        columns["a"] = columns["a"][:1]
    generator = kit.load([data.draw(kit.exprs("f", "ab"))])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@given(st.data())
def test_a_simple_sequence(kit, data):
    kinds = st.one_of(kit.plain, kit.nested)
    columns = {"c": data.draw(kit.arrays(kinds, data.draw(ROWS)))}
    feature = data.draw(st.one_of(kit.ids("f", "c"), kit.raws("f", "c"))) | data.draw(kit.sequences)
    generator = kit.load([feature])
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_a_grouped_sequence(kit, data):
    rows = data.draw(ROWS)
    kinds = st.one_of(kit.plain, kit.nested)
    columns = {f"s__{name}": data.draw(kit.arrays(kinds, rows)) for name in ("a", "b")}
    columns["u"] = data.draw(kit.arrays(kit.plain, rows))
    children = [data.draw(kit.ids("i", "a")), data.draw(kit.raws("r", "b"))]
    if data.draw(st.booleans()):
        combo = data.draw(kit.combos("x", ["u", "b"])) | {"expression": ["user:u", "item:b"]}
        children.append(combo)
    else:
        columns.pop("u")
    group = {"type": "sequence", "name": "s", "features": children, **data.draw(kit.sequences)}
    generator = kit.load([group])
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_features_that_read_features(kit, data):
    rows = data.draw(ROWS)
    columns = {"a": data.draw(kit.arrays(kit.plain, rows)), "b": data.draw(kit.arrays(kit.plain, rows))}
    first = data.draw(st.one_of(kit.ids("first", "a"), kit.raws("first", "a"))) | {
        "stub_type": data.draw(st.booleans())
    }
    if first["stub_type"] and first["type"] == "id" and data.draw(st.booleans()):
        first = {"type": "id", "name": "first", "expression": "user:a", "stub_type": True}
    second = data.draw(kit.combos("second", ["first", "b"])) | {"expression": ["feature:first", "item:b"]}
    third = data.draw(kit.raws("third", "first")) | {"expression": "feature:first"}
    generator = kit.load(data.draw(st.permutations([first, second, third])))
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))


@given(st.data())
def test_children_of_a_sequence_that_read_each_other(kit, data):
    rows = data.draw(ROWS)
    columns = {"s__a": data.draw(kit.arrays(kit.plain | kit.nested, rows)), "u": data.draw(kit.arrays(kit.plain, rows))}
    stub = {"stub_type": data.draw(st.booleans())}
    first = data.draw(st.one_of(kit.ids("first", "a"), kit.raws("first", "a"))) | stub
    second = data.draw(kit.raws("second", "first")) | {"expression": "feature:first"}
    third = {
        "type": "expr",
        "name": "third",
        "expression": "second + len(u)",
        "variables": ["feature:second", "user:u"],
    }
    children = data.draw(st.permutations([first, second, third]))
    generator = kit.load([{"type": "sequence", "name": "s", "features": children, **data.draw(kit.sequences)}])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@given(st.data())
def test_a_lookup_in_a_map_of_either_separator(kit, data):
    cells = st.text(alphabet="ab12:|\x1d", max_size=12)
    rows = data.draw(ROWS)
    columns = {name: pa.array(data.draw(st.lists(cells, min_size=rows, max_size=rows)), pa.string()) for name in "mk"}
    feature = {
        "type": "lookup",
        "name": "f",
        "map": "user:m",
        "key": "user:k",
        "separator": data.draw(st.sampled_from("|\x1d")),
    }
    ids = data.draw(st.sampled_from([{}, {"hash_bucket_size": 100, "need_discrete": True, "combiner": "sum"}]))
    generator = kit.load([feature | ids])
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@given(st.data())
def test_encoded_columns(kit, data):
    rows = data.draw(ROWS)
    features = [data.draw(kit.ids("i", "x")), data.draw(kit.raws("r", "y"))]
    for feature in features:
        feature["fg_encoded_default_value"] = data.draw(st.sampled_from([None, "", "0"]))
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in ("i", "r")}
    if data.draw(st.booleans()):
        features = [
            {"type": "sequence", "name": "s", "features": features, **data.draw(kit.sequences), "lengths": "shortest"}
        ]
        columns = {f"s__{name}": array for name, array in columns.items()}
    generator = kit.load(features)
    generator = type(generator)(generator.config, "encoded")
    kit.compare(generator, columns, generator.transform(pa.RecordBatch.from_pydict(columns), bad_rows="default"))
