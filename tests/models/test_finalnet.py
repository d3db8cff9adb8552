import math

import pytest
import torch
from pydantic import ValidationError

from easyrec.config import TaskConfig
from easyrec.models import build
from easyrec.models.finalnet import Config

TWO = {"block1": {"hidden": [6, 4]}, "block2": {"hidden": [4]}}


def block(layers, x):
    """Factorized layers with ReLU, weights read one by one."""
    for layer in layers:
        if hasattr(layer, "maps"):
            u, v = (x @ layer.maps.weight.T + layer.maps.bias).chunk(2, 1)
            x = torch.cat([u, u * v], 1).clamp_min(0)
    return x


def reference(model, x, task=0):
    """The logits of both blocks."""
    fields, dense = x.tensors["emb:deep"].view(5, 6, 4), x.tensors["dense:deep"]
    gates = torch.einsum("ij,bjd->bid", model.gate.gate.weight, fields) + model.gate.gate.bias[:, None]
    first = torch.cat([fields.flatten(1), (fields * gates).flatten(1), dense], 1)
    hidden1 = block(model.block1, first)
    hidden2 = block(model.block2, torch.cat([fields.flatten(1), dense], 1))
    return tuple(
        hidden @ head.vector.weight[task] + head.bias[task]
        for hidden, head in ((hidden1, model.head1), (hidden2, model.head2))
    )


def drawn(case, tasks, **keys):
    torch.manual_seed(0)
    made = case("finalnet", **keys)
    model = build(made.config, made.plan, tasks)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model, made.inputs(5)


def test_two_blocks_give_the_mean_of_their_logits(case, task):
    model, x = drawn(case, [task], **TWO)
    first, second = reference(model, x)
    outputs = model.eval()(x)
    assert list(outputs) == ["logit"]
    torch.testing.assert_close(outputs["logit"], (first + second) / 2, rtol=1e-4, atol=1e-4)


def test_while_training_each_block_learns_the_prediction_of_both(case, task):
    model, x = drawn(case, [task], **TWO)
    outputs = model.train()(x)
    weights = torch.tensor([1.0, 0, 2, 1, 1])
    losses = model.auxiliary(outputs, {"click": torch.ones(5)}, weights)
    assert list(losses) == ["block1", "block2"]
    teacher = [1 / (1 + math.exp(-z)) for z in outputs["logit"].tolist()]
    for loss, logits in zip(losses.values(), reference(model, x), strict=True):
        student = [1 / (1 + math.exp(-z)) for z in logits.tolist()]
        rows = [-p * math.log(q) - (1 - p) * math.log(1 - q) for p, q in zip(teacher, student, strict=True)]
        assert loss.item() == pytest.approx(
            sum(w * r for w, r in zip(weights.tolist(), rows, strict=True)) / 5, rel=1e-3
        )


def test_the_prediction_learns_nothing_from_the_blocks(case, task):
    model, x = drawn(case, [task], **TWO)
    outputs = model.train()(x)
    loss = model.auxiliary(outputs, {}, None)["block1"]
    loss.backward()
    assert model.block1[0].maps.weight.grad.abs().sum() > 0
    assert model.block2[0].maps.weight.grad is None


def test_other_tasks_are_compared_by_their_own_link(case):
    tasks = [
        TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3),
        TaskConfig(name="price", label="price", type="regression", weight=2.0),
    ]
    model, x = drawn(case, tasks, **TWO)
    outputs = model.train()(x)
    teacher = torch.softmax(outputs["stars"], 1)
    student = torch.log_softmax(outputs["block2/stars"], 1)
    wanted = -(teacher * student).sum() / 5 + 2 * ((outputs["block2/price"] - outputs["price"]) ** 2).sum() / 5
    torch.testing.assert_close(model.auxiliary(outputs, {}, None)["block2"], wanted)


def test_rows_that_a_task_does_not_count_teach_no_block(case):
    task = TaskConfig(name="buy", label="buy", mask="click == 1")
    model, x = drawn(case, [task], **TWO)
    outputs, labels = model.train()(x), {"click": torch.tensor([1.0, 0, 0, 1, 0]), "buy": torch.zeros(5)}
    got = model.auxiliary(outputs, labels, torch.tensor([2.0, 5, 5, 1, 5]))["block1"]
    assert torch.equal(
        got, model.auxiliary(outputs, {**labels, "click": torch.ones(5)}, torch.tensor([2.0, 0, 0, 1, 0]))["block1"]
    )


def test_a_binary_task_with_a_logit_per_class_is_compared_by_their_softmax(case):
    model, x = drawn(case, [TaskConfig(name="click", label="click", loss="jrc")], **TWO)
    outputs = model.train()(x)
    teacher, student = torch.softmax(outputs["logit"], 1), torch.log_softmax(outputs["block1/logit"], 1)
    weights = torch.tensor([1.0, 0, 2, 1, 1])
    got = model.auxiliary(outputs, {}, weights)["block1"]
    torch.testing.assert_close(got, -((teacher * student).sum(1) * weights).sum() / 5)


def test_one_block_has_no_loss_of_its_own(case, task):
    model, x = drawn(case, [task], block1={"hidden": [4]}, gates=False)
    outputs = model.train()(x)
    assert list(outputs) == ["logit"]
    assert model.auxiliary(outputs, {}, None) == {}
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    expected = block(model.block1, flat) @ model.head1.vector.weight[0] + model.head1.bias
    torch.testing.assert_close(outputs["logit"], expected, rtol=1e-4, atol=1e-4)


def test_odd_widths_cannot_be_halved():
    with pytest.raises(ValidationError, match="one is 5"):
        Config(block1={"hidden": [4, 5]})
    Config(block1={"hidden": [4, 5]}, residual="sum")
