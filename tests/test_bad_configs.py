"""Broken configs: each ends in one screen that names the line, the place and the mend, and in exit code 2."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main

GOOD = """\
data:
  train: {type: parquet, path: train.parquet}
  valid: {type: parquet, path: train.parquet}
  labels: [click]
  batch_size: 64
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 100}
  - {type: id, name: item_id, expression: "item:item_id", num_buckets: 50}
  - {type: raw, name: price, expression: "item:price", boundaries: [1, 5, 20]}
  - {type: combo, name: cross, expression: ["user:age", "item:cate"], hash_bucket_size: 1000}
  - type: sequence
    name: seq
    sequence_length: 20
    features:
      - {type: id, name: item_id, expression: "item:item_id", num_buckets: 50, embedding_name: item_id}
model:
  type: deepfm
  embedding_dim: 8
  hidden: [16, 8]
  groups:
    deep:
      features: [user_id, item_id, price, cross]
      sequences: [{sequence: seq}]
train:
  epochs: 1
  sparse_optimizer: {type: lazy_adam, lr: 0.003}
  early_stop: {metric: auc, patience: 2}
eval:
  metrics: [auc, logloss]
"""

# id: (text to replace, its replacement, line of the problem, its place, what the message says)
CASES = {
    "typo-in-a-section": ("train:\n  epochs", "trian:\n  epochs", 24, "trian", "unknown key; did you mean 'train'?"),
    "typo-in-data": ("batch_size", "batchsize", 5, "data . batchsize", "did you mean 'batch_size'?"),
    "reserved-like-a-task": ("labels: [click]", "labels: [click]\n  reserved: [user_id, click]", 5, "data . reserved[1]",
                             "'click' is the name of a task too"),
    "typo-in-model": ("hidden:", "hiden:", 19, "model . hiden", "did you mean 'hidden'?"),
    "typo-in-a-feature": (
        "hash_bucket_size: 100}", "hash_buckets: 100}", 7, "features[0] 'user_id' . hash_buckets", "hash_bucket_size"
    ),
    "typo-in-a-child": ("num_buckets: 50, embedding_name", "num_bucket: 50, embedding_name", 15,
                        "features[4] 'seq' . features[0] 'item_id' . num_bucket", "did you mean 'num_buckets'?"),
    "unknown-model": ("deepfm", "deepfn", 17, "model . type", "unknown type 'deepfn'; did you mean 'deepfm'?"),
    "unknown-feature-type": ("type: raw", "type: row", 9, "features[2] 'price' . type", "did you mean 'raw'?"),
    "unknown-source": ("valid: {type: parquet", "valid: {type: parqet", 3, "data . valid . type", "did you mean 'parquet'?"),
    "unknown-metric": ("[auc, logloss]", "[auc, loglos]", 29, "eval . metrics[1]", "did you mean 'logloss'?"),
    "unknown-optimizer": ("lazy_adam", "lazyadam", 26, "train . sparse_optimizer", "unknown type 'lazyadam'; did you mean 'lazy_adam'?"),
    "one-of-two-mappings": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: train.parquet, where: {day: {last: 3}}", 3,
        "data . valid . where . day . until", "this key is required",
    ),
    "typo-in-one-of-two-mappings": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: train.parquet, where: {day: {frm: a}}", 3,
        "data . valid . where . day . frm", "unknown key; did you mean 'from'?",
    ),
    "value-in-one-of-two-mappings": (
        "valid: {type: parquet, path: train.parquet",
        "valid: {type: parquet, path: train.parquet, where: {day: {last: 3, until: yesterday}}", 3,
        "data . valid . where . day . until", "'yesterday' is no day such as 20260131 or 2026-01-31",
    ),
    "none-of-two-mappings": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: train.parquet, where: {day: {}}", 3,
        "data . valid . where . day", "give 'from', 'to' or both",
    ),
    "mapping-for-a-text-or-a-list": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: {a: b}", 3, "data . valid . path",
        "must be a text or a list, but is a mapping",
    ),
    "truth-in-a-condition": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: train.parquet, where: {day: true}", 3,
        "data . valid . where . day", "must be a mapping or a text or a whole number or a list, but is True",
    ),
    "no-values-in-a-condition": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: parquet, path: train.parquet, where: {day: []}", 3,
        "data . valid . where . day", "must have at least 1 item, but has 0",
    ),
    "typo-in-a-mapping-or-a-word": ("batch_size: 64", "batch_size: 64\n  shuffle: {buffer: 10}", 6, "data . shuffle . buffer",
                                    "unknown key; did you mean 'buffer_mb'?"),
    "number-for-a-mapping-or-a-word": ("batch_size: 64", "batch_size: 64\n  shuffle: 5", 6, "data . shuffle", "must be a mapping or False, but is 5"),
    "word-inside-a-mapping-or-a-word": ("eval:\n", "export: {tables: {user_id: int4}}\neval:\n", 28, "export . tables . user_id",
                                        "must be 'fp32', 'fp16', 'bf16' or 'int8', but is 'int4'"),
    "word-that-is-no-list": ("eval:\n", "export: {runtimes: onx}\neval:\n", 28, "export . runtimes", "must be 'auto' or a list, but is 'onx'"),
    "table-without-its-namespace": ("valid: {type: parquet, path: train.parquet", "valid: {type: iceberg, table: exposures", 3,
                                    "data . valid . table", "must be namespace.table, but is 'exposures'"),
    "no-metadata-of-a-table": ("valid: {type: parquet, path: train.parquet", "valid: {type: iceberg, metadata: a.json", 3,
                               "data . valid . metadata", "must end in .metadata.json, but is 'a.json'"),
    "table-without-its-database": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: hive, metastore: 'thrift://h:1', table: exposures", 3,
        "data . valid . table", "must be database.table, but is 'exposures'",
    ),
    "address-that-is-none": (
        "valid: {type: parquet, path: train.parquet",
        "valid: {type: maxcompute, endpoint: 'service.cn', project: p, table: t, access_id: i, access_key: k", 3,
        "data . valid . endpoint", "must be an URL that starts with https:// or http://, without a user",
    ),
    "counter-of-nothing": (
        "hash_bucket_size: 100}", "dynamic: {capacity: 9, admission: {counter: sketch}}}", 7,
        "features[0] 'user_id' . dynamic . admission . counter", "is about counting, and nothing is counted here: give min_count",
    ),
    "counter-beside-chances": (
        "hash_bucket_size: 100}", "dynamic: {capacity: 9, admission: {probability: 0.5, size: 10}}}", 7,
        "features[0] 'user_id' . dynamic . admission . size", "is about counting, and nothing is counted here: give min_count",
    ),
    "columns-of-another-file": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: csv, path: other.csv", 3, "data . valid",
        "the data has none of the columns user_id, item_id, price",
    ),
    "separator-of-another-file": (
        "valid: {type: parquet, path: train.parquet", "valid: {type: csv, path: other.csv, separator: '|'", 3, "data . valid",
        "it has one column alone: is the type of the source right, and the separator?",
    ),
    "split-by-no-column": (
        "  valid: {type: parquet, path: train.parquet}\n", "  split: {by: column, column: dya, train: [a], valid: [b], test: [c]}\n", 3,
        "data . split . column", "the data has no column 'dya'",
    ),
    "quote-of-two-signs": ("valid: {type: parquet, path: train.parquet", "valid: {type: csv, path: a.csv, quote: '##'", 3,
                           "data . valid . quote", "must have at most 1 character, but has 2"),
    "unknown-hash": ("data:\n", "hash: md5\ndata:\n", 1, "hash", "murmur64a"),
    "text-for-a-number": ("batch_size: 64", "batch_size: many", 5, "data . batch_size", "must be a whole number, but is 'many'"),
    "number-for-a-list": ("hidden: [16, 8]", "hidden: 16", 19, "model . hidden", "must be a list, but is 16"),
    "list-for-a-section": ("  epochs: 1\n  sparse_optimizer: {type: lazy_adam, lr: 0.003}\n  early_stop: {metric: auc, patience: 2}\n",
                           "  [1]\n", 24, "train", "must be a mapping, but is a list"),
    "empty-list": ("hidden: [16, 8]", "hidden: []", 19, "model . hidden", "must have at least 1 item, but has 0"),
    "negative-rate": ("lr: 0.003", "lr: -1", 26, "train . sparse_optimizer . lr", "must be greater than 0, but is -1"),
    "no-epochs": ("epochs: 1", "epochs: 0", 25, "train . epochs", "must be greater than 0, but is 0"),
    "no-labels": ("labels: [click]", "labels: []", 4, "data . labels", "must have at least 1 item, but has 0"),
    "label-as-weight": ("labels: [click]", "labels: [click]\n  sample_weight: click", 5, "data . sample_weight", "'click' is a label"),
    "label-twice": ("labels: [click]", "labels: [click, click]", 4, "data . labels", "named twice: click"),
    "no-model": ("model:\n  type: deepfm\n", "model:\n", 16, "model", "needs a 'type'"),
    "descending-boundaries": ("[1, 5, 20]", "[1, 20, 5]", 9, "features[2] 'price' . boundaries", "must ascend, but 20.0 is followed by 5.0"),
    "no-buckets": ("hash_bucket_size: 100}", "hash_bucket_size: 0}", 7, "features[0] 'user_id' . hash_bucket_size", "greater than or equal to 1"),
    "no-discretizer": (", hash_bucket_size: 100}", "}", 7, "features[0] 'user_id'", "needs one of hash_bucket_size"),
    "two-discretizers": ("num_buckets: 50}\n  - {type: raw", "num_buckets: 50, hash_bucket_size: 9}\n  - {type: raw", 8,
                         "features[1] 'item_id' . num_buckets", "give exactly one of"),
    "no-side": ('"item:price"', '"price"', 9, "features[2] 'price' . expression", "must be side:name"),
    "unknown-side": ('"item:price"', '"itm:price"', 9, "features[2] 'price' . expression", "'itm' is no side"),
    "feature-name-twice": ("name: price", "name: item_id", 9, "features[2] 'item_id' . name", "the name 'item_id' is given twice"),
    "feature-cycle": ('"user:user_id", hash', '"feature:user_id", hash', 7, "features[0] 'user_id' . expression", "circle: user_id -> user_id"),
    "missing-vocabulary-file": ("hash_bucket_size: 100}", "vocab_file: words.txt, default_bucketize_value: 0}", 7,
                                "features[0] 'user_id' . vocab_file", "words.txt"),
    "range-counts-down": ("name: user_id,", "names: [u_3 .. u_1],", 7, "features[0] . names", "a range counts up"),
    "group-names-no-feature": ("[user_id, item_id, price, cross]", "[user_id, item_id, prize, cross]", 22,
                               "model . groups . deep . features[2]", "no feature is called 'prize'; did you mean 'price'?"),
    "group-names-a-feature-twice": ("[user_id, item_id, price, cross]", "[user_id, user_id, price, cross]", 22,
                                    "model . groups . deep . features[1]", "'user_id' is listed twice"),
    "group-names-no-sequence": ("{sequence: seq}", "{sequence: sec}", 23, "model . groups . deep . sequences[0] . sequence",
                                "no sequence is called 'sec'; did you mean 'seq'?"),
    "group-that-the-model-does-not-read": ("    deep:\n", "    deeep:\n", 21, "model . groups . deeep", "did you mean 'deep'?"),
    "dims-that-do-not-fit": ("boundaries: [1, 5, 20]}", "boundaries: [1, 5, 20], embedding_dim: 4}", 21, "model . groups . deep",
                             "needs fields of equal dims, but those of 'deep' are: user_id 8, item_id 8, price 4, cross 8, seq__item_id 8\n"
                             "           set embedding_dim: 8 at: price; or leave it out there, for model.embedding_dim"),
    "shared-table-of-two-sizes": ("num_buckets: 50, embedding_name", "num_buckets: 60, embedding_name", 15, "features[4] 'seq' . features[0] 'item_id'",
                                  "share the table 'item_id', but rows is 50"),
    "metric-without-its-key": ("[auc, logloss]", "[auc, gauc]", 29, "eval . metrics[1]", "needs the key 'by': {type: gauc, by: ...}"),
    "sequence-without-its-key": ("{sequence: seq}", "{encoder: {type: pooling}}", 23, "model . groups . deep . sequences[0] . sequence",
                                 "this key is required"),
    "early-stop-by-what-is-not-measured": ("{metric: auc,", "{metric: gauc,", 27, "train . early_stop . metric", "'gauc' is not evaluated"),
    "task-without-a-label": ("model:\n", "model:\n  tasks: [{name: a, label: clik}]\n", 17, "model . tasks[0] 'a' . label",
                             "'clik' is not among data.labels: click"),
    "mask-that-is-no-expression": ("model:\n", "model:\n  tasks: [{name: a, label: click, mask: 'click ='}]\n", 17,
                                   "model . tasks[0] 'a' . mask", "means nothing in 'click ='"),
    "loss-of-another-type": ("model:\n", "model:\n  tasks:\n  - name: a\n    label: click\n    loss: mse\n", 20,
                             "model . tasks[0] 'a' . loss", "'mse' is not for tasks of type 'binary'\n           fitting: bce"),
    "loss-of-another-type-in-a-sum": (
        "model:\n", "model:\n  tasks:\n  - name: a\n    label: click\n    loss:\n      type: sum\n      losses:\n      - {loss: bce}\n      - {loss: mse}\n",
        24, "model . tasks[0] 'a' . loss . losses[1] . loss", "'mse' is not for tasks of type 'binary'"),
    "metric-of-another-type": (
        "model:\n", "model:\n  tasks:\n  - name: a\n    label: click\n    metrics:\n    - auc\n    - rmse\n", 22,
        "model . tasks[0] 'a' . metrics[1]", "metric 'rmse' is not for tasks of type 'binary'\n           fitting: accuracy"),
    "groups-of-a-metric": ("[auc, logloss]", "\n  - auc\n  - type: gauc\n    by: usr_id\n", 32, "eval . metrics[1] . by",
                           "data.valid has no column 'usr_id'; did you mean 'user_id'?"),
    "groups-of-a-metric-of-a-task": (
        "model:\n", "model:\n  tasks: \n  - name: a\n    label: click\n    metrics: [auc, {type: gauc, by: usr_id}]\n", 20,
        "model . tasks[0] 'a' . metrics[1] . by", "data.valid has no column 'usr_id'; did you mean 'user_id'?"),
    "slices": ("  metrics: [auc, logloss]", "  slices: [user_id, citty]\n  metrics: [auc, logloss]", 29, "eval . slices[1]",
               "data.valid has no column 'citty'"),
    "slices-of-a-metric": ("[auc, logloss]", "[auc, {type: logloss, slices: [cat]}]", 29, "eval . metrics[1] . slices[0]",
                           "data.valid has no column 'cat'; did you mean 'cate'?"),
    "metrics-of-training": ("epochs: 1\n", "epochs: 1\n  metrics: [auc, {type: gauc, by: usr_id}]\n", 26, "train . metrics[1] . by",
                            "data.train has no column 'usr_id'; did you mean 'user_id'?"),
    "sessions-of-a-loss": (
        "model:\n", "model:\n  tasks:\n  - name: a\n    label: click\n    loss: {type: sum, losses: [{loss: bce}, {loss: {type: softmax, by: usr_id}}]}\n",
        20, "model . tasks[0] 'a' . loss . losses[1] . loss . by", "data.train has no column 'usr_id'"),
    "key-twice": ("  batch_size: 64\n", "  batch_size: 64\n  labels: [buy]\n", 6, "data . labels", "key is given twice"),
    "unset-variable": ("path: train.parquet}\n  valid", "path: '${NO_SUCH_FOLDER}/x'}\n  valid", 2, "data . train . path",
                       "environment variable 'NO_SUCH_FOLDER' is not set"),
    "split-and-valid": ("  batch_size: 64\n", "  split: {by: column, column: day}\n", 1, "data", "'split' divides 'train' alone"),
    "split-that-overlaps": ("  valid: {type: parquet, path: train.parquet}\n",
                            "  split: {by: column, column: day, train: [a], valid: [a], test: [b]}\n", 3, "data . split",
                            "the value 'a' belongs to both 'train' and 'valid'"),
    "absent-column": ('"user:user_id", hash', '"user:usr_id", hash', 2, "data . train",
                      "the data has no column 'usr_id'; did you mean 'user_id'?"),
    "no-rows-to-train-on": ("  train: {type: parquet, path: train.parquet}\n", "", 1, "data . train", "training needs a source of rows"),
    "early-stop-without-valid": ("  valid: {type: parquet, path: train.parquet}\n", "", 26, "train . early_stop", "needs data.valid"),
    "metric-that-fits-no-task": ("[auc, logloss]", "[auc, logloss, rmse]", 29, "eval . metrics[2]", "'rmse' fits none of the tasks, which are of type: binary\n           fitting: accuracy, "),
    "nothing-to-learn": ("  embedding_dim: 8\n", "  embedding_dim: 8\n  tasks: [{name: ctr, label: click, weight: 0}]\n", 19,
                         "model . tasks[0] 'ctr' . weight", "no task has a weight above 0"),
    "tasks-of-one-name": ("  embedding_dim: 8\n", "  embedding_dim: 8\n  tasks: [{name: ctr, label: click},\n    {name: ctr, label: click}]\n", 20,
                          "model . tasks[1] 'ctr' . name", "another task is called 'ctr'\n           give each task a name of its own"),
    "label-of-a-task-beside-another-fault": ("  embedding_dim: 8\n", "  embedding_dims: 8\n  tasks: [{name: ctr, label: clik}]\n", 19,
                                             "model . tasks[0] 'ctr' . label", "did you mean 'click'?"),
    "loss-of-a-model": ("  embedding_dim: 8\n", "  embedding_dim: 8\n  loss: focal\n", 19, "model . loss",
                        "set tasks: [{name: ctr, label: click, loss: ...}]"),
    "key-that-another-excludes": ("  type: deepfm\n", "  type: dcn_v2\n  structure: cross\n", 20, "model . hidden",
                                  "which 'structure: cross' leaves out"),
    "weighting-of-one-task": ("epochs: 1\n", "epochs: 1\n  task_weighting: uncertainty\n", 26, "train . task_weighting",
                              "'uncertainty' weighs the losses of several tasks, but there is one: click"),
    "model-in-the-letters-of-its-paper": ("deepfm", "DeepFM", 17, "model . type", "unknown type 'DeepFM'; did you mean 'deepfm'?"),
    "model-of-a-plugin-that-is-not-given": ("deepfm", "my_model", 17, "model . type", "one from a file or package of yours: --plugin FILE.py"),
    "feature-type-of-another-library": ("type: raw", "type: RawFeature", 9, "features[2] 'price' . type", "did you mean 'raw'?"),
    "key-of-another-library": ("hidden:", "dnn_hidden_units:", 19, "model . dnn_hidden_units", "unknown key; did you mean 'hidden'?"),
    "key-of-another-section": ("epochs: 1\n", "epochs: 1\n  batch_size: 64\n", 26, "train . batch_size", "unknown key; it belongs under 'data'"),
    "key-outside-its-section": ("train:\n", "labels: [click]\ntrain:\n", 24, "labels", "unknown key; it belongs under 'data'"),
    "key-of-the-optimizers": ("epochs: 1\n", "epochs: 1\n  learning_rate: 0.1\n", 26, "train . learning_rate", "dense_optimizer: {type: adam, lr: 0.001}"),
    "optimizer-by-its-name": ("{type: lazy_adam, lr: 0.003}", "lazy_adam", 26, "train . sparse_optimizer",
                              "must be a mapping, but is 'lazy_adam'\n           write {type: lazy_adam}"),
    "sequence-by-its-name": ("{sequence: seq}", "seq", 23, "model . groups . deep . sequences[0]",
                             "must be a mapping, but is 'seq'\n           write {sequence: seq}"),
    "groups-in-a-list": ("    deep:\n      features: [user_id, item_id, price, cross]\n      sequences: [{sequence: seq}]\n",
                         "    [user_id]\n", 20, "model . groups", "name the group, e.g. groups: {deep: [...]}"),
    "metric-as-it-is-reported": ("[auc, logloss]", "[auc, ndcg@10]", 29, "eval . metrics[1]", "unknown type 'ndcg@10'; write {type: ndcg, k: 10}"),
    "name-with-a-blank": ("name: price", "name: the price", 9, "features[2] 'the price' . name",
                          "must be a name without blanks and ':', but is 'the price'"),
    "absent-label": ("labels: [click]", "labels: [clicked]", 2, "data . train", "no column 'clicked'; did you mean 'click'?"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the data that the good config reads."""
    path = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = 200
    table = {
        "user_id": rng.integers(0, 1000, rows),
        "item_id": rng.integers(0, 50, rows),
        "price": rng.random(rows) * 30,
        "age": rng.integers(18, 70, rows),
        "cate": rng.integers(0, 9, rows),
        "seq__item_id": [list(map(int, rng.integers(0, 50, rng.integers(0, 5)))) for _ in range(rows)],
        "seq__cate": [[1, 2]] * rows,
        "click": np.arange(rows) % 2,
    }
    pq.write_table(pa.table(table), path / "train.parquet")
    (path / "other.csv").write_text("x,y\n1,2\n")
    return path


def check(folder, text, monkeypatch, capsys, *words):
    (folder / "shop.yaml").write_text(text)
    monkeypatch.chdir(folder)
    code = main(["check", "-c", "shop.yaml", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_config_that_the_others_break_is_good(folder, monkeypatch, capsys):
    code, out, err = check(folder, GOOD, monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert "deepfm" in out


@pytest.mark.parametrize(("old", "new", "line", "where", "message"), CASES.values(), ids=CASES)
def test_a_broken_config_is_told_with_line_place_and_mend(folder, monkeypatch, capsys, old, new, line, where, message):
    assert GOOD.count(old) == 1
    code, _, err = check(folder, GOOD.replace(old, new), monkeypatch, capsys)
    assert code == 2
    assert "Traceback" not in err
    assert err.startswith(("shop.yaml: 1 problem\n", "shop.yaml: 2 problems\n")), (
        err
    )  # train and valid, old and new name
    assert f"\n  line {line}  {where}\n" in err, err
    assert message in err, err
    assert len(err.splitlines()) < 25


@pytest.mark.parametrize("case", ["groups-of-a-metric", "metrics-of-training", "sessions-of-a-loss"])
def test_training_tells_columns_where_they_are_named(folder, monkeypatch, capsys, case):
    old, new, line, where, message = CASES[case]
    check(folder, GOOD.replace(old, new), monkeypatch, capsys)
    assert main(["train", "-c", "shop.yaml"]) == 2
    err = capsys.readouterr().err
    assert f"\n  line {line}  {where}\n           {message}" in err, err


def test_a_source_that_is_split_is_named_where_it_lacks_a_column(folder, monkeypatch, capsys):
    text = GOOD.replace(
        "  valid: {type: parquet, path: train.parquet}\n",
        "  split: {by: column, column: cate, train: [0, 1], valid: [2], test: [3]}\n",
    )
    code, _, err = check(folder, text.replace("[auc, logloss]", "[auc, {type: gauc, by: usr_id}]"), monkeypatch, capsys)
    assert (code, err.count("data.train has no column 'usr_id'; did you mean 'user_id'?")) == (2, 1), err


def test_rows_to_train_on_need_no_column_of_metrics(folder, monkeypatch, capsys):
    table = pq.read_table(folder / "train.parquet")
    pq.write_table(table.append_column("country", pa.array(["nl", "de"] * 100)), folder / "valid.parquet")
    text = GOOD.replace("valid: {type: parquet, path: train.parquet}", "valid: {type: parquet, path: valid.parquet}")
    text = text.replace("  metrics: [auc, logloss]", "  metrics: [auc, {type: gauc, by: country}]\n  slices: [country]")
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert (code, err) == (0, "")


DEEP = "      features: [user_id, item_id, price, cross]\n      sequences: [{sequence: seq}]\n"
CHILD = '      - {type: id, name: item_id, expression: "item:item_id", num_buckets: 50, embedding_name: item_id}\n'
CATE = '      - {type: id, name: cate, expression: "item:cate", num_buckets: 9, embedding_dim: 4}\n'
ATTENTION = "encoder: {type: din}"

# What the model alone knows. id: (texts to replace, line of the problem, its place, what the message says)
MODELS = {
    "attention-without-a-candidate": (
        {DEEP: f"      features: [user_id, price]\n      sequences: [{{sequence: seq, {ATTENTION}}}]\n"},
        23, "model . groups . deep . sequences[0]",
        "encoder 'din' compares the steps of 'seq' with a candidate, but no feature of the group shares",
    ),
    "default-encoder-without-a-candidate": (
        {DEEP: DEEP.replace("item_id, ", ""), "type: deepfm": "type: din"},
        23, "model . groups . deep . sequences[0]", "set 'query' on the sequence, e.g. query: {item_id: ",
    ),
    "product-without-a-candidate": (
        {DEEP: "      features: [user_id]\n      sequences:\n      - sequence: seq\n        encoder: {type: pooling, product: true}\n"},
        24, "model . groups . deep . sequences[0]", "encoder 'pooling' with 'product' compares the steps",
    ),
    "a-child-of-another-dim": (
        {CHILD: CHILD + CATE, "{sequence: seq}": f"{{sequence: seq, {ATTENTION}}}"},
        22, "model . groups . deep", "user_id 8, item_id 8, price 8, cross 8, seq__item_id 8, seq__cate 4",
    ),
    "a-group-that-is-missing": (
        {"type: deepfm": "type: wide_and_deep", "    deep:\n": "    wide:\n"},
        20, "model . groups", "type 'wide_and_deep' needs a group 'deep'\n           given: wide; add e.g. deep: [user_id, item_id, price]",
    ),
    "dims-that-cannot-be-shared": (
        {", embedding_name: item_id}": ", embedding_name: item_id, embedding_dim: 4}", "type: deepfm": "type: dcn_v2"},
        15, "features[4] 'seq' . features[0] 'item_id'",
        "'item_id' and 'seq__item_id' share the table 'item_id', but embedding_dim is 8 for 'item_id' and 4 for 'seq__item_id'\n"
        "           make them equal, or give one another embedding_name",
    ),
    "a-sequence-model-without-a-sequence": (
        {DEEP: "      features: [user_id, item_id]\n", "type: deepfm": "type: din"},
        16, "model", "'din' needs a sequence in the group 'deep', e.g.",
    ),
    "a-sequence-model-without-groups": (
        {"  groups:\n    deep:\n" + DEEP: "", "type: deepfm": "type: din"},
        16, "model", "'din' needs a sequence in the group 'deep', e.g.",
    ),
    "a-task-without-a-label": (
        {"  hidden: [16, 8]\n": "  hidden: [16, 8]\n  tasks:\n    - {name: ctr}\n"},
        21, "model . tasks[0] 'ctr' . label", "this key is required",
    ),
    "a-task-whose-label-is-not-read": (
        {"  hidden: [16, 8]\n": "  hidden: [16, 8]\n  tasks:\n    - {name: ctr, label: clicked}\n"},
        21, "model . tasks[0] 'ctr' . label", "'clicked' is not among data.labels: click; did you mean 'click'?\n           add its column to data.labels, or name one of those",
    ),
    "numeric-inputs-alone": (
        {DEEP: "      features: [price]\n", ", boundaries: [1, 5, 20]": ""},
        21, "model . groups . deep", "'deepfm' needs fields in 'deep', but it has numeric inputs alone",
    ),
    "attention-where-no-embeddings-are-read": (
        {"type: deepfm": "type: lr", "  hidden: [16, 8]\n": "", "{sequence: seq}": f"{{sequence: seq, {ATTENTION}}}"},
        22, "model . groups . deep . sequences[0]", "'lr' reads no embeddings in 'deep', so 'din' has nothing to encode",
    ),
    "a-chain-of-one-task": (
        {"type: deepfm": "type: aitm", "  hidden: [16, 8]\n": ""},
        16, "model . tasks", "so it needs two tasks or more, e.g.\n           tasks: [{name: click, label: click}",
    ),
    "a-tower-of-no-task": (
        {"type: deepfm": "type: mmoe", "  hidden: [16, 8]\n": "  towers: {buy: [16]}\n"},
        19, "model . towers . buy", "no task is called 'buy'; tasks: click",
    ),
    "a-conversion-with-a-loss-of-its-own": (
        {"type: deepfm": "type: esmm", "labels: [click]": "labels: [click, buy]", "  hidden: [16, 8]\n": """\
  tasks:
    - {name: ctr, label: click}
    - {name: cvr, label: buy, mask: "click == 1",
       weight: 0.5}
    - {name: ctcvr, label: buy}
"""},
        22, "model . tasks[1] 'cvr' . weight", "'cvr' is learned through 'ctcvr' over all rows: set its weight to 0",
    ),
    "a-sample-that-cannot-be-corrected": (
        {"type: deepfm": "type: esmm", "labels: [click]": "negative_sampling: {keep_rate: 0.5}\n  labels: [buy, click]",
         "  hidden: [16, 8]\n": """\
  tasks:
    - {name: ctr, label: click}
    - {name: cvr, label: buy, mask: "click == 1", weight: 0}
    - {name: ctcvr, label: buy}
"""},
        5, "data . labels[0]", "negatives by 'buy' are sampled, but 'esmm' can correct 'ctr' alone, and what is made of it\n"
        "           make 'click' the first of data.labels",
    ),
    "two-tasks-where-three-are-needed": (
        {"type: deepfm": "type: escm2", "labels: [click]": "labels: [click, buy]", "  hidden: [16, 8]\n": """\
  tasks:
    - {name: ctr, label: click}
    - {name: ctcvr, label: buy}
"""},
        19, "model . tasks", "but there are 2; e.g.",
    ),
    "a-group-of-one-word": (
        {"    deep:\n" + DEEP: "    deep: user_id\n"},
        21, "model . groups . deep", "must be a list of features, or a mapping, but is 'user_id'\n           write [user_id],",
    ),
    "layers-in-one-number": (
        {"type: deepfm": "type: mmoe", "  hidden: [16, 8]\n": "  tower: 16\n"},
        19, "model . tower", "must be a list of widths, or a mapping, but is 16\n           write [16]",
    ),
    "no-alternative-of-a-union": (
        {"type: deepfm": "type: ple", "  hidden: [16, 8]\n": "  levels: two\n"},
        19, "model . levels", "must be a whole number or a list, but is 'two'",
    ),
    "one-alternative-of-a-union-with-a-fault": (
        {"type: deepfm": "type: ple", "  hidden: [16, 8]\n": "  levels: [{expert: [big]}]\n"},
        19, "model . levels[0] . expert[0]", "must be a whole number, but is 'big'",
    ),
    "heads-that-do-not-divide": (
        {"type: deepfm": "type: autoint", "  hidden: [16, 8]\n": "  attention_dim: 32\n  heads: 3\n"},
        20, "model . heads", "'heads' must divide 'attention_dim', but 3 does not divide 32",
    ),
    "experts-without-a-rank": (
        {"type: deepfm": "type: dcn_v2", "  hidden: [16, 8]\n": "  experts: 3\n"},
        19, "model . experts", "a mixture of experts needs 'low_rank'",
    ),
    "no-dims": (
        {"  embedding_dim: 8\n": ""}, 16, "model", "'user_id', 'item_id', 'price', 'cross', 'seq__item_id' need an embedding_dim",
    ),
    "a-relation-to-itself": (
        {"type: deepfm": "type: dbmtl", "  hidden: [16, 8]\n": "  relations: {click: [click]}\n"},
        19, "model . relations", "through each other: click",
    ),
    "no-domain": (
        {"type: deepfm": "type: star"}, 20, "model . groups", "needs a group 'domain'\n           given: deep; add e.g. domain: [",
    ),
    "a-domain-of-too-many-ids": (
        {"type: deepfm": "type: star", "[{sequence: seq}]\n": "[{sequence: seq}]\n    domain: [cross]\n"},
        24, "model . groups . domain", "tells at most 128 ids of 'domain' apart, but 'cross' has 1,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("texts", "line", "where", "message"), MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("words", [[], ["--config-only"]], ids=["all", "config-only"])
def test_what_the_model_alone_knows_is_told_like_the_rest(
    folder, monkeypatch, capsys, texts, line, where, message, words
):
    text = GOOD
    for old, new in texts.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    code, out, err = check(folder, text, monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("shop.yaml: 1 problem\n"), err
    assert f"\n  line {line}  {where}\n" in err, err
    assert message in err, err
    if not words:
        assert main(["train", "-c", "shop.yaml"]) == 2
        assert capsys.readouterr().err == err
        assert not (folder / "runs").exists()


def test_a_features_file_that_is_not_there_is_told_where_it_is_named(folder, monkeypatch, capsys):
    text = GOOD[: GOOD.index("features:\n")] + "features: gone.yaml\n" + GOOD[GOOD.index("model:\n") :]
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == 2
    assert "\n  line 6  features\n           there is no file gone.yaml" in err


def test_a_sample_that_keeps_all_needs_no_correction(folder, monkeypatch, capsys):
    texts, *_ = MODELS["a-sample-that-cannot-be-corrected"]
    text = GOOD
    for old, new in texts.items():
        text = text.replace(old, new.replace("keep_rate: 0.5", "keep_rate: 1.0"))
    code, _, err = check(folder, text, monkeypatch, capsys, "--config-only")
    assert (code, err) == (0, "")


def test_all_that_the_model_knows_comes_in_one_report(folder, monkeypatch, capsys):
    text = GOOD.replace("type: deepfm", "type: wide_and_deep").replace("    deep:\n", "    wide: &g\n")
    text = text.replace("[{sequence: seq}]", f"[{{sequence: seq, {ATTENTION}}}]").replace("item_id, price", "price")
    text = text.replace("train:\n  epochs", "    deep: *g\ntrain:\n  epochs")
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == 2
    assert err.startswith("shop.yaml: 2 problems\n"), err
    assert "model . groups . deep . sequences[0]\n           encoder 'din' compares" in err
    assert "model . groups . wide . sequences[0]\n           'wide_and_deep' reads no embeddings in 'wide'" in err


def test_parts_of_an_epoch_are_refused_where_its_rows_cannot_be_counted(folder, monkeypatch, capsys):
    text = GOOD.replace("epochs: 1", "epochs: 0.5").replace(
        "  valid: {type: parquet, path: train.parquet}\n",
        "  split: {by: column, column: cate, train: [1, 2], valid: [3]}\n",
    )
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == 2
    assert "\n  line 25  train . epochs\n           parts of an epoch cannot be told here" in err
    assert main(["train", "-c", "shop.yaml"]) == 2
    assert capsys.readouterr().err == err


def test_problems_of_every_section_come_in_one_report_in_the_order_of_the_file(folder, monkeypatch, capsys):
    text = (
        GOOD.replace("batch_size", "batchsize")
        .replace("[1, 5, 20]", "[5, 1]")
        .replace("deepfm", "deepfn")
        .replace("lr: 0.003", "lr: x")
        .replace("[auc, logloss]", "[auc, loglos]")
    )
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == 2
    assert err.startswith("shop.yaml: 5 problems")
    lines = [int(line.split()[1]) for line in err.splitlines() if line.startswith("  line ")]
    assert lines == [5, 9, 17, 26, 29]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [1, 2\n", "not valid YAML"),
        ("", "this key is required"),
        ("- a\n- b\n", "must be a mapping of sections"),
        ("base: shop.yaml\n", "'base' files form a circle: shop.yaml -> shop.yaml"),
        ("\nbase: nowhere.yaml\n", "line 2  base\n           there is no file nowhere.yaml"),
        ("features: nowhere.yaml\n" + GOOD.partition("features:")[0], "nowhere.yaml"),
    ],
    ids=["no-yaml", "empty", "a-list", "base-circle", "missing-base", "missing-features-file"],
)
def test_what_is_no_config_at_all_is_told_too(folder, monkeypatch, capsys, text, message):
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == 2
    assert message in err, err
    assert "Traceback" not in err


def test_a_config_that_is_not_there_is_named(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["check", "-c", "nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "train.epocs=3"], "-o train.epocs=3"),
        (["-o", "train.epochs"], "must be path=value"),
        (["-o", "features[usr].embedding_dim=3"], "no element 'usr' here"),
        (["--plugin", "no_such_package"], "there is no package 'no_such_package'"),
    ],
)
def test_a_broken_command_line_is_told_like_a_broken_config(folder, monkeypatch, capsys, words, message):
    code, _, err = check(folder, GOOD, monkeypatch, capsys, *words)
    assert code == 2
    assert message in err, err


def test_training_tells_of_an_absent_column_as_check_does(folder, monkeypatch, capsys):
    code, _, err = check(folder, GOOD.replace("labels: [click]", "labels: [clicked]"), monkeypatch, capsys)
    assert main(["train", "-c", "shop.yaml"]) == code == 2
    first = capsys.readouterr().err.splitlines()
    assert first[:4] == ["shop.yaml: 1 problem", *err.splitlines()[1:4]]  # check looks at valid too


def test_data_that_is_not_there_is_bad_data(folder, monkeypatch, capsys):
    code, _, err = check(
        folder,
        GOOD.replace("valid: {type: parquet, path: train", "valid: {type: parquet, path: vlid"),
        monkeypatch,
        capsys,
    )
    assert code == 3
    assert "vlid.parquet" in err


def test_a_label_that_is_no_label_is_bad_data(folder, monkeypatch, capsys):
    code, out, err = check(folder, GOOD.replace("labels: [click]", "labels: [age]"), monkeypatch, capsys)
    assert code == 3
    assert "label 'age' is unusable" in err
    assert "age" in out


@pytest.mark.parametrize(("column", "shown"), [("price", None), ("age_less", "is -1"), ("word", "is 'a'")])
def test_sample_weights_are_looked_at(folder, monkeypatch, capsys, column, shown):
    table = pq.read_table(folder / "train.parquet")
    table = table.append_column("age_less", pa.array([-1, 2] * 100)).append_column("word", pa.array(["a"] * 200))
    pq.write_table(table, folder / "weighted.parquet")
    text = GOOD.replace("path: train.parquet", "path: weighted.parquet")
    text = text.replace("labels: [click]", f"labels: [click]\n  sample_weight: {column}")
    code, _, err = check(folder, text, monkeypatch, capsys)
    assert code == (0 if shown is None else 3), err
    assert shown is None or (f"train: sample weight '{column}' is unusable in" in err and shown in err), err


@pytest.mark.parametrize(("mask", "warned"), [("click == 1", False), ("click == 7", True)])
def test_a_mask_that_leaves_no_rows_is_a_warning(folder, monkeypatch, capsys, mask, warned):
    text = GOOD.replace("model:\n", f"model:\n  tasks: [{{name: a, label: click, mask: '{mask}'}}]\n")
    code, out, err = check(folder, text, monkeypatch, capsys)
    assert code == 0, err
    assert ("no sampled row counts for the task 'a'" in out) == warned


def test_a_label_without_a_task_is_a_warning(folder, monkeypatch, capsys):
    text = GOOD.replace("labels: [click]", "labels: [click, age]")
    code, out, _ = check(folder, text, monkeypatch, capsys)
    assert code == 0
    assert "the label 'age' is predicted by no task: give it one under model.tasks" in out
    _, out, _ = check(folder, GOOD, monkeypatch, capsys)
    assert "no task" not in out
