import math

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import build


def made(**keys):
    loss = {"type": "cross_entropy", **keys}
    return build(TaskConfig(name="y", label="y", type="multiclass", num_classes=3, loss=loss))


LOGITS = torch.tensor([[0.0, math.log(2), math.log(5)]])  # 1/8, 2/8, 5/8


@pytest.mark.parametrize(("label", "p"), [(0.0, 1 / 8), (1.0, 2 / 8), (2.0, 5 / 8)])
def test_worked_by_hand(label, p):
    assert made()(LOGITS, torch.tensor([label])).item() == pytest.approx(-math.log(p))


def test_smoothing_spreads_over_all_classes():
    p = [1 / 8, 2 / 8, 5 / 8]
    expected = -sum((0.7 * (c == 2) + 0.1) * math.log(p[c]) for c in range(3))
    assert made(label_smoothing=0.3)(LOGITS, torch.tensor([2.0])).item() == pytest.approx(expected)


def test_predicts_probabilities():
    torch.testing.assert_close(made().predict(LOGITS), torch.tensor([[1 / 8, 2 / 8, 5 / 8]]))
