import math

import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import build


def bce(**keys):
    return build(TaskConfig(name="y", label="y", loss={"type": "bce", **keys}))


@pytest.mark.parametrize(
    ("logit", "label", "expected"),
    [
        (0.0, 1.0, math.log(2)),
        (math.log(3), 1.0, math.log(4 / 3)),
        (math.log(3), 0.0, math.log(4)),
        (-800.0, 1.0, 800.0),
    ],
    ids=["even", "right", "wrong", "far"],
)
def test_worked_by_hand(logit, label, expected):
    assert bce()(torch.tensor([logit]), torch.tensor([label])).item() == pytest.approx(expected)


def test_smoothing_mixes_both_labels():
    logit = torch.tensor([math.log(3)])  # p = 3/4
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    assert bce(label_smoothing=0.2)(logit, torch.ones(1)).item() == pytest.approx(expected)


def test_predicts_the_probability():
    torch.testing.assert_close(bce().predict(torch.tensor([0.0, math.log(3)])), torch.tensor([0.5, 0.75]))
