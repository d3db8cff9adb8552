"""The page about distillation names every key, and its configs run one after the other at a small size."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import easyrec
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.config.distill import CandidatesConfig, DistillConfig, StudentSearch, TeacherConfig
from easyrec.data import open_sources

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "distillation.md").read_text(encoding="utf-8")
TEACHER, STUDENT, PRERANK, SEARCH = (
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
)
COMMANDS = re.search(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)[1].splitlines()


def row(key):
    return next(line for line in PAGE.splitlines() if line.startswith(f"| `{key}` |"))


@pytest.mark.parametrize("key", [*DistillConfig.model_fields, *TeacherConfig.model_fields])
def test_every_key_is_listed(key):
    assert row(key)


def test_keys_below_a_key_are_listed_with_their_defaults():
    for name, field in CandidatesConfig.model_fields.items():
        assert f"`{name}` [{field.default}]" in row("candidates")
    assert all(f"`{name}`" in row("search") for name in StudentSearch.model_fields)
    assert f"| `alpha` | {DistillConfig.model_fields['alpha'].default} |" in PAGE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the configs of the page, made small, and the trained teacher."""
    folder = tmp_path_factory.mktemp("page")
    teacher = yaml.safe_load(yaml.safe_dump(TEACHER))
    for part in ("train", "valid", "test"):
        teacher["data"][part]["rows"] = 3000
    teacher["train"]["epochs"] = 1
    student = {**STUDENT, "train": {"epochs": 1}}
    search = {
        **SEARCH,
        "tune": {"budget": {"trials": 2}},
        "model": {**SEARCH["model"], "embedding_dim": {"int": [1, 2]}},
    }
    for name, config in (("my", teacher), ("student", student), ("prerank", PRERANK), ("search", search)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*COMMANDS[0].split()[1:], "--no-bar"]) == 0
        source = open_sources(load_experiment("my.yaml")).train.source
        rows = pa.Table.from_batches(batch for unit in source.units() for batch in source.read(unit, ["cate", "brand"]))
        pq.write_table(rows.slice(0, 200), "items.parquet")
    return folder


def test_the_commands_run_one_after_the_other(made, monkeypatch, capsys):
    monkeypatch.chdir(made)

    assert main([*COMMANDS[1].split()[1:], "--no-bar"]) == 0
    told = capsys.readouterr().out
    assert "gain over labels alone" in told
    assert all(name in told for name in ("teacher", "student", "labels alone"))
    folder = PAGE.partition("## The folder")[2]
    listed = re.findall(r"^\| `([\w./-]+)` \|", folder, re.M)
    assert len(listed) == 7
    assert [
        name for name in listed if name != "search/" and not (made / "runs/shop_student-distill" / name).exists()
    ] == []
    trained = load_experiment(made / "runs" / "shop_student-distill" / "student.yaml")
    assert trained.distill.alpha == STUDENT["distill"]["alpha"]


def test_the_pre_ranker_learns_the_order(made, monkeypatch):
    monkeypatch.chdir(made)
    run = easyrec.train("prerank.yaml", overrides={"distill.candidates.lists": 50}, progress=False, export=False)
    assert 0 < run.metrics["valid"]["ranker_hit_rate@10"] < 1


@pytest.mark.slow
def test_the_search_gives_a_student_within_its_bound(made, monkeypatch):
    pytest.importorskip("optuna", reason="needs the extra 'tune'")
    monkeypatch.chdir(made)
    found = easyrec.distill("search.yaml", progress=False, export=False)
    assert found.named("student").parameters <= SEARCH["distill"]["search"]["parameters"]
    assert (found.path / "search" / "report.html").exists()
