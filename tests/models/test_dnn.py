import torch

from easyrec.models import build


def test_logit_is_an_mlp_of_everything_side_by_side(case, task):
    made = case("dnn", hidden=[5, 3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    hidden = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    for layer in (model.deep[0], model.deep[2]):
        hidden = (hidden @ layer.weight.T + layer.bias).clamp_min(0)
    expected = (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_dims_may_differ(case, task):
    made = case("dnn", sequences=[{"sequence": "buys", "encoder": {"type": "din", "product": True}}])
    model = build(made.config, made.plan, [task]).eval()
    assert model.deep[0].in_features == 3 * 4 + 3 + 2 * 4  # three ids, dense inputs, the sequence and its product
    assert model(made.inputs(5))["logit"].shape == (5,)
