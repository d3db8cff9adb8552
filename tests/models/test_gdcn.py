import pytest
import torch

from easyrec.models import build


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_the_mlp_stands_beside_the_gated_crosses_or_above_them(case, task, structure):
    torch.manual_seed(0)
    made = case("gdcn", hidden=[4], cross_layers=2, structure=structure)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    crossed = flat
    for layer, bias in zip(model.cross.weights, model.cross.bias, strict=True):
        of_cross, of_gate = layer.weight.chunk(2)
        crossed = crossed + flat * (crossed @ of_cross.T + bias) * torch.sigmoid(crossed @ of_gate.T)
    below = crossed if structure == "stacked" else flat
    deep = (below @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    hidden = deep if structure == "stacked" else torch.cat([crossed, deep], 1)
    expected = hidden @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)
