"""What every feature type promises, present and future: a new file is tested before its author writes a test."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_generator import DataError, FeatureGenerator
from feature_generator.config import member, members
from feature_generator.encoding import encode
from feature_generator.explain import explain, values_of

TOKENIZER = str(Path(__file__).parents[1] / "golden" / "assets" / "tiny_tokenizer.json")
COUNTS = str(Path(__file__).parent / "features" / "counts.tsv")
# One or more small configs a type. A type without an entry is tried with what most types accept.
SAMPLES = {
    "id": [
        {"hash_bucket_size": 50, "expression": "user:a"},
        {"num_buckets": 5, "expression": "user:a", "default_value": "1"},
        {"vocab_list": ["x", "y"], "expression": "user:a", "weighted": True},
    ],
    "raw": [
        {"expression": "user:a"},
        {"expression": "user:a", "boundaries": [0, 1, 2]},
        {"expression": "user:a", "value_dim": 2, "default_value": [1, 2]},
    ],
    "combo": [{"expression": ["user:a", "item:b"], "hash_bucket_size": 50}],
    "combine": [
        {"expression": "user:a"},
        {"expression": "user:a", "combiner": "mean", "num_buckets": 5, "value_map": {"x": 1, "y": 2.5}},
        {"expression": "user:a", "combiner": "gap_max", "boundaries": [0, 1], "default_value": "1"},
    ],
    "lookup": [
        {"map": "user:a", "key": "item:b"},
        {"map": "user:a", "key": "item:b", "combiner": "", "boundaries": [0, 1]},
        {"map": "user:a", "key": "item:b", "hash_bucket_size": 50, "need_key": True, "default_value": ""},
    ],
    "match": [
        {"nested_map": "user:a", "pkey": "item:b", "skey": "ALL"},
        {"nested_map": "user:a", "pkey": "ALL", "skey": "item:b", "vocab_list": ["1", "x"], "show_skey": True},
    ],
    "kv_dot_product": [
        {"query": "user:a", "document": "item:b"},
        {"query": "user:a", "document": "item:b", "boundaries": [0, 1], "default_value": ""},
    ],
    "bool_mask": [{"expression": ["user:a", "item:b"], "hash_bucket_size": 50, "default_value": "x"}],
    "slice": [
        {"expression": "user:a", "hash_bucket_size": 50, "start": 1},
        {"expression": "user:a", "vocab_list": ["x", "1"], "step": -2, "default_value": "x"},
    ],
    "expr": [
        {"expression": "a + 2 * b", "variables": ["user:a", "item:b"]},
        {"expression": "dot(a, b)", "variables": ["user:a", "item:b"], "boundaries": [0, 1], "fill_missing": 0},
        {"expression": "a > b ? a : -b", "variables": ["user:a", "item:b"], "value_dim": 2},
    ],
    "regex_replace": [
        {"expression": "user:a", "regex_pattern": "[0-9.]+(x?)", "replacement": r"<\1>", "hash_bucket_size": 50},
        {"expression": "user:a", "regex_pattern": "^x|1", "vocab_list": ["y", ":1"], "default_value": "y"},
    ],
    "text_normalizer": [
        {"expression": "user:a", "hash_bucket_size": 50, "default_value": "x"},
        {"expression": "user:a", "hash_bucket_size": 50, "norm_options": 516, "max_length": 2},
    ],
    "tokenize": [
        {"expression": "user:a", "vocab_file": TOKENIZER, "default_value": "red x shoe"},
        {"expression": "user:a", "vocab_file": TOKENIZER, "tokens_as_sequence": True, "sequence_length": 3},
        {
            "expression": "user:a",
            "vocab_file": TOKENIZER,
            "sequence_length": 2,
            "text_normalizer": {"norm_options": ["TEXT_FILTER"]},
        },
    ],
    "overlap": [
        {"query": "user:a", "title": "item:b", "method": "query_common_ratio"},
        {"query": "user:a", "title": "user:a", "method": "proximity_avg_dist", "boundaries": [0, 1, 2]},
        {"query": "user:a", "title": "const:x", "method": "index_of", "sequence_fields": ["a"], "sequence_length": 2},
    ],
    "bm25": [
        {"query": "user:a", "title": "item:b", "avg_length": 2, "doc_count": 9, "doc_freq": {"x": 3, "1": 9}},
        {"query": "user:a", "title": "item:b", "avg_length": 2, "doc_count": 9, "doc_freq_file": COUNTS},
    ],
    "custom": [
        {"operator_name": "EditDistance", "expression": ["user:a", "item:b"]},
        {"operator_name": "EditDistance", "expression": ["user:a", "user:a"], "operator_params": {"encoding": "latin"}},
        {
            "operator_name": "RegexReplace",
            "expression": ["user:a"],
            "operator_params": {"regex_pattern": "[0-9]+", "replacement": "<>"},
            "hash_bucket_size": 50,
        },
        {"operator_name": "SeqExpr", "expression": ["user:a", "item:b"], "operator_params": {"formula": "a - b"}},
    ],
    "sequence": [
        {"sequence_length": 2, "features": [{"type": "id", "name": "i", "expression": "item:a", "hash_bucket_size": 9}]}
    ],
}
FAMILY = "feature_generator.features"
CASES = [
    pytest.param({"type": name, "name": "f", **sample}, id=f"{name}-{i}")
    for name in members(FAMILY)
    for i, sample in enumerate(SAMPLES.get(name, [{"expression": "user:a"}]))
]
TEXTS = ["x", "", None, "y\x1dx", "1", "2.5", "-3", "1;2", "中", "9" * 400, "nan", "x:1", ":", ";", "\x1d", "_"]


def columns(generator, cells):
    return {name: pa.array(cells, pa.string()) for name in generator.inputs}


def test_every_file_of_the_family_has_a_sample():
    assert set(members(FAMILY)) <= set(SAMPLES), "add a small config of the new type to SAMPLES"


@pytest.mark.parametrize("config", CASES)
def test_the_config_says_its_own_type(config):
    model = member(FAMILY, config["type"]).Config
    assert model.model_fields["type"].default == config["type"]
    assert model.__doc__


@pytest.mark.parametrize("config", CASES)
def test_compiled_equals_reference_on_edge_input(config, kit):
    generator = kit.load([config])
    data = columns(generator, TEXTS)
    kit.compare(generator, data, generator.transform(data, bad_rows="default"))


@pytest.mark.parametrize("config", CASES)
@pytest.mark.parametrize(
    "kind", [pa.string(), pa.int64(), pa.float64(), pa.null(), pa.list_(pa.string()), pa.list_(pa.float32())], ids=str
)
def test_an_empty_table_gives_no_rows(config, kind, kit):
    generator = kit.load([config])
    table = generator.transform(pa.RecordBatch.from_pydict({name: pa.array([], kind) for name in generator.inputs}))
    assert table.num_rows == 0
    for name in generator.outputs:
        assert len(table[name].values) == 0


@pytest.mark.parametrize("config", CASES)
def test_nulls_of_every_type_are_missing_alike(config, kit):
    generator = kit.load([config])
    tables = [
        generator.transform(
            pa.RecordBatch.from_pydict({name: pa.array([None, None], kind) for name in generator.inputs})
        )
        for kind in (pa.string(), pa.int32(), pa.float64(), pa.bool_(), pa.null(), pa.list_(pa.int64()))
    ]
    for table in tables[1:]:
        kit.equal(table, tables[0])


@pytest.mark.parametrize("config", CASES)
def test_saved_and_loaded_it_is_the_same(config, kit, tmp_path):
    generator = kit.load([config])
    generator.save(tmp_path / "g")
    again = FeatureGenerator.load(tmp_path / "g")
    assert again.fingerprint == generator.fingerprint
    data = columns(generator, TEXTS)
    kit.equal(again.transform(data, bad_rows="default"), generator.transform(data, bad_rows="default"))


@pytest.mark.parametrize("config", CASES)
def test_encoded_columns_are_read_back_as_the_same_table(config, kit):
    generator = kit.load([config])
    table = generator.transform(columns(generator, TEXTS), bad_rows="default")
    encoded = FeatureGenerator.load({"features": [config]}, mode="encoded")
    kit.equal(encoded.transform(encode(table, generator.outputs)), table)


@pytest.mark.parametrize("config", CASES)
def test_the_rules_behind_a_row_can_be_told(config, kit):
    generator = kit.load([config])
    data = columns(generator, TEXTS)
    table = generator.transform(data, bad_rows="default")
    for row in range(len(TEXTS)):
        for told in explain(generator, data, row):
            made = values_of(table[told.feature], row)
            assert np.ravel(np.array(told.output, object)).tolist() == np.ravel(np.array(made, object)).tolist()


@pytest.mark.parametrize("config", CASES)
def test_ids_lie_inside_their_table(config, kit):
    generator = kit.load([config])
    table = generator.transform(columns(generator, TEXTS), bad_rows="default")
    for name, spec in generator.outputs.items():
        if spec.num_embeddings is not None:
            assert ((table[name].values >= 0) & (table[name].values < spec.num_embeddings)).all()


@pytest.mark.parametrize("config", CASES)
def test_a_column_of_maps_or_records_is_refused_in_words(config, kit):
    generator = kit.load([config])
    inner = pa.struct([("q", pa.struct([("r", pa.struct([("s", pa.int64())]))]))])
    record = pa.array([{"p": {"q": {"r": {"s": 1}}}}], pa.struct([("p", inner)]))
    with pytest.raises(DataError, match=r"reads text, numbers|delimited text|a map is read by"):
        generator.transform(pa.RecordBatch.from_pydict(dict.fromkeys(generator.inputs, record)))
