"""`easyrec advise`: what it reads, what it writes, and what it leaves alone."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import easyrec
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, RunError
from easyrec.tune.advise import seen
from feature_generator import plugins
from feature_generator.config import members, read_yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture
def files(config, data, tmp_path, monkeypatch):
    """The toy as a file over parquet files, with two faults."""
    monkeypatch.chdir(tmp_path)
    for name, frame in data.items():
        frame.to_parquet(f"{name}.parquet")
        config["data"][name] = {"type": "parquet", "path": f"{name}.parquet"}
    config["features"][0] = {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 100}
    config["features"][3]["boundaries"] = [100]
    Path("toy.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return Path("toy.yaml")


def test_the_command_tells_place_reason_and_override(files, capsys):
    assert main(["advise", "-c", "toy.yaml", "--steps", "0"]) == 0
    told = capsys.readouterr().out
    line = next(n for n, text in enumerate(files.read_text().splitlines(), 1) if "hash_bucket_size: 100" in text)
    assert f"features[user_id].hash_bucket_size (toy.yaml, line {line})" in told
    assert (
        "400 different values in 6,000 rows, of all rows about 400 or more, in 100 buckets: 98% of those seen share one"
        in told
    )
    assert "-o 'features[user_id].hash_bucket_size=2000'" in told
    assert "without run: no run of this config has been evaluated" in told


def test_an_override_that_is_told_is_one_that_the_command_line_takes(files, capsys):
    assert main(["advise", "-c", "toy.yaml", "--steps", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    overrides = [text for proposal in found["proposals"] for text in proposal["overrides"]]
    assert len(overrides) == 2
    assert main(["check", "-c", "toy.yaml", "-o", *overrides]) == 0
    assert main(["advise", "-c", "toy.yaml", "--steps", "0", "--json", "-o", *overrides]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["proposals"] == []


def test_what_is_chosen_is_written_and_checks(files, capsys):
    command = ["advise", "-c", "toy.yaml", "--steps", "0", "--apply", "better.yaml", "--report", "advice.html"]
    assert main([*command, "--only", "small_buckets", "lopsided_buckets:city"]) == 0
    assert "better.yaml: small_buckets:user_id applied" in capsys.readouterr().out
    assert "# small_buckets:user_id: features[user_id].hash_bucket_size=2000" in Path("better.yaml").read_text()
    better = load_experiment("better.yaml")
    assert better.generator.outputs["user_id"].num_embeddings == 2000
    assert better.generator.outputs["price"].config.boundaries == [100]
    assert main(["check", "-c", "better.yaml"]) == 0
    page = Path("advice.html").read_text()
    assert "small_buckets:user_id (medium)" in page or "small_buckets:user_id (high)" in page
    assert "-o 'features[user_id].hash_bucket_size=2000'" in page


def test_settings_that_exclude_each_other_are_not_applied_together(files):
    found = easyrec.advise(files, steps=0)
    first = found.proposals[0]
    other = replace(first, subject="other", settings=dict.fromkeys(first.settings, 7))
    twice = replace(found, proposals=(*found.proposals, other))
    assert twice.apply("both.yaml") == list(found.proposals)


def test_the_file_that_was_looked_at_is_not_written_over(files):
    before = Path(files).read_text()
    with pytest.raises(ConfigError, match="is the config that was looked at: name another file"):
        easyrec.advise(files, steps=0, rows=0).apply(Path(files).absolute())
    assert Path(files).read_text() == before


def test_what_is_skipped_is_not_told(files):
    keys = {proposal.key for proposal in easyrec.advise(files, steps=0).proposals}
    assert keys == {"small_buckets:user_id", "lopsided_buckets:price"}
    left = easyrec.advise(files, steps=0, skip=["small_buckets:user_id"])
    assert [proposal.key for proposal in left.proposals] == ["lopsided_buckets:price"]


def test_a_rule_that_there_is_not_is_told_with_the_nearest(files):
    with pytest.raises(ConfigError, match="there is no rule 'small_bucket'; did you mean 'small_buckets'"):
        easyrec.advise(files, only=["small_bucket"])


def test_a_features_file_is_told_with_its_own_line_and_reached_by_apply(files, config):
    listed = config.pop("features")
    Path("features.yaml").write_text(yaml.safe_dump({"features": listed}))
    Path("toy.yaml").write_text(yaml.safe_dump({**config, "features": "features.yaml"}))
    found = easyrec.advise(files, steps=0, only=["small_buckets"])
    (proposal,) = found.proposals
    assert (proposal.file, proposal.reached, proposal.option) == ("features.yaml", False, "")
    assert "hash_bucket_size: 100" in Path("features.yaml").read_text().splitlines()[proposal.line - 1]
    assert found.apply("better.yaml") == [proposal]
    assert load_experiment("better.yaml").generator.outputs["user_id"].num_embeddings == 2000


def test_features_that_are_repeated_share_a_place(files, config, data):
    for frame in data.values():
        frame["friend"] = frame["user_id"]
    config["features"][0] = {
        "type": "id",
        "names": ["user_id", "friend"],
        "expression": "user:{name}",
        "hash_bucket_size": 100,
    }
    found = easyrec.advise(config, data=data, steps=0, only=["small_buckets"])
    (proposal,) = found.proposals
    assert dict(proposal.settings) == {"features[0].hash_bucket_size": 2000}


def test_children_of_a_sequence_are_reached(files, config, data):
    for frame in data.values():
        frame["seen__item"] = [[i % 997, (i * 7) % 997] for i in range(len(frame))]
    child = {"type": "id", "name": "item", "expression": "user:item", "hash_bucket_size": 200}
    config["features"].append({"type": "sequence", "name": "seen", "sequence_length": 5, "features": [child]})
    config["model"]["groups"] = {"deep": {"features": ["city"], "sequences": [{"sequence": "seen"}]}}
    found = easyrec.advise(config, data=data, steps=0, only=["small_buckets:seen__item"])
    assert dict(found.proposals[0].settings) == {"features[seen].features[item].hash_bucket_size": 5000}


def test_a_secret_is_told_as_it_is_written(files, config, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ROWS", str(tmp_path))
    config["data"]["train"]["path"] = "${ROWS}/train.parquet"
    Path("toy.yaml").write_text(yaml.safe_dump(config))
    assert main(["advise", "-c", "toy.yaml", "--steps", "0", "--apply", "better.yaml"]) == 0
    assert "${ROWS}/train.parquet" in Path("better.yaml").read_text()
    assert str(tmp_path) not in Path("better.yaml").read_text()


def test_steps_are_measured_and_leave_nothing_behind(config, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config["train"]["epochs"] = 3
    found = easyrec.advise(config, data=data, steps=30, rows=0)
    assert found.seen == ("30 training steps",)
    assert {"slow_reading", "slow_features", "slow_dense"} <= set(found.looked)
    assert found.missing["data"] == "no rows were asked for"
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_config_is_left_aside(config, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = easyrec.train(config, data=data, progress=False, export=False)
    settings = {"data": data, "steps": 0, "rows": 0}
    assert any("2 evaluations" in text for text in easyrec.advise(config, **settings).seen)
    other = easyrec.advise(config, overrides={"train.epochs": 9}, **settings)
    assert other.seen == ()
    assert "no run" in other.missing["run"]
    assert any("2 evaluations" in text for text in easyrec.advise(run.path, **settings).seen)
    named = easyrec.advise(config, overrides={"train.epochs": 9}, run=run.path, **settings)
    assert any("2 evaluations" in text for text in named.seen)


def test_a_folder_that_is_named_must_hold_what_is_asked_for(config, data, tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        easyrec.advise(config, data=data, steps=0, run=tmp_path / "none")
    with pytest.raises(RunError, match="holds no search"):
        easyrec.advise(config, data=data, steps=0, study=tmp_path / "none")


def test_a_config_with_spaces_is_advised_by_its_first_point(files, config, data):
    config["train"]["dense_optimizer"]["lr"] = {"log": [0.001, 0.01]}
    found = easyrec.advise(config, data=data, steps=0, only=["small_buckets"])
    assert [proposal.key for proposal in found.proposals] == ["small_buckets:user_id"]
    found.apply("better.yaml")
    assert read_yaml("better.yaml").data["train"]["dense_optimizer"]["lr"] == {"log": [0.001, 0.01]}


def test_rows_without_an_end_or_without_a_source_are_left_alone(config):
    found = easyrec.advise(config)
    assert found.missing["data"] == "the config names no rows to learn from"


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in sorted((ROOT / "configs").rglob("*.yaml"))]
)
def test_nothing_is_told_of_the_configs_of_this_repository(path, tmp_path, monkeypatch):
    """By their data too, where these are generated."""
    if "model:" not in path.read_text():
        pytest.skip("a base of others")
    for name in re.findall(r"\$\{(\w+)\}", "".join(p.read_text() for p in (ROOT / "configs").rglob("*.yaml"))):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    rows = 20_000 if "synthetic" in str(read_yaml(path).data) else 0
    assert [proposal.told() for proposal in easyrec.advise(path, steps=0, rows=rows).proposals] == []


def test_a_plugin_brings_rules(config, tmp_path, monkeypatch):
    rules = tmp_path / "acme_advice" / "tune" / "advise" / "rules"
    rules.mkdir(parents=True)
    for folder in (rules, *list(rules.parents)[:3]):
        (folder / "__init__.py").write_text("")
    (rules / "many_epochs.py").write_text(PLUGGED)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        found = easyrec.advise(config, plugins=["acme_advice"], rows=0, steps=0)
    finally:
        plugins.packages.clear()
        members.cache_clear()
    (proposal,) = found.proposals
    assert (proposal.key, proposal.overrides) == ("many_epochs", ["train.epochs=1"])


PLUGGED = """
from easyrec.tune.advise.proposal import Proposal
from easyrec.tune.advise.rules import Rule


class ManyEpochs(Rule):
    \"\"\"There is more than one epoch.\"\"\"

    needs = "config"

    def look(self, evidence):
        epochs = evidence.experiment.train.epochs
        if epochs and epochs > 1:
            yield Proposal("low", "train.epochs", f"{epochs:g} epochs", "we take one", "less time", {"train.epochs": 1})
"""


def test_long_sequences_are_looked_at_in_some_rows(config, data, monkeypatch):
    monkeypatch.setattr(seen, "MOST_IDS", 1000)
    for frame in data.values():
        frame["seen__item"] = [[(i * 7 + j) % 997 for j in range(20)] for i in range(len(frame))]
    child = {"type": "id", "name": "item", "expression": "user:item", "num_buckets": 997}
    config["features"].append({"type": "sequence", "name": "seen", "sequence_length": 20, "features": [child]})
    config["model"]["groups"] = {"deep": {"features": ["city"], "sequences": [{"sequence": "seen"}]}}
    ids = seen.look(easyrec.load_experiment(config), data, 6000)["train"].ids("seen__item")
    assert len(ids.values) == 1000
    assert ids.total == 20 * 6000
    assert ids.rows.max() > 5800
    assert easyrec.advise(config, data=data, steps=0).proposals == ()
