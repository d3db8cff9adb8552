import pytest

from easyrec.config import load_experiment
from easyrec.errors import ConfigError

CONFIG = {
    "name": "batches",
    "data": {"train": {"type": "synthetic", "name": "shop", "rows": 3000}, "labels": ["click"], "batch_size": 500},
    "features": [
        {"type": "id", "name": "item_id", "expression": "item:item_id", "num_buckets": 10_001, "embedding_dim": 4},
        {
            "type": "sequence",
            "name": "click_seq",
            "sequence_length": 50,
            "features": [
                {
                    "type": "id",
                    "name": "item_id",
                    "expression": "user:item_id",
                    "embedding_name": "item_id",
                    "num_buckets": 10_001,
                    "embedding_dim": 4,
                }
            ],
        },
    ],
    "model": {"type": "din", "groups": {"deep": {"features": ["item_id"], "sequences": [{"sequence": "click_seq"}]}}},
}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.batch_cost": {"sequences": ["click_sek"], "most": 9}}, r"'click_sek' is no sequence.*'click_seq'"),
        ({"data.batch_cost": {"sequences": [], "most": 9}}, "at least 1 item"),
        ({"data.batch_cost": {"sequences": ["click_seq"], "most": 9}, "data.remainder": "drop"}, "leave one out"),
        ({"data.remainder": "lose"}, "'keep' or 'drop'"),
    ],
)
def test_batches_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(CONFIG, settings)


def test_training_takes_batches_of_bounded_cost(tmp_path):
    import easyrec

    settings = {"data.batch_cost": {"sequences": ["click_seq"], "most": 2000}, "train.log_every": 1}
    run = easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "run", export=False, progress=False)
    steps = (run.path / "progress.jsonl").read_text().count("\n")
    assert steps > 3000 // 500 + 5


def test_a_cosine_over_batches_that_nobody_counted_is_refused(tmp_path):
    import easyrec

    settings = {"data.batch_cost": {"sequences": ["click_seq"], "most": 2000}}
    settings["train.dense_optimizer"] = {"type": "adam", "schedule": {"type": "cosine"}}
    with pytest.raises(ConfigError, match="give the schedule its 'steps'"):
        easyrec.train(CONFIG, overrides=settings, run_dir=tmp_path / "run", export=False, progress=False)
