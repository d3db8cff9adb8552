"""The light model follows the booster, never the other way round, and is served alone."""

import pytest
import torch
from pydantic import ValidationError

from easyrec.config import TaskConfig
from easyrec.config.model import GroupConfig
from easyrec.export.program import export_program, to_calls
from easyrec.models import build
from feature_generator.config import member

CLICK = [TaskConfig(name="click", label="click")]
LABELS = {"click": torch.tensor([1.0, 0, 1, 1, 0])}


def rocket(**keys):
    parts = {"light": {"type": "dnn", "hidden": [3]}, "booster": {"type": "deepfm", "hidden": [8]}}
    groups = {"deep": GroupConfig(features=["user", "item", "cate"])}
    return member("easyrec.models", "rocket").Config(**{**parts, "groups": groups, "embedding_dim": 4, **keys})


def built(case):
    made = case("rocket")
    torch.manual_seed(0)
    return build(made.config, made.plan, CLICK), made.inputs(5)


def test_the_hint_moves_the_light_model_and_not_the_booster(case):
    model, x = built(case)
    outputs = model.train()(x)
    extras = model.auxiliary(outputs, LABELS, None)
    assert set(extras) == {"booster/click", "hint/click"}
    apart = (outputs["logit"] - outputs["booster/logit"]) ** 2
    torch.testing.assert_close(extras["hint/click"], apart.mean())
    extras["hint/click"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.light.parameters())
    assert all(p.grad is None for p in model.booster.parameters())


def test_rows_that_do_not_count_give_no_hint(case):
    model, x = built(case)
    outputs = model.train()(x)
    weights = torch.tensor([0.0, 2, 0, 0, 0])
    found = model.auxiliary(outputs, LABELS, weights)
    apart = (outputs["logit"] - outputs["booster/logit"])[1] ** 2
    torch.testing.assert_close(found["hint/click"], apart)
    wanted = torch.nn.functional.softplus(outputs["booster/logit"][1])
    torch.testing.assert_close(found["booster/click"], wanted)


@pytest.mark.slow
def test_a_bundle_holds_the_light_model_alone(case):
    made = case("rocket")
    model, x = built(case)
    assert list(model.eval()(x)) == ["logit"]
    program = to_calls(export_program(model, made.plan.layouts))
    assert program.weights
    assert not [name for name in program.weights if "booster" in name]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"light": {"type": "dnn", "embedding_dim": 8}}, "is shared by both models"),
        ({"booster": {"type": "lightgcn"}}, "cannot be part of a rocket"),
        ({"booster": {"type": "rocket", "light": "dnn", "booster": "dnn"}}, "cannot be part of a rocket"),
    ],
    ids=["shared", "propagating", "itself"],
)
def test_what_cannot_be_launched(keys, told):
    with pytest.raises(ValidationError, match=told):
        rocket(**keys)


def test_groups_that_both_read_otherwise_are_refused():
    config = rocket(booster={"type": "ffm"})
    assert "in ways that cannot be shared" in next(iter(config.unfit(CLICK))).message
