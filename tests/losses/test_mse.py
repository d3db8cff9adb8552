import torch

from easyrec.config import TaskConfig
from easyrec.losses import build


def test_squared_error_and_plain_values():
    loss = build(TaskConfig(name="y", label="y", type="regression"))
    assert loss(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0])).item() == 2.5
    assert loss.predict(torch.tensor([1.5])).tolist() == [1.5]
