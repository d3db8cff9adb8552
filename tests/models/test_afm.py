from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import afm, build


def test_logit_is_linear_plus_the_attended_pairs(case, task):
    made = case("afm", attention_dim=3)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    torch.nn.init.normal_(model.hidden.bias)
    fields = x.tensors["emb:deep"].view(5, -1, 4)
    expected = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    for row in range(5):
        pairs = [fields[row, i] * fields[row, j] for i, j in combinations(range(6), 2)]
        scores = [model.score.weight[0] @ (model.hidden.weight @ p + model.hidden.bias).clamp_min(0) for p in pairs]
        shares = [torch.exp(s) / sum(torch.exp(other) for other in scores) for s in scores]
        pooled = sum(share * p for share, p in zip(shares, pairs, strict=True))
        expected[row] = expected[row] + model.head.vector.weight[0] @ pooled
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias, rtol=1e-4, atol=1e-5)


def test_products_are_scored_some_at_a_time(case, task, monkeypatch):
    made = case("afm")
    model, x = build(made.config, made.plan, [task]), made.inputs(7)
    whole = model(x)["logit"]
    monkeypatch.setattr(afm, "AT_A_TIME", 11)  # pairs of a row in several parts, and a short last one
    torch.testing.assert_close(model(x)["logit"], whole)


def test_equal_attention_makes_it_a_mean_of_pairs(case, task):
    made, twin = case("afm"), case("fm")
    model, machine, x = build(made.config, made.plan, [task]), build(twin.config, twin.plan, [task]), made.inputs(5)
    with torch.no_grad():
        model.score.weight.zero_()
        model.head.vector.weight.fill_(15.0)  # as many as there are pairs of six fields
        model.dense_weights["deep"].weight.copy_(machine.dense_weights["deep"].weight)
    torch.testing.assert_close(model(x)["logit"], machine(x)["logit"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", ["attention_dropout", "pooled_dropout"])
def test_dropout_is_for_training(case, task, key):
    made = case("afm", **{key: 0.5})
    model, x = build(made.config, made.plan, [task]), made.inputs(64)
    assert not torch.equal(model(x)["logit"], model(x)["logit"])
    model.eval()
    assert torch.equal(model(x)["logit"], model(x)["logit"])


def test_one_field_has_no_pair(case, task):
    made = case("afm", features=["item"], sequences=[])
    with pytest.raises(ConfigError, match="'item' is the only one"):
        build(made.config, made.plan, [task])
