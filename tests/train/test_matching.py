"""Training against a catalogue: what is learned, how it is measured, and that it resumes."""

import copy
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import easyrec
from easyrec.batch import Batch
from easyrec.cli import main
from easyrec.config import load_experiment
from easyrec.errors import ConfigError, DataError
from easyrec.models._sequential import SequentialConfig
from easyrec.train.interrupt import Interrupted
from easyrec.train.trainer import Trainer
from feature_generator.config import member, members
from serving import Predictor

USERS, ITEMS = 12, 20
CONFIG = {
    "name": "match",
    "data": {"sampler": {"type": "in_batch"}, "batch_size": 64, "shuffle": {"buffer_rows": 5000}},
    "features": [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "num_buckets": USERS},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 2 * ITEMS},
        {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": 5},
    ],
    "model": {
        "type": "dssm",
        "embedding_dim": 16,
        "hidden": [32],
        "output_dim": 16,
        "similarity": "dot",
        "groups": {"user": ["user_id"], "item": ["item_id", "cate"]},
    },
    "train": {
        "epochs": 3,
        "threads": 1,
        "sparse_optimizer": {"type": "adam", "lr": 0.02},
        "dense_optimizer": {"type": "adam", "lr": 0.005},
    },
    "eval": {
        "retrieval": {"metrics": [{"type": "ndcg", "k": 5}, {"type": "recall", "k": 5}, {"type": "popularity", "k": 5}]}
    },
}
MODELS = {name: member("easyrec.models", name).Config for name in members("easyrec.models")}
SEQUENTIAL = [name for name, config in MODELS.items() if issubclass(config, SequentialConfig)]
SEQUENCES = {
    "data.sampler": {"type": "everything"},
    "features": [
        CONFIG["features"][1],
        {
            "type": "sequence",
            "name": "past",
            "sequence_length": 8,
            "features": [{**CONFIG["features"][1], "embedding_name": "item_id"}],
        },
    ],
    "model": {
        "type": "sasrec",
        "embedding_dim": 16,
        "embedding_init": {"type": "normal", "std": 0.1},
        "groups": {"user": {"sequences": [{"sequence": "past"}]}, "item": ["item_id"]},
    },
}


def items():
    """The catalogue, in an order of its own."""
    ids = np.random.default_rng(5).permutation(ITEMS)
    return pd.DataFrame({"item_id": ids, "cate": ids % 5})


def truth():
    """(U, N), what each user takes: a softmax of tastes, times how popular items are."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 1.0, (USERS, 4)) @ random.normal(0, 1.0, (4, ITEMS)) - 0.15 * np.arange(ITEMS)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def taken(rows, seed):
    random = np.random.default_rng(seed)
    users = random.integers(0, USERS, rows)
    shares = truth()
    return pd.DataFrame({"user_id": users, "item_id": [random.choice(ITEMS, p=shares[u]) for u in users]})


def chains(rows, seed, *, asked):
    """Walks whose next step is three further on, mostly."""
    random = np.random.default_rng(seed)
    steps = np.where(random.random((rows, 9)) < 0.9, 3, 7).cumsum(1) + random.integers(0, ITEMS, (rows, 1))
    steps %= ITEMS
    past = [list(walk[: random.integers(1, 9)]) for walk in steps]
    found = {"past__item_id": past}
    if asked:
        found["item_id"] = [(walk[-1] + 3) % ITEMS for walk in past]
    return pd.DataFrame(found)


@pytest.fixture
def trainer(tmp_path):
    def make(data, run="run", kind=Trainer, resume=False, export=False, **overrides):
        settings = {key.replace("__", "."): value for key, value in overrides.items()}
        experiment = load_experiment(CONFIG, settings)
        return kind(
            experiment, tmp_path / run, data={"items": items(), **data}, resume=resume, bar=False, export=export
        )

    return make


def shares_of(trained):
    """(U, N), the softmax of what a model makes of all users and items, items by id."""
    matching, scorer = trained.matching, trained.scorer
    generator = matching.sides.generator("user")
    table = generator.transform({"user_id": np.arange(USERS)})
    vectors = scorer.vectors(Batch.of(table, outputs=generator.outputs), "user", ["user"])
    by_id = np.argsort(matching.catalogue.ids.to_numpy())
    logits = vectors @ matching.items(scorer)[by_id].T / trained.experiment.model.temperature
    return torch.softmax(logits, 1).numpy()


def distance(found):
    """Mean over users of the total variation from the truth."""
    return float(np.abs(found - truth()).sum(1).mean() / 2)


SETTLING = {
    "data__batch_size": 16,
    "train__epochs": 3,
    "train__sparse_optimizer": {"type": "adam", "lr": 0.02, "schedule": {"type": "cosine"}},
    "train__dense_optimizer": {"type": "adam", "lr": 0.005, "schedule": {"type": "cosine"}},
}


SHOWN = {
    "type": "id",
    "name": "shown",
    "expression": "user:shown",
    "num_buckets": 2 * ITEMS,
    "embedding_name": "item_id",
}
"""Items that a row names."""


QUICK = ("in_batch", "uniform")
SAMPLERS = ("cross_batch", "everything", "hard", "in_batch", "mixed", "popularity", "uniform")


@pytest.mark.parametrize("sampler", [pytest.param(s, marks=[pytest.mark.slow] * (s not in QUICK)) for s in SAMPLERS])
def test_corrected_training_finds_the_true_softmax(trainer, sampler):
    """The rows themselves are 0.033 away from it, by chance."""
    chosen = {
        "cross_batch": {"batches": 2},
        "hard": {"feature": "shown", "negatives": 2, "beside": {"type": "popularity", "negatives": 10}},
    }
    keys = chosen.get(sampler, {} if sampler in ("everything", "in_batch") else {"negatives": 40})
    rows = taken(12_000, 1)
    rows["shown"] = [one.tolist() for one in np.random.default_rng(8).integers(0, 8, (12_000, 3))]  # popular ones
    settings = {**SETTLING, "features": [*CONFIG["features"], SHOWN]}
    made = trainer({"train": rows}, data__sampler={"type": sampler, **keys}, **settings)
    made.fit()
    assert distance(shares_of(made)) < 0.06


def test_without_the_correction_popular_items_are_pushed_down(trainer):
    made = trainer({"train": taken(12_000, 1)}, data__sampler={"type": "in_batch", "logq": False}, **SETTLING)
    made.fit()
    found = shares_of(made)
    assert distance(found) > 0.2
    popular = truth().mean(0) > 2 / ITEMS
    assert found[:, popular].sum() < 0.8 * truth()[:, popular].sum()


def test_the_catalogue_is_ranked_for_every_row(trainer):
    made = trainer({"train": taken(4000, 1), "valid": taken(500, 2), "test": taken(500, 3)})
    run = made.fit()
    assert set(run.metrics["test"]) == {"ndcg@5", "recall@5", "popularity@5"}
    best = np.sort(truth(), 1)[:, -5:].sum(1).mean()
    assert 0.8 * best < run.metrics["test"]["recall@5"] < 1.1 * best
    assert made.best.metric == "ndcg@5"


def test_ranks_among_a_few_items_are_told_by_their_name(trainer):
    """The same again, and with all of the other items those of full ranking."""
    few = [{"type": "sampled_recall", "k": 5, "negatives": n} for n in (8, ITEMS)]
    few += [{"type": "sampled_ndcg", "k": 5, "negatives": 8, "by": "popularity"}]
    metrics = [{"type": "recall", "k": 5}, *few]
    data = {"train": taken(1000, 1), "valid": taken(300, 2)}
    made = trainer(data, eval__retrieval__metrics=metrics, train__early_stop={"metric": "sampled_recall@5/8"})
    found = made.fit().metrics["valid"]
    assert set(found) == {"recall@5", "sampled_recall@5/8", f"sampled_recall@5/{ITEMS}", "sampled_ndcg@5/8/popularity"}
    assert found[f"sampled_recall@5/{ITEMS}"] == found["recall@5"]
    assert found["recall@5"] + 0.1 < found["sampled_recall@5/8"] < 1
    assert made.measure(made.valid) == made.measure(made.valid)


def continued(trainer, model, loss, epochs):
    """How a model that was trained on walks continues others."""
    data = {"train": chains(600, 1, asked=False), "valid": chains(200, 2, asked=True)}
    settings = {**SEQUENCES, "model.type": model, "model.loss": {"type": loss}, "train.epochs": epochs}
    return trainer(data, **{k.replace(".", "__"): v for k, v in settings.items()}).fit().metrics["valid"]


@pytest.mark.parametrize("loss", ["softmax", "bce", "gbce", "bpr", "hinge"])
def test_a_sequence_is_continued_with_every_loss(trainer, loss):
    found = continued(trainer, "sasrec", loss, 15)
    assert found["recall@5"] > 0.9
    assert found["ndcg@5"] > 0.8


EPOCHS = {"fmlp_rec": 30, "bert4rec": 40, "narm": 20}
"""Of models that learn less from a batch."""


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_sequence_is_continued_by_every_model(trainer, name):
    found = continued(trainer, name, "softmax", EPOCHS.get(name, 15))
    assert found["recall@5"] > 0.9
    assert found["ndcg@5"] > 0.8


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_sequence_is_continued_on_another_device(trainer, there, name):
    found = continued(partial(trainer, kind=there), name, "softmax", EPOCHS.get(name, 15))
    assert found["recall@5"] > 0.9
    assert found["ndcg@5"] > 0.8


@pytest.mark.parametrize(
    "sampler",
    [
        {"type": "in_batch"},
        {"type": "cross_batch", "batches": 3},
        {"type": "mixed"},
        {"type": "hard", "index": {"type": "flat"}, "top": [0, 5], "negatives": 3},
    ],
    ids=lambda sampler: sampler["type"],
)
def test_negatives_are_learned_from_on_another_device(trainer, there, sampler):
    data = {"train": taken(3000, 1), "valid": taken(300, 2)}
    settings = {"data__sampler": sampler, "train__epochs": 1, "model__hidden": [8]}
    settings |= {"train__epochs": 2}
    one = trainer(data, "one", **settings).fit().metrics["valid"]
    other = trainer(data, "other", there, **settings).fit().metrics["valid"]
    assert other == pytest.approx(one, abs=0.01)
    assert other["recall@5"] > 1.2 * 5 / ITEMS


class Stopped(Trainer):
    def _do_what_is_due(self):
        if self.step == 60:  # in the second epoch
            self.stop.name = "SIGTERM"
        super()._do_what_is_due()


@pytest.mark.parametrize("sampler", ["cross_batch", "hard", "near", "in_batch", "mixed", "popularity"])
def test_a_resumed_run_draws_what_one_that_never_stopped_draws(trainer, sampler):
    rows = taken(3000, 1)
    rows["shown"] = [one.tolist() for one in np.random.default_rng(8).integers(0, ITEMS, (3000, 4))]
    data = {"train": rows, "valid": taken(300, 2)}
    chosen = {
        "hard": {"feature": "shown", "negatives": 2, "beside": {"type": "cross_batch"}},
        "near": {"type": "hard", "index": {"type": "flat"}, "top": [0, 5], "negatives": 3},
        "cross_batch": {"batches": 3},
    }
    keys = {"data__sampler": {"type": sampler, **chosen.get(sampler, {})}, "features": [*CONFIG["features"], SHOWN]}
    whole = trainer(data, run="whole", **keys)
    whole.fit()
    with pytest.raises(Interrupted):
        trainer(data, kind=Stopped, **keys).fit()
    resumed = trainer(data, resume=True, **keys)
    resumed.fit()
    for name, table in whole.collection.weights.items():
        np.testing.assert_array_equal(resumed.collection.weights[name], table)
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", ["bert4rec", "cl4srec", "fmlp_rec"])
def test_what_chance_hides_is_the_same_after_a_resume(trainer, name):
    settings = {**SEQUENCES, "model.type": name, "train.epochs": 4, "data.batch_size": 32}
    settings = {k.replace(".", "__"): v for k, v in settings.items()}
    data = {"train": chains(600, 1, asked=False), "valid": chains(50, 2, asked=True)}
    whole = trainer(data, run="whole", **settings)
    whole.fit()
    with pytest.raises(Interrupted):
        trainer(data, kind=Stopped, **settings).fit()
    resumed = trainer(data, resume=True, **settings)
    resumed.fit()
    for name, tensor in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], tensor, rtol=0, atol=0)


def led(rows, seed, *, asked):
    """Walks whose next step is three further on after an action of one kind, seven after the other."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 2, (rows, 8))
    walks = np.concatenate([random.integers(0, ITEMS, (rows, 1)), np.where(kinds == 0, 3, 7)], axis=1).cumsum(1) % ITEMS
    lengths = random.integers(2, 9, rows)
    past = [list(walk[:length]) for walk, length in zip(walks, lengths, strict=True)]
    found = {
        "past__item_id": past,
        "past__action": [list(row[:length]) for row, length in zip(kinds, lengths, strict=True)],
        "past__cate": [[item % 5 for item in walk] for walk in past],
    }
    if asked:
        found["item_id"] = [int(walk[length]) for walk, length in zip(walks, lengths, strict=True)]
    return pd.DataFrame(found)


def told_by(child, model, **keys):
    """Settings of a model that is told the way by a child of the sequence."""
    sequence = SEQUENCES["features"][1]
    children = [*sequence["features"], *child]
    settings = {
        **SEQUENCES,
        "features": [CONFIG["features"][1], CONFIG["features"][2], {**sequence, "features": children}],
    }
    groups = {"user": {"sequences": [{"sequence": "past", **keys}]}, "item": ["item_id", "cate"]}
    settings["model"] = {**SEQUENCES["model"], "type": model, "groups": groups}
    settings["eval.retrieval.metrics"] = [{"type": "recall", "k": 1}]
    return {key.replace(".", "__"): value for key, value in {**settings, "train.epochs": 10}.items()}


def test_kinds_of_behaviour_and_features_of_items_are_children_of_the_sequence(trainer):
    """The newest action alone tells which of two items comes next."""
    action = {"type": "id", "name": "action", "expression": "user:action", "num_buckets": 2, "embedding_dim": 4}
    cate = {**CONFIG["features"][2], "embedding_name": "cate"}
    data = {"train": led(600, 1, asked=False), "valid": led(200, 2, asked=True)}
    settings = told_by([action, cate], "sasrec")
    run = trainer(data, **settings, train__dense_optimizer={"type": "adam", "lr": 0.01}).fit()
    assert run.metrics["valid"]["recall@1"] > 0.9


@pytest.mark.slow
def test_times_between_steps_tell_hstu_what_comes_next(trainer):
    """The time since the step before the newest alone tells which of two items comes next."""
    data = {"train": after_pauses(600, 1, asked=False), "valid": after_pauses(200, 2, asked=True)}
    time = {"type": "raw", "name": "time", "expression": "user:time"}
    settings = told_by([time], "hstu", encoder={"type": "hstu", "time": "time", "dropout": 0.0})
    settings |= {"train__epochs": 30, "train__dense_optimizer": {"type": "adam", "lr": 0.02}}
    assert trainer(data, **settings).fit().metrics["valid"]["recall@1"] > 0.9


def after_pauses(rows, seed, *, asked):
    """Walks whose next step is seven further on after a pause, else three."""
    random = np.random.default_rng(seed)
    pauses = random.integers(0, 2, (rows, 8))
    start = random.integers(0, ITEMS, (rows, 1))
    walks = (
        np.concatenate([start, start + 1, (start + 1) + np.where(pauses[:, 1:] == 0, 3, 7).cumsum(1)], axis=1) % ITEMS
    )
    times = np.where(pauses == 0, 10.0, 3000.0) * random.uniform(0.7, 1.3, pauses.shape)
    times[:, 0] = random.uniform(0, 1e6, rows)  # then the pause before each step
    lengths = random.integers(2, 9, rows)
    found = {
        "past__item_id": [list(walk[:length]) for walk, length in zip(walks, lengths, strict=True)],
        "past__time": [list(row[:length]) for row, length in zip(times.cumsum(1), lengths, strict=True)],
    }
    if asked:
        found["item_id"] = [int(walk[length]) for walk, length in zip(walks, lengths, strict=True)]
    return pd.DataFrame(found)


def test_weights_of_rows_are_those_of_their_positions(trainer):
    """The loss of a batch is the mean over positions, each weighing as much as its row."""
    rows = chains(60, 1, asked=False)
    rows = rows[~rows["past__item_id"].map(tuple).duplicated()][:40]
    data = {"train": rows.assign(weight=np.arange(40) % 5)}
    settings = {k.replace(".", "__"): v for k, v in SEQUENCES.items()}
    made = trainer(data, **settings, data__sample_weight="weight", data__batch_size=40)
    batch = next(iter(made.loader))
    made.model.eval()
    with torch.no_grad():
        logits = made.model(made.collection.lookup(batch))
        (loss,) = made.matching.objective(logits, batch).values()
    walks = list(data["train"]["past__item_id"])
    by_walk = {tuple(walk): weight for walk, weight in zip(walks, data["train"]["weight"], strict=True)}
    ids = made.matching.catalogue.ids.to_numpy()
    values = batch.sequences["past__item_id"]
    position, total, weights = 0, 0.0, 0.0
    for row in range(40):
        walk = values.values[values.offsets[row] : values.offsets[row + 1]].tolist()
        for wanted in walk[1:]:
            own = int(np.flatnonzero(ids == wanted)[0])
            cost = -torch.log_softmax(logits["logit"][position], 0)[own].item()
            total, weights = total + by_walk[tuple(walk)] * cost, weights + by_walk[tuple(walk)]
            position += 1
    assert loss.item() == pytest.approx(total / weights, rel=1e-5)


def test_hard_items_are_near_the_own_one_and_found_again_in_time(trainer):
    """After the second and the fourth of five epochs, by the vectors of then."""
    keys = {"type": "hard", "index": {"type": "flat"}, "top": [1, 4], "negatives": 2, "refresh": 2}
    beside = {"type": "uniform", "negatives": 1}
    made = trainer({"train": taken(640, 1)}, data__sampler={**keys, "beside": beside}, train__epochs=5)
    found = []

    def refresh(scorer, epoch):
        before = made.matching.sampler.near
        type(made.matching).refresh(made.matching, scorer, epoch)
        vectors = made.matching.items(scorer).numpy()
        found.append((epoch, made.matching.sampler.near is not before, made.matching.sampler.near, vectors))

    made.matching.refresh = refresh
    made.fit()
    assert [(epoch, anew) for epoch, anew, *_ in found] == [(0, False), (1, False), (2, True), (3, False), (4, True)]
    assert found[1][2] is None
    for _, anew, near, vectors in found:
        if anew:
            scores = vectors @ vectors.T
            np.fill_diagonal(scores, -np.inf)
            np.testing.assert_array_equal(near, np.argsort(-scores, axis=1)[:, 1:4])
    made.loader.load_state({**made.loader.state(), "epoch": 0})
    batch = next(iter(made.loader))
    matches = batch.matches
    assert matches.apart.shape == (64, 2)
    for p, places in enumerate(matches.apart.tolist()):
        own = int(matches.numbers[matches.targets[p]])
        assert {int(matches.numbers[place]) for place in places} <= set(made.matching.sampler.near[own].tolist())


def gradients(made):
    """(P, N) bool: which items of the first batch move with the loss of each of its positions."""
    batch = next(iter(made.loader))
    made.loader.close()
    torch.manual_seed(0)
    matches, dim = batch.matches, 4
    positions, items = torch.randn(len(matches.targets), dim), torch.randn(matches.items.size, dim, requires_grad=True)
    logits = made.model.against(positions, items, matches)
    found = np.zeros((len(positions), ITEMS), bool)
    ids = made.matching.catalogue.ids.to_numpy()
    for p in range(len(positions)):
        (gradient,) = torch.autograd.grad(
            made.matching.loss(logits[p : p + 1], matches.columns[p : p + 1]), items, retain_graph=True
        )
        found[p, ids[matches.numbers[gradient.any(1)]]] = True
    return batch, found


@pytest.mark.parametrize(
    "sampler",
    [
        {"type": "everything"},
        {"type": "in_batch"},
        {"type": "uniform", "negatives": 200},
        {"type": "hard", "feature": "shown", "beside": {"type": "uniform", "negatives": 4}},
    ],
    ids=lambda keys: keys["type"],
)
def test_items_that_a_user_knows_are_not_held_against_their_own(trainer, sampler):
    rows, random = taken(64, 1), np.random.default_rng(8)
    rows["seen"] = [one.tolist() for one in random.integers(0, ITEMS + 5, (64, 6))]
    rows["shown"] = [one.tolist() for one in random.integers(0, ITEMS, (64, 3))]
    features = [*CONFIG["features"], SHOWN, {**SHOWN, "name": "seen", "expression": "user:seen"}]
    made = trainer({"train": rows}, features=features, data__sampler={**sampler, "known": "seen"}, data__shuffle=False)
    _, moved = gradients(made)
    seen, own = np.zeros((64, ITEMS), bool), np.zeros((64, ITEMS), bool)
    for row, known in enumerate(rows["seen"]):
        seen[row, [item for item in known if item < ITEMS]] = True
    own[np.arange(64), rows["item_id"]] = True
    assert moved[own].all()
    assert not moved[seen & ~own].any()
    if sampler["type"] != "hard":
        assert (moved == moved.any(0) & ~(seen & ~own)).all()
    else:
        shown = np.zeros((64, ITEMS), bool)
        for row, named in enumerate(rows["shown"]):
            shown[row, named] = True
        assert moved[shown & ~seen].all()
        assert moved.sum() < (own | shown | (moved.sum(0) > 32)).sum() + 64


def test_the_steps_of_a_sequence_are_not_held_against_each_other(trainer):
    walks = chains(20, 1, asked=False)
    settings = {k.replace(".", "__"): v for k, v in SEQUENCES.items()}
    settings["data__sampler"] = {"type": "in_batch", "known": "past__item_id"}
    made = trainer({"train": walks}, **settings, data__shuffle=False)
    batch, moved = gradients(made)
    others = np.zeros(ITEMS, bool)
    others[[item for walk in walks["past__item_id"] for item in walk[1:]]] = True
    own = [item for walk in walks["past__item_id"] for item in walk[1:]]
    for p, row in enumerate(batch.matches.rows.tolist()):
        expected = others.copy()
        expected[walks["past__item_id"][row]] = False
        expected[own[p]] = True
        assert moved[p].tolist() == expected.tolist()


def test_all_items_are_the_same_batch_every_time(trainer):
    made = trainer({"train": taken(200, 1)}, data__sampler={"type": "everything"})
    first, second, *_ = made.loader
    assert first.matches.items is second.matches.items


def test_an_item_that_the_catalogue_lacks_is_told(trainer, tmp_path):
    wrong = taken(100, 1)
    wrong.loc[7, "item_id"] = ITEMS + 3
    wrong.to_parquet(tmp_path / "train.parquet")
    told = f"train.parquet, row 7, column 'item_id': {ITEMS + 3} is no item of data.items"
    with pytest.raises(DataError, match=re.escape(told)):
        trainer(
            {"train": {"type": "parquet", "path": str(tmp_path / "train.parquet")}}, data__sampler__type="uniform"
        ).fit()
    with pytest.raises(DataError, match=re.escape(told)):  # while items are counted
        trainer({"train": {"type": "parquet", "path": str(tmp_path / "train.parquet")}}, run="other")


@pytest.mark.parametrize("policy", ["skip", "default"])
@pytest.mark.parametrize("sampler", ["in_batch", "uniform"])
def test_rows_about_an_item_that_the_catalogue_lacks_are_left_out(trainer, caplog, policy, sampler):
    wrong = taken(100, 1).astype({"item_id": "Int64"})
    wrong.loc[[7, 20], "item_id"] = ITEMS + 3
    wrong.loc[30, "item_id"] = None
    made = trainer({"train": wrong}, data__sampler={"type": sampler}, data__bad_rows=policy, train__epochs=1)
    assert sum(batch.size for batch in made.loader) == 97
    assert (made.loader.report.kept, made.loader.report.read) == (97, 100)
    assert made.loader.report.bad == {("item_id", "is no item of data.items"): 3}
    assert made.matching.counts.sum() == 97


def test_sequences_with_a_step_that_the_catalogue_lacks_are_left_out(trainer):
    walks = chains(30, 1, asked=False)
    walks.at[4, "past__item_id"] = [1, ITEMS + 3, 2]
    settings = {k.replace(".", "__"): v for k, v in SEQUENCES.items()}
    with pytest.raises(DataError, match=f"row 4, column 'past__item_id': id {ITEMS + 3} is no item of data.items"):
        trainer({"train": walks}, run="fails", **settings).fit()
    made = trainer({"train": walks}, **settings, data__bad_rows="skip")
    assert sum(batch.size for batch in made.loader) == 29


def test_an_item_that_is_there_twice_is_told(trainer):
    with pytest.raises(DataError, match="row 2, column 'item_id': '3' is there twice"):
        trainer({"train": taken(100, 1), "items": pd.DataFrame({"item_id": [3, 4, 3], "cate": [0, 1, 2]})})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": {"type": "dnn"}}, "'dnn' makes no vectors of items that users could be compared with"),
        ({"data.item_id": "item"}, "'item' is no feature of ids; did you mean 'item_id'?"),
        ({"eval.retrieval.exclude": "seen"}, "no feature is called 'seen'"),
        ({"data.sampler.type": "in_bach"}, "did you mean 'in_batch'?"),
        ({"data.sampler.known": "cate"}, "'cate' holds no ids of items"),
        ({"data.sampler": {"type": "hard", "feature": "shwn"}}, "no feature is called 'shwn'"),
        ({"model.loss": {"type": "softmx"}}, "did you mean 'softmax'?"),
        ({"train.early_stop": {"metric": "recall@10"}}, "'recall@10' is not evaluated"),
        ({"eval.retrieval.exclude": "cate"}, "'cate' holds no ids of items"),
        ({"eval.calibration": {"method": "platt"}}, "which needs no probabilities"),
        ({"eval.metrics": ["auc"]}, "list its metrics under eval.retrieval.metrics"),
        ({"model.tasks": [{"name": "a", "label": "a"}], "data.labels": ["a"]}, "leave 'tasks' out"),
        (
            {"model.groups.user": ["user_id", "cate"]},
            "'cate' reads the item, but the group 'user' describes a user alone",
        ),
        (
            {"model.groups.item": ["item_id", "user_id"]},
            "'user_id' reads the user, but the group 'item' describes an item",
        ),
    ],
    ids=[
        "model",
        "item-id",
        "exclude",
        "sampler",
        "known",
        "hard",
        "loss",
        "metric",
        "no-ids",
        "calibration",
        "metrics",
        "tasks",
        "item-for-user",
        "user-for-item",
    ],
)
def test_what_cannot_be_matched_is_refused(settings, text):
    with pytest.raises(ConfigError) as error:
        load_experiment(CONFIG, settings)
    assert text in str(error.value)


def test_a_catalogue_is_asked_for(trainer):
    with pytest.raises(ConfigError, match="items of a catalogue"):
        trainer({"train": taken(100, 1), "items": None})


def test_a_sequence_of_something_else_is_refused(trainer):
    other = [
        SEQUENCES["features"][0],
        {**SEQUENCES["features"][1], "features": [{**CONFIG["features"][1], "embedding_name": "other"}]},
    ]
    settings = {k.replace(".", "__"): v for k, v in {**SEQUENCES, "features": other}.items()}
    with pytest.raises(ConfigError, match="no child of 'past' shares the embedding_name of 'item_id'"):
        trainer({"train": chains(50, 1, asked=False)}, **settings)


def test_a_run_is_evaluated_again_and_checked(tmp_path, capsys):
    parts = {"train": taken(1500, 1), "valid": taken(200, 2), "items": items()}
    for name, frame in parts.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    config = copy.deepcopy(CONFIG)
    config["data"] |= {name: {"type": "parquet", "path": str(tmp_path / f"{name}.parquet")} for name in parts}
    (tmp_path / "match.yaml").write_text(yaml.safe_dump(config))
    run = easyrec.train(tmp_path / "match.yaml", run_dir=tmp_path / "run", progress=False)
    again = easyrec.evaluate(tmp_path / "run")
    assert again.metrics["valid"] == run.metrics["valid"]
    assert main(["check", "-c", str(tmp_path / "match.yaml")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"items +parquet .* 20 +20 *\n", shown)
    assert re.search(r"\n *cate +item +sparse +cate +5 +16", shown)
    assert main(["check", "-c", str(tmp_path / "match.yaml"), "-o", "data.items=null"]) == 2
    assert "items of a catalogue" in capsys.readouterr().err


def test_a_model_of_labels_is_measured_by_retrieval_too(trainer):
    rows, random = taken(3000, 1), np.random.default_rng(4)
    rows["click"] = 1
    others = rows.assign(item_id=random.integers(0, ITEMS, 3000), click=0)
    labelled = pd.concat([rows, others]).assign(cate=lambda frame: frame["item_id"] % 5)
    keys = {"data__sampler": None, "data__labels": ["click"], "data__shuffle": {}}
    run = trainer({"train": labelled, "valid": taken(300, 2)}, **keys).fit()
    best = np.sort(truth(), 1)[:, -5:].sum(1).mean()
    assert run.metrics["valid"]["recall@5"] > 0.7 * best


FEATURES = [
    *CONFIG["features"],
    {"type": "raw", "name": "age", "expression": "user:age", "embedding_dim": 4, "dense_embedding": "autodis"},
    {"type": "raw", "name": "price", "expression": "item:price"},
]


@pytest.mark.parametrize("ema", [None, {"decay": 0.9}], ids=["", "averaged"])
def test_the_two_bundles_answer_with_the_vectors_that_were_trained(trainer, ema):
    """Vectors of the split bundles, compared, are the logits of the whole model."""
    known = taken(1000, 1).assign(age=lambda rows: rows["user_id"] * 1.5)
    described = items().assign(price=lambda rows: rows["item_id"] / 7)
    groups = {"user": ["user_id", "age"], "item": ["item_id", "cate", "price"]}
    keys = {"features": FEATURES, "model__groups": groups, "model__similarity": "cosine", "train__ema": ema}
    made = trainer({"train": known, "items": described}, export=True, train__epochs=1, **keys)
    run = made.fit()
    users, catalogue = (Predictor.load(run.bundle / side) for side in ("user", "item"))
    assert set(users.generator.inputs) == {"user_id", "age"}
    assert set(catalogue.generator.inputs) == {"item_id", "cate", "price"}
    u = users.predict_batch(known[:50])["vector"]
    v = catalogue.predict_batch(described)["vector"]
    assert (u.shape, v.shape) == ((50, 16), (ITEMS, 16))
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1.0, rtol=1e-5)
    pairs = known[:50].assign(**{name: described[name].iloc[3] for name in ("item_id", "cate", "price")})
    generator = made.experiment.generator
    with made.scorer.averaged(), torch.no_grad():
        made.model.eval()
        logits = made.model(made.collection.lookup(Batch.of(generator.transform(pairs), outputs=generator.outputs)))
    whole = (logits["logit"] - made.model.head.bias).detach().numpy()
    np.testing.assert_allclose(u @ v[3] / made.experiment.model.temperature, whole, atol=1e-6)
    assert users.predict(known.iloc[0][["user_id", "age"]].to_dict(), [{}])["vector"].shape == (1, 16)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_a_sequential_model_is_exported_again_from_its_run(tmp_path, trainer, name):
    data = {"train": chains(300, 1, asked=False), "items": items()}
    settings = {k.replace(".", "__"): v for k, v in {**SEQUENCES, "model.type": name}.items()}
    made = trainer(data, train__epochs=1, **settings)
    run = made.fit()
    asked, generator = chains(40, 2, asked=True), made.experiment.generator
    batch = Batch.of(generator.transform(asked), outputs=generator.outputs)
    expected = made.scorer.vectors(batch, "user", ["user"]).detach().numpy()
    again = easyrec.export(run.path, data=data, output=tmp_path / "out")
    with Predictor.load(again.bundle / "user") as users:
        found = users.predict_batch(asked[["past__item_id"]])["vector"]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert not users.predict({"past__item_id": []}, [{}])["vector"].any()


def test_items_that_hash_to_one_id_are_counted(trainer, caplog):
    names = pd.DataFrame({"item_id": [f"name {number}" for number in range(ITEMS)], "cate": np.arange(ITEMS) % 5})
    few = [{"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 4}]
    features = [CONFIG["features"][0], *few, CONFIG["features"][2]]
    rows = pd.DataFrame({"user_id": [1, 2] * 20, "item_id": ["name 1", "name 2"] * 20})
    trainer({"train": rows, "items": names}, features=features)
    assert "16 of 20 items have the id of another one after hashing" in caplog.text


def test_slices_and_cold_items_are_told_apart(trainer):
    """The mean over the slices is the whole; cold rows are those that want what training never met."""
    asked = taken(400, 2)
    asked["half"] = np.where(asked["user_id"] < 6, "first", "second")
    known = taken(2000, 1)
    known = known[known["item_id"] != 3]
    keys = {"eval__slices": ["half"], "eval__retrieval__cold": 0}
    found = trainer({"train": known, "valid": asked}, **keys).fit().metrics["valid"]
    counts = asked["half"].value_counts()
    parts = sum(counts[half] * found[f"recall@5[half={half}]"] for half in ("first", "second"))
    assert parts / len(asked) == pytest.approx(found["recall@5"])
    assert (asked["item_id"] == 3).sum() > 5
    assert found["recall@5[cold]"] < 0.3 < found["recall@5"]


@pytest.mark.parametrize("model", ["mind", "comirec"])
def test_a_user_with_several_interests_is_exported_with_all_of_them(trainer, model):
    data = {"train": taken(800, 1).assign(past__item_id=[list(range(8))] * 800), "valid": taken(50, 2)}
    data["valid"]["past__item_id"] = [list(range(8))] * 50
    groups = {"user": {"features": ["user_id"], "sequences": [{"sequence": "past"}]}, "item": ["item_id"]}
    features = [*CONFIG["features"], SEQUENCES["features"][1]]
    keys = {"features": features, "model": {"type": model, "embedding_dim": 8, "hidden": [16], "groups": groups}}
    made = trainer(data, export=True, **keys)
    run = made.fit()
    assert run.metrics["valid"]["recall@5"] > 0.4
    with Predictor.load(run.bundle / "user") as users:
        found = users.predict_batch(data["valid"])["vector"]
    assert found.shape == (50, 4, 8)
    assert np.abs(found[0] - found[0][:1]).max() > 0


@pytest.mark.parametrize("model", ["sasrec", "mind"])
def test_another_kind_of_encoder_is_refused(trainer, model):
    settings = {k.replace(".", "__"): v for k, v in SEQUENCES.items()}
    groups = {"user": {"sequences": [{"sequence": "past", "encoder": {"type": "pooling"}}]}, "item": ["item_id"]}
    settings["model"] = {"type": model, "embedding_dim": 8, "groups": groups}
    with pytest.raises(ConfigError, match="needs an encoder of its own kind at the first sequence of 'user'"):
        trainer({"train": chains(50, 1, asked=True)}, **settings)


def test_a_bad_item_follows_the_policy(trainer, caplog):
    features = [*CONFIG["features"], {"type": "raw", "name": "price", "expression": "item:price"}]
    described = items().assign(price="1.5")
    described.loc[4, "price"] = "abc"
    keys = {"features": features, "model__groups": {"user": ["user_id"], "item": ["item_id", "price"]}}
    with pytest.raises(DataError, match="price"):
        trainer({"train": taken(50, 1), "items": described}, **keys)
    made = trainer({"train": taken(50, 1), "items": described}, run="default", **keys, data__bad_rows="default")
    assert len(made.matching.catalogue) == ITEMS


def test_an_item_without_an_id_follows_the_policy(trainer, tmp_path, caplog):
    wrong = items().astype({"item_id": "Int64"})
    wrong.loc[4, "item_id"] = None
    wrong.to_parquet(tmp_path / "items.parquet")
    source = {"type": "parquet", "path": str(tmp_path / "items.parquet")}
    with pytest.raises(DataError, match=r"items.parquet, row 4, column 'item_id': must have one id, but has none"):
        trainer({"train": taken(50, 1), "items": source})
    made = trainer({"train": taken(50, 1), "items": source}, run="skip", data__bad_rows="skip")
    assert len(made.matching.catalogue) == ITEMS - 1
    assert f"data.items: 1 bad value, {ITEMS - 1} of {ITEMS} rows were used" in caplog.text


def test_a_column_that_the_catalogue_lacks_names_the_catalogue(trainer):
    with pytest.raises(ConfigError, match=r"data \. items\s+the data has no column 'cate'\s+known: item_id"):
        trainer({"train": taken(50, 1), "items": items().drop(columns="cate")})


def test_towers_with_dynamic_tables_are_exported_as_they_were_trained(tmp_path):
    """Rows that warm the bundles up hold ids without a row, which must stay without."""
    random = np.random.default_rng(1)
    train, valid = (
        pd.DataFrame({"user_id": random.integers(0, 12, n), "item_id": random.integers(0, 20, n)}) for n in (300, 60)
    )
    items = pd.DataFrame({"item_id": np.arange(40)})
    data = {
        part: rows.assign(cate=rows["item_id"] % 5)
        for part, rows in (("train", train), ("valid", valid), ("items", items))
    }
    config = copy.deepcopy(CONFIG)
    for feature in (config["features"][0], config["features"][2]):
        del feature["num_buckets"]
        feature["dynamic"] = {"capacity": 4}
    config["train"]["sparse_optimizer"] = {"type": "lazy_adam", "lr": 0.02}
    trainer = Trainer(load_experiment(config), tmp_path / "run", data=data, bar=False)
    run = trainer.fit()
    assert {path.name for path in run.bundle.iterdir()} == {"user", "item"}
    told = trainer.collection.tables.keys["user_id"].counts
    assert told.evicted
    config["features"][1] = {**config["features"][0], "name": "item_id", "expression": "item:item_id"}
    with pytest.raises(ConfigError, match=r"'item_id' tells the items of the catalogue apart.*cannot be dynamic"):
        load_experiment(config)
