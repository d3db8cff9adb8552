"""`easyrec fg` and its tools, from the command line."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from easyrec.cli import first_line, main, tools

ROOT = Path(__file__).parents[1]
CONFIG = """\
name: tiny
data:
  train: {type: parquet, path: rows.parquet}
  valid: {type: parquet, path: rows.parquet}
  labels: [click]
  sample_weight: weight
  reserved: [user_id]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 100, embedding_dim: 4}
  - {type: id, name: tags, expression: "item:tags", vocab_list: [a, b], embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
model: {type: deepfm, hidden: [8]}
train: {epochs: 1, sparse_optimizer: {type: lazy_adam, lr: 0.05}}
eval: {metrics: [auc, {type: gauc, by: user_id}, logloss]}
"""
RUN = ["fg", "run", "-c", "tiny.yaml"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder: a config and its rows."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 30, 600)
    rows = {
        "user_id": users,
        "tags": [["a", "b", "c"][: n % 4] for n in range(600)],
        "price": rng.random(600).astype(np.float32),
        "click": (rng.random(600) < (users % 3) / 3).astype(np.int64),
        "weight": rng.random(600),
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def told(explained):
    return explained(*(["fg", tool] for tool in tools("fg")))


@pytest.mark.parametrize("tool", sorted(tools("fg")))
def test_every_tool_explains_itself_without_torch(told, tool):
    code, text, loaded = told[f"fg {tool}"]
    assert (code, loaded) == (0, [])
    assert f"usage: easyrec fg {tool}" in text
    assert "exit codes" in text


def test_help_lists_the_tools_and_an_unknown_one_is_told(capsys):
    assert main(["fg", "--help"]) == 0
    out = capsys.readouterr().out
    for tool, path in tools("fg").items():
        assert f"  {tool}" in out
        assert first_line(path) in out
    assert main(["fg"]) == 2
    assert "tools:" in capsys.readouterr().out
    assert main(["fg", "rum", "-c", "x.yaml"]) == 2
    assert "unknown tool 'rum'; did you mean 'run'?" in capsys.readouterr().err


def test_without_a_tool_the_features_are_shown(here, capsys):
    assert main(["fg", "-c", "tiny.yaml", "--json", "--rows", "2"]) == 0
    first = capsys.readouterr().out
    assert main(["fg", "show", "-c", "tiny.yaml", "--json", "--rows", "2"]) == 0
    assert capsys.readouterr().out == first


# ------------------------------------------------------------------------------------------------- fg run


def test_training_on_the_file_is_training_on_the_rows(here, capsys):
    assert main([*RUN, "--output", "encoded.parquet"]) == 0
    out = capsys.readouterr().out
    assert "rows written" in out
    assert "600" in out
    columns = pq.read_schema("encoded.parquet").names
    assert columns == ["user_id", "tags", "price", "click", "weight", "user_id:raw"]
    assert main(["train", "-c", "tiny.yaml", "--no-bar"]) == 0
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet", "data.valid.path=encoded.parquet"]
    words = ["train", "-c", "tiny.yaml", "--no-bar", "--run-dir", "runs/encoded", "-o", *encoded]
    assert main(words) == 0
    raw, again = (json.loads(Path("runs", name, "metrics.json").read_text())["valid"] for name in ("tiny", "encoded"))
    assert again == raw
    assert {"auc", "gauc"} <= set(raw)
    assert main(["check", "-c", "tiny.yaml", "-o", *encoded]) == 0
    words = ["predict", "-c", "runs/encoded", "--input", "encoded.parquet", "--output", "scores.parquet"]
    assert main(words) == 0
    scores = pq.read_table("scores.parquet")
    assert scores["user_id"].to_pylist() == pq.read_table("rows.parquet")["user_id"].to_pylist()


def test_the_file_has_all_columns_that_training_reads(here, capsys):
    rows = pd.read_parquet("rows.parquet").assign(ts=np.arange(600), session=np.arange(600) // 3, request=1)
    rows.to_parquet("rows.parquet")
    text = CONFIG.replace(
        "weight: weight", "weight: weight\n  event_time: ts\n  shuffle: {buffer_rows: 50, together: session}"
    )
    metrics = "train: {metrics: {rows: 500, metrics: [{type: gauc, by: request}]}, epochs"
    Path("tiny.yaml").write_text(text.replace("train: {epochs", metrics))
    assert main([*RUN, "--output", "encoded.parquet"]) == 0
    assert main([*RUN, "--part", "valid", "--output", "valid.parquet"]) == 0
    columns = pq.read_schema("valid.parquet").names
    assert columns == ["user_id", "tags", "price", "click", "weight", "user_id:raw"]
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet", "data.valid.path=valid.parquet"]
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "-o", *encoded]) == 0
    assert json.loads(Path("runs/tiny/metrics.jsonl").read_text().splitlines()[-1])["event_time"] == 599


def test_a_model_trained_on_the_file_is_exported_for_raw_rows(here, capsys):
    from serving import Predictor

    assert main([*RUN, "--output", "encoded.parquet"]) == 0
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet", "data.valid.path=encoded.parquet"]
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "-o", *encoded]) == 0
    raw = ["data.fg=raw", "data.train.path=rows.parquet", "data.valid.path=rows.parquet"]
    pd.read_parquet("rows.parquet").assign(user_id="u_1").to_parquet("words.parquet")
    capsys.readouterr()
    assert main(["predict", "-c", "runs/tiny", "--input", "words.parquet", "--output", "scores.parquet"]) == 3
    assert "data.fg is 'encoded': raw rows are read with data.fg=raw" in capsys.readouterr().err
    assert main(["evaluate", "-c", "runs/tiny", "-o", *raw]) == 0
    assert f"{json.loads(Path('runs/tiny/metrics.json').read_text())['valid']['auc']:.5f}" in capsys.readouterr().out
    assert main(["export", "-c", "runs/tiny", "--output", "bundle", "-o", *raw]) == 0
    predictor = Predictor.load("bundle")
    assert predictor.generator.mode == "raw"
    assert 0 < predictor.predict({"user_id": 3}, [{"tags": ["a"], "price": 0.5}])["click"][0] < 1
    other = ["features[user_id].hash_bucket_size=50", *raw]
    assert main(["export", "-c", "runs/tiny", "--output", "other", "-o", *other]) == 1
    assert "was trained on other features" in capsys.readouterr().err


def test_training_with_other_features_than_the_files_is_refused(here, capsys):
    assert main([*RUN, "--output", "encoded.parquet"]) == 0
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet", "data.valid.path=encoded.parquet"]
    changed = ["features[user_id].hash_bucket_size=50", "features[tags].vocab_list=[b, a]"]
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "-o", *encoded, *changed]) == 2
    err = capsys.readouterr().err
    assert "encoded.parquet was made with other features" in err
    assert "'user_id': hash_bucket_size 100 in the file, 50 here" in err
    assert "'tags': vocab_list" in err
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "-o", *encoded[1:]]) == 2
    assert "data.fg: encoded" in capsys.readouterr().err
    # Files that say nothing are read as before.
    table = pq.read_table("encoded.parquet")
    pq.write_table(table.replace_schema_metadata(None), "encoded.parquet")
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "-o", *encoded, *changed]) == 0


def test_a_split_column_and_a_label_called_like_features_are_found(here):
    frame = pd.read_parquet("rows.parquet")
    frame["part"] = ["train", "train", "valid"] * 200
    frame.to_parquet("rows.parquet")
    text = CONFIG.replace("  valid: {type: parquet, path: rows.parquet}\n", "  split: {by: column, column: part}\n")
    more = '  - {type: id, name: part, expression: "item:part", hash_bucket_size: 5, embedding_dim: 4}\nmodel:'
    Path("tiny.yaml").write_text(text.replace("model:", more).replace("name: price", "name: weight"))
    assert main([*RUN, "--output", "encoded.parquet"]) == 0
    assert {"part:raw", "weight:raw"} <= set(pq.read_schema("encoded.parquet").names)
    assert main(["train", "-c", "tiny.yaml", "--no-bar"]) == 0
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet"]
    assert main(["train", "-c", "tiny.yaml", "--no-bar", "--run-dir", "runs/encoded", "-o", *encoded]) == 0
    raw, again = (json.loads(Path("runs", name, "metrics.json").read_text())["valid"] for name in ("tiny", "encoded"))
    assert again == raw


def test_the_config_of_training_on_the_file_also_makes_the_file(here):
    encoded = ["data.fg=encoded", "data.train.path=encoded.parquet", "data.valid.path=encoded.parquet"]
    assert main([*RUN, "--input", "rows.parquet", "--output", "encoded.parquet", "-o", *encoded]) == 0
    assert main(["check", "-c", "tiny.yaml", "-o", *encoded]) == 0


def test_a_file_of_features_alone_needs_inputs_and_reserves_nothing(here, capsys):
    text = CONFIG[CONFIG.index("features:") : CONFIG.index("model:")]
    Path("features.yaml").write_text(text)
    assert main(["fg", "run", "-c", "features.yaml", "--output", "out.parquet"]) == 2
    assert "--input says which rows to read" in capsys.readouterr().err
    words = ["fg", "run", "-c", "features.yaml", "--input", "rows.parquet", "--output", "out.parquet"]
    assert main(words) == 0
    assert pq.read_schema("out.parquet").names == ["user_id", "tags", "price"]
    assert main([*words, "--overwrite", "--reserve", "click,weight", "--compression", "lz4"]) == 0
    assert pq.read_schema("out.parquet").names == ["user_id", "tags", "price", "click", "weight"]
    assert pq.read_metadata("out.parquet").row_group(0).column(0).compression == "LZ4"


def test_csv_comes_in_with_the_types_that_training_sees(here, capsys):
    frame = pd.read_parquet("rows.parquet")
    frame["tags"] = ["\x1d".join(tags) for tags in frame["tags"]]
    frame["price"] = frame["price"].astype(object)
    frame.loc[7, "price"] = "cheap"
    frame.to_csv("rows.csv", index=False)
    words = [*RUN, "--input", "rows.csv", "--output", "out.parquet"]
    assert main([*words, "--bad-rows", "fail"]) == 3
    err = capsys.readouterr().err
    assert "rows.csv, line 9, column 'price'" in err
    assert not Path("out.parquet").exists()
    assert main([*words, "--bad-rows", "skip", "--threads", "1", "--rows-per-group", "100"]) == 0
    out = capsys.readouterr().out
    assert "599" in out
    assert "line 9" in out
    table = pq.read_table("out.parquet")
    assert table["user_id:raw"].to_pylist() == frame["user_id"].drop(7).tolist()
    assert pq.read_metadata("out.parquet").num_row_groups == 6


def test_malformed_lines_are_counted(here, capsys):
    Path("rows.csv").write_text("user_id,tags,price,click,weight\n1,a,1,0,1\n2,b\n3,a,2,1,1\n")
    assert main([*RUN, "--input", "rows.csv", "--output", "out.parquet", "--bad-rows", "skip"]) == 0
    assert "1 malformed rows" in capsys.readouterr().out
    assert pq.read_table("out.parquet")["user_id:raw"].to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--input", "rows.parquet"], 2, "required: --output"),
        (["--input", "nowhere.parquet", "--output", "o.parquet"], 3, "nowhere.parquet: there is no such file"),
        (["--reserve", "clik", "--output", "o.parquet"], 3, "column 'clik': there is no such column to reserve"),
        (["--output", "tiny.yaml"], 1, "tiny.yaml is there already: --overwrite"),
        (["--output", "rows.parquet", "--overwrite"], 1, "rows.parquet is one of the files that are read"),
        (["--part", "test", "--output", "o.parquet"], 2, "the config names no data.test"),
        (["--threads", "0", "--output", "o.parquet"], 2, "--threads"),
    ],
)
def test_what_cannot_be_run_is_told(here, capsys, words, code, text):
    before = sorted(p.name for p in here.iterdir())
    assert main([*RUN, *words]) == code
    assert text in capsys.readouterr().err
    assert sorted(p.name for p in here.iterdir()) == before


# ------------------------------------------------------------------------------- explain, diff, profile


def test_explain_shows_a_row_and_why(here, capsys):
    assert main(["fg", "explain", "-c", "tiny.yaml", "--row", "3", "--feature", "tags", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["inputs"] == [{"source": "item:tags", "value": ["a", "b", "c"]}]
    assert (found["values"], found["output"], found["table"]) == (["a", "b", "c"], [2, 3, 1], "tags")
    assert found["notes"] == ["'c' is not in the vocabulary: id 1"]
    assert main(["fg", "explain", "-c", "tiny.yaml", "--input", "rows.parquet", "--row", "3"]) == 0
    out = capsys.readouterr().out
    for text in ("user:user_id", "item:tags = [a b c]", "2 3 1", "not in the"):
        assert text in out
    assert main(["fg", "explain", "-c", "tiny.yaml", "--row", "600"]) == 3
    assert "there is no row 600: the data has 600" in capsys.readouterr().err
    assert main(["fg", "explain", "-c", "tiny.yaml", "--feature", "tag"]) == 2
    assert "did you mean 'tags'?" in capsys.readouterr().err


def test_diff_tells_what_changes_and_the_exit_code_if_it_is_wanted(here, capsys):
    Path("new.yaml").write_text(CONFIG.replace("[a, b]", "[a, b, c]").replace("name: price", "name: cost"))
    words = ["fg", "diff", "tiny.yaml", "new.yaml", "--data", "rows.parquet"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["added"], found["removed"], found["same"]) == (["cost"], ["price"], ["user_id"])
    assert found["changed"] == {"tags": [["vocab_list", ["a", "b"], ["a", "b", "c"]]]}
    assert found["differences"]["tags"]["rows"] == 150
    assert main([*words, "--fail-on-change"]) == 1
    out = capsys.readouterr().out
    assert "added: cost" in out
    assert "25.0%" in out
    assert "1 outputs are the same on all 600 rows" in out
    assert main(["fg", "diff", "tiny.yaml", "tiny.yaml", "--fail-on-change"]) == 0
    assert "nothing changes" in capsys.readouterr().out
    assert main(["fg", "diff", "tiny.yaml", "new.yaml", "--config-only", "--fail-on-change"]) == 1


def test_profile_measures_every_feature(here, capsys):
    words = ["fg", "profile", "-c", "tiny.yaml", "--batches", "2", "--batch-rows", "100"]
    assert main([*words, "--json"]) == 0
    costs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {cost["feature"] for cost in costs} == {"user_id", "tags", "price", ""}
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "2 batches, 200 rows" in out
    assert "all together" in out


# ------------------------------------------------------------------------------------------------- the page


def lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_the_page_shows_what_the_tools_print(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "guide" / "fg_tools.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    explained, compared, measured = re.findall(r"```text\n(.*?)```", page, re.S)
    commands = [shlex.split(line)[1:] for line in re.findall(r"```bash\n(.*?)\n```", page)]
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(config)
    new = config.replace("num_buckets: 100}", "num_buckets: 300}").replace("1.5, 2]", "1.4, 2]")
    Path("new.yaml").write_text(new)
    for command, shown in zip(commands, (explained, compared), strict=False):
        assert main(command) == 0
        assert lines(capsys.readouterr().out) == lines(shown)
    assert main(commands[2]) == 0
    words = [set(re.sub(r"[\d.,%]+", " ", text).split()) for text in (measured, capsys.readouterr().out)]
    assert words[0] == words[1]  # the times differ
