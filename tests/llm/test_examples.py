"""Which known queries a model is shown."""

import numpy as np
import pytest

from easyrec.llm import examples
from easyrec.llm.examples import ExampleIndex

QUERIES = ["red shoes", "red shoe", "running shoes", "garlic press", "steel garlic press", "tea pot", "shoe rack"]
CATEGORIES = ["shoes", "shoes", "shoes", "kitchen", "kitchen", None, "home"]
SPACE = np.eye(7, dtype=np.float32)


def index(**options):
    vectors = np.stack(
        [
            SPACE[0],
            0.99 * SPACE[0] + 0.1 * SPACE[1],
            SPACE[0] + SPACE[2],
            SPACE[3],
            SPACE[3] + SPACE[4],
            SPACE[5],
            SPACE[0] + SPACE[6],
        ]
    )
    return ExampleIndex(QUERIES, CATEGORIES, vectors, **options)


def names(selected):
    return [QUERIES[place] for place in selected.places]


def test_those_of_the_category_come_first_and_others_fill_up():
    found = index(diversity=0.0).select("?", "shoes", 4, vector=SPACE[0])
    assert names(found) == ["red shoes", "red shoe", "running shoes", "shoe rack"]
    assert found.inside == 3
    np.testing.assert_allclose(found.scores[0], 1.0, atol=1e-6)
    assert (np.diff(found.scores[:3]) < 0).all()


def test_without_a_category_all_are_looked_at():
    found = index(diversity=0.0).select("?", None, 2, vector=SPACE[3])
    assert names(found) == ["garlic press", "steel garlic press"]
    assert found.inside == 0
    assert index(diversity=0.0).select("?", "toys", 1, vector=SPACE[3]).places.tolist() == [3]


def test_those_that_say_the_same_are_not_both_shown():
    near, unlike = (index(diversity=share).select("?", "shoes", 2, vector=SPACE[0]) for share in (0.0, 0.6))
    assert names(near) == ["red shoes", "red shoe"]
    assert names(unlike) == ["red shoes", "running shoes"]


def test_some_can_be_left_out():
    found = index(diversity=0.0).select("?", "shoes", 2, vector=SPACE[0], without=[0])
    assert names(found) == ["red shoe", "running shoes"]
    assert len(index().select("?", "shoes", 100, vector=SPACE[0]).places) == len(QUERIES)


@pytest.mark.parametrize("by", ["words", "both"])
def test_words_find_too(by):
    vectors = None if by == "words" else np.eye(7, dtype=np.float32)
    with ExampleIndex(QUERIES, CATEGORIES, vectors, by=by, diversity=0.0) as found:
        asked = SPACE[4]
        first = found.select("garlic press of steel", "kitchen", 2, vector=asked)
        assert [QUERIES[place] for place in first.places] == ["steel garlic press", "garlic press"]
        assert found.select("steel press", None, 1, vector=asked).places.tolist() == [4]
    with ExampleIndex(QUERIES, CATEGORIES) as found:
        assert len(found.select("nothing alike", "toys", 2).places) == 0


def test_categories_are_told_by_the_nearest():
    own = index()
    assert own.category_of("?", vector=SPACE[0], k=3)[0] == "shoes"
    name, share = own.category_of("?", vector=SPACE[0] + 0.1 * SPACE[6], k=4)
    assert name == "shoes"
    assert 0.6 < share < 0.9
    assert own.category_of("?", vector=SPACE[5], k=1) == (None, 0.0)


def test_of_many_those_in_near_lists_are_compared_and_are_nearly_the_nearest(monkeypatch):
    monkeypatch.setattr(examples, "EXACT", 500)
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 16))
    vectors = np.repeat(centres, 50, axis=0) + 0.2 * random.normal(size=(2000, 16))
    names = [None if number < 700 else "all" for number in range(2000)]
    own = ExampleIndex([f"query {number}" for number in range(2000)], names, vectors, diversity=0.0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for place in range(0, 2000, 100):
        for category, low in ((None, 0), ("all", 700)):
            best = low + np.argsort(-(unit[low:] @ unit[place]))[:5]
            found = own.select("?", category, 5, vector=vectors[place])
            assert set(found.places.tolist()) == set(best.tolist())


def test_it_takes_no_nonsense():
    with pytest.raises(ValueError, match="needs vectors"):
        ExampleIndex(QUERIES, by="vectors")
    with pytest.raises(ValueError, match="one category and one vector"):
        ExampleIndex(QUERIES, CATEGORIES[1:])
    with pytest.raises(ValueError, match="at least one"):
        index().select("?", k=0, vector=SPACE[0])
    with pytest.raises(ValueError, match="embedder"):
        index().select("?")
    with ExampleIndex([]) as empty:
        assert len(empty.select("x").places) == 0
        assert empty.category_of("x") == (None, 0.0)
