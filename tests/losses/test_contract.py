"""What every loss promises, members of tomorrow included."""

import subprocess
import sys

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import build
from feature_generator.config import member, members


def cases():
    found = []
    for name in members("easyrec.losses"):
        for kind in sorted(member("easyrec.losses", name).Config.task_types):
            classes = {"num_classes": 4} if kind == "multiclass" else {}
            found.append(TaskConfig(name="y", label="y", type=kind, loss=name, **classes))
    return found


CASES = [pytest.param(task, id=f"{task.loss.type}-{task.type}") for task in cases()]


def rows(task, n=7, seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(n) if task.num_outputs == 1 else torch.randn(n, task.num_outputs)
    labels = torch.randint(0, task.num_classes or 2, (n,)).float()
    return logits.requires_grad_(), labels, torch.rand(n)


@pytest.mark.parametrize("task", CASES)
def test_weights_average_over_what_counts(task):
    loss, (logits, labels, weights) = build(task), rows(task)
    each = torch.stack([loss(logits[i : i + 1], labels[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(loss(logits, labels), each.mean())
    torch.testing.assert_close(loss(logits, labels, weights), (each * weights).sum() / weights.sum())
    weights = torch.tensor([1.0, 1, 0, 0, 1, 0, 0])
    torch.testing.assert_close(loss(logits, labels, weights), each[weights == 1].mean())


@pytest.mark.parametrize("task", CASES)
def test_nothing_that_counts_is_no_loss(task):
    loss, (logits, labels, weights) = build(task), rows(task)
    for value in (loss(logits[:0], labels[:0]), loss(logits, labels, weights * 0)):
        assert value.item() == 0.0
        value.backward()
    assert not logits.grad.any()


@pytest.mark.parametrize("task", CASES)
def test_large_logits_stay_finite(task):
    loss, (logits, labels, _) = build(task), rows(task)
    far = (logits.detach() * 1e4).requires_grad_()
    value = loss(far, labels)
    value.backward()
    assert value.isfinite()
    assert far.grad.isfinite().all()


@pytest.mark.parametrize("task", CASES)
def test_bf16_logits_are_read_as_float32(task):
    loss, (logits, labels, _) = build(task), rows(task)
    rounded = logits.detach().bfloat16()
    assert loss(rounded, labels).dtype == torch.float32
    torch.testing.assert_close(loss(rounded, labels), loss(rounded.float(), labels))


@pytest.mark.parametrize("task", CASES)
def test_predictions_have_the_rows_of_the_logits(task):
    logits, _, _ = rows(task)
    assert build(task).predict(logits).shape[0] == 7


def test_the_family_needs_no_torch_until_a_loss_is_built():
    code = "import sys, easyrec.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
