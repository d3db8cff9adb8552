import torch
from torch import nn

from easyrec.config import TaskConfig
from easyrec.models._model import Head
from easyrec.models._towers import Logits
from easyrec.train.beginning import begin, scattered
from easyrec.train.objective import Objective

CLICK = TaskConfig(name="click", label="click")
PRICE = TaskConfig(name="price", label="price", type="regression", mask="click == 1")
STARS = TaskConfig(name="stars", label="stars", type="ordinal", num_classes=3)
LABELS = {
    "click": torch.tensor([1.0, 0.0, 1.0, 1.0]),
    "price": torch.tensor([10.0, 999.0, 20.0, 60.0]),
    "stars": torch.tensor([0.0, 1.0, 2.0, 2.0]),
}
TASKS = (CLICK, PRICE, STARS)


def test_outputs_begin_at_the_labels_of_the_rows_that_count():
    head = Head(TASKS, 2)
    assert begin(head, Objective(TASKS), LABELS, None)
    given = head(torch.zeros(1, 2))
    assert given["click"].item() == 0.0
    assert given["price"].item() == 30.0
    levels = Objective(TASKS).losses[2].predict(given["stars"])
    torch.testing.assert_close(levels, torch.tensor([[0.25, 0.25, 0.5]]))
    weights = torch.tensor([3.0, 1.0, 1.0, 0.0])
    begin(head, Objective(TASKS), LABELS, weights)
    assert head(torch.zeros(1, 2))["price"].item() == 12.5


def test_towers_begin_too():
    towers = Logits(TASKS, [2, 3, 4])
    assert begin(nn.ModuleList([towers]), Objective(TASKS), LABELS, None)
    given = towers([torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, 4)])
    assert [given["click"].item(), given["price"].item()] == [0.0, 30.0]


def test_nothing_begins_where_no_row_counts_or_no_loss_has_a_start():
    head = Head([PRICE], 2)
    assert not begin(head, Objective([PRICE]), {**LABELS, "click": torch.zeros(4)}, None)
    assert not begin(head, Objective([PRICE]), LABELS, torch.zeros(4))
    assert not begin(Head([CLICK], 2), Objective([CLICK]), LABELS, None)
    assert not head.bias.any()


def test_a_task_with_two_heads_begins_at_0():
    heads = nn.ModuleList([Head([PRICE], 2), Head([PRICE], 2)])
    assert not begin(heads, Objective([PRICE]), LABELS, None)
    assert not heads[0].bias.any()


def test_sessions_whose_rows_do_not_lie_side_by_side_are_doubted():
    lone, whole = torch.arange(64), torch.arange(64) // 8
    (told,) = scattered({"request": lone, "user": whole})
    assert told.startswith("100% of the sessions by 'request' in the first batch are single rows")
    assert not scattered({"request": lone[:20]})  # too few to tell
    assert not scattered({"request": torch.cat([lone[:40], lone[:24]])})


def test_training_tells_of_them(toy, data, caplog):
    loss = {"model__tasks": [{"name": "click", "label": "click", "loss": {"type": "softmax", "by": "session"}}]}
    for rows_per_session, told in ((1, True), (8, False)):
        caplog.clear()
        train = data["train"].assign(session=range(len(data["train"]))).eval(f"session = session // {rows_per_session}")
        toy.trainer(run=str(told), data={"train": train}, train__epochs=1, **loss).fit()
        assert any("single rows" in message for message in caplog.messages) == told
