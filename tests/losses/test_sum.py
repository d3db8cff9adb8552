import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.losses import build


def task(*terms, kind="binary", **keys):
    return TaskConfig(name="y", label="y", type=kind, loss={"type": "sum", "losses": list(terms)}, **keys)


def alone(loss):
    return build(TaskConfig(name="y", label="y", loss=loss))


PAIRS = {"type": "pairwise_logistic", "by": "user"}


def test_is_the_weighted_sum_and_predicts_as_the_first():
    torch.manual_seed(0)
    logits, labels = torch.randn(9, requires_grad=True), torch.randint(0, 2, (9,)).float()
    weights, groups = torch.rand(9), {"user": torch.arange(9) // 3}
    both = build(task({"loss": "focal"}, {"loss": PAIRS, "weight": 0.1}))
    expected = alone("focal")(logits, labels, weights) + 0.1 * alone(PAIRS)(logits, labels, weights, groups)
    torch.testing.assert_close(both(logits, labels, weights, groups), expected)
    torch.testing.assert_close(both.predict(logits), torch.sigmoid(logits))
    assert both.config.columns == ("user",)


def test_sums_nest_and_columns_are_told_once():
    inner = {"type": "sum", "losses": [{"loss": PAIRS}, {"loss": {"type": "softmax", "by": "request"}}]}
    config = task({"loss": "bce"}, {"loss": inner}, {"loss": PAIRS}).loss_config
    assert config.columns == ("user", "request")
    assert [part.type for part in config.parts] == ["bce", "pairwise_logistic", "softmax", "pairwise_logistic"]


def test_a_sum_starts_as_its_first_loss():
    loss = build(task({"loss": "mse"}, {"loss": "mae"}, kind="regression"))
    assert loss.start(torch.tensor([1.0, 3.0])).item() == 2.0


def test_terms_must_fit_the_task():
    with pytest.raises(ValueError, match=r"loss 'mse' is not for tasks of type 'binary'\nfitting: bce, bpr"):
        task({"loss": "bce"}, {"loss": "mse"})


def test_terms_must_read_equally_many_outputs():
    with pytest.raises(ValueError, match="'jrc' reads 2 outputs of the model, but the first of the sum, 'bce', 1"):
        task({"loss": "bce"}, {"loss": "jrc"})


def test_jrc_alone_in_a_sum_is_shifted_as_jrc():
    loss = build(task({"loss": "jrc"}))
    logits = torch.tensor([[0.5, 1.0]])
    torch.testing.assert_close(loss.predict(loss.shifted(logits, 2.0)), torch.sigmoid(torch.tensor([2.5])))
