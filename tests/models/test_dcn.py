import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build, dcn, dcn_v2


@pytest.mark.parametrize("structure", ["parallel", "stacked", "cross"])
def test_structures_join_cross_and_mlp(case, task, structure):
    made = case("dcn", structure=structure, cross_layers=2, **({} if structure == "cross" else {"hidden": [3]}))
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    torch.nn.init.normal_(model.cross.bias)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)

    def mlp(v):
        return (v @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)

    crossed = flat
    for weight, bias in zip(model.cross.weights.weight, model.cross.bias, strict=True):
        crossed = flat * (crossed @ weight)[:, None] + bias + crossed
    hidden = {
        "parallel": lambda: torch.cat([crossed, mlp(flat)], 1),
        "stacked": lambda: mlp(crossed),
        "cross": lambda: crossed,
    }[structure]()
    expected = (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [dcn, dcn_v2])
@pytest.mark.parametrize("key", [{"hidden": [4]}, {"dropout": 0.1}, {"batch_norm": True}], ids=str)
def test_crosses_alone_refuse_keys_of_the_mlp(model, key):
    with pytest.raises(ValidationError, match="is a key of the MLP, which 'structure: cross' leaves out"):
        model.Config(structure="cross", **key)
