"""The time check rejects columns that look ahead, each by its test, and lets honest ones pass."""

import numpy as np
import pytest

from easyrec.tune.cross.column import Column
from easyrec.tune.cross.time_check import TimeCheck

NUMBER, ITEMS, USERS = 60_000, 600, 400


def follow(key, time, values, of):
    """By row: `of(values of the key's rows in order of time, place of the row)`."""
    found = np.empty(len(key))
    for one in np.unique(key):
        rows = np.flatnonzero(key == one)
        found[rows] = of(values[rows])
    return found


def mean_before(labels):
    seen = np.arange(len(labels))
    return (np.cumsum(labels) - labels + 2) / (seen + 10)


def mean_after(labels):
    seen = np.arange(len(labels))[::-1]
    return (np.cumsum(labels[::-1])[::-1] - labels + 2) / (seen + 10)


def next_ten(labels):
    whole = np.concatenate([[0], np.cumsum(labels)])
    end = np.minimum(np.arange(len(labels)) + 11, len(labels))
    return (whole[end] - whole[np.arange(len(labels)) + 1] + 2) / 20


@pytest.fixture(scope="module")
def log():
    random = np.random.default_rng(4)
    time = np.sort(random.random(NUMBER) * 1e6)
    item = random.integers(0, ITEMS, NUMBER)
    user = random.integers(0, USERS, NUMBER)
    place = random.integers(1, 9, NUMBER)
    # Qualities that drift, so that the near future says more than the far one.
    speed, phase = random.normal(0, 3, ITEMS), random.random(ITEMS) * 6.3
    quality = np.sin(speed[item] * time / 1e6 * 3 + phase[item]) + random.normal(0, 1, ITEMS)[item]
    logit = -1.2 + 0.6 * quality + random.normal(0, 0.5, USERS)[user] - 0.4 * np.log(place)
    label = (random.random(NUMBER) < 1 / (1 + np.exp(-logit))).astype(float)
    dwell = np.where(label > 0, random.exponential(30, NUMBER), 0) + 5 * (random.random(NUMBER) < 0.05)
    columns = {
        "item": item,
        "user": user,
        "attribute": (random.normal(0, 1, ITEMS) + np.cos(phase))[item],
        "place": place,
        "random": random.random(NUMBER),
        "before": follow(item, time, label, mean_before),
        "clicks before": follow(item, time, label, lambda y: np.cumsum(y) - y),
        "user clicks before": follow(user, time, label, lambda y: np.cumsum(y) - y),
        "shown before": follow(item, time, label, lambda y: np.arange(len(y)) * 1.0),
        "since": follow(item, time, time, lambda t: np.diff(t, prepend=t[0])),
        "after": follow(item, time, label, mean_after),
        "next ten": follow(item, time, label, next_ten) + random.normal(0, 0.2, NUMBER),
        "user after": follow(user, time, label, mean_after),
        "of all": follow(item, time, label, lambda y: np.full(len(y), (y.sum() + 2) / (len(y) + 10))),
        "user of all": follow(user, time, label, lambda y: np.full(len(y), (y.sum() + 2) / (len(y) + 10))),
        "clicks": follow(item, time, label, np.cumsum),
        "user clicks": follow(user, time, label, np.cumsum),
        "dwell": dwell,
        "bought": ((random.random(NUMBER) < 0.1) & (label > 0)).astype(int),
    }
    return columns, label, time


@pytest.fixture
def check(log, searched):
    columns, label, time = log
    return TimeCheck(searched(columns, label, time), ["item", "user"], [], {})


HONEST = [
    "item",
    "user",
    "attribute",
    "place",
    "random",
    "before",
    "clicks before",
    "user clicks before",
    "shown before",
]
AHEAD = ["after", "next ten", "user after", "of all", "user of all", "clicks", "user clicks", "dwell", "bought"]


@pytest.mark.parametrize("names", [[*HONEST, "since"]])
def test_columns_that_are_known_before_pass(check, names):
    told = {name: check.verdict(check.searched.columns[name]).reason for name in names}

    assert {name: reason for name, reason in told.items() if reason} == {}


@pytest.mark.parametrize("names", [AHEAD])
def test_columns_that_look_ahead_are_rejected_and_the_reason_tells_how(check, names):
    told = {name: check.verdict(check.searched.columns[name]) for name in names}

    assert [name for name, verdict in told.items() if verdict.passed] == []
    assert told["next ten"].test == "future"
    assert told["user of all"].test == "sums"
    assert "in the row of item before" in told["dwell"].reason
    assert "positive in 100%" in told["bought"].reason
    assert "of the rows of item that come after" in told["next ten"].reason


def test_the_keys_are_of_each_side_the_column_with_most_words(log, searched):
    columns, label, time = log
    some = {name: columns[name] for name in ("item", "user", "place")}

    assert {f.name for f in TimeCheck(searched(some, label, time), None, [], {}).followed} == {"item", "user"}
    rare = searched({"item": np.arange(NUMBER), "place": columns["place"]}, label, time)
    assert [f.name for f in TimeCheck(rare, None, [], {}).followed] == ["place"]


def test_what_the_config_declares_comes_first(log, searched):
    columns, label, time = log
    some = searched({name: columns[name] for name in ("item", "place", "dwell", "random")}, label, time)
    some.available["random"] = some.time + np.where(np.arange(NUMBER) % 4, -1.0, 1.0)
    check = TimeCheck(some, ["item"], ["dwell"], {"place": 60.0})

    assert check.verdict(some.columns["place"]).reason == "declared: known 60 s after the event"
    assert check.verdict(some.columns["random"]).reason == "declared: known after the event in 25.0% of the rows"
    assert check.verdict(some.columns["dwell"]).passed  # trusted


def test_without_a_time_only_declarations_count(log, searched):
    columns, label, time = log
    some = searched({"item": columns["item"], "dwell": columns["dwell"]}, label, time)
    some.time = None

    assert TimeCheck(some, ["item"], [], {}).verdict(Column("dwell", "item:dwell", "numbers")).passed
    assert not TimeCheck(some, ["item"], [], {"dwell": 1.0}).verdict(some.columns["dwell"]).passed
