import torch

from easyrec.models import build


def test_layers_act_on_the_unit_circle_and_both_parts_are_read_alike(case, task):
    torch.manual_seed(0)
    made = case("eulernet", groups={"deep": ["user", "item", "cate", "price"]}, orders=[5, 3], bottom=[6])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    torch.nn.init.normal_(model.moduli)
    hidden = (x.tensors["dense:deep"] @ model.bottom.mlp[0].weight.T).clamp_min(0)
    hidden = (hidden @ model.bottom.mlp[2].weight.T).clamp_min(0)
    fields = torch.cat([x.tensors["emb:deep"].view(5, 3, 4), hidden.unsqueeze(1)], 1)
    real, imaginary = model.moduli * fields.cos(), model.moduli * fields.sin()
    for layer, orders in zip(model.layers, (5, 3), strict=True):
        real, imaginary = layer(real, imaginary)
        assert real.shape == (5, orders, 4)
    w = model.head.vector.weight[0]
    expected = real.flatten(1) @ w + imaginary.flatten(1) @ w + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_dropout_and_norms_are_there(case, task):
    made = case("eulernet", orders=[4], dropout=0.5, layer_norm=True)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    assert not torch.equal(model(x)["logit"], model(x)["logit"])
    assert torch.equal(model.eval()(x)["logit"], model(x)["logit"])
