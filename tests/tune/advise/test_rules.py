"""Every rule tells of the fault that is planted for it, and of nothing else; what it proposes is a config that is checked."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.config.experiment import experiment_of
from easyrec.tune.advise import api
from easyrec.tune.advise.rules.slow_dense import able
from easyrec.tune.search import load_search
from feature_generator.config import Document, override

FAULTS = {}
"""By rule: what plants its fault in `config` and `data`, and gives the keys that are told."""


def plants(*rules):
    def known(plant):
        for rule in rules:
            FAULTS.setdefault(rule, []).append(plant)
        return plant

    return known


def feature(config, name, **keys):
    """A feature with other keys; a key of None is left out."""
    entry = next(entry for entry in config["features"] if entry["name"] == name)
    entry |= keys
    for key in [key for key, value in entry.items() if value is None]:
        del entry[key]


def added(config, data, name, train, valid, **keys):
    """A feature over a column of its own."""
    data["train"][name], data["valid"][name] = train, valid
    config["features"].append({"type": "id", "name": name, "expression": f"item:{name}", **keys})


# ------------------------------------------------------------------------------------------ data


@plants("small_buckets")
def a_hash_too_small(config, data):
    feature(config, "user_id", num_buckets=None, hash_bucket_size=100)
    return {"small_buckets:user_id": {"features[user_id].hash_bucket_size": 2000}}


@plants("small_buckets")
def a_hash_too_small_of_two_that_share_a_table(config, data):
    feature(config, "user_id", num_buckets=None, hash_bucket_size=100, embedding_name="user")
    added(
        config,
        data,
        "friend",
        data["train"]["user_id"][::-1].to_numpy(),
        5,
        hash_bucket_size=100,
        embedding_name="user",
    )
    both = {"features[user_id].hash_bucket_size": 2000, "features[friend].hash_bucket_size": 2000}
    return {"small_buckets:user_id": both, "small_buckets:friend": both}


@plants("spare_rows")
def a_table_of_millions_for_hundreds(config, data):
    feature(config, "user_id", num_buckets=2_000_000)
    return {"spare_rows:user_id": {"features[user_id].num_buckets": 1000}}


@plants("unknown_words")
def words_that_are_written_otherwise(config, data):
    data["train"]["color"] = data["train"]["color"].str.upper()
    settings = {"features[color].vocab_list": None, "features[color].hash_bucket_size": 100}
    return {"unknown_words:color": settings, "new_in_valid:color": None}


@plants("out_of_range")
def numbers_beyond_their_buckets(config, data):
    feature(config, "user_id", num_buckets=300)
    return {"out_of_range:user_id": {"features[user_id].num_buckets": 400}}


@plants("out_of_range")
def numbers_that_count_nothing(config, data):
    for frame in data.values():
        frame["user_id"] *= 1_000_003
    return {
        "out_of_range:user_id": {
            "features[user_id].num_buckets": None,
            "features[user_id].hash_bucket_size": 2000,
        }
    }


@plants("constant_feature")
def one_value_in_all_rows(config, data):
    added(config, data, "app", "ours", "ours", hash_bucket_size=10)
    return {"constant_feature:app": {"features[app].stub_type": True}}


@plants("constant_feature")
def one_number_in_a_group(config, data):
    added(config, data, "zero", 0.0, 0.0, type="raw")
    config["model"]["groups"] = {"deep": ["user_id", "city", "color", "price", "zero"]}
    config["model"]["type"] = "dnn"
    settings = {"features[zero].stub_type": True, "model.groups.deep": ["user_id", "city", "color", "price"]}
    return {"constant_feature:zero": settings}


@plants("missing_in_valid")
def a_column_that_is_filled_later(config, data):
    added(config, data, "brand", data["train"]["city"], None, hash_bucket_size=1000)
    settings = {"features[brand].stub_type": True}
    return {"missing_in_valid:brand": settings, "same_feature:brand": None}


@plants("leaking_feature")
def a_feature_that_comes_after_the_label(config, data):
    noise = np.random.default_rng(3).random(6000) < 0.001
    train = np.where(data["train"]["click"] ^ noise, "bought", "left")
    added(config, data, "basket", train, np.where(data["valid"]["click"], "bought", "left"), hash_bucket_size=10)
    return {"leaking_feature:basket": {"features[basket].stub_type": True}}


@plants("leaking_feature")
def a_number_that_comes_after_the_label(config, data):
    columns = [frame["click"] * 5.0 + frame["price"] / 10 for frame in data.values()]
    added(config, data, "dwell", *columns, type="raw", embedding_dim=4)
    return {"leaking_feature:dwell": {"features[dwell].stub_type": True}}


@plants("leaking_feature")
def a_value_that_only_clicks_have(config, data):
    random = np.random.default_rng(3)
    columns = [frame["click"] * (random.random(len(frame)) < 0.3) for frame in data.values()]
    added(config, data, "buy", *columns, num_buckets=2)
    return {"leaking_feature:buy": {"features[buy].stub_type": True}}


@plants("same_feature")
def a_column_under_two_names(config, data):
    columns = [frame["color"].map({"red": "r", "green": "g", "blue": "b"}) for frame in data.values()]
    added(config, data, "paint", *columns, hash_bucket_size=100)
    return {"same_feature:paint": {"features[paint].stub_type": True}}


@plants("one_time_ids")
def an_id_per_row(config, data):
    added(config, data, "request", np.arange(6000), np.arange(6000, 9000), hash_bucket_size=100_000)
    return {"one_time_ids:request": {"features[request].stub_type": True}}


@plants("new_in_valid")
def a_date(config, data):
    added(config, data, "date", [f"day {i % 20}" for i in range(6000)], "day 21", hash_bucket_size=1000)
    return {"new_in_valid:date": {"features[date].stub_type": True}}


@plants("rare_positives")
def a_label_of_one_in_a_thousand(config, data):
    frame = pd.concat([data["train"], data.pop("valid")])  # of whose parts nobody knows the rows before they are read
    data["train"] = frame.assign(click=(np.arange(len(frame)) % 1000 == 0).astype(np.int64))
    config["data"]["split"] = {"by": "time", "column": "timestamp", "valid_from": 86_400}
    return {"rare_positives": {"data.negative_sampling": {"keep_rate": 0.009}}}


@plants("label_shift")
def a_label_that_is_twice_as_frequent(config, data):
    random = np.random.default_rng(4)
    data["valid"]["click"] = data["valid"]["click"] | (random.random(3000) < 0.2)
    return {"label_shift": {"eval.calibration": {"method": "platt"}}}


@plants("mixed_times")
def rows_that_are_divided_at_random(config, data):
    data["valid"]["timestamp"] -= 86_400
    first = int(np.quantile(data["train"]["timestamp"], 0.9))
    return {"mixed_times": {"data.split": {"by": "time", "column": "timestamp", "valid_from": first}}}


@plants("repeated_rows")
def rows_that_are_in_both_parts(config, data):
    data["train"].loc[data["train"].index[:300]] = data["valid"].iloc[:300].to_numpy()
    data["train"] = data["train"].convert_dtypes().astype(data["valid"].dtypes)
    return {"repeated_rows": {}}


@plants("wide_numbers")
def numbers_in_thousands(config, data):
    config["model"] |= {"type": "dnn"}
    added(config, data, "income", data["train"]["price"] * 1000, data["valid"]["price"] * 1000, type="raw")
    mean, deviation = data["train"]["income"].mean(), data["train"]["income"].to_numpy(np.float32).std()
    text = f"method=zscore,mean={mean:.6g},standard_deviation={deviation:.6g}"
    return {"wide_numbers:income": {"features[income].normalizer": text}}


@plants("wide_numbers")
def numbers_with_a_long_tail(config, data):
    config["model"] |= {"type": "dnn"}
    added(config, data, "visits", *(np.exp(frame["price"]) for frame in data.values()), type="raw")
    return {"wide_numbers:visits": {"features[visits].normalizer": "method=expression,expr=log(x+1)"}}


@plants("lopsided_buckets")
def boundaries_of_other_numbers(config, data):
    feature(config, "price", boundaries=[100, 200])
    settings = {
        "features[price].boundaries": [
            float(f"{x:.4g}") for x in np.quantile(data["train"]["price"], np.arange(1, 20) / 20)
        ]
    }
    return {"lopsided_buckets:price": settings}


@plants("sorted_rows")
def rows_in_the_order_of_their_label(config, data):
    config["data"]["shuffle"] = False
    data["train"] = data["train"].sort_values("click", ascending=False)
    return {"sorted_rows": {"data.shuffle": {"buffer_rows": 1_000_000}}}


# ---------------------------------------------------------------------------------------- config


@plants("whole_tables")
def adam_over_large_tables(config, data):
    feature(config, "user_id", num_buckets=None, hash_bucket_size=1_500_000)
    config["train"]["sparse_optimizer"] = {"type": "adam", "lr": 0.02, "schedule": {"type": "cosine"}}
    config["train"]["embedding_regularizer"] = 0.001
    slim = {"type": "lazy_adam", "lr": 0.02, "schedule": {"type": "cosine"}}
    return {
        "whole_tables:adam": {"train.sparse_optimizer": slim},
        "whole_tables:regularizer": {"train.embedding_regularizer": 0.0},
        "spare_rows:user_id": None,
    }


@plants("tight_memory")
def tables_of_a_terabyte(config, data):
    feature(config, "user_id", num_buckets=10_000_000_000)
    return {"tight_memory": None, "spare_rows:user_id": None}


# --------------------------------------------------------------------------------------- profile


def profiled(parts, **reader):
    """A profile of 100 steps of 100 ms, as training writes it."""
    known = {"waiting for data": 0.1, "lookup": 1.0, "forward": 2.0, "losses": 0.2, "backward": 4.0, **parts}
    spent = {"reading": 0.5, "features": 0.5, "batches": 0.1, **reader}
    about = {"steps": 100, "batch_size": 256, "device": "cuda:0", "threads": 1, "seconds": 10.0}
    return {**about, "parts": {**known, "other": 10.0 - sum(known.values())}, "reader": spent}


@plants("slow_reading")
def a_disk_that_is_slow(config, data):
    config["profile"] = profiled({"waiting for data": 2.7}, reading=9.0)
    return {"slow_reading": {"data.prefetch": 32}}


@plants("slow_features")
def features_that_are_slow(config, data):
    config["profile"] = profiled({"waiting for data": 2.7}, features=9.0)
    return {"slow_features": None}


@plants("slow_dense")
def a_dense_part_of_hours(config, data):
    config["profile"] = profiled({"forward": 3.0, "backward": 5.0})
    config["train"]["epochs"] = 1000  # of 24 steps of 100 ms
    return {"slow_dense": {"train.precision": "bf16"}}


# ------------------------------------------------------------------------------------------- run


def ran(config, values, losses=None, every=1):
    """The evaluations of a run, as training writes them."""
    losses = [0.4 - 0.01 * i for i in range(len(values))] if losses is None else losses
    config["run"] = [
        {
            "step": 24 * (i + 1),
            "epoch": every * (i + 1),
            "train": {"loss": loss},
            "valid": {"auc": value},
            "best": False,
        }
        for i, (value, loss) in enumerate(zip(values, losses, strict=True))
    ]


COSINE = {f"train.{name}.schedule": {"type": "cosine"} for name in ("dense_optimizer", "sparse_optimizer")}


@plants("overfit")
def a_second_epoch_that_spoils_the_first(config, data):
    ran(config, [0.74, 0.72, 0.70], [0.40, 0.35, 0.30])
    return {"overfit": {"train.epochs": 1, **COSINE}}


@plants("still_rising")
def a_metric_that_rises_to_the_end(config, data):
    ran(config, [0.60, 0.68, 0.72])
    return {"still_rising": {"train.epochs": 4}}


@plants("slow_rate")
def a_loss_that_hardly_falls(config, data):
    ran(config, [0.51, 0.52, 0.53, 0.54], [0.300, 0.299, 0.298, 0.297])
    return {"slow_rate": {"train.dense_optimizer.lr": 0.003, "train.sparse_optimizer.lr": 0.03}}


@plants("flat_rate")
def a_course_that_stands_still(config, data):
    ran(config, [0.70, 0.72, 0.73, 0.7301, 0.7300, 0.7301, 0.7302, 0.7301], [0.40, 0.36, 0.34, *5 * [0.339]])
    return {"flat_rate": COSINE}


@plants("unsteady_rate")
def a_metric_that_jumps(config, data):
    ran(config, [0.70, 0.72, 0.69, 0.725, 0.70, 0.73, 0.70], 7 * [0.4])
    return {"unsteady_rate": {"train.dense_optimizer.lr": 0.00033, "train.sparse_optimizer.lr": 0.0033}}


@plants("stopped_at_once")
def an_early_stop_after_its_patience(config, data):
    config["train"]["early_stop"] = {"metric": "auc", "patience": 2}
    ran(config, [0.73, 0.729, 0.7289])
    rates = {"train.dense_optimizer.lr": 0.0005, "train.sparse_optimizer.lr": 0.005}
    return {"stopped_at_once": {"train.evaluate_every": {"epochs": 0.25}, **rates}}


# ----------------------------------------------------------------------------------------- study


def searched(config, path, space, trials):
    """The folder of a search, as `easyrec tune` writes it."""
    config["study"] = path, space, trials


@plants("better_trial")
def a_search_that_was_not_heeded(config, data):
    trials = [(0.001, 0.70), (0.02, 0.74), (0.3, 0.6)]
    searched(config, "train.sparse_optimizer.lr", {"log": [0.001, 0.3]}, trials)
    return {"better_trial": {"train.sparse_optimizer.lr": 0.02}}


@plants("edge_of_space")
def a_search_that_ends_at_the_fence(config, data):
    trials = [(10 ** (-4 + min(i / 7, 2) - i / 1000), 0.6 + i / 100) for i in range(20)]
    space = {"log": [1e-4, 1e-2]}
    searched(config, "train.sparse_optimizer.lr", space, trials)
    config["train"]["sparse_optimizer"]["lr"] = space
    return {"edge_of_space:train.sparse_optimizer.lr": {"train.sparse_optimizer.lr": {"log": [0.001, 0.1]}}}


# ------------------------------------------------------------------------------------- all of them


def written(config, data, folder):
    """What `advise` is given: the fault's config, and folders for what it says of runs and searches."""
    more = {}
    profile, records, study = (config.pop(key, None) for key in ("profile", "run", "study"))
    if profile or records:
        run = folder / "run"
        (run / "profile").mkdir(parents=True)
        load_experiment({**config, "name": "toy"})
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        lines = records or [{"step": 24, "epoch": 1, "train": {"loss": 0.4}, "valid": {"auc": 0.7}, "best": True}]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if profile:
            (run / "profile" / "profile.json").write_text(json.dumps(profile))
        more["run"] = run
    if study:
        path, space, trials = study
        (folder / "study").mkdir()
        whole = override(Document.of({**config, "tune": {}}), {path: space}).raw
        (folder / "study" / "config.yaml").write_text(yaml.safe_dump(whole))
        with (folder / "study" / "trials.csv").open("w") as file:
            table = csv.writer(file)
            table.writerow(["trial", "state", "auc", path])
            table.writerows([number, "complete", auc, value] for number, (value, auc) in enumerate(trials))
        more["study"] = folder / "study"
    return more


CASES = [
    pytest.param(rule, plant, id=f"{rule}-{plant.__name__}") for rule, plants_ in FAULTS.items() for plant in plants_
]


ONCE = ("mixed_times", "repeated_rows")
"""Rules about rows that are in memory, which no setting divides anew."""


def test_every_rule_has_a_fault():
    assert set(FAULTS) == set(api.rules())


def test_nothing_is_told_of_rows_and_configs_that_are_sound(told):
    assert told() == {}


@pytest.mark.parametrize(("rule", "plant"), CASES)
def test_a_planted_fault_is_told_with_a_change_that_works(rule, plant, config, data, told, tmp_path):
    expected = plant(config, data)
    more = written(config, data, tmp_path)
    found = told(**more)
    assert rule in {proposal.rule for proposal in found.values()}
    assert set(found) <= set(expected), {key: found[key].seen for key in set(found) - set(expected)}
    for key, settings in expected.items():
        if settings is not None:
            assert found[key].settings == settings
    for proposal in found.values():
        assert all(word for word in (proposal.seen, proposal.why, proposal.effect))
        changed = override(Document.of(config), proposal.overrides)
        if plant is a_search_that_ends_at_the_fence:
            assert load_search(changed.raw, given=("train", "valid"))
        else:
            build(experiment_of(changed))


@pytest.mark.parametrize(
    ("rule", "plant"),
    [case for case in CASES if api.rules()[case.values[0]].needs == "data" and case.values[0] not in ONCE],
)
def test_what_is_proposed_mends_what_was_told(rule, plant, config, data, told, tmp_path):
    """Laid over the config, the settings silence the rule."""
    plant(config, data)
    found = told(only=[rule])
    settings = {key: value for proposal in found.values() for key, value in proposal.settings.items()}
    assert settings
    assert told(only=[rule], overrides=settings) == {}


@pytest.mark.parametrize(("flags", "expected"), [("fpu avx2", False), ("fpu amx_bf16 amx_tile", True), (None, False)])
def test_a_processor_says_whether_it_multiplies_bf16(tmp_path, flags, expected):
    if flags is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cpuinfo").write_text(f"flags : {flags}\n")
    assert able("cpu", tmp_path) is expected
