"""What one feature of a peer becomes."""

from pathlib import Path

import pytest

from easyrec.convert import convert
from feature_generator import FeatureGenerator

HERE = Path(__file__).parent

TZREC = {
    "id": (
        'id_feature { feature_name: "a" expression: "user:b" num_buckets: 9 embedding_dim: 4 value_dim: 1 trainable: false }',
        {
            "type": "id",
            "name": "a",
            "expression": "user:b",
            "num_buckets": 9,
            "embedding_dim": 4,
            "value_dim": 1,
            "trainable": False,
        },
    ),
    "id-file": (
        'id_feature { feature_name: "a" expression: "user:b" vocab_file: "w.txt" asset_dir: "d" default_bucketize_value: 1 }',
        {"type": "id", "name": "a", "expression": "user:b", "vocab_file": "d/w.txt", "default_bucketize_value": 1},
    ),
    "id-stub": (
        'id_feature { feature_name: "a" expression: "user:b" stub_type: true }',
        {"type": "id", "name": "a", "expression": "user:b", "stub_type": True},
    ),
    "raw": (
        'raw_feature { feature_name: "a" expression: "item:b" value_dim: 2 default_value: "1\\x1d2" separator: ","'
        ' normalizer: "method=expression,expr=sign(x)" }',
        {
            "type": "raw",
            "name": "a",
            "expression": "item:b",
            "value_dim": 2,
            "default_value": "1\x1d2",
            "separator": ",",
            "normalizer": "method=expression,expr=sign(x)",
        },
    ),
    "raw-bucketed": (
        'raw_feature { feature_name: "a" expression: "item:b" boundaries: [1, 2.5] embedding_dim: 4 pooling: "MEAN" }',
        {
            "type": "raw",
            "name": "a",
            "expression": "item:b",
            "boundaries": [1, 2.5],
            "embedding_dim": 4,
            "pooling": "mean",
        },
    ),
    "raw-autodis": (
        'raw_feature { feature_name: "a" expression: "item:b" autodis { num_channels: 3 keep_prob: 0.5 } embedding_dim: 4 }',
        {
            "type": "raw",
            "name": "a",
            "expression": "item:b",
            "embedding_dim": 4,
            "dense_embedding": {"type": "autodis", "buckets": 3, "skip": 0.5},
        },
    ),
    "raw-mlp": (
        'raw_feature { feature_name: "a" expression: "item:b" mlp {} embedding_dim: 4 }',
        {"type": "raw", "name": "a", "expression": "item:b", "embedding_dim": 4},
    ),
    "combo": (
        'combo_feature { feature_name: "a" expression: ["user:b", "item:c"] hash_bucket_size: 9 embedding_dim: 4 }',
        {"type": "combo", "name": "a", "expression": ["user:b", "item:c"], "hash_bucket_size": 9, "embedding_dim": 4},
    ),
    "combine": (
        'combine_feature { feature_name: "a" expression: "user:b" combiner: "mean" default_value: "0" num_buckets: 10'
        ' embedding_dim: 4 value_map { key: "tag1" value: 1 } value_map { key: "tag2" value: 2.5 } }',
        {
            "type": "combine",
            "name": "a",
            "expression": "user:b",
            "combiner": "mean",
            "default_value": "0",
            "num_buckets": 10,
            "embedding_dim": 4,
            "value_map": {"tag1": 1.0, "tag2": 2.5},
        },
    ),
    "lookup": (
        'lookup_feature { feature_name: "a" map: "user:m" key: "item:k" combiner: "mean" need_key: true value_dim: 3'
        ' value_separator: "|" default_value: "0" }',
        {
            "type": "lookup",
            "name": "a",
            "map": "user:m",
            "key": "item:k",
            "combiner": "mean",
            "need_key": True,
            "value_dim": 3,
            "value_separator": "|",
        },
    ),
    "match": (
        'match_feature { feature_name: "a" nested_map: "user:n" pkey: "ALL" skey: "item:s" hash_bucket_size: 9'
        ' embedding_dim: 4 show_skey: true default_value: "" need_discrete: true }',
        {
            "type": "match",
            "name": "a",
            "nested_map": "user:n",
            "pkey": "ALL",
            "skey": "item:s",
            "hash_bucket_size": 9,
            "embedding_dim": 4,
            "show_skey": True,
            "default_value": "",
        },
    ),
    "expr": (
        'expr_feature { feature_name: "a" expression: "a+b" variables: "user:a" variables: "item:b" fill_missing: 1.5 }',
        {"type": "expr", "name": "a", "expression": "a+b", "variables": ["user:a", "item:b"], "fill_missing": 1.5},
    ),
    "overlap": (
        'overlap_feature { feature_name: "a" query: "user:q" title: "item:t" method: "is_contain" separator: "\\x1d" }',
        {"type": "overlap", "name": "a", "query": "user:q", "title": "item:t", "method": "is_contain"},
    ),
    "tokenize": (
        'tokenize_feature { feature_name: "a" expression: "item:t" vocab_file: "v" asset_dir: "d" embedding_dim: 4'
        ' tokenizer_type: "sentencepiece" text_normalizer { stop_char_file: "s" norm_options: TEXT_FILTER } }',
        {
            "type": "tokenize",
            "name": "a",
            "expression": "item:t",
            "vocab_file": "d/v",
            "embedding_dim": 4,
            "tokenizer_type": "sentencepiece",
            "text_normalizer": {"norm_options": ["TEXT_FILTER"], "stop_char_file": "d/s"},
        },
    ),
    "kv_dot_product": (
        'kv_dot_product { feature_name: "a" query: "user:q" document: "item:d" separator: "|" kv_delimiter: "=" }',
        {
            "type": "kv_dot_product",
            "name": "a",
            "query": "user:q",
            "document": "item:d",
            "separator": "|",
            "kv_delimiter": "=",
        },
    ),
    "bool_mask": (
        'bool_mask_feature { feature_name: "a" expression: "user:i" expression: "user:m" num_buckets: 9 embedding_dim: 4 }',
        {"type": "bool_mask", "name": "a", "expression": ["user:i", "user:m"], "num_buckets": 9, "embedding_dim": 4},
    ),
    "custom-edit-distance": (
        'custom_feature { feature_name: "a" operator_name: "EditDistance" expression: "user:b" expression: "item:c" }',
        {
            "type": "custom",
            "name": "a",
            "operator_name": "EditDistance",
            "expression": ["user:b", "item:c"],
            "operator_params": {"encoding": "latin"},
        },
    ),
    "regex_replace": (
        'regex_replace_feature { feature_name: "a" expression: "item:b" regex_pattern: ["x", "y"] replacement: "z"'
        " replace_all: false icase: true hash_bucket_size: 9 }",
        {
            "type": "regex_replace",
            "name": "a",
            "expression": "item:b",
            "regex_pattern": ["x", "y"],
            "replacement": "z",
            "replace_all": False,
            "icase": True,
            "hash_bucket_size": 9,
        },
    ),
    "custom": (
        'custom_feature { feature_name: "a" operator_name: "SeqExpr" operator_lib_file: "pyfg/lib/x.so"'
        ' expression: "user:t" operator_params { fields { key: "n" value { number_value: 2 } } fields { key: "l" value'
        " { list_value { values { bool_value: true } values { string_value: 'x' } } } } fields { key: \"s\" value"
        " { struct_value { fields { key: 'i' value { null_value: NULL_VALUE } } } } } } }",
        {
            "type": "custom",
            "name": "a",
            "operator_name": "SeqExpr",
            "expression": ["user:t"],
            "operator_params": {"n": 2, "l": [True, "x"], "s": {"i": None}},
        },
    ),
    "custom-of-one-word": (
        'custom_feature { feature_name: "a" operator_name: "SeqExpr" expression: "user:t"'
        ' operator_params { key: "formula" string_value: "t" } }',
        {
            "type": "custom",
            "name": "a",
            "operator_name": "SeqExpr",
            "expression": ["user:t"],
            "operator_params": {"formula": "t"},
        },
    ),
    "sequence_id": (
        'sequence_id_feature { feature_name: "a" expression: "user:s" sequence_length: 5 num_buckets: 9 embedding_dim: 4'
        ' sequence_delim: "|" }',
        {
            "type": "id",
            "name": "a",
            "expression": "user:s",
            "num_buckets": 9,
            "embedding_dim": 4,
            "sequence_length": 5,
            "sequence_delim": "|",
            "empty": "default",
        },
    ),
    "sequence_bool_mask": (
        'sequence_bool_mask_feature { feature_name: "a" expression: ["user:s", "item:m"] sequence_length: 5'
        ' num_buckets: 9 embedding_dim: 4 sequence_fields: ["s", "m"] }',
        {
            "type": "bool_mask",
            "name": "a",
            "expression": ["user:s", "item:m"],
            "num_buckets": 9,
            "embedding_dim": 4,
            "sequence_length": 5,
            "sequence_fields": ["s", "m"],
            "empty": "default",
            "value_dim": 0,
        },
    ),
    "dynamicemb": (
        'id_feature { feature_name: "a" expression: "user:b" dynamicemb { max_capacity: 77 } embedding_dim: 4 }',
        {"type": "id", "name": "a", "expression": "user:b", "dynamic": {"capacity": 77}, "embedding_dim": 4},
    ),
    "dynamicemb-with-rules": (
        'id_feature { feature_name: "a" expression: "user:b" embedding_dim: 4 dynamicemb {'
        ' max_capacity: 77 score_strategy: "LFU" frequency_admission_strategy { threshold: 3 } } }',
        {
            "type": "id",
            "name": "a",
            "expression": "user:b",
            "dynamic": {"capacity": 77, "admission": {"min_count": 3}, "eviction": {"policy": "lfu"}},
            "embedding_dim": 4,
        },
    ),
    "zch": (
        'id_feature { feature_name: "a" expression: "user:b" zch { zch_size: 9 lru {} } embedding_dim: 4 }',
        {"type": "id", "name": "a", "expression": "user:b", "dynamic": {"capacity": 9}, "embedding_dim": 4},
    ),
}

EASYREC = {
    "id": (
        "input_names: 'f' feature_type: IdFeature hash_bucket_size: 9 embedding_dim: 4 embedding_name: 't'",
        {
            "type": "id",
            "name": "f",
            "expression": "item:f",
            "hash_bucket_size": 9,
            "embedding_dim": 4,
            "embedding_name": "t",
        },
    ),
    "id-whole-number": (
        "input_names: 'n' num_buckets: 9",
        {"type": "id", "name": "n", "expression": "item:n", "num_buckets": 9, "default_value": "3"},
    ),
    "id-vocabulary": (
        "feature_name: 'x' input_names: 'f' vocab_list: ['p', 'q'] feature_type: 0",
        {"type": "id", "name": "x", "expression": "item:f", "vocab_list": ["p", "q"], "default_bucketize_value": 0},
    ),
    "raw": (
        "input_names: 'n' feature_type: RawFeature",
        {"type": "raw", "name": "n", "expression": "item:n", "default_value": "3"},
    ),
    "raw-scaled-buckets": (
        "input_names: 'n' feature_type: RawFeature min_val: 1 max_val: 5 num_buckets: 4 embedding_dim: 4",
        {
            "type": "raw",
            "name": "n",
            "expression": "item:n",
            "normalizer": "method=minmax,min=1.0,max=5.0",
            "boundaries": [0.0, 0.25, 0.5, 0.75],
            "default_value": "0.5",
            "embedding_dim": 4,
        },
    ),
    "raw-vector": (
        "input_names: 'f' feature_type: RawFeature raw_input_dim: 3 separator: ','",
        {"type": "raw", "name": "f", "expression": "item:f", "value_dim": 3, "separator": ","},
    ),
    "raw-log": (
        "input_names: 'f' feature_type: RawFeature normalizer_fn: 'tf.math.log1p'",
        {"type": "raw", "name": "f", "expression": "item:f", "normalizer": "method=expression,expr=log(1+x)"},
    ),
    "tag": (
        "input_names: 'f' feature_type: TagFeature hash_bucket_size: 9 embedding_dim: 4 kv_separator: ':' combiner: 'mean'",
        {
            "type": "id",
            "name": "f",
            "expression": "item:f",
            "separator": "|",
            "weighted": True,
            "hash_bucket_size": 9,
            "embedding_dim": 4,
            "pooling": "mean",
        },
    ),
    "combo": (
        "feature_name: 'c' input_names: ['f', 'n'] feature_type: ComboFeature hash_bucket_size: 9 combo_join_sep: '_'",
        {"type": "combo", "name": "c", "expression": ["item:f", "item:n"], "hash_bucket_size": 9},
    ),
    "lookup": (
        "feature_name: 'c' input_names: ['n', 'f'] feature_type: LookupFeature hash_bucket_size: 9 kv_separator: ':'",
        {
            "type": "lookup",
            "name": "c",
            "map": "item:f",
            "key": "item:n",
            "separator": "|",
            "default_value": "",
            "hash_bucket_size": 9,
        },
    ),
    "expr": (
        "feature_name: 'c' input_names: ['n', 'f'] feature_type: ExprFeature expression: '(n>1) & (f>2)'",
        {"type": "expr", "name": "c", "expression": "(n>1) & (f>2)", "variables": ["item:n", "item:f"]},
    ),
    "expr-function": (
        "feature_name: 'c' input_names: 'n' feature_type: ExprFeature expression: 'tf.math.log1p( n) * tf.sqrt(n)'",
        {"type": "expr", "name": "c", "expression": "log(1+ n) * sqrt(n)", "variables": ["item:n"]},
    ),
    "sequence-filled": (
        "input_names: 'f' feature_type: SequenceFeature sub_feature_type: RawFeature sequence_length: 9",
        {
            "type": "raw",
            "name": "f",
            "expression": "user:f",
            "sequence_length": 9,
            "sequence_delim": "|",
            "empty": "default",
        },
    ),
    "sequence": (
        "input_names: 'f' feature_type: SequenceFeature hash_bucket_size: 9 embedding_dim: 4 max_seq_len: 7 seq_multi_sep: ','",
        {
            "type": "id",
            "name": "f",
            "expression": "user:f",
            "hash_bucket_size": 9,
            "embedding_dim": 4,
            "sequence_length": 7,
            "sequence_delim": "|",
            "separator": ",",
            "value_dim": 0,
            "empty": "default",
        },
    ),
    "sequence-raw": (
        "input_names: 'f' feature_type: SequenceFeature sub_feature_type: RawFeature boundaries: [2, 1] max_seq_len: 7"
        " embedding_dim: 4 separator: ';'",
        {
            "type": "raw",
            "name": "f",
            "expression": "user:f",
            "boundaries": [1.0, 2.0],
            "embedding_dim": 4,
            "sequence_length": 7,
            "sequence_delim": ";",
            "empty": "default",
        },
    ),
}


@pytest.mark.parametrize(("text", "expected"), TZREC.values(), ids=TZREC)
def test_a_feature_of_torcheasyrec(text, expected, convert_text):
    found = convert_text(f"data_config {{ label_fields: 'y' fg_mode: FG_DAG }}\nfeature_configs {{ {text} }}", "tzrec")
    assert found.draft.features == [expected]
    assert [e for e in found.report.entries if e.why.startswith("the converter does not know")] == []


@pytest.mark.parametrize(("text", "expected"), EASYREC.values(), ids=EASYREC)
def test_a_feature_of_easyrec(text, expected, convert_text):
    columns = "input_fields { input_name: 'f' } input_fields { input_name: 'n' input_type: INT64 default_val: '3' }"
    data = f"data_config {{ label_fields: 'y' {columns} }}"
    found = convert_text(f"{data}\nfeature_config {{ features {{ {text} }} }}", "easyrec")
    assert found.draft.features == [expected]
    assert [e for e in found.report.entries if e.why.startswith("the converter does not know")] == []


def test_a_function_that_expressions_have_not_is_lost(convert_text):
    text = "feature_config { features { input_names: 'n' feature_type: ExprFeature expression: 'tf.math.erf(n)' } }"
    lost = [entry for entry in convert_text(text, "easyrec").report.entries if entry.kind == "lost"]
    assert [(entry.path, entry.why) for entry in lost] == [
        ("feature_config.features.expression", "not among the functions of expressions: tf.math.erf")
    ]


def test_the_inside_of_a_feature_config_is_enough(convert_text):
    text = "features { input_names: 'f' hash_bucket_size: 9 }"
    found = convert_text(text)
    assert found.kind == "easyrec"
    assert found.draft.features == convert_text(f"feature_config {{ {text} }}").draft.features != []


def test_one_feature_of_a_fg_json_is_enough(convert_text):
    text = '{"feature_type": "id_feature", "feature_name": "a", "expression": "user:b", "hash_bucket_size": 9}'
    found = convert_text(text)
    assert found.kind == "fg_json"
    assert found.draft.features == [{"type": "id", "name": "a", "expression": "user:b", "hash_bucket_size": 9}]


@pytest.mark.parametrize(("flag", "kinds"), [("true", []), ("false", ["changed"])])
def test_weights_of_ids_always_count(flag, kinds, convert_text):
    text = f"id_feature {{ feature_name: 'a' expression: 'user:b' num_buckets: 3 weighted: true use_weight: {flag} }}"
    found = convert_text(f"data_config {{ fg_mode: FG_DAG label_fields: 'y' }} feature_configs {{ {text} }}", "tzrec")
    assert found.draft.features[0]["weighted"]
    assert [e.kind for e in found.report.entries if "id_feature" in e.path] == kinds


def test_the_older_place_of_features_gives_the_same(convert_text):
    text = "input_names: 'f' hash_bucket_size: 9"
    new = convert_text(f"feature_config {{ features {{ {text} }} }}", "easyrec")
    old = convert_text(f"feature_configs {{ {text} }}", "easyrec")
    assert old.draft.features == new.draft.features != []


def test_a_column_called_after_the_user_is_the_users(convert_text):
    found = convert_text('feature_config { features { input_names: "user_id" num_buckets: 3 } }', "easyrec")
    assert found.draft.features[0]["expression"] == "user:user_id"


def test_columns_of_user_groups_and_histories_are_the_users(convert_text):
    found = convert_text(
        """
        feature_config {
          features { input_names: "a" num_buckets: 3 }
          features { input_names: "b" num_buckets: 3 }
          features { input_names: "c" num_buckets: 3 feature_type: SequenceFeature }
          features { input_names: "d" num_buckets: 3 }
          features { feature_name: "axb" input_names: ["a", "b"] feature_type: ComboFeature hash_bucket_size: 3 }
        }
        model_config {
          feature_groups { group_name: "user_group" feature_names: ["a", "d"] }
          feature_groups { group_name: "item" feature_names: ["b", "d"] }
        }
        """,
        "easyrec",
    )
    # 'a' is read by the cross too, which no user group holds
    assert [f["expression"] for f in found.draft.features[:4]] == ["item:a", "item:b", "user:c", "item:d"]
    assert found.draft.features[4]["expression"] == ["item:a", "item:b"]


def test_tables_are_shared_where_they_were_and_nowhere_else(convert_text):
    def feature(name, table=""):
        table = f'embedding_name: "{table}"' if table else ""
        return f'feature_configs {{ id_feature {{ feature_name: "{name}" expression: "item:{name}" num_buckets: 3 {table} }} }}'

    text = "\n".join([feature("a"), feature("b", "a_emb"), feature("c"), feature("d", "c"), feature("e", "x")])
    found = convert_text(text, "tzrec").draft.features
    assert [f.get("embedding_name") for f in found] == ["a_emb", "a_emb", None, "c_table", "x"]


EVERY = [
    pytest.param(feature, id=f"{path.stem}-{feature['name']}")
    for path in sorted((HERE / "configs").iterdir())
    for feature in convert(path).draft.features
    if path.stem != "tz_encoded" and feature["type"] != "tokenize"
]


@pytest.mark.parametrize("feature", EVERY)
def test_every_feature_of_the_configs_loads_alone(feature):
    generator = FeatureGenerator.load({"features": [feature]})
    assert len(generator.outputs) == len(feature.get("features", [feature])) or feature.get("stub_type")
