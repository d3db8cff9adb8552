"""The store in memory: exact while there are few vectors, then lists that grow with them, saved now and then."""

import numpy as np
import pytest

from easyrec.retrieval.filters import conditions_of
from feature_generator.config import member

DIM = 16


def clustered(count, seed=1):
    """Vectors around some centres, which are the same for every seed."""
    centres = np.random.default_rng(0).normal(size=(50, DIM))
    random = np.random.default_rng(seed)
    made = centres[random.integers(0, 50, count)] + 0.5 * random.normal(size=(count, DIM))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def opened(folder, **fields):
    return member("rag.stores", "faiss").Config(**{"exact": 4096, **fields}).open(folder, "kb")


def facts(numbers):
    return [{"team": (f"t{number % 20}",), "old": (bool(number % 2),)} for number in numbers.tolist()]


def found(store, known, numbers, filter=None, passes=None):
    """Share of the ten nearest that are found."""
    questions, hits = clustered(40, seed=9), 0
    allowed = np.ones(len(numbers), bool) if passes is None else passes(numbers)
    for question in questions:
        near = np.where(allowed, known @ question, -np.inf)
        got, scores = store.search(question, 10, conditions_of(filter))
        assert (np.diff(scores) <= 0).all()
        hits += len(set(numbers[np.argsort(-near)[:10]].tolist()) & set(got.tolist()))
    return hits / 400


def test_it_is_exact_until_there_are_many_and_then_finds_nearly_all(tmp_path):
    store, known, numbers = opened(tmp_path), clustered(20_000), np.arange(20_000) + 5
    kinds = []
    for start in range(0, 20_000, 2000):
        some = slice(start, start + 2000)
        store.add(numbers[some], known[some], facts(numbers[some]))
        kinds.append((store._index.config.type, getattr(store._index.config, "lists", 0)))
    assert kinds[:2] == [("flat", 0)] * 2
    assert kinds[2] == ("ivf_sq", 128)
    assert kinds[-1] == ("ivf_sq", 256)
    assert len(set(kinds)) == 3
    store.commit(1)
    store.remove(numbers[::4])
    left, vectors = np.delete(numbers, slice(None, None, 4)), np.delete(known, slice(None, None, 4), axis=0)
    assert len(store) == 15_000
    assert found(store, vectors, left) >= 0.95
    for filter, passes in (
        ({"old": True}, lambda n: n % 2 == 1),
        ({"team": ["t3", "t4"]}, lambda n: np.isin(n % 20, [3, 4])),
        ({"team": "t3", "old": {"none": [False]}}, lambda n: n % 20 == 3),
    ):
        assert found(store, vectors, left, filter, passes) >= 0.95
    assert store.search(known[0], 10, conditions_of({"team": "t99"}))[0].tolist() == []
    store.commit(2)
    store.close()

    # Opened again, also where there are fewer than made it what it is.
    store = opened(tmp_path)
    assert (store.told(), len(store), store._index.config.lists) == (2, 15_000, 256)
    assert found(store, vectors, left) >= 0.95
    assert opened(tmp_path, exact=50_000).told() == 2
    thorough = opened(tmp_path, effort=1.0)
    assert (thorough.told(), thorough._index.config.probes) == (2, 256)
    assert found(thorough, vectors, left) >= 0.96
    # Of another kind it is told anew.
    assert opened(tmp_path, index={"type": "hnsw"}).told() == 0


def test_it_is_saved_when_much_has_changed_and_not_at_every_commit(tmp_path):
    store, numbers = opened(tmp_path), np.arange(1000)
    store.add(numbers, clustered(1000), facts(numbers))
    store.commit(1)
    about = tmp_path / "index" / "index.json"
    before = about.stat().st_mtime_ns
    for change in range(2, 11):
        store.add(np.array([change]), clustered(1, change), [{}])
        store.remove(np.array([500 + change]))
        store.commit(change)
    assert about.stat().st_mtime_ns == before
    assert opened(tmp_path).told() == 1
    store.remove(np.arange(100, 200))
    store.commit(11)
    assert about.stat().st_mtime_ns != before
    again = opened(tmp_path)
    assert (again.told(), len(again)) == (11, len(store))
    store.add(np.array([2000]), clustered(1), [{}])
    store.commit(12)
    store.close()
    assert opened(tmp_path).told() == 12


def test_what_is_known_is_kept_once_for_all_that_share_it_and_let_go_when_nobody_does(tmp_path):
    store = opened(tmp_path)
    for change in range(1, 5):
        known = [{"document": (f"{change}-{number // 10}",), "one": (1,)} for number in range(200)]
        store.add(np.arange(200), clustered(200, change), known)
        store.commit(change)
        assert len(store._groups) == 20 * change
    assert len(store._groups._numbers) == 20
    assert len(list(tmp_path.glob("groups-*"))) == 1
    store.add(np.array([500]), clustered(1), [{"document": ("1-0",)}])  # which was let go
    store.commit(5)
    store.close()
    store = opened(tmp_path)
    for name, value, expected in (
        ("document", "1-0", [500]),
        ("document", "3-1", []),
        ("document", "4-1", list(range(10, 20))),
        ("one", True, []),
        ("one", 1.0, list(range(200))),
    ):
        assert sorted(store.search(clustered(1)[0], 300, conditions_of({name: value}))[0].tolist()) == expected


@pytest.mark.parametrize("change", ["lost", "damaged", "another one's"])
def test_an_index_without_its_groups_is_told_anew(tmp_path, change):
    with opened(tmp_path / "a") as store:
        store.add(np.arange(9), clustered(9), facts(np.arange(9)))
        store.commit(3)
    assert opened(tmp_path / "a").told() == 3
    (path,) = (tmp_path / "a").glob("groups-*")
    if change == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9] if change == "damaged" else b"")
    assert opened(tmp_path / "a").told() == 0


@pytest.mark.parametrize("exact", [0, 100])
def test_few_vectors_are_always_compared_exactly(exact):
    with pytest.raises(ValueError, match="greater than or equal to 4096"):
        member("rag.stores", "faiss").Config(exact=exact)
