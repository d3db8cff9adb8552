"""The registry, in a file and in a database: versions one after another, whoever else applies."""

import threading

import pytest

from easyrec.errors import StoreError
from easyrec.store.definitions import load_store
from easyrec.store.registry import Registry


@pytest.fixture(params=["file", "postgres"])
def registry(request, tmp_path):
    if request.param == "file":
        return Registry(tmp_path / "registry.db", lambda: 12.5)
    return Registry(request.getfixturevalue("postgres_url"), lambda: 12.5)


@pytest.fixture
def definitions(request):
    """`definitions(age="int64", ...)`: those of a project of this test's own, with such fields."""
    name = "r" + request.node.name.translate({ord(c): "_" for c in "[]-/."})[:70]

    def made(online=None, **fields):
        listed = [{"name": field, "type": kind} for field, kind in fields.items()]
        return load_store(
            {
                "project": name,
                "online": online or {"type": "memory"},
                "entities": [{"name": "user", "join_id": "user_id"}],
                "views": [{"name": "profile", "entity": "user", "fields": listed}],
            }
        )

    return made


def test_nothing_was_applied_at_first(registry, definitions):
    config = definitions(age="int64")
    assert registry.versions(config.project) == []
    assert registry.latest(config.project) is None
    assert [change.kind for change in registry.diff(config)][-1] == "added"


def test_versions_follow_one_another(registry, definitions):
    first, found = registry.apply(definitions(age="int64"), note="first")
    assert (first.number, first.applied, first.note, bool(found)) == (1, 12.5, "first", True)
    assert registry.apply(definitions(age="int64"), note="again") == (first, [])
    second, found = registry.apply(definitions(age="int64", city="string"))
    assert [change.what for change in found] == ["view 'profile' . field 'city'"]
    assert registry.versions(definitions(age="int64").project) == [first, second]
    assert second.config == definitions(age="int64", city="string")


def test_what_breaks_those_who_read_is_refused_unless_forced(registry, definitions):
    registry.apply(definitions(age="int64"))
    with pytest.raises(StoreError, match="field 'age': changed; rows that are there hold the former type"):
        registry.apply(definitions(age="string"))
    assert len(registry.versions(definitions(age="int64").project)) == 1
    assert registry.apply(definitions(age="string"), force=True)[0].number == 2


def test_those_who_apply_at_once_come_one_after_another(registry, definitions):
    start, faults = threading.Barrier(4), []

    def apply(turn):
        try:
            start.wait()
            registry.apply(definitions(age="int64", **{f"f{turn}": "int64"}), force=True)
        except Exception as error:  # noqa: BLE001 (told below)
            faults.append(error)

    threads = [threading.Thread(target=apply, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert [version.number for version in registry.versions(definitions(age="int64").project)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter2@h:1/0", "redis://me:hunter2@h:1/0", "unix:///run/r.sock?db=1&password=hunter2"],
    ids=["password", "login", "option"],
)
def test_passwords_are_neither_kept_nor_shown(registry, definitions, monkeypatch, url):
    monkeypatch.setenv("SECRET", "hunter2")
    online = {"type": "redis", "url": url.replace("hunter2", "${SECRET}")}
    version, found = registry.apply(definitions(online, age="int64"))
    assert "hunter2" not in f"{version} {found}"
    monkeypatch.setenv("SECRET", "another")
    assert registry.diff(definitions(online, age="int64")) == []  # a new password is no new definition
    found = registry.diff(definitions({"type": "redis", "url": "redis://:hunter2@elsewhere:1/0"}, age="int64"))
    assert [change.what for change in found] == ["online store . url"]
    assert "hunter2" not in str(found)


def test_a_database_that_is_not_there_is_told_without_its_password():
    pytest.importorskip("psycopg", reason="needs the extra 'postgres'")
    with pytest.raises(StoreError, match=r"postgresql at 127.0.0.1:1/db cannot be used") as told:
        Registry("postgresql://me:hunter2@127.0.0.1:1/db").versions("p")
    assert "hunter2" not in str(told.value)
    with pytest.raises(StoreError, match="the address of PostgreSQL cannot be read") as told:
        Registry("postgresql://me:hunter2@127.0.0.1:port:1/db?x").versions("p")
    assert "hunter2" not in str(told.value)
