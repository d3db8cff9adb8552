"""Models that search long sequences, from raw rows to the predictor, and after an interruption."""

import copy

import numpy as np
import pandas as pd
import pytest

import easyrec
from easyrec.config import load_experiment
from easyrec.train.snapshot import read_folder
from easyrec.train.trainer import Trainer
from serving import Predictor

ITEMS, CATEGORIES = 60, 6
ENCODERS = {
    "sim": {"type": "sim", "top": 5},
    "soft": {"type": "sim", "mode": "soft", "top": 5},
    "eta": {"type": "eta", "top": 5, "bits": 48},
}


def config(length, **encoder):
    same = {"embedding_name": "item_id", "num_buckets": ITEMS}
    kind = {"embedding_name": "cate", "num_buckets": CATEGORIES}
    children = [
        {"type": "id", "name": "item_id", "expression": "item:item_id", **same},
        {"type": "id", "name": "cate", "expression": "item:cate", **kind},
    ]
    return {
        "name": "long",
        "data": {"labels": ["click"], "batch_size": 20, "shuffle": {"buffer_rows": 100}},
        "features": [
            {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": ITEMS},
            {"type": "id", "name": "cate", "expression": "item:cate", "num_buckets": CATEGORIES},
            {"type": "sequence", "name": "clicks", "sequence_length": length, "features": children},
        ],
        "model": {
            "type": "sim", "embedding_dim": 8, "hidden": [8], "embedding_init": {"type": "normal", "std": 0.1},
            "groups": {"deep": {"features": ["item_id", "cate"], "sequences": [{"sequence": "clicks", "encoder": encoder}]}},
        },
        "train": {
            "epochs": 3, "threads": 1, "checkpoint": {"every": {"steps": 4}}, "log_every": 3,
            "sparse_optimizer": {"type": "lazy_adam", "lr": 0.05}, "dense_optimizer": {"type": "adam", "lr": 0.01},
        },
    }  # fmt: skip


def rows(number, shortest, longest, seed):
    """Clicks are likely where the history holds the category often."""
    rng = np.random.default_rng(seed)
    histories = [rng.integers(0, ITEMS, n) for n in rng.integers(shortest, longest + 1, number)]
    item = rng.integers(0, ITEMS, number)
    share = [np.mean(h % CATEGORIES == i % CATEGORIES) if len(h) else 0.0 for h, i in zip(histories, item, strict=True)]
    return pd.DataFrame(
        {
            "item_id": item,
            "cate": item % CATEGORIES,
            "clicks__item_id": histories,
            "clicks__cate": [h % CATEGORIES for h in histories],
            "click": (rng.random(number) < 3 * np.array(share)).astype(np.int64),
        }
    )


@pytest.fixture(scope="module")
def short():
    return {"train": rows(200, 0, 40, 1), "valid": rows(60, 0, 40, 2)}


class Crashing(Trainer):
    """Ends before a step, saving nothing."""

    at = 0

    def _learn(self, batch):
        if self.step == self.at:
            raise KeyError
        super()._learn(batch)


@pytest.mark.parametrize("name", ENCODERS)
def test_resuming_equals_never_having_stopped(tmp_path, short, name):
    """Codes are no state: they follow from the weights."""
    experiment, options = load_experiment(config(40, **ENCODERS[name])), {"data": short, "bar": False, "export": False}
    whole = outcome(Trainer(experiment, tmp_path / "whole", **options))
    for at in (6, 11, 29):
        with pytest.raises(KeyError):
            type("At", (Crashing,), {"at": at})(experiment, tmp_path / f"{at}", **options).fit()
        assert outcome(Trainer(experiment, tmp_path / f"{at}", resume=True, **options)) == whole


def outcome(trainer):
    """Tables, optimizer states and parameters at the end."""
    folders = (trainer.fit().path / "checkpoints").iterdir()
    snapshot = read_folder(next(f for f in folders if int(f.name.removeprefix("step-")) == 30))
    dense = {name: tensor.numpy().tobytes() for name, tensor in snapshot.tensors["dense"].items()}
    return dense | {name: array.tobytes() for name, array in snapshot.arrays.items()}


@pytest.mark.parametrize("name", ENCODERS)
def test_the_bundle_scores_as_the_run(tmp_path, short, name):
    served_like_trained(config(40, **ENCODERS[name]), short, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODERS)
def test_ten_thousand_steps_from_rows_to_scores(tmp_path, name):
    data = {"train": rows(120, 9_000, 10_000, 1), "valid": rows(40, 9_000, 11_000, 2)}
    served_like_trained(config(10_000, **{**ENCODERS[name], "top": 50}), data, tmp_path)


def served_like_trained(config, data, path):
    config = copy.deepcopy(config)
    run = easyrec.train(config, data=data, run_dir=path / "run")
    valid = data["valid"].drop(columns="click")
    trained = easyrec.predict(config, valid, run_dir=path / "run")["click"].to_numpy()
    with Predictor.load(run.bundle) as predictor:
        np.testing.assert_allclose(predictor.predict_batch(valid)["click"], trained, rtol=1e-5, atol=1e-6)
        user = valid.iloc[0][["clicks__item_id", "clicks__cate"]].to_dict()
        items = valid.iloc[:3][["item_id", "cate"]].to_dict("records")
        scores = predictor.predict(user=user, items=items)["click"]
        np.testing.assert_allclose(scores[0], trained[0], rtol=1e-5, atol=1e-6)
        assert len(scores) == 3
