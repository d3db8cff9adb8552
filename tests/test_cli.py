import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from easyrec.cli import commands, first_line, main
from feature_generator import config

ROOT = Path(__file__).parents[1]
CONFIG = """\
name: tiny
data:
  train: {type: parquet, path: rows.parquet}
  valid: {type: parquet, path: rows.parquet}
  test: {type: parquet, path: rows.parquet}
  labels: [click]
  reserved: [user_id]
  batch_size: 100
features:
  - {type: id, name: user_id, expression: "user:user_id", hash_bucket_size: 100, embedding_dim: 4}
  - {type: id, name: tags, expression: "item:tags", vocab_list: [a, b], embedding_dim: 4}
  - {type: raw, name: price, expression: "item:price"}
model: {type: deepfm, hidden: [8]}
train: {epochs: 2, sparse_optimizer: {type: lazy_adam, lr: 0.05}}
eval: {metrics: [auc, logloss]}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a small config and its rows."""
    folder = tmp_path_factory.mktemp("source")
    rng = np.random.default_rng(0)
    users = rng.integers(0, 30, 600)
    rows = {
        "user_id": users,
        "tags": [["a", "b"][: n % 3] for n in range(600)],
        "price": rng.random(600).astype(np.float32),
        "click": (rng.random(600) < (users % 3) / 3).astype(np.int64),
    }
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    (folder / "tiny.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def finished(source):
    """A run of it."""
    with contextlib.chdir(source):
        assert main(["train", "-c", "tiny.yaml"]) == 0
    return source / "runs"


@pytest.fixture
def here(source, tmp_path, monkeypatch):
    """The working folder: the config and its rows."""
    for name in ("tiny.yaml", "rows.parquet"):
        shutil.copy(source / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(here, finished):
    """The same with a finished run."""
    shutil.copytree(finished, here / "runs")
    return here


@pytest.fixture
def plugins(monkeypatch):
    """Forgets the plugins of a test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    config.plugins.packages.clear()
    config.members.cache_clear()


# ------------------------------------------------------------------------------------------- the road


def test_train_prints_its_metrics_and_names_what_it_left(here, capsys):
    assert main(["train", "-c", "tiny.yaml"]) == 0
    out = capsys.readouterr().out
    final = json.loads(Path("runs/tiny/metrics.json").read_text())
    assert final["test"]["auc"] > 0.6
    assert f"{final['test']['auc']:.5f}" in out
    for name in ("report.html", "bundle"):
        assert f"runs/tiny/{name}" in out
        assert Path("runs/tiny", name).exists()


def test_a_run_that_is_there_is_neither_overwritten_nor_resumed_unasked(trained, capsys):
    before = Path("runs/tiny/metrics.json").read_bytes()
    assert main(["train", "-c", "tiny.yaml"]) == 1
    err = capsys.readouterr().err
    assert "--resume" in err
    assert "--overwrite" in err
    assert Path("runs/tiny/metrics.json").read_bytes() == before
    assert main(["train", "-c", "tiny.yaml", "--overwrite", "-o", "train.epochs=1"]) == 0
    assert len(Path("runs/tiny/metrics.jsonl").read_text().splitlines()) == 1


def test_evaluate_repeats_the_metrics_of_training(trained, capsys):
    assert main(["evaluate", "-c", "runs/tiny"]) == 0
    out = capsys.readouterr().out
    final = json.loads(Path("runs/tiny/metrics.json").read_text())
    assert f"{final['test']['auc']:.5f}" in out
    assert f"{final['test']['logloss']:.5f}" in out


def test_predict_writes_reserved_columns_and_a_column_per_task(trained, capsys):
    assert main(["predict", "-c", "runs/tiny", "--input", "rows.parquet", "--output", "scores/out.parquet"]) == 0
    assert capsys.readouterr().out == "scores/out.parquet\n"
    scores = pq.read_table("scores/out.parquet")
    assert scores.column_names == ["user_id", "click"]
    assert scores["user_id"].to_pylist() == pq.read_table("rows.parquet")["user_id"].to_pylist()
    assert 0 < min(scores["click"].to_pylist()) < max(scores["click"].to_pylist()) < 1


def test_export_writes_a_bundle_that_scores_like_predict(trained, capsys):
    from serving import Predictor

    assert main(["export", "-c", "runs/tiny", "--output", "again"]) == 0
    assert capsys.readouterr().out == "again\n"
    assert main(["predict", "-c", "runs/tiny", "--output", "out.parquet"]) == 0
    rows = pq.read_table("rows.parquet").slice(0, 50)
    scores = Predictor.load("again").predict_batch(rows.combine_chunks().to_batches()[0])
    np.testing.assert_allclose(scores["click"], pq.read_table("out.parquet")["click"][:50].to_numpy(), atol=1e-6)


def test_report_is_written_anew(trained, capsys):
    Path("runs/tiny/report.html").unlink()
    assert main(["report", "runs/tiny"]) == 0
    assert capsys.readouterr().out == "runs/tiny/report.html\n"
    assert "ROC" in Path("runs/tiny/report.html").read_text()


def test_ctrl_c_writes_a_checkpoint_and_resume_ends_the_run(here):
    words = ["train", "-c", "tiny.yaml", "--no-bar", "-o", "train.epochs=100000", "train.log_every=5"]
    command = [sys.executable, "-m", "easyrec.cli", *words]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert any(line.startswith("step ") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130
    assert "--resume" in rest
    assert "Traceback" not in rest
    step = max(int(p.name.removeprefix("step-")) for p in Path("runs/tiny/checkpoints").glob("step-*"))
    assert main(["train", "-c", "tiny.yaml", "--resume", "-o", f"train.steps={step + 2}", "train.epochs=100000"]) == 0
    assert json.loads(Path("runs/tiny/metrics.json").read_text())["best_step"] <= step + 2


# ----------------------------------------------------------------------------------------------- looking


def test_check_shows_the_data_and_the_plan(here, capsys):
    assert main(["check", "-c", "tiny.yaml"]) == 0
    out = capsys.readouterr().out
    for expected in (
        "600",
        "list<",
        "33.3%",
        "user_id",
        "sparse",
        "embedding tables",
        "deepfm",
        "parameters in tables",
    ):
        assert expected in out
    assert not Path("runs").exists()


def test_check_names_features_that_no_group_reads(here, capsys):
    assert main(["check", "-c", "tiny.yaml"]) == 0
    assert "in no group" not in capsys.readouterr().out
    assert main(["check", "-c", "tiny.yaml", "-o", "model.groups={deep: {features: [user_id, price]}}"]) == 0
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("in no group of the model"))
    assert "user_id" not in told
    assert "price" not in told
    assert "tags" in told


def test_check_warns_of_a_feature_that_reads_the_label(here, capsys):
    assert main(["check", "-c", "tiny.yaml"]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["check", "-c", "tiny.yaml", "-o", "features[price].expression=item:click"]) == 0
    assert "the label 'click' is also read by a feature" in capsys.readouterr().out


def test_check_warns_of_features_that_know_nothing(here, capsys):
    assert main(["check", "-c", "tiny.yaml", "-o", "features[tags].vocab_list=[A, B]"]) == 0
    assert "the feature 'tags' knows none of the sampled values" in capsys.readouterr().out.replace("\n", " ")
    rows = pd.read_parquet("rows.parquet")
    rows.assign(price=np.full(len(rows), np.nan, np.float32)).to_parquet("rows.parquet")
    assert main(["check", "-c", "tiny.yaml"]) == 0
    assert "train: the column 'price' has no value in any sampled row" in capsys.readouterr().out.replace("\n", " ")


def test_check_counts_the_parameters_that_training_has(trained, capsys):
    assert main(["check", "-c", "tiny.yaml"]) == 0
    tables, dense = re.search(
        r"([\d,]+) parameters in tables, ([\d,]+) in the dense part", capsys.readouterr().out
    ).groups()
    trained_ = json.loads(Path("runs/tiny/report.json").read_text())["training"]["parameters"]
    assert int(tables.replace(",", "")) + int(dense.replace(",", "")) == trained_


def test_check_of_the_config_alone_touches_no_data(here, capsys):
    Path("rows.parquet").unlink()
    assert main(["check", "-c", "tiny.yaml", "--config-only"]) == 0
    assert main(["check", "-c", "tiny.yaml"]) == 3
    assert "rows.parquet" in capsys.readouterr().err


def test_check_sees_to_the_corners_of_spaces_and_looks_at_the_first_values(here, capsys):
    words = ["model.dropout={uniform: [0.0, 0.5]}", "train.epochs={int: [1, 3]}", "tune.objectives=auc"]
    assert main(["check", "-c", "tiny.yaml", "-o", *words]) == 0
    told = capsys.readouterr().out
    assert "corners are valid: model.dropout, train.epochs;" in told
    assert "embedding tables" in told
    assert main(["check", "-c", "tiny.yaml", "-o", "model.dropout={uniform: [0.0, 1.0]}"]) == 2
    assert "at model.dropout = 1.0" in capsys.readouterr().err
    assert main(["check", "-c", "tiny.yaml", "-o", *words, "tune.objectives=auk"]) == 2
    assert "'auk' is not evaluated; did you mean 'auc'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["select.keep=[prize]", "--config-only"], "reads no feature 'prize'; did you mean 'price'?"),
        (["data.valid=null", "select.noise=5", "--config-only"], "measured on data.valid, and there is none"),
        (["cross.columns=[item:prise]"], "the data has no column 'prise'; did you mean 'price'?"),
        (["distill.teachers=runs/none"], "runs/none is not there"),
        (["distill.teachers=[{column: prise}]"], "has no column 'prise'; did you mean 'price'?"),
    ],
)
def test_check_judges_sections_of_other_commands(here, capsys, words, told):
    assert main(["check", "-c", "tiny.yaml", "-o", *words]) == 2
    assert told in capsys.readouterr().err


def test_names_in_brackets_are_no_markup(here, capsys):
    assert main(["check", "-c", "tiny.yaml", "-o", "name='[red]'", "--config-only"]) == 0
    assert capsys.readouterr().out.startswith("[red]: the config is valid")
    assert main(["train", "-c", "tiny.yaml", "--run-dir", "runs/[red]", "-o", "train.steps=1"]) == 0
    assert capsys.readouterr().out.startswith("[red] ")


def test_fg_shows_what_the_generator_makes(here, capsys):
    assert main(["fg", "-c", "tiny.yaml", "--rows", "3", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["tags"] for row in rows] == [[], [2], [2, 3]]
    assert rows[1]["price"] == pytest.approx([pq.read_table("rows.parquet")["price"][1].as_py()])
    assert main(["fg", "-c", "tiny.yaml", "--rows", "2"]) == 0
    assert "sparse of 100" in capsys.readouterr().out


def test_schema_is_a_json_schema_that_accepts_the_config(here, capsys):
    import yaml

    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid(yaml.safe_load(CONFIG))


def test_names_in_brackets_are_printed_as_they_are(here, capsys):
    Path("tiny.yaml").write_text(CONFIG.replace("name: user_id,", "name: '[bold]user',"))
    assert main(["check", "-c", "tiny.yaml"]) == 0
    assert "[bold]user" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ errors


def test_help_lists_every_command_with_one_line(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert {"check", "train", "evaluate", "predict", "export", "report", "schema", "fg"} <= set(commands())
    for name, path in commands().items():
        text = first_line(path)
        assert text
        assert re.search(rf"^  {name} +{re.escape(text)}$", out, re.MULTILINE)


@pytest.fixture(scope="module")
def told(explained):
    return explained(*([name] for name in commands()))


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_explains_itself_without_torch(told, name):
    code, text, loaded = told[name]
    assert (code, loaded) == (0, [])
    assert f"usage: easyrec {name}" in text
    assert "exit codes" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["../cli"], "unknown command '../cli'"),
        (["_options"], "unknown command '_options'"),
        (["train"], "required: -c/--config"),
        (["train", "-c", "x.yaml", "--fast"], "unrecognized arguments: --fast"),
        (["train", "-c", "x.yaml", "--resume", "--overwrite"], "not allowed with"),
        (["fg", "-c", "x.yaml", "--rows", "0"], "--rows"),
    ],
)
def test_a_wrong_command_line_ends_with_2(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_the_version_is_that_of_the_project(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("easyrec ")


def test_a_traceback_is_shown_only_where_it_is_asked_for(here, capsys):
    assert main(["train", "-c", "nowhere.yaml"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["train", "-c", "nowhere.yaml", "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_plugin_adds_its_models_and_its_own_faults_are_told_in_one_line(here, plugins, capsys):
    package = Path("acme_plugin/models")
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "linear.py").write_text(
        "from easyrec.models import lr\nclass Config(lr.Config):\n    type: str = 'linear'\n"
        "class Linear(lr.LR):\n    pass\n"
    )
    (package / "broken.py").write_text("raise RuntimeError('acme forgot something')\n")
    plugin = ["--plugin", "acme_plugin"]
    assert main(["train", "-c", "tiny.yaml", *plugin, "-o", "model={type: linear}"]) == 0
    capsys.readouterr()
    assert main(["check", "-c", "tiny.yaml", *plugin, "-o", "model={type: broken}"]) == 1
    err = capsys.readouterr().err
    assert "RuntimeError: acme forgot something" in err
    assert "--traceback" in err
    assert "Traceback (most" not in err


def test_a_reader_that_leaves_early_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        words = [sys.executable, "-m", "easyrec.cli", "--help"]
        done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_disk_that_refuses_is_told_by_name(trained, capsys):
    Path("runs/tiny/report.html").unlink()
    Path("runs/tiny/report.html").mkdir()
    assert main(["report", "runs/tiny"]) == 1
    err = capsys.readouterr().err
    assert "report.html" in err
    assert "Traceback" not in err
