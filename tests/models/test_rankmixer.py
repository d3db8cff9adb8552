import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.rankmixer import Config


def test_the_logit_reads_the_mean_of_the_tokens(case, task):
    torch.manual_seed(0)
    made = case("rankmixer", tokens=3, dim=6, blocks=2)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    tokens = model.cut(torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1))
    assert tokens.shape == (3, 5, 6)
    for block in model.blocks:
        tokens = block(tokens)
    expected = sum(tokens) / 3 @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_tokens_must_divide_the_dim():
    with pytest.raises(ValidationError, match="'tokens' must divide 'dim', but 5 does not divide 64"):
        Config(tokens=5)
