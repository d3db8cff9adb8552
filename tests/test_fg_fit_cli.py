"""`easyrec fg fit` from the command line, and training on what was learned."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from easyrec.cli import main
from easyrec.config import load_experiment
from feature_generator import FeatureGenerator

ROOT = Path(__file__).parents[1]
CONFIG = """\
name: tiny
data:
  train: {type: parquet, path: rows.parquet}
  valid: {type: parquet, path: rows.parquet}
  labels: [click]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", fit: {vocabulary: {min_count: 2}}}
  - {type: raw, name: price, expression: "item:price", fit: {boundaries: {method: tree, buckets: 4, min_rows: 20}}}
  - {type: raw, name: age, expression: "user:age", fit: {normalizer: zscore}}
model: {type: deepfm, hidden: [8], embedding_dim: 4}
train: {epochs: 1}
eval: {metrics: [auc]}
"""
FIT = ["fg", "fit", "-c", "tiny.yaml"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder: a config and its rows."""
    rng = np.random.default_rng(0)
    price = rng.random(600)
    rows = {
        "user_id": rng.integers(0, 30, 600),
        "price": price,
        "age": rng.integers(18, 80, 600),
        "click": (rng.random(600) < np.where(price < 0.4, 0.1, 0.7)).astype(np.int64),
        "day": np.arange(600) // 100,
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def learned(folder="tiny.fitted"):
    return json.loads(Path(folder, "fitted.json").read_text())


def test_a_config_is_fitted_then_trained_and_its_run_keeps_what_was_learned(here, capsys, monkeypatch):
    assert main(["train", "-c", "tiny.yaml", "--no-bar"]) == 2
    assert "run: easyrec fg fit -c tiny.yaml" in capsys.readouterr().err
    assert main(FIT) == 0
    out = capsys.readouterr().out
    for text in ("learned from 600 rows", "vocabulary", "100.00%", "tree boundaries", "zscore"):
        assert text in out
    first = learned()["features"]["price"]["keys"]["boundaries"]
    assert len(first) == 3
    assert any(abs(edge - 0.4) < 0.05 for edge in first)
    assert main(["check", "-c", "tiny.yaml"]) == 0
    assert main(["train", "-c", "tiny.yaml", "--no-bar"]) == 0
    fingerprint = load_experiment("tiny.yaml").generator.fingerprint
    # The run is whole without the config's folder, and from anywhere.
    for path in Path("tiny.fitted").iterdir():
        path.unlink()
    monkeypatch.chdir(here.parent)
    assert load_experiment(here / "runs/tiny").generator.fingerprint == fingerprint
    monkeypatch.chdir(here)
    assert main(["evaluate", "-c", "runs/tiny"]) == 0
    assert main(["train", "-c", "runs/tiny", "--resume", "--no-bar"]) == 0
    (bundled,) = (
        p.parent for p in Path("runs/tiny/bundle").rglob("features.json") if (p.parent / "manifest.json").exists()
    )
    assert FeatureGenerator.load(bundled).fingerprint == fingerprint


def test_shards_merge_to_the_whole(here, capsys):
    assert main([*FIT, "--output", "whole"]) == 0
    for i in (1, 2, 3):
        assert main([*FIT, "--shard", f"{i}/3", "--partial", f"part{i}", "--memory-mb", "1"]) == 0
    assert "part3: gathered from 200 rows" in capsys.readouterr().out
    assert main([*FIT, "--merge", "part1", "part3", "part2"]) == 0
    whole, merged = learned("whole"), learned()
    assert merged["rows"] == whole["rows"] == 600
    for name in ("user_id", "price"):
        assert merged["features"][name] == whole["features"][name]


def test_of_a_split_only_its_part_is_read(here, capsys):
    text = CONFIG.replace("  valid: {type: parquet, path: rows.parquet}\n", "")
    text = text.replace("labels: [click]", "labels: [click]\n  split: {by: time, column: day, valid_from: 4}")
    Path("tiny.yaml").write_text(text)
    assert main(FIT) == 0
    assert learned()["rows"] == 400
    assert main([*FIT, "--part", "valid", "--output", "valid"]) == 0
    assert learned("valid")["rows"] == 200


def test_rows_and_label_may_be_named(here):
    pd.read_parquet("rows.parquet").assign(buy=0).to_csv("more.csv", index=False)
    assert main([*FIT, "--input", "more.csv", "--label", "buy"]) == 0
    note = learned()["features"]["price"]["told"]["note"]
    assert "no split tells the label apart" in note


def test_a_features_file_is_fitted_beside_itself(here):
    head, _, rest = CONFIG.partition("features:\n")
    features, _, tail = rest.partition("model:")
    Path("parts").mkdir()
    Path("parts/f.yaml").write_text("features:\n" + features)
    Path("tiny.yaml").write_text(head + "features: parts/f.yaml\nmodel:" + tail)
    assert main(FIT) == 0
    assert learned("parts/f.fitted")["rows"] == 600
    assert main(["fg", "show", "-c", "tiny.yaml"]) == 0
    assert main(["fg", "fit", "-c", "parts/f.yaml", "--input", "rows.parquet", "--label", "click"]) == 0
    assert main(["train", "-c", "tiny.yaml", "--no-bar"]) == 0
    assert learned("runs/tiny/config.fitted")["rows"] == 600


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "1/2"], "--partial says where"),
        (["--merge", "x", "--partial", "y"], "--merge reads what --partial wrote"),
        (["--merge", "x"], "holds no state"),
        (["-o", "features[age].fit.normalizer=std"], "must be 'zscore' or 'minmax'"),
    ],
)
def test_a_command_line_that_cannot_be_is_told(here, capsys, words, told):
    assert main([*FIT, *words]) == 2
    assert told in capsys.readouterr().err


def test_a_saved_generator_learns_nothing(here, capsys):
    FeatureGenerator.load({"features": [{"type": "raw", "name": "price"}]}).save("frozen")
    assert main(["fg", "fit", "-c", "frozen", "--input", "rows.parquet"]) == 2
    assert "is frozen" in capsys.readouterr().err
    assert main([*FIT, "--shard", "3/2", "--partial", "x"]) == 2
    assert "invalid shard value: '3/2'" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- the page


def lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_the_page_shows_what_is_printed(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "guide" / "fit.md").read_text(encoding="utf-8")
    (config,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    fitted, made = re.findall(r"```text\n(.*?)```", page, re.S)
    commands = [
        shlex.split(line)[1:] for block in re.findall(r"```bash\n(.*?)\n```", page, re.S) for line in block.splitlines()
    ]
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(config)
    assert main(commands[0]) == 0
    assert lines(capsys.readouterr().out) == lines(fitted)
    for command in commands[1:]:
        assert main(command) == 0
    assert lines(capsys.readouterr().out)[2:] == lines(fitted)
    exec(program, {})
    assert lines(capsys.readouterr().out) == lines(made)


def test_a_config_without_labels_is_fitted(here):
    config = CONFIG.replace("  labels: [click]\n", "  sampler: {type: uniform}\n  item_id: item\n").split("features:")[
        0
    ]
    config += """features:
  - {type: id, name: user_id, expression: "user:user_id", fit: {vocabulary: {min_count: 2}}}
  - {type: id, name: item, expression: "item:day", num_buckets: 6}
model: {type: dssm, hidden: [8], embedding_dim: 4, groups: {user: [user_id], item: [item]}}
"""
    Path("tiny.yaml").write_text(config)
    assert main(FIT) == 0
    assert learned()["rows"] == 600


def test_boundaries_by_a_label_need_one(here, capsys):
    config = CONFIG.replace("  labels: [click]\n", "  sampler: {type: uniform}\n  item_id: item\n").split("model:")[0]
    config += """  - {type: id, name: item, expression: "item:day", num_buckets: 6}
model: {type: dssm, hidden: [8], embedding_dim: 4, groups: {user: [user_id], item: [item]}}
"""
    Path("tiny.yaml").write_text(config)
    assert main(FIT) == 2
    assert "label" in capsys.readouterr().err
