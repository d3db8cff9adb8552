from itertools import combinations

import pytest
import torch

from easyrec.models import build


def pooled(fields):
    return sum(fields[:, i] * fields[:, j] for i, j in combinations(range(fields.shape[1]), 2))


def test_logit_is_linear_plus_an_mlp_of_the_summed_products(case, task):
    made = case("nfm", hidden=[3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    flat = torch.cat([pooled(x.tensors["emb:deep"].view(5, -1, 4)), x.tensors["dense:deep"]], 1)
    hidden = (flat @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    linear = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    expected = linear + (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_the_sum_may_be_normalised(case, task):
    made = case("nfm", features=["user", "item"], sequences=[], pooled_batch_norm=True)
    model, x = build(made.config, made.plan, [task]), made.inputs(64)
    seen = []
    model.deep.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(x)
    mean, std = seen[0].mean(0), seen[0].std(0, unbiased=False)
    torch.testing.assert_close(mean, torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(std, torch.ones(4), rtol=1e-3, atol=1e-3)


def test_the_sum_may_drop_numbers_while_training(case, task):
    made = case("nfm", features=["user", "item"], sequences=[], pooled_dropout=0.5)
    model, x = build(made.config, made.plan, [task]), made.inputs(64)
    seen = []
    model.deep.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(x)
    model.eval()(x)
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.15)
    assert (seen[1] != 0).all()
