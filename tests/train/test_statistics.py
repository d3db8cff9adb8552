"""Item-to-item statistics from config to items: counted, measured, saved, exported, retrieved."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import easyrec
from easyrec.check import build, inspect
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import BundleError, CheckpointError, ConfigError, DataError, RunError
from easyrec.export.statistic import read_counted
from easyrec.statistics._statistic import Histories, Scores
from serving import Predictor

ITEMS, USERS = 25, 60
ITEM = {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 40}
SEEN = {**ITEM, "name": "seen", "expression": "user:seen", "embedding_name": "item_id"}
SEQUENCE = {
    "type": "sequence",
    "name": "past",
    "sequence_length": 8,
    "features": [{**ITEM, "embedding_name": "item_id"}],
}
SEQUENCES = {
    "name": "counted",
    "data": {},
    "features": [ITEM, SEEN, SEQUENCE],
    "model": {
        "type": "ease",
        "l2": 2.0,
        "groups": {"user": {"sequences": [{"sequence": "past"}]}, "item": ["item_id"]},
    },
    "train": {"threads": 1},
    "eval": {"retrieval": {"metrics": [{"type": "recall", "k": 5}, {"type": "mrr", "k": 5}], "exclude": "seen"}},
}
PAIRS = {
    **SEQUENCES,
    "features": [ITEM, {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": 100}],
    "model": {"type": "item_cf", "groups": {"user": ["user_id"], "item": ["item_id"]}},
    "eval": {"retrieval": {"metrics": [{"type": "recall", "k": 5}, {"type": "mrr", "k": 5}]}},
}


def walks():
    """Histories in which neighbours on a ring follow each other."""
    random = np.random.default_rng(4)
    start = random.integers(0, ITEMS, USERS)
    return [((s + random.integers(-3, 4, random.integers(2, 9)).cumsum()) % ITEMS).tolist() for s in start]


def catalogue():
    return pd.DataFrame({"item_id": np.random.default_rng(5).permutation(ITEMS)})


def rows(past, wanted=None):
    found = {"past__item_id": past, "seen": past}
    return pd.DataFrame(found if wanted is None else {**found, "item_id": wanted})


def sequences():
    past = walks()
    wanted = [one[-1] for one in past]
    before = [one[:-1] for one in past]
    return {"train": rows(before), "valid": rows(before, wanted), "items": catalogue()}


def pairs():
    past = walks()
    order = np.random.default_rng(6).permutation(sum(len(one) - 1 for one in past))
    taken = pd.DataFrame([(u, i) for u, one in enumerate(past) for i in one[:-1]], columns=["user_id", "item_id"])
    last = pd.DataFrame({"user_id": np.arange(USERS), "item_id": [one[-1] for one in past]})
    stranger = pd.DataFrame({"user_id": [99], "item_id": [0]})
    return {"train": taken.iloc[order], "valid": pd.concat([last, stranger]), "items": catalogue()}


def counted(config, tmp_path):
    return read_counted(tmp_path / "run" / "checkpoints" / "statistic", load_experiment(config))


def slowly(config, tmp_path, data, histories, spared):
    """recall@5 and mrr@5 by sorting all scores of one user after another."""
    statistic = counted(config, tmp_path)
    number = {int(i): n for n, i in enumerate(statistic.ids.to_pylist())}
    hits, reciprocal = [], []
    for past, wanted, not_these in zip(histories, data["valid"]["item_id"], spared, strict=True):
        steps = np.array([number[i] for i in past], np.int64)
        asked = Histories.of(steps, np.array([0, len(steps)]), statistic.recency)
        (scores,) = Scores(statistic.links, statistic.bias, repeats=statistic.repeats)(asked)
        own = scores[number[wanted]]
        scores[[number[i] for i in not_these]] = -np.inf
        scores[number[wanted]] = own
        rank = sum(scores >= own) - 1
        hits.append(rank < 5)
        reciprocal.append(1 / (1 + rank) if rank < 5 else 0.0)
    return {"recall@5": np.mean(hits), "mrr@5": np.mean(reciprocal)}


@pytest.mark.parametrize("kind", ["popularity", "item_cf", "swing", "ease"])
def test_the_config_of_a_sequential_model_counts_after_a_change_of_its_type(kind, tmp_path):
    config = {**SEQUENCES, "data": {"sampler": {"type": "everything"}}}
    config["model"] = {
        **SEQUENCES["model"],
        "type": "sasrec",
        "embedding_dim": 8,
        "embedding_init": {"type": "normal", "std": 0.02},
    }
    del config["model"]["l2"]
    load_experiment(config)
    data = sequences()
    changed = {**config, "model": {**config["model"], "type": kind}}
    run = easyrec.train(changed, data=data, run_dir=tmp_path / "run", progress=False)
    past = data["valid"]["past__item_id"]
    assert run.metrics["valid"] == pytest.approx(slowly(changed, tmp_path, data, past, past))
    assert run.metrics["valid"]["recall@5"] > (0 if kind == "popularity" else 0.5)


@pytest.mark.parametrize("repeats", [True, False])
def test_pairs_are_grouped_by_user_and_strangers_get_what_is_popular(repeats, tmp_path):
    config = {**PAIRS, "model": {**PAIRS["model"], "repeats": repeats, "recency": 0.8}}
    data = pairs()
    run = easyrec.train(config, data=data, run_dir=tmp_path / "run", progress=False)
    by_user = data["train"].groupby("user_id")["item_id"].apply(list)
    past = [by_user[user] for user in range(USERS)] + [[]]
    # what a user had is not found again, were it wanted
    spared = [[] for _ in past]
    assert run.metrics["valid"] == pytest.approx(slowly(config, tmp_path, data, past, spared))
    found = easyrec.retrieve(config, data["valid"], k=5, run_dir=tmp_path / "run")
    counts = data["train"]["item_id"].value_counts()
    assert sorted(counts[found["items"].iloc[-1]]) == sorted(counts.nlargest(5))
    again = [bool(set(items) & set(had)) for items, had in zip(found["items"], past, strict=True)]
    assert any(again) is repeats


def test_a_run_is_evaluated_exported_and_retrieved_as_it_was_counted(tmp_path):
    data = sequences()
    run = easyrec.train(SEQUENCES, data=data, run_dir=tmp_path / "run", progress=False)
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "metrics.json", "report.html", "bundle"}
    assert json.loads((folder / "metrics.json").read_text())["valid"] == run.metrics["valid"]
    assert run.bundle == folder / "bundle"
    again = easyrec.evaluate(folder, data={"valid": data["valid"], "items": data["items"]})
    assert again.metrics == {"valid": run.metrics["valid"]}
    exported = easyrec.export(folder, output=tmp_path / "bundle").bundle
    options = {"k": 7, "exclude": "seen", "run_dir": folder}
    found = easyrec.retrieve(SEQUENCES, data["valid"], **options)
    other = easyrec.retrieve(SEQUENCES, data["valid"], checkpoint=exported, **options)
    for name in ("items", "scores"):
        assert [list(one) for one in found[name]] == [list(one) for one in other[name]]
    statistic = counted(SEQUENCES, tmp_path)
    ids = statistic.ids.to_numpy()
    number = {int(i): n for n, i in enumerate(ids)}
    for past, items, scores in zip(data["valid"]["past__item_id"], found["items"], found["scores"], strict=True):
        steps = np.array([number[i] for i in past], np.int64)
        (all_scores,) = statistic.scores(Histories.of(steps, np.array([0, len(steps)])))
        all_scores[steps] = -np.inf
        best = np.argsort(-all_scores, kind="stable")[:7]
        assert list(scores) == all_scores[best].tolist()
        assert set(items) == set(ids[best])


def test_neighbours_are_listed_for_recall(tmp_path):
    data = sequences()
    run = easyrec.train(SEQUENCES, data=data, run_dir=tmp_path / "run", progress=False)
    table = pq.read_table(run.bundle / "neighbours.parquet").to_pandas()
    assert list(table.columns) == ["item", "neighbour", "score"]
    statistic = counted(SEQUENCES, tmp_path)
    ids = statistic.ids.to_numpy()
    for row, item in enumerate(ids):
        own = table[table["item"] == item]
        assert len(own) == ITEMS - 1
        assert own["score"].tolist() == sorted(np.delete(statistic.links.values[row], row).tolist(), reverse=True)
        assert item not in set(own["neighbour"])


def test_threads_give_the_same_run(tmp_path):
    metrics = []
    for threads in (1, 2):
        config = {**SEQUENCES, "model": {**SEQUENCES["model"], "type": "swing"}, "train": {"threads": threads}}
        del config["model"]["l2"]
        easyrec.train(config, data=sequences(), run_dir=tmp_path / str(threads), progress=False, export=False)
        metrics.append((tmp_path / str(threads) / "checkpoints" / "statistic" / "matrix.safetensors").read_bytes())
    assert metrics[0] == metrics[1]
    assert torch.get_num_threads() >= 1


def test_a_damaged_or_other_statistic_is_refused(tmp_path):
    data = sequences()
    easyrec.train(SEQUENCES, data=data, run_dir=tmp_path / "run", progress=False)
    folder = tmp_path / "run"
    few = catalogue().iloc[::-1]
    with pytest.raises(RunError, match="counted over other items"):
        easyrec.evaluate(folder, data={"valid": data["valid"], "items": few})
    smaller = {**SEQUENCES, "features": [{**ITEM, "num_buckets": 39}, *SEQUENCES["features"][1:]]}
    with pytest.raises((CheckpointError, ConfigError)):
        easyrec.retrieve(smaller, data["valid"], run_dir=folder)
    matrix = folder / "checkpoints" / "statistic" / "matrix.safetensors"
    content = bytearray(matrix.read_bytes())
    content[-1] ^= 1
    matrix.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="checksum"):
        easyrec.retrieve(SEQUENCES, data["valid"], run_dir=folder)
    with pytest.raises(RunError, match="holds no statistic"):
        easyrec.retrieve(SEQUENCES, data["valid"], run_dir=tmp_path / "none")


def test_what_does_not_apply_says_so(tmp_path):
    data = sequences()
    run = easyrec.train(SEQUENCES, data=data, run_dir=tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="predicts no labels: `easyrec retrieve`"):
        easyrec.predict(tmp_path / "run", data["valid"])
    with pytest.raises(ConfigError, match=r"makes no vectors.*neighbours\.parquet"):
        easyrec.embed(tmp_path / "run", data["items"])
    with pytest.raises(ConfigError, match="holds its items itself"):
        easyrec.retrieve(tmp_path / "run", data["valid"], items=tmp_path)
    with pytest.raises(BundleError, match="has no program to run"):
        Predictor.load(run.bundle)


def changed(config, **keys):
    return {**config, "model": {**config["model"], **keys}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(SEQUENCES, type="eaze"), "did you mean 'ease'?"),
        (changed(SEQUENCES, type="nothing_alike"), "item_cf, "),
        (changed(SEQUENCES, groups=None), "needs the groups 'user' and 'item'"),
        (changed(SEQUENCES, groups={"user": {"sequences": [{"sequence": "pst"}]}, "item": ["item_id"]}), "did you mean 'past'?"),
        (changed(PAIRS, groups={"user": ["user_id", "item_id"], "item": ["item_id"]}), "the one id that tells users apart"),
        (changed(PAIRS, groups={"user": ["usr_id"], "item": ["item_id"]}), "did you mean 'user_id'?"),
        (changed(SEQUENCES, tasks=[{"name": "a", "label": "b"}]), "predicts no labels: leave 'tasks' out"),
        ({**SEQUENCES, "data": {"sample_weight": "w"}}, "counts all rows alike"),
        ({**SEQUENCES, "train": {"early_stop": {"metric": "recal@5"}}}, "did you mean 'recall@5'?"),
        ({**SEQUENCES, "eval": {"metrics": ["auc"]}}, "does nothing where the catalogue is ranked"),
        (changed(SEQUENCES, recency=0), "greater than 0"),
    ],
)  # fmt: skip
def test_config_errors(config, message):
    with pytest.raises(ConfigError) as error:
        load_experiment({**config, "data": {"items": {"type": "parquet", "path": "x"}, **config["data"]}})
    assert message in str(error.value)


def test_data_that_say_nothing_are_refused(tmp_path):
    data = sequences()
    with pytest.raises(DataError, match="nothing to count"):
        easyrec.train(SEQUENCES, data={**data, "train": rows([[]])}, run_dir=tmp_path / "a", progress=False)
    with pytest.raises(ConfigError, match=r"data \. items"):
        easyrec.train(SEQUENCES, data={"train": data["train"]}, run_dir=tmp_path / "b", progress=False)


def test_items_that_the_catalogue_lacks_are_left_out_with_a_warning(tmp_path, caplog):
    data = sequences()
    fewer = data["items"][data["items"]["item_id"] != 3]
    easyrec.train(SEQUENCES, data={"train": data["train"], "items": fewer}, run_dir=tmp_path / "run", progress=False)
    lost = sum(one.count(3) for one in data["train"]["past__item_id"])
    assert f"{lost} steps of items that data.items does not have are left out" in caplog.text


def files(tmp_path):
    data = sequences()
    for name, frame in data.items():
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), tmp_path / f"{name}.parquet")
    return [f"data.{name}={{type: parquet, path: {tmp_path / name}.parquet}}" for name in data]


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted.yaml").write_text(json.dumps({**SEQUENCES, "data": {}}))
    config = ["-c", str(tmp_path / "counted.yaml"), *[text for part in files(tmp_path) for text in ("-o", part)]]
    assert main(["check", *config]) == 0
    assert "counted in one pass" in capsys.readouterr().out
    assert main(["train", *config, "--no-bar"]) == 0
    assert "recall@5" in capsys.readouterr().out
    assert main(["evaluate", "-c", "runs/counted"]) == 0
    assert "mrr@5" in capsys.readouterr().out
    users = ["--users", str(tmp_path / "valid.parquet"), "-k", "3", "--output", "found.parquet"]
    assert main(["retrieve", "-c", "runs/counted", *users]) == 0
    assert pq.read_table("found.parquet").column("items").combine_chunks().value_lengths().unique().to_pylist() == [3]
    assert main(["predict", "-c", "runs/counted", "--output", "x.parquet"]) == 2
    assert main(["check", *config, "--config-only", "--graph", "x.svg"]) == 2


def test_checking_builds_nothing_and_asks_for_rows_and_items(tmp_path):
    files(tmp_path)
    parts = {"train": {"type": "parquet", "path": str(tmp_path / "train.parquet")}}
    parts["items"] = {"type": "parquet", "path": str(tmp_path / "items.parquet")}
    for lacking, where in (("train", r"data \. train"), ("items", r"data \. items")):
        given = {name: source for name, source in parts.items() if name != lacking}
        experiment = load_experiment({**SEQUENCES, "data": given})
        built = build(experiment)
        assert built.dense_parameters == 0
        with pytest.raises(ConfigError, match=where):
            inspect(experiment, built)
