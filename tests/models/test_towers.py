import pytest
import torch
from pydantic import ValidationError

from easyrec.config import TaskConfig
from easyrec.losses._loss import mean
from easyrec.models._towers import Logits, Towers, TowersConfig

CLICK, BUY = TaskConfig(name="click", label="click"), TaskConfig(name="buy", label="buy")


def test_a_tower_differs_in_what_its_task_says():
    config = TowersConfig(
        type="x", tower={"hidden": [8], "dropout": 0.5}, towers={"buy": [4, 3], "click": {"dropout": 0}}
    )
    assert config.tower_of("buy").hidden == [4, 3]
    assert config.tower_of("buy").dropout == 0.5
    assert config.tower_of("click").hidden == [8]
    assert config.tower_of("click").dropout == 0
    assert Towers([CLICK, BUY], 6, config).outs == [8, 3]


def test_towers_of_unknown_tasks_are_told():
    config = TowersConfig(type="x", towers={"buyy": [4]})
    (problem,) = config.unfit([CLICK, BUY])
    assert problem.where == "model.towers.buyy"
    assert "no task is called 'buyy'; did you mean 'buy'?" in problem.message


def test_a_list_of_no_widths_is_refused():
    with pytest.raises(ValidationError, match="greater than 0"):
        TowersConfig(type="x", tower=[0])


@pytest.mark.parametrize("own", [False, True], ids=["one-input", "an-input-each"])
def test_towers_and_logits_equal_a_loop(own):
    towers = Towers([CLICK, BUY], 6, TowersConfig(type="x", tower=[4], towers={"buy": []}))
    x = torch.randn(5, 2, 6) if own else torch.randn(5, 6)
    hidden = towers(x)
    click, buy = (x[:, 0], x[:, 1]) if own else (x, x)
    layer = towers.mlps[0][0]
    torch.testing.assert_close(hidden[0], (click @ layer.weight.T + layer.bias).clamp_min(0))
    assert torch.equal(hidden[1], buy)
    logits = Logits([CLICK, BUY], towers.outs)
    for name, h, vector in zip(("click", "buy"), hidden, logits.vectors, strict=True):
        torch.testing.assert_close(logits(hidden)[name], h @ vector.weight[0] + vector.bias)
    assert list(Logits([CLICK], [6])([torch.randn(5, 6)])) == ["logit"]


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [([1.0, 3.0], None, 2.0), ([1.0, 3.0], [3.0, 1.0], 1.5), ([], None, 0.0), ([1.0], [0.0], 0.0)],
)
def test_mean_is_that_of_a_loss(values, weights, expected):
    weighted = None if weights is None else torch.tensor(weights)
    assert float(mean(torch.tensor(values), weighted)) == pytest.approx(expected)
