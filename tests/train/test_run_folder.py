import json
import math

import pytest

from easyrec.errors import RunError
from easyrec.train.run_folder import RunFolder, read_json, run_path


def a_run(path):
    with RunFolder(path) as folder:
        folder.write_text("config.yaml", "name: x\n")
        folder.append("metrics.jsonl", {"step": 1})
        (path / "checkpoints" / "step-1").mkdir(parents=True)
    return path


def test_a_new_folder_is_made(tmp_path):
    with RunFolder(tmp_path / "runs" / "x") as folder:
        assert folder.path.is_dir()


def test_nothing_is_made_before_it_is_entered(tmp_path):
    RunFolder(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_existing_run_is_refused_and_the_ways_out_are_named(tmp_path):
    a_run(tmp_path / "x")
    with pytest.raises(RunError, match=r"--resume.*--overwrite.*name"):
        RunFolder(tmp_path / "x")


def test_an_empty_folder_is_fine(tmp_path):
    with RunFolder(tmp_path):
        pass


def test_resume_keeps_what_is_there(tmp_path):
    with RunFolder(a_run(tmp_path / "x"), resume=True) as folder:
        assert folder.records("metrics.jsonl") == [{"step": 1}]


def test_resume_without_a_run_is_a_start(tmp_path):
    with RunFolder(tmp_path / "x", resume=True) as folder:
        assert folder.path.is_dir()


def test_overwrite_removes_it_when_entered_and_not_before(tmp_path):
    a_run(tmp_path / "x")
    folder = RunFolder(tmp_path / "x", overwrite=True)
    assert (tmp_path / "x" / "config.yaml").exists()
    with folder:
        assert [p.name for p in (tmp_path / "x").iterdir()] == [".lock"]


def test_a_folder_that_is_no_run_is_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(RunError, match="holds no run"):
            RunFolder(tmp_path, **options)
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunFolder(tmp_path / "x")


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(RunError, match="exclude"):
        RunFolder(tmp_path / "x", resume=True, overwrite=True)


def test_two_trainings_cannot_share_a_folder(tmp_path):
    with RunFolder(tmp_path / "x") as folder:
        folder.write_text("config.yaml", "name: x\n")
        with pytest.raises(RunError, match="another process"), RunFolder(tmp_path / "x", resume=True):
            pass
    with RunFolder(tmp_path / "x", resume=True):
        pass


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\\b", "a\nb"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(RunError, match="cannot be the name"):
        run_path(name)


def test_names_of_many_languages_are_fine(tmp_path):
    assert run_path("点击率-v1.2", tmp_path) == tmp_path / "点击率-v1.2"


def test_files_are_cut_back(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.append("m.jsonl", {"a": 1})
        size = folder.size("m.jsonl")
        folder.append("m.jsonl", {"b": 2})
        folder.truncate("m.jsonl", size)
        assert folder.records("m.jsonl") == [{"a": 1}]
        with pytest.raises(RunError, match="shorter"):
            folder.truncate("m.jsonl", 10_000)
        folder.truncate("absent.jsonl", 0)


def test_json_is_strict_nan_becomes_null(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.append("m.jsonl", {"auc": math.nan, "list": [math.inf, 1.5]})
        folder.write_json("m.json", {"auc": math.nan})
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"auc": None, "list": [None, 1.5]}
    assert read_json(tmp_path / "m.json") == {"auc": None}


def test_numbers_come_back_exactly(tmp_path):
    value = 0.1 + 0.2
    with RunFolder(tmp_path) as folder:
        folder.append("m.jsonl", {"auc": value})
        assert folder.records("m.jsonl")[0]["auc"] == value


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(RunError, match=r"m\.json"):
        read_json(tmp_path / "m.json")
    assert read_json(tmp_path / "absent.json") is None
