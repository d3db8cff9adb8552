"""Training with dynamic tables: starting from others, serving, and what is refused."""

import numpy as np
import pytest

from easyrec.batch import Batch
from easyrec.errors import ConfigError
from serving import Predictor


def test_the_predictor_scores_as_the_trainer(toy, data):
    trainer = toy.trainer(export=True, features=toy.dynamic)
    run = trainer.fit()
    rows = data["test"].assign(user_id=np.arange(600) % 55)  # some of which training has not met
    table = trainer.experiment.generator.transform(rows)
    trained = trainer.scorer.uncalibrated(Batch.of(table, outputs=trainer.experiment.generator.outputs))["click"]
    assert np.ptp(trained) > 0.2
    with Predictor.load(run.path / "bundle") as predictor:
        np.testing.assert_allclose(predictor.predict_batch(rows)["click"], trained, rtol=0, atol=1e-6)
        assert predictor.stats.out_of_table == 0


@pytest.mark.parametrize("capacity", [25, 9, 60])
def test_a_run_starts_from_the_ids_of_another(toy, capacity):
    old = toy.trainer(run="old", features=toy.dynamic)
    old.fit()
    features = [{**toy.dynamic[0], "dynamic": {"capacity": capacity}}, *toy.dynamic[1:]]
    new = toy.trainer(features=features, train__init_from=str(toy.path / "old"), train__epochs=1, train__seed=9)
    with new.folder:
        new._begin()
    keys, theirs = new.collection.tables.keys["user_id"], old.collection.tables.keys["user_id"]
    ids, rows = keys.held()
    assert len(ids) == min(capacity, len(theirs))
    for name in ("user_id", "user_id:first"):
        there = old.collection.weights[name][theirs.find(ids)]
        np.testing.assert_array_equal(new.collection.weights[name][rows], there)
    if capacity == 9:
        state = theirs.arrays()
        counts = dict(zip(state["keys"].tolist(), state["counts"].tolist(), strict=True))
        held = [counts[i] for i in ids.tolist()]
        assert (
            min(held) >= sorted((c for i, c in counts.items() if theirs.find(np.array([i]))[0] >= 0), reverse=True)[8]
        )


@pytest.mark.parametrize(("capacity", "told"), [(9, 1), (60, 0)])
def test_a_table_that_is_too_small_for_a_step_is_told_once(toy, caplog, capacity, told):
    features = [{**toy.dynamic[0], "dynamic": {"capacity": capacity}}, *toy.config["features"][1:]]
    toy.trainer(features=features, train__steps=6, train__log_every=2).fit()
    found = [line for line in caplog.messages if "the dynamic table 'user_id' had no row for an id" in line]
    assert len(found) == told
    assert all("raise dynamic.capacity" in line for line in found)


def test_what_was_taken_over_is_told(toy, caplog):
    toy.trainer(run="old").fit()
    new = toy.trainer(features=toy.dynamic, train__init_from=str(toy.path / "old"))
    with caplog.at_level("INFO"), new.folder:
        new._begin()
    assert "taken over: " in caplog.text
    assert ", user_id," in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train__sparse_optimizer": {"type": "adam"}}, "rows of the dynamic tables 'user_id', 'item_id' come and go"),
        ({"train__embedding_regularizer": 0.1}, "moves every row at every step"),
        ({"trainable": False}, "dynamic and not trainable"),
        ({"num_buckets": 4}, "this feature has dynamic and num_buckets"),
        ({"embedding_name": "item_id"}, "their 'dynamic' differs"),
        ({"dynamic": {"capacity": 3, "eviction": {"policy": "score"}}}, "needs 'half_life'"),
        ({"dynamic": {"capacity": 3, "eviction": {"ttl": 5}}}, "goes with policy 'ttl'"),
        ({"dynamic": {"capacity": 3, "admission": {"min_count": 2, "probability": 0.5}}}, "not both"),
    ],
    ids=["adam", "regularizer", "frozen", "two-rules", "shared", "half-life", "ttl", "admission"],
)
def test_what_cannot_be_is_refused(toy, settings, message):
    """Settings of training, or of the first feature."""
    if not any(name.startswith("train__") for name in settings):
        settings = {"features": [{**toy.dynamic[0], **settings}, *toy.dynamic[1:]]}
    with pytest.raises(ConfigError, match=message):
        toy.experiment(**{"features": toy.dynamic, **settings})
