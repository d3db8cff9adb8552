"""Aggregates against a loop over the rows before, and against what the features make of their tables."""

import math

import numpy as np
import pytest

from easyrec.config import load_experiment
from easyrec.config.cross import AggregatesConfig, CrossConfig
from easyrec.tune.cross.aggregates import Aggregate, Tables, table_text, told
from easyrec.tune.cross.buckets import coded
from feature_generator import FeatureGenerator

HOUR = 3600.0
EXPERIMENT = {
    "name": "toy",
    "data": {"labels": ["click"]},
    "features": [{"type": "id", "name": "item", "expression": "item:item", "num_buckets": 10}],
    "model": {"type": "lr"},
}


@pytest.fixture
def some(searched):
    random = np.random.default_rng(2)
    time = np.sort(random.integers(0, 48, 600)) * HOUR / 2 + 7 * HOUR
    columns = {"item": random.integers(0, 7, 600), "user": random.integers(0, 5, 600)}
    labels = random.integers(0, 2, 600)
    return searched(columns, labels, time, valid=50, experiment=load_experiment(EXPERIMENT))


def by_hand(searched, config, aggregate):
    """The aggregate of each row: all that was known strictly before the row's period began."""
    train, found = searched.judge.stop, []
    keys = list(zip(*(searched.words[name].values for name in aggregate.keys), strict=True))
    start = math.floor(searched.time[0] / config.every) * config.every
    last = math.floor((searched.time[train - 1] + config.delay - start) / config.every) + 1
    rate = searched.labels[searched.fit].mean()
    for row, time in enumerate(searched.time):
        period = min(math.floor((time - start) / config.every), last)
        begins = start + period * config.every
        reach = math.inf if aggregate.window is None else aggregate.window
        seen = [
            searched.labels[other]
            for other in range(train)
            if keys[other] == keys[row]
            and searched.time[other] + config.delay < begins
            and (searched.time[other] + config.delay >= begins - reach)
        ]
        if not seen:
            found.append(math.nan)
        elif aggregate.measure == "rate":
            found.append((sum(seen) + config.smoothing * rate) / (len(seen) + config.smoothing))
        else:
            back = last + 1 if aggregate.window is None else int(aggregate.window // config.every)
            found.append(len(seen) / min(max(period, 1), back))
    return np.array(found)


@pytest.mark.parametrize("keys", [("item",), ("user", "item")])
@pytest.mark.parametrize(("window", "delay"), [(None, 0.0), (6 * HOUR, 0.0), (None, 5 * HOUR), (9 * HOUR, 2.5 * HOUR)])
@pytest.mark.parametrize("measure", ["rate", "count"])
def test_an_aggregate_holds_what_was_known_before_the_rows_period(some, keys, window, delay, measure):
    config = AggregatesConfig(windows=["3h"], every="3h", delay=delay)
    one = Aggregate(keys, window, measure)

    values, _, _ = Tables(some, config).values(one)

    assert values == pytest.approx(by_hand(some, config, one), nan_ok=True)
    assert np.isfinite(values).any()


@pytest.mark.parametrize("measure", ["rate", "count"])
def test_labels_and_rows_to_come_change_nothing(some, searched, measure):
    config = AggregatesConfig(windows=["3h"], every="3h", smoothing=5)
    one = Aggregate(("item",), None, measure)
    before = Tables(some, config).values(one)[0]
    row = 300
    begins = np.floor((some.time[row] - 6 * HOUR) / (3 * HOUR)) * 3 * HOUR + 6 * HOUR
    some.labels[(some.time >= begins) & (np.arange(len(some.labels)) >= some.fit.stop)] = 1
    late = some.time >= begins

    after = Tables(some, config).values(one)[0]

    rows = np.flatnonzero(~late | (np.arange(len(late)) == row))
    assert after[rows] == pytest.approx(before[rows], nan_ok=True)


def test_the_features_look_up_what_the_search_saw_and_new_rows_see_the_newest_table(some, tmp_path):
    config = AggregatesConfig(windows=["3h"], every="3h", delay="1h")
    tables = Tables(some, config)
    for one in (Aggregate(("item",), 6 * HOUR, "rate"), Aggregate(("user", "item"), None, "count")):
        values = tables.values(one)[0]
        edges = [float(np.float32(e)) for e in np.unique(np.nanquantile(values, [0.2, 0.5, 0.8]))]
        codes = coded(values, edges)
        file = tmp_path / f"{one.name}.txt"
        words, buckets = tables.entries(one, edges)
        file.write_text(table_text(words, buckets))
        features = tables.features(one, some.columns, str(file), lambda name: name)
        generator = FeatureGenerator.load({"features": list(features)})
        asked = {
            name: [str(some.dictionary[name][v - 1]) for v in some.words[name].values] for name in ("user", "item")
        }

        made = generator.transform({**asked, "time": some.time})[one.name]

        assert made.values.tolist() == codes.values.tolist()
        assert len(set(codes.values.tolist())) > 2
        newest = generator.transform({**asked, "time": np.full(len(some.time), 1e6)})[one.name].values
        unknown = generator.transform({**asked, "time": [None] * len(some.time)})[one.name].values
        assert newest.tolist() == unknown.tolist()
        nobody = {name: ["?"] * 1 for name in asked}
        assert generator.transform({**nobody, "time": [some.time[-1]]})[one.name].values.tolist() == [0]


def test_keys_are_those_whose_rows_come_often_and_tables_are_bounded(searched, rows):
    columns = {"user": rows["user"] % 100, "item": rows["item"], "color": rows["color"], "rare": np.arange(24_000)}
    some = searched(columns, rows["click"], rows["time"])

    assert Tables(some, AggregatesConfig()).keys() == [("user",), ("item",), ("user", "item")]
    wanted = list(Tables(some, AggregatesConfig(keys=["color", ["item", "color"]], windows=["1d"])).wanted())
    assert [one.name for one in wanted] == [
        "color_rate_1d",
        "color_count_1d",
        "item_x_color_rate_1d",
        "item_x_color_count_1d",
    ]
    small = Tables(some, AggregatesConfig(max_entries=10))
    assert small.entries(Aggregate(("item",), None, "rate"), [0.2]) is None


@pytest.mark.parametrize(
    ("windows", "message"),
    [(["36h"], "multiples of 'every', 86400 s, but one is 129600 s"), (["soon"], "no time: write a number and")],
)
def test_windows_that_no_table_has_are_refused(windows, message):
    with pytest.raises(ValueError, match=message):
        CrossConfig.model_validate({"aggregates": {"windows": windows}})


def test_times_are_told_as_they_are_written():
    assert [told(s) for s in (7 * 86400, 43200, 90, 0.5)] == ["7d", "12h", "90s", "0_5s"]
