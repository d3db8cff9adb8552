"""Every online store: records and heads, whoever else writes, and whoever looks at them."""

import threading

import pytest

from easyrec.errors import StoreError
from easyrec.store import native

KEYS = [f"k{i:04}".encode() for i in range(1200)]


@pytest.fixture
def open_store(online, request):
    from easyrec.store.definitions import StoreConfig

    made = []
    name = "o" + request.node.name.translate({ord(c): "_" for c in "[]-/."})[:70]

    def open_(project=name):
        config = StoreConfig.model_validate(
            {
                "project": project,
                "online": online,
                "entities": [{"name": "e", "join_id": "id"}],
                "views": [{"name": "v", "entity": "e", "fields": [{"name": "f", "type": "int64"}]}],
            }
        )
        made.append(config.online.open(project))
        return made[-1]

    yield open_
    for store in made:
        store.close()


def rows_of(store, keys, slot=0, generations=(1,), entity="e"):
    return native.newest(list(store.read(entity, keys)[1]), slot, list(generations))


def test_nothing_is_written_behind_a_fence_that_fell(open_store):
    store = open_store()
    with pytest.raises(StoreError, match="another writer has begun"):
        store.splice("e", 0, 1, [b"a"], [b"1"], [], b"token1")
    assert store.set_head("e", b'{"token":"token1"}', None)
    store.splice("e", 0, 1, [b"a", b"b"], [b"1", b"1"], [], b"token1")
    assert store.set_head("e", b'{"token":"token2"}', b'{"token":"token1"}')
    store.splice("e", 0, 2, [b"a"], [b"2"], [(0, [1])], b"token2")
    for keys in ([b"b", b"c"], [b"a"]):  # it would take away the row of 2, which it does not know
        with pytest.raises(StoreError, match="another writer has begun"):
            store.splice("e", 0, 1, keys, [b"late"] * len(keys), [], b"token1")
    assert rows_of(store, [b"a", b"b", b"c"], generations=(1, 2)) == [b"2", b"1", None]


def test_redis_looks_at_the_fence_in_the_step_that_writes(redis_socket):
    from easyrec.store.online.redis import RedisStore  # an extra

    first, second = (RedisStore(f"unix://{redis_socket}", "fenced") for _ in range(2))
    assert first.set_head("e", b"token1", None)

    def change(some, old):  # between what was read and what is written another writer begins
        second.set_head("e", b"token2", b"token1")
        return native.splice(old, 0, 1, [b"late"] * len(some), [])

    with pytest.raises(StoreError, match="another writer has begun"):
        first._change("e", [b"a"], change, b"token1")
    assert rows_of(first, [b"a"]) == [None]
    first.close()
    second.close()


def test_an_empty_store_has_nothing(open_store):
    store = open_store()
    assert store.read("e", [b"a", b"b"]) == (None, [None, None])
    assert list(store.scan("e")) == []
    store.sweep("e", [b"a"], [])


def test_rows_are_found_by_key_in_order_and_as_often_as_asked(open_store):
    store = open_store()
    assert store.set_head("e", b"head", None)
    store.splice("e", 0, 1, KEYS, [b"row of " + key for key in KEYS], [])
    asked = [b"k0007", b"nobody", b"k0007", b"k1199", "ü*?[x]\\".encode()]
    assert store.read("e", asked)[0] == b"head"
    assert rows_of(store, asked) == [b"row of k0007", None, b"row of k0007", b"row of k1199", None]
    assert rows_of(store, KEYS) == [b"row of " + key for key in KEYS]


def test_several_entities_are_read_at_once(open_store):
    store = open_store()
    for entity, key in (("e", b"a"), ("e2", b"b")):
        assert store.set_head(entity, b"head of " + key, None)
        store.splice(entity, 0, 1, [key], [b"row of " + key], [])
    asked = {"e2": [b"a", b"b"], "nobody": [b"a"], "e": [b"b", b"a", b"a"]}
    found = store.read_many(asked)
    assert found == {entity: store.read(entity, keys) for entity, keys in asked.items()}
    assert [head for head, _ in found.values()] == [b"head of b", None, b"head of a"]
    assert native.newest(found["e"][1], 0, [1]) == [None, b"row of a", b"row of a"]


def test_entities_and_projects_are_strangers(open_store):
    store, other = open_store(), open_store("another")
    store.splice("e", 0, 1, [b"a"], [b"x"], [])
    store.set_head("e", b"head", None)
    for stranger, entity in ((store, "e2"), (other, "e")):
        assert stranger.read(entity, [b"a"]) == (None, [None])
        assert list(stranger.scan(entity)) == []
        assert stranger.set_head(entity, b"h", None)


def test_a_head_is_replaced_only_where_it_is_what_was_read(open_store):
    store = open_store()
    assert not store.set_head("e", b"new", b"old")
    assert store.set_head("e", b"one", None)
    assert not store.set_head("e", b"two", None)
    assert store.set_head("e", b"two", b"one")
    assert store.read("e", [])[0] == b"two"


def test_all_keys_are_scanned(open_store):
    store = open_store()
    store.set_head("e", b"h", None)
    store.splice("e", 0, 1, KEYS, [b"r"] * len(KEYS), [])
    store.splice("e2", 0, 1, [b"other"], [b"r"], [])
    found = [key for some in store.scan("e", 100) for key, _ in some]
    assert sorted(set(found)) == KEYS


def test_what_does_not_count_is_swept_and_empty_records_go(open_store):
    store = open_store()
    store.set_head("e", b"h", None)
    store.splice("e", 0, 1, [b"a", b"b"], [b"1a", b"1b"], [])
    store.splice("e", 0, 2, [b"a"], [b"2a"], [(0, [1])])
    store.splice("e", 1, 1, [b"b"], [b"other view"], [])
    store.splice("e", 0, 1, [b"c"], [b"1c"], [])
    store.sweep("e", [b"a", b"b", b"c", b"nobody"], [(0, [2]), (1, [1])])
    left = {key: [part[2] for part in native.parts(record)] for some in store.scan("e") for key, record in some}
    assert left == {b"a": [b"2a"], b"b": [b"other view"]}


def test_views_that_are_written_at_once_keep_each_others_rows(open_store):
    stores = [open_store() for _ in range(4)]
    start, faults = threading.Barrier(4), []

    def write(slot):
        try:
            start.wait()
            for generation in range(1, 6):
                stores[slot].splice("e", slot, generation, KEYS[:300], [b"%d-%d" % (slot, generation)] * 300, [])
        except Exception as error:  # noqa: BLE001 (told below)
            faults.append(error)

    stores[0].set_head("e", b"h", None)
    threads = [threading.Thread(target=write, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    for slot in range(4):
        assert rows_of(stores[0], KEYS[:300], slot, [5]) == [b"%d-5" % slot] * 300


def test_heads_that_are_swapped_at_once_are_swapped_one_by_one(open_store):
    stores = [open_store() for _ in range(3)]
    assert stores[0].set_head("e", b"0", None)

    def count(store):
        for _ in range(20):
            while True:
                old = store.read("e", [])[0]
                if store.set_head("e", b"%d" % (int(old) + 1), old):
                    break

    threads = [threading.Thread(target=count, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].read("e", [])[0] == b"60"


def test_a_file_of_something_else_is_left_alone(tmp_path):
    import sqlite3

    from easyrec.store.online.sqlite import SqliteStore

    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE mine (a)")
    with pytest.raises(StoreError, match="is a database of something else"):
        SqliteStore(tmp_path / "other.db", "p")
    with sqlite3.connect(tmp_path / "other.db") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_server_that_is_not_there_is_told_without_its_password(monkeypatch):
    pytest.importorskip("redis")
    from easyrec.store.online.redis import Config

    monkeypatch.setenv("SECRET", "hunter2")
    store = Config(url="redis://:${SECRET}@127.0.0.1:1/0", timeout_seconds=0.5).open("p")
    with pytest.raises(StoreError, match=r"redis at 127.0.0.1:1 cannot be used") as told:
        store.read("e", [b"a"])
    assert "hunter2" not in str(told.value)


def changed(store, since, entity="e"):
    mark, keys = store.changes(entity, since)
    return mark, None if keys is None else set(keys)


def test_changed_keys_are_told_to_each_follower_from_where_it_stands(open_store):
    store, other = open_store(), open_store()
    store.set_head("e", b"h", None)
    begun, told = store.changes("e", None)
    assert told is None
    store.splice("e", 0, 1, KEYS[:700], [b"r"] * 700, [])
    after, keys = changed(other, begun)
    if keys is not None:  # a journal that was empty has no place to stand on
        assert keys == set(KEYS[:700])
    assert changed(store, after) == (after, set())
    other.splice("e", 0, 1, [b"a", "ü*?[x]\\".encode(), b"x:\0"], [b"1", b"2", b"3"], [])
    other.splice("e2", 0, 1, [b"stranger"], [b"1"], [])
    other.splice("e", 0, 2, [b"a"], [b"2a"], [(0, [1])])
    later, keys = changed(store, after)
    assert keys == {b"a", "ü*?[x]\\".encode(), b"x:\0"}
    store.sweep("e", [b"a", KEYS[0]], [(0, [2])])
    assert changed(store, later)[1] >= {b"a", KEYS[0]}
    assert changed(store, after)[1] >= {b"a", KEYS[0], b"x:\0"}


def test_who_has_not_followed_for_long_is_told_that_anything_may_have_changed(open_store, monkeypatch):
    from easyrec.store import journal

    store = open_store()
    store.set_head("e", b"h", None)
    store.splice("e", 0, 1, [b"first"], [b"r"], [])
    begun, _ = store.changes("e", None)
    monkeypatch.setattr(journal, "MOST_ENTRIES", 2)
    for number in range(300):  # Redis cuts whole nodes of a hundred entries
        store.splice("e", 0, 1, [b"k%d" % number], [b"r"], [])
    mark, keys = changed(store, begun)
    assert keys is None or keys == {b"k%d" % number for number in range(300)}  # memory forgets nothing
    if "memory" not in store.shown:
        assert keys is None
    store.splice("e", 0, 1, [b"last"], [b"r"], [])
    assert changed(store, mark)[1] == {b"last"}


def test_a_mark_of_a_store_that_was_put_back_is_not_trusted(open_store):
    store = open_store()
    store.set_head("e", b"h", None)
    store.splice("e", 0, 1, [b"a"], [b"r"], [])
    mark, _ = store.changes("e", None)
    assert store.changes("e", mark.replace(b"1", b"9").replace(b"2", b"9"))[1] is None
