"""A config that is written to another folder finds the files that lie beside the first one."""

from pathlib import Path

import pytest
import yaml

from easyrec.config import load_experiment
from easyrec.tune.search import load_search

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "valid": {"type": "parquet", "path": "rows.parquet"}},
    "features": [
        {
            "type": "id",
            "name": "scene",
            "expression": "user:s",
            "vocab_file": "words.txt",
            "default_bucketize_value": 0,
        },
        {"type": "id", "name": "item", "expression": "item:i", "num_buckets": 9},
        {
            "type": "sequence",
            "name": "seen",
            "features": [
                {
                    "type": "id",
                    "name": "s",
                    "expression": "user:s",
                    "vocab_file": "words.txt",
                    "default_bucketize_value": 0,
                }
            ],
        },
    ],
    "model": {"type": "fm", "embedding_dim": 4, "groups": {"deep": ["scene", "item"]}},
}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A config whose vocabulary lies beside it, in a folder that is not the one where commands run."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("configs/words.txt").write_text("home\ncart\n")
    Path("configs/toy.yaml").write_text(yaml.safe_dump(CONFIG))
    return Path("configs/toy.yaml")


def vocabularies(experiment):
    outputs = experiment.generator.outputs
    return [outputs[name].config.vocab_file for name in ("scene", "seen__s")]


def test_an_experiment_is_read_from_another_folder(written, tmp_path):
    first = load_experiment(written)
    assert vocabularies(first) == ["words.txt", "words.txt"]
    Path("runs/config.yaml").write_text(first.to_yaml())
    again = load_experiment("runs/config.yaml")
    assert vocabularies(again) == [str(tmp_path / "configs" / "words.txt")] * 2
    assert again.generator.fingerprint == first.generator.fingerprint
    load_experiment(first.resolved())


def test_a_search_is_read_from_another_folder(written):
    search = load_search(written, {"model.embedding_dim": {"choice": [2, 4]}})
    Path("runs/config.yaml").write_text(yaml.safe_dump(search.resolved()))
    assert len(load_search("runs").parameters) == 1


def test_names_that_lead_there_anyway_stay_as_they_are(written):
    """Else a run that began under one name would go on under another, and a repository could not be moved."""
    Path("toy.yaml").write_text(yaml.safe_dump(CONFIG))
    Path("words.txt").write_text("home\ncart\n")
    assert load_experiment("toy.yaml").resolved()["features"] == CONFIG["features"]
    raw = {
        **CONFIG,
        "features": [{**CONFIG["features"][0], "vocab_file": "configs/words.txt"}, *CONFIG["features"][1:2]],
    }
    written.write_text(yaml.safe_dump(raw))
    assert load_experiment(written).resolved()["features"] == raw["features"]


def test_the_file_beside_the_config_is_meant_where_another_has_its_name(written, tmp_path):
    Path("words.txt").write_text("of\nanother\nconfig\n")
    listed = load_experiment(written).resolved()["features"]
    assert listed[0]["vocab_file"] == str(tmp_path / "configs" / "words.txt")
