import math

import pytest
import torch

from easyrec.modules.disentangled import DisentangledAttention
from easyrec.modules.field_attention import AttentionConfig


def softmax(numbers):
    exps = [torch.exp(n) for n in numbers]
    return [e / sum(exps) for e in exps]


def explicit(layer, e):
    """The paper's equations for one row: queries and keys without their means, head by head."""
    config, fields = layer.config, len(e)
    size = config.attention_dim // config.heads
    weights = torch.cat([layer.queries_keys.weight, layer.values.weight]).split(config.attention_dim)
    query, key, value, *mapped = (e @ w.T for w in weights)
    query, key = query - query.mean(0), key - key.mean(0)
    result = torch.zeros(fields, config.attention_dim)
    for h in range(config.heads):
        part = slice(h * size, (h + 1) * size)
        alone = softmax([layer.unary.weight[h] @ e[j] for j in range(fields)])
        for i in range(fields):
            scores = [query[i, part] @ key[j, part] / (math.sqrt(size) if config.scale else 1) for j in range(fields)]
            result[i, part] = sum(
                (p + u) * value[j, part] for j, (p, u) in enumerate(zip(softmax(scores), alone, strict=True))
            )
    return result + layer.bias + (mapped[0] if mapped else 0)


@pytest.mark.parametrize("residual", [True, False], ids=["residual", "plain"])
@pytest.mark.parametrize("scale", [True, False], ids=["scaled", "unscaled"])
def test_equals_the_loop_over_heads_and_fields(residual, scale):
    torch.manual_seed(0)
    config = AttentionConfig(attention_dim=6, heads=2, scale=scale)
    layer, x = DisentangledAttention(5, 3, config, residual=residual), torch.randn(4, 3, 5)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    output = layer(x.flatten(0, 1)).view(4, 3, 6)
    for row in range(4):
        torch.testing.assert_close(output[row], explicit(layer, x[row]), rtol=1e-4, atol=1e-5)
