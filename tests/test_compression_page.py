"""The page about compression lists every type and key, and its commands run one after the other."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml

import easyrec
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.config.compress import CODECS, COMPOSITIONS
from easyrec.errors import ConfigError, RunError
from easyrec.train.interrupt import Interrupted
from feature_generator.config import member, members

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "compression.md").read_text(encoding="utf-8")
CONFIG, EXPORT, MODEL = (yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S))


@pytest.mark.parametrize("family", [CODECS, COMPOSITIONS])
def test_every_type_and_key_is_listed(family):
    part = PAGE.partition("## While a model learns")[0 if family == CODECS else 2]
    for name in members(family):
        row = next(line for line in part.splitlines() if line.startswith((f"| `{name}` |", f"| `{name}`,")))
        keys = member(family, name).Config.model_fields.keys() - {"type", "tables"}
        assert all(f"`{key}`" in row for key in keys), name


def test_its_sections_are_valid():
    experiment = load_experiment({**CONFIG, **EXPORT, **MODEL})
    assert [codec.type for codec in experiment.export.compress] == ["prune", "product"]
    assert set(experiment.model.compress) == {"user_id", "item_id"}


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid", "test"):
        CONFIG["data"][part]["rows"] = 1500
    CONFIG["export"] |= {"max_auc_drop": 0.05, "runtimes": ["torch_export"]}
    Path("shop.yaml").write_text(yaml.safe_dump(CONFIG))
    commands = re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines()
    for line in commands[:2]:
        assert main(line.split()[1:]) == 0, capsys.readouterr().err
    folder = Path("runs/shop_small-compress")
    rows = list(csv.DictReader((folder / "candidates.csv").read_text().splitlines()))
    assert len(rows) == 10
    assert {"fp16", "int8", "product 1"} <= {row["candidate"] for row in rows}
    best = load_experiment(folder / "best.yaml")
    assert best.export.compress
    report = (folder / "report.html").read_text()
    assert "http" not in report.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "Size against accuracy" in report
    manifest = json.loads(Path("runs/shop_small/bundle/manifest.json").read_text())
    (tried,) = manifest["tried"]
    assert tried["kept"]
    assert tried["table_bytes"] * 4 <= sum(4 * t["rows"] * t["dim"] for t in manifest["embeddings"]["tables"])
    assert commands[2].split()[1:4] == ["train", "-c", str(folder / "best.yaml")]


def test_a_search_that_is_stopped_leaves_the_best_so_far_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = {**CONFIG["data"], **{part: {**CONFIG["data"][part], "rows": 1500} for part in ("train", "valid", "test")}}
    config = {**CONFIG, "data": data, "export": {"max_auc_drop": 0.05}}

    def stop(measured):
        if measured.candidate.name == "int8":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"stopped after 2 ways; the config so far is runs.shop_small-compress.best"):
        easyrec.compress(config, told=stop)
    folder = Path("runs/shop_small-compress")
    assert load_experiment(folder / "best.yaml").export.tables == "fp16"  # the one that was written last
    trained = Path("runs/shop_small/metrics.json").stat().st_mtime_ns
    found = easyrec.compress(config)
    assert len(found.tried) == 10
    assert load_experiment(folder / "best.yaml").export.compress
    assert Path("runs/shop_small/metrics.json").stat().st_mtime_ns == trained
    with pytest.raises(RunError, match=r"another config, which differs in: export\.max_auc_drop"):
        easyrec.compress({**config, "export": {"max_auc_drop": 0.5}})


def test_a_training_that_was_stopped_is_not_measured_half(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    data = {**CONFIG["data"], **{part: {**CONFIG["data"][part], "rows": 1500} for part in ("train", "valid", "test")}}
    run = easyrec.train({**CONFIG, "data": data}, export=False, progress=False)
    whole = run.metrics["valid"]["auc"]
    (run.path / "metrics.json").unlink()
    caplog.set_level("INFO", "easyrec.tune")
    found = easyrec.compress({**CONFIG, "data": data})
    assert found.auc["click"] == pytest.approx(whole, abs=1e-6)
    assert "its training goes on" in caplog.text
    assert (run.path / "metrics.json").is_file()


@pytest.mark.slow
def test_retraining_measures_tables_that_are_made_of_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part in ("train", "valid", "test"):
        CONFIG["data"][part]["rows"] = 1500
    found = easyrec.compress({**CONFIG, "export": {"max_auc_drop": 1.0}}, target=4, retrain=True)
    names = [one.candidate.name for one in found.tried]
    assert names[-2:] == ["quotients and remainders", "mixed dims"]
    assert found.reached
    for one in found.tried[-2:]:
        assert not one.reason
        assert one.bytes * 4 < found.bytes
    run = easyrec.train(found.config, run_dir="again", export=False, progress=False)
    assert run.metrics["valid"]["auc"] > 0


@pytest.mark.parametrize(
    ("section", "keys", "line", "text"),
    [
        ("export", {"compress": [{"type": "prun", "min_count": 2}]}, "compress", "did you mean 'prune'?"),
        ("export", {"compress": [{"type": "prune"}]}, "compress", "give one of min_count, share, below"),
        ("export", {"compress": [{"type": "product"}, {"type": "prune", "share": 0.5}]}, "compress", "in the order prune"),
        ("export", {"compress": [{"type": "product", "tables": ["usr_id"]}]}, "usr_id", "did you mean 'user_id'?"),
        ("export", {"compress": [{"type": "low_rank", "dim": 2, "energy": 0.5}]}, "compress", "give one of dim, energy"),
        ("model", {"compress": {"usr_id": "threshold"}}, "usr_id", "did you mean 'user_id'?"),
        ("model", {"compress": {"user_id": {"type": "mixed", "dim": 16}}}, "user_id", "would not become smaller"),
        ("model", {"compress": {"user_id": {"type": "mixed"}}}, "user_id", "dim"),
    ],
)  # fmt: skip
def test_bad_settings_are_told_with_their_line(tmp_path, section, keys, line, text):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, section: {**CONFIG[section], **keys}}))
    with pytest.raises(ConfigError, match=re.escape(text)) as told:
        load_experiment(path)
    (problem,) = told.value.problems
    lines = path.read_text().splitlines()
    assert any(line in one for one in lines[problem.line - 3 : problem.line + 3])


def test_parts_are_refused_with_several_workers():
    told = {**CONFIG, "train": {**CONFIG["train"], "distributed": {}}}
    several = {"compress": {"user_id": {"type": "product"}}}
    with pytest.raises(ConfigError, match="workers find the rows of one for each id"):
        load_experiment({**told, "model": {**CONFIG["model"], **several}})
    one = {"compress": {"user_id": {"type": "mixed", "dim": 4}}}
    assert load_experiment({**told, "model": {**CONFIG["model"], **one}}).model.compress


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"target": 0.5}, "must be above 1"),
        ({"without": "valid"}, "neither 'valid' nor 'test'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_trained(tmp_path, monkeypatch, change, text):
    monkeypatch.chdir(tmp_path)
    data = {k: v for k, v in CONFIG["data"].items() if "without" not in change or k not in ("valid", "test")}
    with pytest.raises(ConfigError, match=text):
        easyrec.compress({**CONFIG, "data": data}, target=change.get("target", 4.0))
    assert not list(tmp_path.iterdir())
