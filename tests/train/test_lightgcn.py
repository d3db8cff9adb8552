"""LightGCN from rows to bundles, against dense matrices over the rows of training."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import easyrec
from easyrec.batch import Batch
from easyrec.config import load_experiment
from easyrec.errors import CheckpointError, DataError
from easyrec.train.interrupt import Interrupted
from easyrec.train.restore import restore
from easyrec.train.trainer import Trainer
from serving import Predictor

USERS, ITEMS, LAYERS = 40, 24, 2
CONFIG = {
    "name": "graph",
    "data": {"sampler": {"type": "uniform", "negatives": 12}, "batch_size": 64, "shuffle": {"buffer_rows": 5000}},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS + 2},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 2 * ITEMS},
        {
            "type": "id",
            "name": "seen",
            "expression": "user:seen",
            "num_buckets": 2 * ITEMS,
            "embedding_name": "item_id",
        },
    ],
    "model": {
        "type": "lightgcn",
        "layers": LAYERS,
        "embedding_dim": 8,
        "groups": {"user": ["user_id"], "item": ["item_id"]},
    },
    "train": {"epochs": 10, "threads": 1, "sparse_optimizer": {"type": "adam", "lr": 0.05}},
    "eval": {"retrieval": {"exclude": "seen", "metrics": [{"type": "ndcg", "k": 5}, {"type": "recall", "k": 5}]}},
}


def items():
    """The catalogue, in an order of its own."""
    return pd.DataFrame({"item_id": np.random.default_rng(5).permutation(ITEMS)})


def rows():
    """Rows of training and of valid: users of four kinds take items of their kind, the first ones more often."""
    random, taken, asked = np.random.default_rng(1), [], []
    for user in range(USERS):
        own = np.flatnonzero(np.arange(ITEMS) % 4 == user % 4)
        chosen = random.choice(ITEMS, 5, replace=False, p=_shares(own)).tolist()
        *seen, wanted = chosen
        taken += [(user, item) for item in (*seen, seen[0])]  # one pair twice
        asked.append((user, wanted, seen))
    train = pd.DataFrame(taken, columns=["user_id", "item_id"]).sample(frac=1.0, random_state=2)
    return {"train": train, "valid": pd.DataFrame(asked, columns=["user_id", "item_id", "seen"]), "items": items()}


def _shares(own):
    shares = np.full(ITEMS, 0.02)
    shares[own] += 1 / np.arange(2, 2 + len(own))
    return shares / shares.sum()


def vectors(weights, train):
    """Users' and items' vectors by the formula, of what is trained, over the distinct pairs of the rows."""
    users, items_ = weights["user_id"].astype(np.float64), weights["item_id"].astype(np.float64)
    matrix = np.zeros((len(users) + len(items_),) * 2)
    for user, item in set(zip(train["user_id"], train["item_id"], strict=True)):
        matrix[user, len(users) + item] = matrix[len(users) + item, user] = 1.0
    degrees = np.maximum(matrix.sum(1), 1.0)
    matrix /= np.sqrt(degrees[:, None] * degrees)
    whole = np.concatenate([users, items_])
    spread = np.mean([np.linalg.matrix_power(matrix, k) @ whole for k in range(LAYERS + 1)], axis=0)
    return spread[: len(users)], spread[len(users) :]


@pytest.fixture
def trainer(tmp_path):
    def make(data=None, run="run", kind=Trainer, resume=False, export=False, **overrides):
        settings = {key.replace("__", "."): value for key, value in overrides.items()}
        experiment = load_experiment(CONFIG, settings)
        return kind(experiment, tmp_path / run, data=data or rows(), resume=resume, bar=False, export=export)

    return make


def told(scorer, matching):
    """(U, N), what the trained parts make of all users and items of the catalogue."""
    generator = matching.sides.generator("user")
    table = generator.transform({"user_id": np.arange(USERS)})
    found = scorer.vectors(Batch.of(table, outputs=generator.outputs), "user", ["user"])
    return (found @ matching.items(scorer).T).numpy()


def by_formula(trained, train):
    users, items_ = vectors(trained.collection.weights, train)
    return users[:USERS] @ items_[items()["item_id"]].T


def test_it_finds_what_the_popular_items_do_not(trainer, tmp_path):
    found = trainer().fit().metrics["valid"]
    popular = {"type": "popularity", "groups": CONFIG["model"]["groups"]}
    plain = easyrec.train({**CONFIG, "model": popular}, data=rows(), run_dir=tmp_path / "plain", progress=False)
    assert found["ndcg@5"] > plain.metrics["valid"]["ndcg@5"] + 0.15


def test_trained_vectors_are_those_of_the_formula(trainer):
    data = rows()
    made = trainer(data)
    made.fit()
    np.testing.assert_allclose(told(made.scorer, made.matching), by_formula(made, data["train"]), rtol=1e-4, atol=1e-5)
    assert made.collection.graph.num_edges == len(data["train"].drop_duplicates())


@pytest.mark.parametrize("loss", ["softmax", "bce", "gbce", "hinge"])
def test_every_loss_teaches_it(trainer, loss):
    assert trainer(model__loss={"type": loss}).fit().metrics["valid"]["ndcg@5"] > 0.35


SAMPLERS = {
    "in_batch": {},
    "everything": {},
    "popularity": {"negatives": 12},
    "cross_batch": {"batches": 2},
    "hard": {"index": {"type": "flat"}, "top": [0, 6], "negatives": 3},
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_teaches_it(trainer, sampler):
    made = trainer(data__sampler={"type": sampler, **SAMPLERS[sampler]}, model__loss={"type": "softmax"})
    assert made.fit().metrics["valid"]["ndcg@5"] > 0.35


class Stopped(Trainer):
    def _do_what_is_due(self):
        if self.step == 7:  # in the second epoch
            self.stop.name = "SIGTERM"
        super()._do_what_is_due()


@pytest.mark.parametrize("optimizer", ["adam", "rowwise_adagrad"])
def test_a_resumed_run_ends_where_one_that_never_stopped_ends(trainer, optimizer):
    keys = {"train__sparse_optimizer": {"type": optimizer, "lr": 0.05}, "train__grad_clip": {"norm": 0.05}}
    keys |= {"train__embedding_regularizer": 0.001, "train__epochs": 4}
    whole = trainer(run="whole", **keys)
    whole.fit()
    with pytest.raises(Interrupted):
        trainer(kind=Stopped, **keys).fit()
    resumed = trainer(resume=True, **keys)
    resumed.fit()
    for name, table in whole.collection.weights.items():
        np.testing.assert_array_equal(resumed.collection.weights[name], table)
    np.testing.assert_array_equal(told(resumed.scorer, resumed.matching), told(whole.scorer, whole.matching))


def test_a_resumed_run_keeps_the_graph_that_it_began_with(trainer):
    data = rows()
    with pytest.raises(Interrupted):
        trainer(data, kind=Stopped).fit()
    resumed = trainer({**data, "train": data["train"].assign(item_id=0)}, resume=True)
    resumed.fit()
    assert resumed.collection.graph.num_edges == len(data["train"].drop_duplicates())


def test_bundles_score_as_the_whole_model_does(trainer, tmp_path):
    data = rows()
    made = trainer(data, export=True, model__temperature=0.5)
    run = made.fit()
    predictors = {side: Predictor.load(run.bundle / side) for side in ("user", "item")}
    users = predictors["user"].predict_batch(pd.DataFrame({"user_id": np.arange(USERS)}))["vector"]
    found = predictors["item"].predict_batch(items())["vector"]
    np.testing.assert_allclose(users @ found.T, told(made.scorer, made.matching), rtol=0, atol=1e-6)
    np.testing.assert_allclose(users @ found.T, by_formula(made, data["train"]), rtol=1e-4, atol=1e-5)
    x = made.collection.lookup(
        Batch.of(
            made.experiment.generator.only(["user_id", "item_id"]).transform(data["train"][:50]),
            outputs=made.experiment.generator.outputs,
        )
    )
    made.model.eval()
    place = np.argsort(items()["item_id"].to_numpy())
    pairs = (data["train"]["user_id"][:50].to_numpy(), place[data["train"]["item_id"][:50].to_numpy()])
    logits = (users @ found.T)[pairs] / 0.5 + made.model.head.bias.detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(made.model(x)["logit"].numpy(), logits, rtol=0, atol=1e-6)


def test_what_is_trained_is_used_over_the_graph_that_it_was_trained_over(trainer, tmp_path):
    data = rows()
    for name, frame in data.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    named = {f"data.{name}": {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")} for name in data}
    run = easyrec.train(CONFIG, overrides=named, run_dir=tmp_path / "run", progress=False)
    data["train"].assign(item_id=0).to_parquet(tmp_path / "train.parquet")  # another graph
    assert easyrec.evaluate(tmp_path / "run", data={"valid": data["valid"]}).metrics["valid"] == run.metrics["valid"]
    easyrec.embed(tmp_path / "run", index={"type": "flat"})
    found = easyrec.retrieve(tmp_path / "run", data["valid"], k=5, exclude="seen")
    hits = [wanted in got for wanted, got in zip(data["valid"]["item_id"], found["items"], strict=True)]
    assert np.mean(hits) == pytest.approx(run.metrics["valid"]["recall@5"])
    embedded = json.loads((tmp_path / "run" / "items" / "items.json").read_text())["model"]
    assert json.loads((run.bundle / "user" / "manifest.json").read_text())["tower_of"] == embedded
    easyrec.export(tmp_path / "run", output=tmp_path / "again")
    both = [Predictor.load(path / "item").predict_batch(items())["vector"] for path in (run.bundle, tmp_path / "again")]
    np.testing.assert_array_equal(*both)


def test_who_is_not_in_the_graph_is_known_by_the_own_embedding_alone(trainer):
    made = trainer()
    made.fit()
    weights, spread = made.collection.weights, made.collection.looked_up
    np.testing.assert_array_equal(spread["user_id"][USERS:], weights["user_id"][USERS:] / np.float32(LAYERS + 1))
    np.testing.assert_array_equal(spread["item_id"][ITEMS:], weights["item_id"][ITEMS:] / np.float32(LAYERS + 1))


def test_rows_that_are_left_out_give_no_edge(trainer):
    data = rows()
    odd = pd.DataFrame({"user_id": [0, 1], "item_id": [2 * ITEMS - 1, ITEMS]})
    more = {**data, "train": pd.concat([data["train"], odd])}
    with pytest.raises(DataError, match=r"is no item of data\.items"):
        trainer(more).fit()
    made = trainer(more, run="mended", data__bad_rows="skip")
    made.fit()
    assert made.collection.graph.num_edges == len(data["train"].drop_duplicates())


def test_rows_without_a_user_give_no_edge_and_several_users_one_each(trainer):
    data = rows()
    users = [[user] for user in data["train"]["user_id"]]
    more = pd.DataFrame({"user_id": [*users, [], [0, 1]], "item_id": [*data["train"]["item_id"], ITEMS - 1, ITEMS - 1]})
    made = trainer({**data, "train": more}, train__epochs=1)
    made.fit()
    pairs = {*zip(data["train"]["user_id"], data["train"]["item_id"], strict=True), (0, ITEMS - 1), (1, ITEMS - 1)}
    assert made.collection.graph.num_edges == len(pairs)


def test_a_graph_without_edges_is_refused(trainer):
    data = rows()
    strangers = data["train"].assign(user_id=10**6)
    with pytest.raises(DataError, match=r"no row of training names a user of 'user_id' and an item of 'item_id'"):
        trainer({**data, "train": strangers}).fit()


def test_it_starts_from_a_matrix_factorization(trainer, tmp_path):
    plain = trainer(
        run="plain", model={"type": "bpr_mf", "embedding_dim": 8, "groups": CONFIG["model"]["groups"]}, train__epochs=2
    )
    plain.fit()
    made = trainer(
        train__init_from=str(tmp_path / "plain"), train__epochs=1, train__sparse_optimizer={"type": "sgd", "lr": 1e-9}
    )
    made.fit()
    for name, table in plain.collection.weights.items():
        np.testing.assert_allclose(made.collection.weights[name], table, atol=1e-6)
    with pytest.raises(CheckpointError, match="holds no graph of users and items"):
        restore(made.experiment, tmp_path / "plain")
