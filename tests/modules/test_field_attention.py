import math

import pytest
import torch
from pydantic import ValidationError

from easyrec.modules.field_attention import (
    AttentionConfig,
    FieldAttention,
    projections,
)


def explicit(layer, x, row):
    """Equations 5 to 8 of the paper for one row, head by head and field by field."""
    config, fields = layer.config, layer.fields
    units, own = config.attention_dim, x.view(-1, fields, x.shape[1])[row]
    size = units // config.heads
    weights = torch.cat([layer.queries_keys.weight, layer.values.weight]).split(units)
    query, key, value, *rest = (own @ weight.T for weight in weights)
    result = torch.zeros(fields, units)
    for h in range(config.heads):
        part = slice(h * size, (h + 1) * size)
        for i in range(fields):
            scores = [query[i, part] @ key[j, part] / (math.sqrt(size) if config.scale else 1) for j in range(fields)]
            exps = [torch.exp(score) for score in scores]
            result[i, part] = sum(e / sum(exps) * value[j, part] for j, e in enumerate(exps))
    if rest or layer.same:
        result = result + (rest[0] if rest else own)
    if layer.norm is not None:
        mean, var = result.mean(1, keepdim=True), result.var(1, unbiased=False, keepdim=True)
        result = (result - mean) / torch.sqrt(var + 1e-5) * layer.norm.weight + layer.norm.bias
    return result.clamp_min(0)


@pytest.mark.parametrize("width", [5, 8], ids=["mapped", "same-width"])
@pytest.mark.parametrize("residual", [True, False], ids=["residual", "plain"])
@pytest.mark.parametrize("keys", [{"scale": True}, {}], ids=["scaled", "unscaled"])
def test_equals_the_loop_over_heads_and_fields(width, residual, keys):
    torch.manual_seed(0)
    config = AttentionConfig(attention_dim=8, heads=2, **keys)
    layer, x = FieldAttention(width, 3, config, residual=residual, layer_norm=residual), torch.randn(12, width)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    output = layer(x).view(4, 3, 8)
    for row in range(4):
        torch.testing.assert_close(output[row], explicit(layer, x, row), rtol=1e-4, atol=1e-5)


def test_no_map_is_added_where_the_width_stays():
    config = AttentionConfig(attention_dim=8)
    assert FieldAttention(8, 3, config).values.weight.shape == (8, 8)
    assert FieldAttention(5, 3, config).values.weight.shape == (16, 5)
    assert FieldAttention(5, 3, config, residual=False).values.weight.shape == (8, 5)


def test_each_map_starts_as_one_of_its_own_size():
    torch.manual_seed(0)
    weight = projections(300, 200, 3).weight
    for part in weight.split(200):
        assert part.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)


def test_dropout_zeroes_attention_weights_only_while_training():
    torch.manual_seed(0)
    layer, x = FieldAttention(8, 3, AttentionConfig(attention_dim=8, attention_dropout=0.5)), torch.randn(12, 8)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="3 does not divide 32"):
        AttentionConfig(heads=3)
