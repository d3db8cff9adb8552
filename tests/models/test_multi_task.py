"""What models of any tasks promise beyond the contract of all models."""

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.export.program import export_program, to_calls
from easyrec.models import build
from feature_generator.config import member, members

KINDS = [
    TaskConfig(name="click", label="click"),
    TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3),
    TaskConfig(name="price", label="price", type="regression"),
]
OTHERS = ("esmm", "escm2", "aitm")
"""Models of probabilities alone."""
MODELS = [
    name
    for name in members("easyrec.models")
    if "tower" in member("easyrec.models", name).Config.model_fields and name not in OTHERS
]


SLOW = ("dlrm_hstu",)
NAMES = [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in MODELS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3], ids=["one-task", "three-kinds-of-task"])
def test_any_number_and_kind_of_tasks(case, name, count):
    made, tasks = case(name), KINDS[:count]
    model = build(made.config, made.plan, tasks).train()
    x = made.inputs(5)
    logits = model(x)
    shapes = {"click": (5,), "stars": (5, 3), "price": (5,)} if count == 3 else {"logit": (5,)}
    assert {task: tuple(logit.shape) for task, logit in logits.items()} == shapes
    sum(logit.square().sum() for logit in logits.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3], ids=["one-task", "three-kinds-of-task"])
def test_tasks_of_any_number_and_kind_are_exported(case, name, count):
    made = case(name)
    model = build(made.config, made.plan, KINDS[:count]).eval()
    x = made.inputs(5)
    program = to_calls(export_program(model, made.layouts))
    exported = program({key: tensor.detach() for key, tensor in x.tensors.items()})
    for task, logit in model(x).items():
        torch.testing.assert_close(exported[task], logit.detach(), rtol=1e-5, atol=1e-5)
