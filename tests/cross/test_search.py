"""A search from its rows to the config with the features that gain."""

import copy
import csv
import json
import math
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

import easyrec
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, DataError, TuneError
from easyrec.train.interrupt import Interrupted
from easyrec.tune.cross import aggregating
from easyrec.tune.cross import beam as beams
from easyrec.tune.cross.cardinality import Distinct
from easyrec.tune.cross.codes import Codes
from easyrec.tune.cross.rows import Reader

CONFIG = {
    "name": "toy",
    "data": {"labels": ["click"], "event_time": "time", "batch_size": 512},
    "features": [
        {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 150},
        {"type": "id", "name": "item", "expression": "item:item", "num_buckets": 60},
        {"type": "id", "name": "color", "expression": "item:color", "hash_bucket_size": 7},
        {"type": "id", "name": "slot", "expression": "context:slot", "num_buckets": 8},
        {"type": "raw", "name": "price", "expression": "item:price", "normalizer": "method=log10"},
    ],
    "model": {"type": "lr"},
    "train": {"epochs": 2, "threads": 1, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.05}},
    "cross": {"crosses": {"beam": 2}, "aggregates": {"windows": ["1d", "all"]}, "min_gain": 0.0003},
}


@pytest.fixture
def config():
    return copy.deepcopy(CONFIG)


@pytest.fixture(scope="module")
def data(rows, make_log):
    later = make_log(8_000, 2, days=2)
    later["time"] = later["time"] + 10 * 86400
    return {"train": pd.DataFrame(rows), "valid": pd.DataFrame(later)}


@pytest.fixture(scope="module")
def found(tmp_path_factory, data):
    return easyrec.cross(copy.deepcopy(CONFIG), data=data, run_dir=tmp_path_factory.mktemp("cross") / "toy")


def by_name(found):
    return {proposal.name: proposal for proposal in found.proposals}


def test_the_planted_cross_is_found_and_no_other(found):
    crosses = [p for p in found.accepted if p.kind == "cross"]

    assert [set(p.reads) for p in crosses] == [{"color", "slot"}]
    assert crosses[0].gain > 8 * crosses[0].error
    assert crosses[0].valid > 6 * crosses[0].valid_error
    assert crosses[0].auc > 0.03
    assert crosses[0].features[-1]["expression"] == ["item:color", "context:slot"]
    rest = [p for p in found.proposals if p.kind == "cross" and not p.accepted]
    assert len(rest) == 9
    assert all("min_gain" in p.reason or "min_z" in p.reason or "beside" in p.reason for p in rest)


def test_numbers_are_put_into_buckets_where_the_rate_changes(found):
    price = by_name(found)["price_buckets"]

    assert price.accepted
    for place in (15, 25):
        assert min(abs(edge - place) for edge in price.features[0]["boundaries"]) < 0.5


def test_a_table_in_which_words_share_rows_grows(found):
    color = by_name(found)["color"]

    assert color.kind == "hash_size"
    assert color.reason.startswith("about 6 words in 7 rows, of which 54% share one; ")


def test_every_proposal_has_its_gain_and_cost(found):
    for proposal in found.proposals:
        assert math.isfinite(proposal.gain), proposal
        assert proposal.error >= 0
        if proposal.features:
            assert proposal.memory_mb > 0
            assert proposal.micros > 0
    told = list(csv.DictReader((found.path / "proposals.csv").read_text().splitlines()))
    assert [row["name"] for row in told] == [p.name for p in found.proposals]
    assert [row["state"] for row in told].count("accepted") == len(found.accepted)
    assert float(told[0]["gain"]) == pytest.approx(found.proposals[0].gain, rel=1e-4)
    assert found.quality["valid"]["auc_after"] - found.quality["valid"]["auc_before"] > 0.03


def test_the_config_trains_and_its_features_are_those_that_were_searched(found, data, tmp_path):
    experiment = load_experiment(found.config)
    run = easyrec.train(found.config, data=data, run_dir=tmp_path / "run", progress=False, export=False)
    plain = easyrec.train(copy.deepcopy(CONFIG), data=data, run_dir=tmp_path / "plain", progress=False, export=False)

    assert experiment.name == "toy_crossed"
    assert experiment.sections.cross is None
    assert run.metrics["valid"]["auc"] > plain.metrics["valid"]["auc"] + 0.03
    cross = next(p for p in found.accepted if p.kind == "cross")
    ids = experiment.generator.transform(pa.RecordBatch.from_pandas(data["valid"]))[cross.name].values
    pairs = data["valid"]["color"] + "_" + data["valid"]["slot"].astype(str)
    assert pd.Series(ids).groupby(pairs).nunique().max() == 1
    assert len(set(ids)) > 40


def test_the_report_is_one_file_with_the_tree_the_gains_and_the_rates(found):
    page = found.report.read_text()

    for text in ("Gains", "Search of crosses", "What the crosses say", "color x slot", "features of the config"):
        assert text in page
    assert page.count('class="cell') >= 48
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


# ------------------------------------------------------------------------------------------- interruptions


class Halt:
    """Counts the probes, and sends a signal at one of them."""

    def __init__(self, monkeypatch, stage, at):
        self.left, self.fitted = at, stage.fitted
        monkeypatch.setattr(stage, "fitted", self)

    def __call__(self, *args):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        return self.fitted(*args)


@pytest.mark.parametrize(
    ("stage", "at"),
    [(beams, 3), (beams, 35), (aggregating, 2)],
    ids=["in the first level", "in the second", "in the aggregates"],
)
def test_a_search_that_is_stopped_leaves_a_config_and_goes_on_to_the_same_end(
    found, data, config, tmp_path, monkeypatch, stage, at
):
    with monkeypatch.context() as patch:
        halt = Halt(patch, stage, at)
        with pytest.raises(Interrupted, match=r"the config is .*best\.yaml\. To go on: the same command"):
            easyrec.cross(config, data=data, run_dir=tmp_path / "s")
    assert halt.left == 0
    known = load_experiment(tmp_path / "s" / "best.yaml").generator.outputs
    assert "price_buckets" in known
    assert ("color_x_slot" in known) == (at != 3)
    assert (tmp_path / "s" / "report.html").exists()

    again = easyrec.cross(config, data=data, run_dir=tmp_path / "s")

    def told(proposals):
        return [(p.name, p.state, round(p.gain, 12), p.reason) for p in proposals]

    assert told(again.proposals) == told(found.proposals)
    assert yaml.safe_load(again.config.read_text())["features"] == yaml.safe_load(found.config.read_text())["features"]


def test_when_the_time_is_over_what_was_found_is_there(data, config, tmp_path):
    config["cross"]["minutes"] = 1e-9

    found = easyrec.cross(config, data=data, run_dir=tmp_path / "s")

    assert found.accepted == []
    assert load_experiment(found.config).generator.outputs.keys() == {f["name"] for f in CONFIG["features"]}
    assert "minutes were over" in found.report.read_text()
    config["cross"]["minutes"] = 10
    assert "color_x_slot" in {p.name for p in easyrec.cross(config, data=data, run_dir=tmp_path / "s").accepted}


def test_a_search_that_is_stopped_while_rows_are_read_leaves_the_config(data, config, tmp_path, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)
        return np.zeros(0)

    with monkeypatch.context() as patch:
        patch.setattr(Distinct, "add", stop)
        with pytest.raises(Interrupted, match="stopped while rows were read"):
            easyrec.cross(config, data=data, run_dir=tmp_path / "s")

    assert load_experiment(tmp_path / "s" / "best.yaml").name == "toy_crossed"


def test_the_folder_of_another_search_is_refused(found, data, config, tmp_path):
    config["cross"]["min_z"] = 5.0
    with pytest.raises(TuneError, match=r"another config, which differs in: cross\.min_z\n"):
        easyrec.cross(config, data=data, run_dir=found.path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.yaml").write_text("name: other")
    (tmp_path / "x" / "trials.csv").write_text("")
    with pytest.raises(TuneError, match=r"holds no search of features, but trials\.csv"):
        easyrec.cross(config, data=data, run_dir=tmp_path / "x")


# ------------------------------------------------------------------------------- columns, splits and rows


def test_a_rate_that_drifts_is_followed_by_a_table_of_it(config, tmp_path):
    random = np.random.default_rng(6)
    time = np.sort(random.integers(0, 20 * 86400, 30_000))
    item = random.integers(0, 80, 30_000)
    mood = np.random.default_rng(7).normal(0, 1.2, (80, 20)).cumsum(axis=1) / 2  # a walk from day to day
    chance = 1 / (1 + np.exp(1 - mood[item, time // 86400]))
    frame = pd.DataFrame({"time": time, "item": [f"item {i}" for i in item], "click": random.random(30_000) < chance})
    config["features"] = [{"type": "id", "name": "item", "expression": "item:item", "hash_bucket_size": 800}]
    config["cross"] = {"crosses": False, "hashing": False, "aggregates": {"windows": ["1d", "2d"], "most": 1}}

    found = easyrec.cross(config, data={"train": frame.astype({"click": int})}, run_dir=tmp_path / "s")

    (taken,) = found.accepted
    assert taken.name in ("item_rate_1d", "item_rate_2d")
    assert taken.gain > 8 * taken.error
    generator = load_experiment(found.config).generator
    assert generator.outputs.keys() == {"item", taken.name}
    ids = generator.transform({"item": ["item 3"] * 20 + ["?"], "time": [*(np.arange(20) * 86400), 0]})[
        taken.name
    ].values
    assert ids[0] == ids[-1] == 0  # nothing was known yet
    assert len(set(ids.tolist())) > 3
    assert taken.entries == len((tmp_path / "s" / "tables" / f"{taken.name}.txt").read_text().splitlines())


def test_columns_beside_the_features_are_proposed_and_those_that_look_ahead_rejected(data, config, tmp_path):
    random = np.random.default_rng(0)
    frames = {}
    for name, frame in data.items():
        clicked = frame["click"].to_numpy()
        frames[name] = frame.assign(
            dwell=np.where(clicked > 0, random.exponential(30, len(frame)), 0),
            parity=(frame["slot"] % 2).astype(str),
            seen_at=frame["time"] + 1,
        )
    config["features"] = [f for f in config["features"] if f["name"] != "slot"]
    config["cross"] |= {
        "columns": ["context:dwell", "context:parity", "context:slot"],
        "aggregates": False,
        "time_check": {"keys": ["item"], "available_at": {"slot": "seen_at"}},
    }

    found = easyrec.cross(config, data=frames, run_dir=tmp_path / "s")

    told = by_name(found)
    assert told["dwell"].reason.startswith("time check: ")
    assert told["slot"].reason == "time check: declared: known after the event in 100.0% of the rows"
    assert told["color_x_parity"].accepted
    read = [name for p in found.accepted for name in p.reads]
    assert not {"dwell", "slot"} & set(read)


def test_a_feature_of_the_config_that_looks_ahead_is_told(data, config, tmp_path, caplog):
    frames = {name: frame.assign(dwell=frame["click"] * 30.0) for name, frame in data.items()}
    config["features"].append({"type": "raw", "name": "dwell", "expression": "item:dwell"})
    config["cross"] |= {"crosses": False, "aggregates": False, "boundaries": False, "hashing": False}

    found = easyrec.cross(config, data=frames, run_dir=tmp_path / "s")

    assert "the config's own feature 'dwell' reads it: leave it out" in by_name(found)["dwell"].reason
    assert "'item:dwell' looks ahead" in caplog.text


def test_only_the_newest_rows_are_read_where_there_are_more(data, config):
    config["cross"]["rows"] = 5000
    shuffled = {"train": data["train"].sample(frac=1, random_state=0), "valid": data["valid"]}

    searched = Reader(load_experiment(config), shuffled).read()

    assert searched.total == 24_000
    assert searched.judge.stop == 5000
    assert searched.fit.stop == pytest.approx(4000, abs=5)
    assert (np.diff(searched.time[:5000]) >= 0).all()
    assert searched.time[0] == np.sort(data["train"]["time"])[-5000]
    newest = data["train"].sort_values("time", kind="stable").tail(5000)
    assert searched.labels[:5000].sum() == newest["click"].sum()
    assert searched.distinct["item"] == pytest.approx(60, rel=0.03)


def test_several_values_and_missing_ones_are_codes_as_features_see_them(config, make_log):
    config["features"].append(
        {"type": "id", "name": "tags", "expression": "item:tags", "separator": "|", "num_buckets": 9}
    )
    frame = pd.DataFrame(make_log(300, 3))
    frame["tags"] = ["1|2", None, "", "3"] * 75
    frame["color"] = frame["color"].where(frame.index % 3 > 0, None)

    searched = Reader(load_experiment(config), {"train": frame}).read()

    tags, color = searched.words["tags"], searched.words["color"]
    assert sorted(searched.dictionary["tags"].to_pylist()) == ["1", "2", "3"]
    assert tags.lengths.sum() == 75 * 3
    assert color.offsets is None
    assert (color.values == 0).sum() == 100
    assert isinstance(searched.base["tags"], Codes)
    assert searched.valid.stop == searched.valid.start


def test_the_groups_of_the_model_take_the_features_that_they_can_read(data, config, tmp_path):
    groups = {"wide": ["user", "item", "color", "slot"], "deep": ["user", "item", "slot", "color"]}
    config["model"] = {"type": "wide_and_deep", "embedding_dim": 4, "hidden": [8], "groups": groups}
    config["cross"] |= {"aggregates": False, "hashing": False}

    found = easyrec.cross(config, data=data, run_dir=tmp_path / "s")

    made = load_experiment(found.config)
    assert all("color_x_slot" in group.features for group in made.model.groups.values())
    assert "price_buckets" not in by_name(found)  # the model does not read the price


# --------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cross": {"columns": ["item:colour"]}}, "cross . columns\\[0\\]\n.*the data has no column 'colour'"),
        ({"cross": {"columns": ["item:prise"]}}, "the data has no column 'prise'; did you mean 'price'"),
        ({"cross": {"columns": ["feature:price"]}}, "its side is one of user, item, context"),
        ({"cross": {"time_check": {"keys": ["usr"]}}}, "no column of ids is called 'usr'; did you mean 'user'"),
        ({"cross": {"aggregates": {"keys": [["user", "prices"]]}}}, "no column of ids is called 'prices'"),
        ({"model": {"type": "lr", "tasks": [{"name": "click", "label": "click", "type": "regression"}]}}, "judged by a label"),
        ({"cross": {"time_check": {"trust": ["prise"]}}}, "no column that is searched is called 'prise'; did you mean 'price'"),
        ({"cross": {"beams": 3}}, "unknown key"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_told_with_its_place(data, config, tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        easyrec.cross(config | change, data=data, run_dir=tmp_path / "s")


def test_a_row_that_cannot_be_used_is_told_with_its_place(data, config, tmp_path):
    frame = data["train"].head(500).copy()
    frame.loc[7, "click"] = 3
    with pytest.raises(DataError, match="row 7, column 'click': must be 0 or 1, but is 3"):
        easyrec.cross(config, data={"train": frame}, run_dir=tmp_path / "s")
    config["data"]["bad_rows"] = "skip"
    assert Reader(load_experiment(config), {"train": frame}).read().judge.stop == 499
    timeless = frame.assign(time=frame["time"].astype(float).where(frame.index != 9))
    with pytest.raises(DataError, match="row 9, column 'time': must be a time, but is null"):
        Reader(load_experiment(config), {"train": timeless}).read()
    with pytest.raises(DataError, match="have one label: nothing can be told apart"):
        Reader(load_experiment(config), {"train": frame.assign(click=0)}).read()


def test_the_command_prints_the_proposals_and_goes_on(data, config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, frame in data.items():
        frame.head(12_000).to_parquet(f"{name}.parquet")
        config["data"][name] = {"type": "parquet", "path": f"{name}.parquet"}
    Path("toy.yaml").write_text(yaml.safe_dump(config))

    assert main(["cross", "-c", "toy.yaml", "-o", "cross.aggregates=false"]) == 0

    told = capsys.readouterr()
    assert "color_x_slot" in told.out
    assert "AUC of the probes on valid: " in told.out
    assert "to train it: easyrec train -c runs/toy-cross/best.yaml" in told.out
    assert "1 crosses: color_x_slot" in told.err
    state = json.loads((tmp_path / "runs" / "toy-cross" / "search.json").read_text())
    assert state["done"]["crosses"]["done"]
    assert main(["cross", "-c", "toy.yaml", "-o", "cross.aggregates=false"]) == 0
    assert main(["cross", "-c", "toy.yaml"]) == 1
    assert "another config, which differs in: cross.aggregates\n" in capsys.readouterr().err
