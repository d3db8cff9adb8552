import numpy as np
import pyarrow as pa
import pytest

from easyrec.config.cross import CrossConfig
from easyrec.tune.cross.codes import Codes
from easyrec.tune.cross.column import Column
from easyrec.tune.cross.rows import Searched


def log(number, seed, *, items=60, users=150, days=10):
    """A log of clicks: quality of items, and prices that are liked, and a cross of `color` and `slot`."""
    random = np.random.default_rng(seed)
    quality, worth = np.random.default_rng(9).normal(0, 0.7, items), np.random.default_rng(8).normal(0, 0.4, users)
    time = np.sort(random.integers(0, days * 86400, number)) + 1_700_006_400
    item, user = random.integers(0, items, number), random.integers(0, users, number)
    color, slot = random.integers(0, 6, number), random.integers(0, 8, number)
    price = np.exp(random.normal(3, 0.7, number))
    logit = -1.5 + quality[item] + worth[user] + 1.2 * ((color + slot) % 2) + 1.2 * ((price > 15) & (price < 25))
    return {
        "time": time,
        "item": item,
        "user": user,
        "color": np.array(["red", "blue", "green", "grey", "pink", "black"])[color],
        "slot": slot,
        "price": price.astype(np.float32),
        "click": (random.random(number) < 1 / (1 + np.exp(-logit))).astype(np.int64),
    }


@pytest.fixture(scope="session")
def make_log():
    return log


@pytest.fixture(scope="session")
def rows():
    return log(24_000, 1)


@pytest.fixture
def searched():
    """Makes the rows of a search of columns as they are given: codes are those of words, in their order."""

    def make(columns, labels, time, *, holdout=0.2, valid=0, config=None, experiment=None):
        words, dictionary, numbers, named = {}, {}, {}, {}
        for name, values in columns.items():
            side = "user" if name.startswith("user") else "item"
            if np.asarray(values).dtype.kind == "f":
                numbers[name], named[name] = np.asarray(values, float), Column(name, f"{side}:{name}", "numbers")
                continue
            coded = pa.array(values).cast(pa.large_string()).dictionary_encode()
            words[name] = Codes(coded.indices.to_numpy().astype(np.int32) + 1, len(coded.dictionary) + 1)
            dictionary[name], named[name] = coded.dictionary, Column(name, f"{side}:{name}", "words")
        train = len(labels) - valid
        cut = int(train * (1 - holdout))
        return Searched(
            experiment=experiment,
            config=config or CrossConfig(),
            columns=named,
            labels=np.asarray(labels, float),
            weight=None,
            time=np.asarray(time, float),
            time_column="time",
            fit=slice(0, cut),
            judge=slice(cut, train),
            valid=slice(train, len(labels)),
            words=words,
            dictionary=dictionary,
            numbers=numbers,
            base={},
            left_out={},
            distinct={name: float(codes.size - 1) for name, codes in words.items()},
            available={},
            total=train,
            sample=pa.record_batch({"x": [1]}),
        )

    return make
