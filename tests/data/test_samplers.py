"""Samplers draw what they say: by chi-square, and the log of what is expected by counting."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from easyrec.data.samplers import Lists, build
from easyrec.data.samplers._shares import Shares
from easyrec.data.samplers.hard import some_of
from feature_generator.config import member, members

FAMILY = "easyrec.data.samplers"
COUNTS = np.array([40.0, 1, 7, 0, 12, 25, 3, 12])
OWN = np.array([5, 0, 0, 4, 0, 7])
NEEDED = {"hard": {"feature": "shown"}}
"""Keys that a sampler cannot do without."""


def sampler(name, logq=True, **keys):
    return build(member(FAMILY, name).Config(type=name, logq=logq, **NEEDED.get(name, {}), **keys), COUNTS)


def shares(name):
    weights = np.ones(8) if name == "uniform" else np.maximum(COUNTS, 1) ** 0.75
    return weights / weights.sum()


def drawn_singly(made, random, draws=20_000):
    """How often each item is drawn, one draw at a time."""
    return np.bincount([made.draw(OWN, random).items[0] for _ in range(draws)], minlength=8)


@pytest.mark.parametrize("name", ["uniform", "popularity"])
def test_items_are_drawn_in_their_shares(name):
    found = drawn_singly(sampler(name, negatives=1), np.random.default_rng(1))
    assert chisquare(found, 20_000 * shares(name)).pvalue > 0.01


def test_a_power_of_0_is_uniform_and_of_1_the_counts():
    for alpha, weights in ((0.0, np.ones(8)), (1.0, np.maximum(COUNTS, 1))):
        found = drawn_singly(sampler("popularity", negatives=1, alpha=alpha), np.random.default_rng(2))
        assert chisquare(found, 20_000 * weights / weights.sum()).pvalue > 0.01


@pytest.mark.parametrize("weights", [[1.0], [0.0, 2.0, 0.0], [1.0] * 1000, np.arange(500) ** 2.0])
def test_shares_of_any_form_are_drawn(weights):
    made = Shares(np.array(weights))
    drawn = np.bincount(made.draw(200_000, np.random.default_rng(3)), minlength=len(weights))
    some = np.array(weights) > 0
    assert not drawn[~some].any()
    if some.sum() > 1:
        assert chisquare(drawn[some], 200_000 * made.shares[some]).pvalue > 0.001


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_the_same_chance_draws_the_same(name):
    keys = {"negatives": 3} if name in ("uniform", "popularity", "mixed") else {}
    first, again, other = (sampler(name, **keys).draw(OWN, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.items, again.items)
    if keys:
        assert not np.array_equal(first.items, other.items)


@pytest.mark.family(FAMILY)
@pytest.mark.parametrize("name", members(FAMILY))
def test_candidates_are_items_and_hold_the_own_ones_where_they_say_so(name):
    draw = sampler(name).draw(OWN, np.random.default_rng(6))
    assert ((draw.items >= 0) & (draw.items < 8)).all()
    assert (np.diff(draw.items) > 0).all()
    assert not draw.inside or set(OWN) <= set(draw.items)
    for logs, items in ((draw.log_q, draw.items), (draw.own_log_q, np.unique(OWN))):
        assert logs is None or (logs.dtype, len(logs)) == (np.float32, len(items))
    assert (draw.own_log_q is not None) == (draw.log_q is not None and not draw.inside)


@pytest.mark.parametrize("name", ["cross_batch", "hard", "in_batch", "mixed", "popularity"])
def test_log_q_is_how_often_an_item_is_expected(name):
    """Batches of rows in the shares of the counts; how often each item is a candidate is counted."""
    keys = {"cross_batch": {"batches": 2}, "hard": {"beside": {"type": "mixed", "negatives": 5}}, "in_batch": {}}
    made, random = sampler(name, **keys.get(name, {"negatives": 5})), np.random.default_rng(7)
    rows, batches, seen, logs = COUNTS / COUNTS.sum(), 20_000, np.zeros(8), np.full(8, np.nan)
    for own in random.choice(8, (batches, 6), p=rows):
        draw = made.draw(own, random)
        np.add.at(seen, draw.items, 1)
        logs[draw.items] = draw.log_q
    met = seen > 0
    np.testing.assert_allclose(np.exp(logs[met]), seen[met] / batches, rtol=0.08, atol=2e-3)


def test_without_logq_nothing_is_corrected():
    for name in ("cross_batch", "hard", "in_batch", "mixed", "popularity"):
        assert sampler(name, logq=False).draw(OWN, np.random.default_rng(8)).log_q is None


def test_mixed_draws_the_rest_uniformly():
    made, random = sampler("mixed", negatives=1), np.random.default_rng(9)
    found = np.zeros(8)
    for _ in range(20_000):
        found[made.draw(OWN, random).items] += 1
    others = np.setdiff1d(np.arange(8), OWN)
    assert (found[np.unique(OWN)] == 20_000).all()
    inside = 20_000 - found[others].sum()  # the draws that met an own item
    assert chisquare([inside, *found[others]], [20_000 * 4 / 8, *[20_000 / 8] * 4]).pvalue > 0.01


def test_cross_batch_holds_the_items_of_the_batches_before():
    made, random = sampler("cross_batch", batches=2), np.random.default_rng(10)
    batches = random.integers(0, 8, (12, 3))
    for number, own in enumerate(batches):
        draw = made.draw(own, random)
        assert draw.items.tolist() == sorted(set(batches[max(number - 2, 0) : number + 1].flatten()))
        positions = 3 * min(number + 1, 3)
        shares = COUNTS / COUNTS.sum()
        np.testing.assert_allclose(
            np.exp(draw.log_q), np.maximum(1 - (1 - shares[draw.items]) ** positions, 1e-30), rtol=1e-5
        )


def test_cross_batch_goes_on_from_what_it_kept():
    whole, first, second = (sampler("cross_batch", batches=3) for _ in range(3))
    batches = np.random.default_rng(11).integers(0, 8, (9, 4))
    expected = [whole.draw(own, None).items.tolist() for own in batches]
    found = [first.draw(own, None).items.tolist() for own in batches[:5]]
    second.earlier = first.earlier
    assert found + [second.draw(own, None).items.tolist() for own in batches[5:]] == expected


def lists(*rows):
    return Lists(np.array([item for row in rows for item in row], np.int64), np.cumsum([0, *map(len, rows)]))


def test_some_of_a_rows_items_are_drawn_uniformly_and_each_once():
    """Of five different items, named seven times, two; the catalogue lacks one more."""
    named, random, found = lists([], [1, 2, 2, 7, 5, 0, 1, -1], [4]), np.random.default_rng(12), np.zeros(8)
    for _ in range(5_000):
        block = some_of(named, 8, 2, random)
        assert block[0].tolist() == [-1, -1]
        assert block[2].tolist() == [4, -1]
        assert len(set(block[1])) == 2
        found[block[1]] += 1
    assert chisquare(found[[0, 1, 2, 5, 7]]).pvalue > 0.01
    assert found.sum() == 10_000


def test_fewer_items_than_asked_for_are_all_taken():
    block = some_of(lists([3, 1, 3], [], [6]), 8, 5, np.random.default_rng(13))
    assert [sorted(set(row) - {-1}) for row in block.tolist()] == [[1, 3], [], [6]]
    assert some_of(lists([], []), 8, 5, np.random.default_rng(13)).shape == (2, 0)


def test_what_a_row_names_is_that_of_each_of_its_positions():
    made = sampler("hard", negatives=2)
    block = made.apart(
        np.array([1, 1, 1]), np.array([0, 2, 2]), {"feature": lists([5], [4], [3, 6])}, np.random.default_rng(1)
    )
    assert [sorted(row) for row in block.tolist()] == [[-1, 5], [3, 6], [3, 6]]


@pytest.mark.parametrize(
    ("beside", "text"),
    [
        ({"type": "hard", "feature": "shown"}, "the sampler beside 'hard' is another one"),
        ({"type": "uniform", "known": "seen"}, "'known' is a key of 'hard' itself"),
        ({"type": "popularity", "logq": True}, "'logq' is a key of 'hard' itself"),
    ],
)
def test_what_cannot_stand_beside_hard_is_refused(beside, text):
    with pytest.raises(ValidationError, match=text):
        sampler("hard", beside=beside)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"feature": None}, "give one of them"),
        ({"index": {"type": "flat"}}, "give one of them"),
        ({"feature": None, "index": {"type": "flat"}, "top": [5, 5]}, "there is no rank from 5 to before 5"),
    ],
)
def test_hard_items_come_from_one_place(keys, text):
    with pytest.raises(ValidationError, match=text):
        member(FAMILY, "hard").Config(**{"feature": "shown", **keys})


def test_ranks_of_near_items_are_drawn_uniformly():
    made = build(member(FAMILY, "hard").Config(index={"type": "flat"}, negatives=2), COUNTS)
    own, random, found = np.array([3, 6]), np.random.default_rng(14), np.zeros(5)
    assert made.apart(own, own, {}, random).shape == (2, 0)  # before the first are found
    made.near = np.arange(40).reshape(8, 5)
    for _ in range(4_000):
        block = made.apart(own, own, {}, random)
        assert (np.diff(np.sort(block, axis=1), axis=1) > 0).all()
        assert (block // 5 == own[:, None]).all()
        found[block[0] % 5] += 1
    assert chisquare(found).pvalue > 0.01


def test_the_catalogue_is_listed_once():
    made = sampler("everything")
    assert made.draw(OWN, None).items is made.draw(OWN, None).items
