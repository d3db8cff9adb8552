"""What every loss promises, members of tomorrow included."""

import subprocess
import sys

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import Loss, build
from feature_generator.config import member, members

KEYS = {"sum": {"losses": [{"loss": "bce"}, {"loss": {"type": "pairwise_logistic", "by": "user"}, "weight": 0.3}]}}
"""What a loss's config cannot do without; by type, for binary tasks."""
OF_THE_BATCH = ("f1",)
"""Losses of rows that also depend on the other rows of the batch; those over sessions are known by their `by`."""


def cases():
    found = []
    for name in members("easyrec.losses"):
        config = member("easyrec.losses", name).Config
        for kind in ["binary"] if name in KEYS else sorted(config.task_types):
            classes = {"num_classes": 4} if kind in ("multiclass", "ordinal") else {}
            loss = {"type": name, **KEYS.get(name, {})}
            found.append(TaskConfig(name="y", label="y", type=kind, loss=loss, **classes))
            if "by" in config.model_fields:
                found.append(TaskConfig(name="y", label="y", type=kind, loss={**loss, "by": "user"}))
    return found


def name(task):
    return f"{task.loss.type}-{task.type}" + "-by" * bool(task.loss.columns)


CASES = [pytest.param(task, id=name(task)) for task in cases()]
OF_ROWS = [p for p in CASES if build(p.values[0]).of_rows.__func__ is not Loss.of_rows]


def rows(task, n=24, seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(n) if task.num_outputs == 1 else torch.randn(n, task.num_outputs)
    labels = torch.randint(0, task.num_classes or 2, (n,)).float()
    if task.type in ("regression", "ziln"):
        labels *= torch.rand(n).round(decimals=1) * 9
    return logits.requires_grad_(), labels, torch.rand(n), {"user": torch.randint(0, 5, (n,)) * 7}


def take(part, index):
    logits, labels, weights, groups = part
    return logits[index], labels[index], None if weights is None else weights[index], {"user": groups["user"][index]}


@pytest.mark.parametrize("task", OF_ROWS)
def test_weights_average_over_what_counts(task):
    loss, (logits, labels, weights, _) = build(task), rows(task)
    each = torch.stack([loss(logits[i : i + 1], labels[i : i + 1]) for i in range(24)])
    torch.testing.assert_close(loss(logits, labels), each.mean())
    torch.testing.assert_close(loss(logits, labels, weights), (each * weights).sum() / weights.sum())


def test_most_losses_are_of_rows():
    others = {p.values[0].loss.type for p in CASES} - {p.values[0].loss.type for p in OF_ROWS}
    over_sessions = {n for n in others if "by" in member("easyrec.losses", n).Config.model_fields}
    assert others - over_sessions == {"sum", *OF_THE_BATCH}


@pytest.mark.parametrize("task", CASES)
def test_a_row_of_weight_0_is_not_there_and_one_of_weight_2_is_there_twice(task):
    loss, part = build(task), rows(task)
    weights = torch.tensor([0.0, 1.0, 2.0] * 8)
    counted = (part[0], part[1], weights, part[3])
    copies = torch.arange(24).repeat_interleave(weights.long())
    given, expected = loss(*counted), loss(*take((*part[:2], None, part[3]), copies))
    torch.testing.assert_close(given, expected)
    assert given.item() > 0
    one, two = (torch.autograd.grad(value, part[0])[0] for value in (given, expected))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("task", CASES)
def test_the_order_of_rows_does_not_matter(task):
    loss, (logits, labels, weights, groups) = build(task), rows(task)
    expected = loss(logits, labels, weights, groups)
    mixed = take((logits, labels, weights, groups), torch.randperm(24))
    torch.testing.assert_close(loss(*mixed), expected)


@pytest.mark.parametrize("task", CASES)
def test_small_weights_teach_what_equal_ones_do(task):
    loss, (logits, labels, _, groups) = build(task), rows(task)
    if task.loss.type == "contrastive":  # a row meets as many negatives as they weigh
        return
    one, two = (
        torch.autograd.grad(loss(logits, labels, weights, groups), logits)[0]
        for weights in (None, torch.full((24,), 1e-4))
    )
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("task", CASES)
def test_nothing_that_counts_is_no_loss(task):
    loss, (logits, labels, weights, groups) = build(task), rows(task)
    none = {"user": groups["user"][:0]}
    for value in (loss(logits[:0], labels[:0], None, none), loss(logits, labels, weights * 0, groups)):
        assert value.item() == 0.0
        value.backward()
    assert not logits.grad.any()


@pytest.mark.parametrize("task", CASES)
@pytest.mark.parametrize("size", [1e4, 1e-30], ids=["far", "near"])
def test_any_logits_have_a_finite_loss_and_gradient(task, size):
    loss, (logits, labels, weights, groups) = build(task), rows(task)
    far = (logits.detach() * size).requires_grad_()
    value = loss(far, labels, weights, groups)
    value.backward()
    assert value.isfinite()
    assert far.grad.isfinite().all()


@pytest.mark.parametrize("task", CASES)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_that_are_all_equal_have_a_finite_loss_and_gradient(task, label):
    loss, (logits, labels, weights, groups) = build(task), rows(task)
    value = loss(logits, torch.full_like(labels, label), weights, groups)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("task", CASES)
def test_bf16_logits_are_read_as_float32(task):
    loss, (logits, labels, weights, groups) = build(task), rows(task)
    rounded = logits.detach().bfloat16()
    assert loss(rounded, labels, weights, groups).dtype == torch.float32
    torch.testing.assert_close(loss(rounded, labels, weights, groups), loss(rounded.float(), labels, weights, groups))
    assert loss.predict(rounded).dtype == torch.float32


@pytest.mark.parametrize("task", CASES)
def test_predictions_are_what_the_tasks_type_promises(task):
    logits, _, _, _ = rows(task)
    predicted = build(task).predict(logits)
    if task.num_classes:
        assert predicted.shape == (24, task.num_classes)
        torch.testing.assert_close(predicted.sum(dim=1), torch.ones(24))
    else:
        assert predicted.shape == (24,)
    if task.type != "regression":
        assert (predicted >= 0).all()
    if task.type == "binary":
        assert (predicted <= 1).all()


@pytest.mark.parametrize("task", [p for p in CASES if p.values[0].type == "binary"])
def test_a_shift_moves_the_log_odds(task):
    loss, (logits, _, _, _) = build(task), rows(task)
    odds = torch.logit(loss.predict(logits))
    torch.testing.assert_close(torch.logit(loss.predict(loss.shifted(logits, -1.5))), odds - 1.5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", CASES)
def test_a_start_is_the_best_constant(task):
    """No constant close by fits better; where labels have no better start than 0 a loss gives none."""
    loss, (_, labels, weights, groups) = build(task), rows(task)
    start = loss.start(labels, weights)
    if start is None:
        assert task.type in ("binary", "multiclass", "regression")
        return
    assert start.shape == (task.num_outputs,)

    def of(constant):
        spread = constant.expand(24, -1)
        return loss(spread.squeeze(1) if task.num_outputs == 1 else spread, labels, weights, groups).item()

    best = of(start)
    for output in range(task.num_outputs):
        for step in (-0.05, 0.05):
            moved = start.clone()
            moved[output] += step
            assert of(moved) >= best - 1e-6 if task.loss.type != "huber" else True


def test_the_family_needs_no_torch_until_a_loss_is_built():
    code = "import sys, easyrec.losses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("task", CASES)
def test_another_device_gives_the_same_loss_and_gradient(task, other_device):
    told = []
    for device in (torch.device("cpu"), other_device):
        logits, labels, weights, groups = rows(task)
        moved = {key: codes.to(device) for key, codes in groups.items()}
        loss = build(task).to(device)(logits.to(device), labels.to(device), weights.to(device), moved)
        loss.backward()
        told.append((loss.detach().cpu(), logits.grad))
    torch.testing.assert_close(told[1], told[0], rtol=1e-4, atol=1e-6)
