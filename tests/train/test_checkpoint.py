import pytest

from easyrec.errors import CheckpointError
from easyrec.train.checkpoint import CheckpointStore, best_or_last, differences
from easyrec.train.snapshot import Snapshot, write_folder


def at(step, best=None):
    return Snapshot({"step": step, "best_step": best})


def filled(path, keep, plan):
    store = CheckpointStore(path, keep)
    for step, best in plan:
        store.write(step, at(step, best))
    return store


def damage(store, step):
    (store.folder(step) / "state.json").write_text("{}")


def test_keeps_the_newest(tmp_path):
    assert filled(tmp_path, 2, [(s, None) for s in (1, 2, 3, 10)]).steps() == [3, 10]


def test_keeps_the_best_apart(tmp_path):
    assert filled(tmp_path, 2, [(1, 1), (2, 1), (3, 1), (4, 1)]).steps() == [1, 3, 4]


def test_keeps_what_an_older_kept_one_calls_its_best(tmp_path):
    assert filled(tmp_path, 2, [(1, 1), (2, 1), (3, 3)]).steps() == [1, 2, 3]


def test_newest_is_the_newest_valid_one(tmp_path):
    store = filled(tmp_path, 3, [(1, None), (2, None), (3, None)])
    damage(store, 3)
    step, found, problems = store.newest()
    assert (step, found.state["step"]) == (2, 2)
    assert "step-3" in str(problems[0])


def test_none_valid_is_an_error_that_lists_them(tmp_path):
    store = filled(tmp_path, 2, [(1, None), (2, None)])
    damage(store, 1)
    damage(store, 2)
    with pytest.raises(CheckpointError, match=r"(?s)step-2.*step-1"):
        store.newest()


def test_none_at_all_is_none(tmp_path):
    assert CheckpointStore(tmp_path / "absent").newest() is None


def test_later_ones_are_discarded(tmp_path):
    store = filled(tmp_path, 3, [(1, None), (2, None), (3, None)])
    store.discard_after(1)
    assert store.steps() == [1]


def test_leftovers_of_a_crash_are_cleaned(tmp_path):
    store = filled(tmp_path, 2, [(1, None)])
    write_folder(tmp_path / "x", at(2))
    (tmp_path / "x").rename(tmp_path / ".writing-step-2")
    (tmp_path / ".removing-step-0").mkdir()
    store.clean()
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_a_crash_between_removal_and_replacement_is_undone(tmp_path):
    store = filled(tmp_path, 2, [(1, None)])
    store.folder(1).rename(tmp_path / ".replaced-step-1")
    store.clean()
    assert store.newest()[0] == 1


def test_a_crash_after_the_replacement_keeps_the_new_one(tmp_path):
    store = filled(tmp_path, 2, [(1, None)])
    store.folder(1).rename(tmp_path / ".replaced-step-1")
    write_folder(store.folder(1), at(1, best=1))
    store.clean()
    assert store.newest()[1].state["best_step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]


def test_other_entries_are_nobodys_business(tmp_path):
    store = filled(tmp_path, 1, [(1, None)])
    (tmp_path / "notes.txt").write_text("mine")
    store.clean()
    store.write(2, at(2))
    assert store.steps() == [2]
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(("plan", "expected"), [([(1, 1), (2, 1)], 1), ([(1, None), (2, None)], 2)])
def test_the_one_for_use_is_the_best_or_else_the_newest(tmp_path, plan, expected):
    filled(tmp_path, 2, plan)
    assert best_or_last(tmp_path).name == f"step-{expected}"


def test_nothing_for_use_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        best_or_last(tmp_path)


def test_differences_name_both_sides():
    lines = list(differences({"a": (1,), "b": (2, 3)}, {"b": (2, 4), "c": ()}))
    assert lines == [
        "'a' [1] is not in the model",
        "'b' is [2, 3] in the checkpoint, but [2, 4] in the model",
        "'c' [] is not in the checkpoint",
    ]
