"""A selection from a config to the config without what is not worth its place."""

import csv
import os
import signal

import numpy as np
import pandas as pd
import pytest
import yaml

import easyrec
from easyrec.check import build
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, TuneError
from easyrec.train.interrupt import Interrupted
from easyrec.tune.select.methods.permutation import Permutation
from feature_generator.config import members

METHODS = members("easyrec.tune.select.methods")


@pytest.fixture
def select(config, shop_rows, tmp_path):
    """`(**settings)`: selects from the toy config in `tmp_path / "study"`."""

    def run(folder="study", **settings):
        given = {f"select.{k.replace('__', '.')}": v for k, v in settings.items()}
        return easyrec.select(config, data=shop_rows, run_dir=tmp_path / folder, overrides=given)

    return run


@pytest.fixture(scope="module")
def selected(plain_config, shop_rows, tmp_path_factory):
    """A selection from the toy config, verified."""
    folder = tmp_path_factory.mktemp("selected")
    return easyrec.select(plain_config, data=shop_rows, run_dir=folder / "study", overrides={"select.verify": True})


def test_noise_and_repetition_go_and_what_is_left_trains_as_well(selected, shop_rows, tmp_path):
    found = selected
    assert len({"item_id", "again"} & set(found.kept)) == 1
    assert set(found.kept) - {"item_id", "again"} == {"user_id"}
    assert all(found.removed[name].startswith("noise: worth ") for name in ("few", "many", "number"))
    (repeated,) = {"item_id", "again"} & found.removed.keys()
    assert found.removed[repeated].startswith("repeats '")
    assert found.verified["selected"]["auc"] > found.verified["all features"]["auc"] - 0.01
    experiment = load_experiment(found.config)
    assert list(experiment.generator.outputs) == [name for name in experiment.generator.outputs if name in found.kept]
    assert experiment.sections.select is None
    run = easyrec.train(found.config, data=shop_rows, run_dir=tmp_path / "run", progress=False, export=False)
    assert run.metrics["valid"]["auc"] == pytest.approx(found.verified["selected"]["auc"], abs=1e-6)


def test_the_files_tell_of_every_feature(selected):
    found = selected
    with found.table.open() as file:
        table = {row["feature"]: row for row in csv.DictReader(file)}
    assert {name for name, row in table.items() if row["kept"] == "yes"} == set(found.kept)
    assert float(table["user_id"]["permutation"]) == next(
        row.importance["permutation"] for row in found.rows if row.name == "user_id"
    )
    assert float(table["many"]["memory_mb"]) == pytest.approx(60 * (4 + 1) * 4 / 1e6)
    comments = [line for line in found.config.read_text().splitlines() if line.startswith("# removed")]
    assert comments == [f"# removed {row.name}: {row.reason}" for row in found.rows if not row.kept]
    page = found.report.read_text()
    assert all(name in page for name in table)


@pytest.mark.family("easyrec.tune.select.methods")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_ranks_what_matters_before_noise(select, name):
    found = select(method=name)
    worth = {row.name: row.importance[name] for row in found.rows}
    assert min(worth["user_id"], max(worth["item_id"], worth["again"])) > max(
        worth[n] for n in ("few", "many", "number")
    )


def test_another_method_is_measured_beside_and_nothing_is_trained_twice(select, tmp_path, monkeypatch):
    first = select(noise=6)
    (tmp_path / "study" / "trainings" / "permutation" / "mark").touch()
    monkeypatch.setattr(Permutation, "measure", None)  # would fail if it were called
    again = select(noise=6, beside=["gates"], budget={"top": 1})
    assert (tmp_path / "study" / "trainings" / "permutation" / "mark").exists()
    assert [row.importance["permutation"] for row in again.rows] == [
        row.importance["permutation"] for row in first.rows
    ]
    assert all("gates" in row.importance for row in again.rows)
    assert not (tmp_path / "study" / "measured" / "permutation_again.json").exists()  # `second_look: false`
    assert len(again.kept) == 1
    assert any(reason.startswith("the budget is 1 features: worth") for reason in again.removed.values())


@pytest.fixture
def interruptible():
    """SIGINT interrupts, whatever the shell that started the tests has it do: what runs in its background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_leaves_a_config_and_the_same_call_goes_on(select, config, tmp_path, monkeypatch):
    measure, calls = Permutation.measure, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 1:
            signal.raise_signal(signal.SIGINT)  # between trainings; this thread has it at once
        return measure(self)

    monkeypatch.setattr(Permutation, "measure", interrupted)
    with pytest.raises(
        Interrupted, match=r"measured by nothing, and .* is the config so far. To go on: the same command"
    ):
        select()
    before = load_experiment(tmp_path / "study" / "best.yaml")
    assert list(before.generator.outputs) == [feature["name"] for feature in config["features"]]
    assert "no feature has been measured yet" in (tmp_path / "study" / "best.yaml").read_text()
    assert (tmp_path / "study" / "report.html").exists()
    assert "few" in select().removed


@pytest.mark.slow
def test_a_training_that_is_stopped_goes_on_from_its_checkpoint(select, tmp_path):
    from easyrec.train.trainer import Trainer
    from easyrec.tune.select import study as module

    whole = select("whole", noise=4)

    class Stopping:
        def __init__(self, method, task):
            self.method, self.task = method, task

        def measure(self):
            experiment = self.task.experiment({})
            trainer = Trainer(experiment, self.task.folder, bar=False, export=False)
            learn, steps = trainer._learn, []

            def once(turn):
                learn(turn)
                steps.append(1)
                if len(steps) == 20:
                    os.kill(os.getpid(), signal.SIGTERM)

            trainer._learn = once
            trainer.fit()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build", Stopping)
        with pytest.raises(Interrupted, match=r"measured by nothing, and .* is the config so far"):
            select(noise=4)
    assert list((tmp_path / "study" / "trainings" / "permutation" / "checkpoints").iterdir())
    again = select(noise=4)
    assert [row.importance for row in again.rows] == [row.importance for row in whole.rows]


def test_a_folder_of_another_config_is_refused_and_told_what_differs(select, config, shop_rows, tmp_path):
    select(noise=2)
    config["model"]["embedding_dim"] = 8
    with pytest.raises(TuneError, match=r"another config, which differs in: model\.embedding_dim"):
        select(noise=2)
    run = easyrec.train(config, data=shop_rows, run_dir=tmp_path / "run", progress=False, export=False)
    with pytest.raises(TuneError, match="holds no selection, but"):
        select("run")
    assert run.path.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(TuneError, match=r"holds no selection, but notes\.txt"):
        select("other")


@pytest.mark.slow
def test_without_copies_nothing_is_noise(select):
    found = select(noise=0, redundant=None)
    assert found.removed == {}
    assert all("shuffled" not in row.reason for row in found.rows)


def test_features_that_a_person_keeps_or_groups_stay_together(select):
    found = select(keep=["few"], groups={"odd": ["many", "number"]}, redundant=None)
    rows = {row.name: row for row in found.rows}
    assert rows["few"].kept
    assert rows["few"].reason == "select.keep names it"
    assert rows["odd"].features == ("many", "number")
    assert {"many", "number"} <= found.removed.keys()


@pytest.mark.parametrize(
    ("budget", "left"),
    [
        ({"memory_mb": 0.0035}, 0.0035),
        pytest.param({"auc_drop": 0.3}, None, marks=pytest.mark.slow),
        pytest.param({"latency_ms": 1e-9}, None, marks=pytest.mark.slow),
    ],
    ids=["memory", "drop", "latency"],
)
def test_a_budget_is_kept(select, budget, left):
    found = select(noise=0, redundant=None, budget=budget)
    assert 0 < len(found.kept) < 6
    if left is not None:
        experiment = load_experiment(found.config)
        built = build(experiment)
        assert (built.plan.bytes + 4 * built.dense_parameters) / 1e6 <= left
    if "auc_drop" in budget:
        assert len(found.kept) <= 2
    if "latency_ms" in budget:
        assert len(found.kept) == 1  # the last one has to stay


BLOCKS = [
    {"name": "fields", "type": "fields"},
    {"name": "fm", "type": "fm", "input": "fields"},
    {"name": "deep", "type": "mlp", "input": {"type": "flat"}, "hidden": [8]},
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_backbone_is_selected_from(config, shop_rows, tmp_path, method):
    config["model"] = {
        "type": "backbone",
        "embedding_dim": 4,
        "blocks": BLOCKS,
        "heads": [{"input": "deep", "terms": ["fm"]}],
    }
    found = easyrec.select(config, data=shop_rows, run_dir=tmp_path / "s", overrides={"select.method": method})
    assert "user_id" in found.kept
    assert {"item_id", "again"} & set(found.kept)
    assert "number" in found.removed
    build(load_experiment(found.config))


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_model_with_sequences_and_several_tasks_is_selected_from(tmp_path, method):
    random = np.random.default_rng(0)
    taste = random.normal(size=30)

    def rows(number):
        lists = [random.integers(0, 30, n).tolist() for n in random.integers(0, 6, number)]
        item = random.integers(0, 30, number)
        liked = np.array(
            [taste[i] + sum(i % 3 == other % 3 for other in one) - 1 for i, one in zip(item, lists, strict=True)]
        )
        click = random.random(number) < 1 / (1 + np.exp(-liked))
        noise = [[int(k) for k in random.integers(0, 9, len(one))] for one in lists]
        return pd.DataFrame(
            {
                "item": item,
                "dull": random.integers(0, 9, number),
                "domain": random.integers(0, 3, number),
                "clicks__item": lists,
                "clicks__noise": noise,
                "click": click.astype(int),
                "buy": (click & (random.random(number) < 0.5)).astype(int),
            }
        )

    ids = {"num_buckets": 30, "embedding_name": "item"}
    config = {
        "name": "toy",
        "data": {"labels": ["click", "buy"], "batch_size": 64},
        "features": [
            {"type": "id", "name": "item", "expression": "item:item", **ids},
            {"type": "id", "name": "dull", "expression": "item:dull", "num_buckets": 9},
            {"type": "id", "name": "domain", "expression": "user:domain", "num_buckets": 3},
            {
                "type": "sequence",
                "name": "clicks",
                "features": [
                    {"type": "id", "name": "item", "expression": "item:item", **ids},
                    {"type": "id", "name": "noise", "expression": "user:noise", "num_buckets": 9},
                ],
            },
        ],
        "model": {
            "type": "pepnet",
            "embedding_dim": 4,
            "groups": {
                "gate": ["domain"],
                "deep": {"features": ["item", "dull"], "sequences": [{"sequence": "clicks", "encoder": "din"}]},
                "domain": ["domain"],
            },
            "tasks": [{"name": "ctr", "label": "click"}, {"name": "cvr", "label": "buy"}],
        },
        "train": {"threads": 1, "epochs": 2, "sparse_optimizer": {"type": "lazy_adam", "lr": 0.02}},
        "select": {"method": method, "noise": 15, "verify": False},
    }
    data = {"train": rows(4000), "valid": rows(2000)}
    found = easyrec.select(config, data=data, run_dir=tmp_path / "s")
    by_name = {row.name: row for row in found.rows}
    assert by_name["item"].kept
    assert by_name["domain"].kept  # the model tells its domains apart by it
    assert {"dull", "clicks__noise"} & found.removed.keys()
    worth = {name: row.importance[method] for name, row in by_name.items()}
    assert worth["item"] > max(worth["dull"], worth["clicks__noise"])
    run = easyrec.train(found.config, data=data, run_dir=tmp_path / "run", progress=False, export=False)
    assert run.metrics["valid"]["ctr/auc"] > 0.6


@pytest.mark.slow
def test_a_drop_of_nothing_keeps_what_matters(select):
    found = select(noise=0, redundant=None, budget={"auc_drop": 0.02}, verify=True)
    assert found.verified["all features"]["auc"] - found.verified["selected"]["auc"] <= 0.02
    assert "user_id" in found.kept


@pytest.mark.slow
def test_widths_are_proposed_and_applied(select):
    found = select(embedding_dims="apply", noise=6)
    dims = {row.name: (row.embedding_dim, row.proposed_dim) for row in found.rows if row.kept and row.proposed_dim}
    assert set(dims) == {name for name in found.kept if name != "number"}
    outputs = load_experiment(found.config).generator.outputs
    assert {name: outputs[name].embedding_dim for name in dims} == {name: after for name, (_, after) in dims.items()}
    assert len({after for _, after in dims.values()}) == 1  # deepfm takes no others


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"select": {"keep": ["usr_id"]}}, "the model reads no feature 'usr_id'; did you mean 'user_id'"),
        ({"select": {"groups": {"a": ["few"], "b": ["few"]}}}, "'few' is in the group 'a' already"),
        ({"select": {"groups": {"many": ["few"]}}}, "a feature is called 'many'"),
        ({"select": {"budget": {"top": 3, "memory_mb": 1}}}, "takes one bound, but has top and memory_mb"),
        ({"select": {"method": "permutations"}}, "unknown type 'permutations'; did you mean 'permutation'"),
        ({"select": {"budget": {"top": 0}}}, "must be greater than 0"),
        ({"model.feature_gates": "group_lasso"}, "the selection puts gates there itself"),
    ],
    ids=["keep", "two-groups", "group-name", "two-bounds", "method", "top", "gates"],
)
def test_what_cannot_work_is_told_before_anything_is_measured(config, shop_rows, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        easyrec.select(config, data=shop_rows, run_dir=tmp_path / "s", overrides=settings)
    assert not (tmp_path / "s").exists() or not (tmp_path / "s" / "features").exists()


def test_a_misspelt_feature_is_told_at_its_line_and_leaves_no_folder(config, shop_rows, tmp_path):
    config["select"] |= {"keep": ["usr_id"], "groups": {"both": ["few", "mny"]}}
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError) as caught:
        easyrec.select(file, data=shop_rows, run_dir=tmp_path / "s")
    lines = file.read_text().splitlines()
    assert {problem.file for problem in caught.value.problems} == {str(file)}
    assert [lines[problem.line - 1].strip() for problem in caught.value.problems] == ["- usr_id", "- mny"]
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("fg", ["raw", "encoded"])
def test_a_column_that_the_data_lack_is_told_before_features_are_written(config, shop_rows, tmp_path, fg):
    rows = {part: frame.drop(columns="number") for part, frame in shop_rows.items()}
    config["data"]["fg"] = fg
    with pytest.raises(ConfigError, match=r"data \. train\s+the data has no column 'number'"):
        easyrec.select(config, data=rows, run_dir=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_what_stays_by_what_it_has_in_common_with_another_says_so(selected):
    rows = {row.name: row for row in selected.rows}
    (kept,) = {"item_id", "again"} & set(selected.kept)
    worth, bound = (float(text.split()[-1]) for text in rows["few"].reason.split(", "))
    assert worth < bound
    if rows[kept].importance["permutation"] <= bound:
        assert rows[kept].reason.startswith("one of it and '")
    else:
        assert rows[kept].reason.startswith("worth ")


def test_data_without_a_part_to_measure_on_are_refused(config, shop_rows, tmp_path):
    with pytest.raises(ConfigError, match=r"measured on data\.valid, and there is none"):
        easyrec.select(config, data={"train": shop_rows["train"]}, run_dir=tmp_path / "s")


def test_models_that_rank_a_catalogue_are_refused(config, shop_rows, tmp_path):
    config["data"] |= {"sampler": {"type": "in_batch"}, "item_id": "item_id", "labels": []}
    config["model"] = {
        "type": "dssm",
        "embedding_dim": 4,
        "hidden": [8],
        "groups": {"user": ["user_id", "few"], "item": ["item_id", "many"]},
    }
    with pytest.raises(ConfigError, match="not by how a catalogue is ranked"):
        easyrec.select(config, data=shop_rows, run_dir=tmp_path / "s")


@pytest.mark.slow
def test_features_that_are_made_already_are_selected(config, shop_rows, tmp_path):
    config["data"]["fg"] = "encoded"
    found = easyrec.select(config, data=shop_rows, run_dir=tmp_path / "s", overrides={"select.noise": 4})
    assert "user_id" in found.kept
    assert all(row.latency_ms > 0 for row in found.rows)


@pytest.mark.slow
def test_the_environment_is_kept_as_it_is_written(config, shop_rows, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    for name, frame in shop_rows.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
        config["data"][name] = {"type": "parquet", "path": f"${{TOY_FOLDER}}/{name}.parquet"}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    found = easyrec.select(tmp_path / "toy.yaml", run_dir=tmp_path / "s", overrides={"select.noise": 2})
    for name in ("best.yaml", "config.yaml", "report.html"):
        assert "${TOY_FOLDER}/train.parquet" in (found.path / name).read_text()
        assert f"{tmp_path}/train.parquet" not in (found.path / name).read_text()
