import torch

from easyrec.config import TaskConfig
from easyrec.models._model import Head

BINARY = TaskConfig(name="click", label="click")
VALUE = TaskConfig(name="price", label="price", type="regression")
CLASSES = TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3)


def test_one_output_adds_its_terms_unscaled():
    head = Head([BINARY], 2, terms=2)
    hidden, first, second = torch.randn(4, 2), torch.randn(4, 1), torch.randn(4, 1)
    expected = (hidden @ head.vector.weight.T + first + second).squeeze(1)
    torch.testing.assert_close(head(hidden, first, second), {"logit": expected})
    assert head.scales is None


def test_several_outputs_learn_a_scale_per_term():
    head = Head([BINARY, CLASSES, VALUE], 2, terms=1)
    hidden, term = torch.randn(4, 2), torch.randn(4, 1)
    logits = head(hidden, term)
    vector = hidden @ head.vector.weight.T
    torch.testing.assert_close(logits["click"], vector[:, 0] + term[:, 0])
    torch.testing.assert_close(logits["stars"], vector[:, 1:4] + term * head.scales[:, 1:4])
    torch.testing.assert_close(logits["price"], vector[:, 4] + term[:, 0])


def test_a_single_multiclass_task_is_called_logit():
    assert Head([CLASSES], 2)(torch.randn(4, 2))["logit"].shape == (4, 3)
