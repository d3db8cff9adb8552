import pytest
from pydantic import ValidationError

from easyrec.config.train import Every, TrainConfig

WRONG = {
    "two-units": ({"evaluate_every": {"steps": 1, "epochs": 1}}, "exactly one"),
    "no-unit": ({"checkpoint": {"every": {}}}, "exactly one"),
    "no-bound": ({"grad_clip": {}}, "'norm', 'value' or both"),
    "table-momentum": ({"sparse_optimizer": {"type": "sgd", "momentum": 0.9}}, "dense parameters alone"),
    "lazy-dense": ({"dense_optimizer": {"type": "lazy_adam"}}, "unknown type 'lazy_adam'|Input tag"),
    "unknown-sharding": ({"distributed": {"sharding": {"default": "rows"}}}, "'row'"),
    "stop-without-best": ({"checkpoint": {"best": False}, "early_stop": {}}, "leave 'checkpoint.best' true"),
    "plateau-without-best": (
        {"checkpoint": {"best": False}, "dense_optimizer": {"type": "adam", "schedule": {"type": "plateau"}}},
        "'plateau' schedule",
    ),
    "unequal-steps": (
        {"dense_optimizer": {"type": "adam", "schedule": {"type": "steps", "boundaries": [1, 2], "factors": [0.1]}}},
        "as many factors",
    ),
    "falling-steps": (
        {"dense_optimizer": {"type": "adam", "schedule": {"type": "steps", "boundaries": [2, 2], "factors": [1, 1]}}},
        "must ascend",
    ),
    "negative-rate": ({"dense_optimizer": {"type": "adam", "lr": -1}}, "greater than 0"),
    "zero-epochs": ({"epochs": 0}, "greater than 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_work_is_refused(name):
    settings, message = WRONG[name]
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate(settings)


def test_a_number_is_a_bound_of_the_norm():
    assert TrainConfig.model_validate({"grad_clip": 5}).grad_clip.norm == 5.0
    assert TrainConfig.model_validate({"grad_clip": {"value": 0.1}}).grad_clip.norm is None


def test_by_default_everything_happens_once_an_epoch():
    config = TrainConfig()
    assert config.evaluate_every == config.checkpoint.every == Every(epochs=1)
