import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.ccpm import Config


def test_logit_is_a_layer_over_convolved_fields(case, task):
    """One map that looks at one field: the three largest numbers of each column."""
    made = case("ccpm", channels=[1], windows=[1])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    convolution = model.convolutions.layers[0]
    torch.nn.init.constant_(convolution.bias, 0.3)
    scaled = x.tensors["emb:deep"].view(5, 6, 4) * convolution.weight.item() + 0.3
    kept = torch.zeros(5, 3, 4)
    for row in range(5):
        for column in range(4):
            numbers = scaled[row, :, column]
            kept[row, :, column] = numbers[numbers >= numbers.sort(descending=True).values[2]]
    flat = torch.cat([torch.tanh(kept).flatten(1), x.tensors["dense:deep"]], 1)
    expected = (flat @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_fields_counts(case, task):
    scores = []
    for features in (["user", "item", "cate"], ["cate", "user", "item"]):
        made = case("ccpm", features=features, sequences=[])
        torch.manual_seed(0)
        model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
        named = {name: torch.full((5, 4), float(n)) for n, name in enumerate(["user", "item", "cate"])}
        x.tensors["emb:deep"] = torch.cat([named[name] for name in features], 1)
        scores.append(model(x)["logit"])
    assert not torch.allclose(*scores)


def test_a_window_per_layer():
    with pytest.raises(ValidationError, match="equally many layers"):
        Config(channels=[4])
