"""The world: what is random is seeded, and what is known is true."""

import numpy as np
import pytest

from easyrec.simulate import Requests, World, WorldConfig
from easyrec.simulate.history import History
from easyrec.simulate.world import EMPTY, top_k

SMALL = {"users": 300, "items": 120, "days": 6, "new_items_per_day": 5, "ctr": 0.1}


@pytest.fixture(scope="module")
def world():
    return World(WorldConfig(**SMALL, shift={"day": 3}))


def moments(world, number=400, day=1):
    requests = world.requests(day, number)
    lists = top_k(np.random.default_rng(0).random((number, world.items.live(int(requests.time[0])))), 8)
    return requests, lists


def test_one_seed_is_one_world_and_another_seed_another():
    def facts(seed):
        world = World(WorldConfig(**SMALL, seed=seed))
        requests, lists = moments(world)
        answered = world.respond(requests, lists)
        return [world.items.table(), world.users.table(), requests.user.tobytes(), answered.clicked.tobytes()]

    one, same, other = facts(3), facts(3), facts(4)
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_clicks_are_as_frequent_as_truth_says(world):
    requests, lists = moments(world, 20_000)
    clicked = world.respond(requests, lists).clicked
    chance = world.attraction(requests.user, requests.time, lists) * world.examination(8)
    assert np.allclose(world.truth(requests, lists), chance.sum(axis=1))
    error = np.sqrt((chance * (1 - chance)).sum(axis=0)) / len(lists)
    assert (np.abs(clicked.mean(axis=0) - chance.mean(axis=0)) < 4 * error).all()


def test_positions_are_looked_at_as_they_are_said_to_be(world):
    requests, lists = moments(world, 20_000)
    looked, known = world.respond(requests, lists).examined.mean(axis=0), world.examination(8)
    assert (np.abs(looked - known) < 4 * np.sqrt(known * (1 - known) / len(lists)) + 1e-9).all()
    assert known[0] == 1.0
    assert known[3] == pytest.approx(0.98**3 / 4)


def test_no_list_is_worth_more_than_the_oracles(world):
    requests, lists = moments(world, 60)
    best, value = world.best(requests, 3)
    assert np.allclose(value, world.truth(requests, best))
    for row in range(len(requests)):  # by trying all that could be put first, second and third
        one = requests[slice(row, row + 1)]
        live = world.items.live(int(one.time[0]))
        chance = np.sort(world.attraction(one.user, one.time, np.arange(live)[None])[0])[::-1]
        assert value[row] == pytest.approx((chance[:3] * world.examination(3)).sum(), abs=1e-5)
    assert (world.truth(requests, lists[:, :3]) <= value + 1e-6).all()
    assert (world.truth(requests, best[:, ::-1]) <= value + 1e-6).all()


def test_all_items_at_once_are_scored_as_one_by_one(world):
    requests, _ = moments(world, 50)
    history = History(len(world.users))
    clicked = np.arange(50) % 7
    history.add(requests.user, requests.time - 1000, clicked)
    every = np.arange(world.items.live(int(requests.time[0])))[None]
    whole = world.logits(requests.user, requests.time, every, history)
    again = world.logits(requests.user, requests.time, np.repeat(every, 50, axis=0), history)
    assert np.allclose(whole, again)


def test_what_was_clicked_tires_and_time_heals(world):
    requests, _ = moments(world, 1)
    item = np.array([[4]])
    history = History(len(world.users))

    def logit(hours):
        later = requests.time + hours * 3_600_000
        return world.logits(requests.user, later, item, history)[0, 0] - world.logits(requests.user, later, item)[0, 0]

    assert logit(0) == 0.0
    history.add(requests.user, requests.time, np.array([4]))
    assert logit(0) == pytest.approx(-2.0)
    assert logit(72) == pytest.approx(-2.0 / np.e)


def test_a_history_keeps_the_newest():
    history = History(2, depth=3)
    history.add(np.array([1, 0, 1, 1, 1]), np.arange(5), np.array([10, 20, 11, 12, 13]))
    assert set(history.item[1]) == {11, 12, 13}
    history.add(np.array([1]), np.array([9]), np.array([14]))
    assert set(history.item[1]) == {12, 13, 14}
    assert set(history.item[0]) == {20, -1}


def test_the_shift_turns_good_lists_into_poor_ones_and_nothing_else_does(world):
    before, after = world.requests(2, 500), world.requests(3, 500)
    late = Requests(before.number, before.user, before.time + 86_400_000)
    assert (late.time[0] >= world.clock.begin(3)) and (after.time[0] >= world.clock.begin(3))
    kept = world.truth(late, world.oracle(before, 8)).mean()
    assert kept < 0.6 * world.best(late, 8)[1].mean()
    calm = World(WorldConfig(**SMALL))
    calm_kept = calm.truth(late, calm.oracle(before, 8)).mean()
    assert calm_kept > 0.95 * calm.best(late, 8)[1].mean()


def test_new_items_come_when_their_day_begins(world):
    assert world.items.live(world.clock.begin(0) - 1) == 120
    assert world.items.live(world.clock.begin(0)) == 125
    assert world.items.live(world.clock.begin(5)) == len(world.items) == 150
    assert world.items.table(world.clock.begin(1)).num_rows == 130
    early = world.requests(0, 5)
    assert (world.attraction(early.user, early.time, np.full((5, 1), 149)) == 0).all()
    assert (world.attraction(early.user, early.time, np.full((5, 1), EMPTY)) == 0).all()


def test_random_items_are_clicked_as_often_as_the_config_says(world):
    requests, lists = moments(world, 4000)
    assert world.attraction(requests.user, requests.time, lists).mean() == pytest.approx(0.1, rel=0.2)
