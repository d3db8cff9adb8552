import torch

from easyrec.models import build


def test_logit_is_an_mlp_beside_the_last_interaction_layer(case, task):
    torch.manual_seed(0)
    made = case("aoanet", interaction_layers=2, subspaces=3, hidden=[7, 2])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    fields = x.tensors["emb:deep"].view(5, 6, 4)
    crossed = fields
    for layer in model.interactions:
        crossed = torch.einsum("bih,bjd,ijo,ohd,od->boh", fields, crossed, layer.weight, layer.matrix, layer.columns)
    deep = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    for layer in (model.deep[0], model.deep[2]):
        deep = (deep @ layer.weight.T + layer.bias).clamp_min(0)
    expected = torch.cat([deep, crossed.flatten(1)], 1) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)
