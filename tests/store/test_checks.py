"""What checks found is kept beside the registry, in a file or a database."""

import pytest

from easyrec.store.quality.checks import Checked, Checks, Result
from easyrec.store.quality.counts import Baseline


@pytest.fixture(params=["file", "postgres"])
def place(request, tmp_path):
    return tmp_path / "registry.db" if request.param == "file" else request.getfixturevalue("postgres_url")


def checked(view, at, verdict="passed"):
    result = Result("nulls of age at most 1%", "null_rate", "age", "passed", 0.0, 0.01)
    return Checked(view, at, "publish", verdict, 3, 0, "", [result])


def test_what_was_found_comes_back_latest_first(place):
    checks, stranger = Checks(place, "kept"), Checks(place, "stranger")
    assert checks.latest("profile") == []
    for at in (1.0, 3.0, 2.0):
        checks.add(checked("profile", at))
    checks.add(checked("other", 9.0, "failed"))
    assert [one.at for one in checks.latest("profile")] == [3.0, 2.0, 1.0]
    assert checks.latest("profile", 1) == [checked("profile", 3.0)]
    assert stranger.latest("profile") == []


def test_the_last_baseline_of_a_field_counts(place):
    checks = Checks(place, "baselines")
    assert checks.baselines("profile") == {}
    first, second = Baseline("numbers", [1.0], [], [5, 5, 0]), Baseline("texts", [], ["a"], [3, 2, 1])
    checks.set_baseline("profile", "age", first, 1.0)
    checks.set_baseline("profile", "age", second, 2.0)
    checks.set_baseline("profile", "city", first, 1.0)
    assert checks.baselines("profile") == {"age": second, "city": first}
