import pytest
import torch
from pydantic import ValidationError

from easyrec.models import build
from easyrec.models.dcn_v2 import Config


@pytest.mark.parametrize("rank", [{}, {"low_rank": 2}, {"low_rank": 2, "experts": 3}], ids=["full", "low", "mixture"])
@pytest.mark.parametrize("structure", ["parallel", "stacked", "cross"])
def test_structures_join_cross_and_mlp(case, task, structure, rank):
    made = case(
        "dcn_v2", structure=structure, cross_layers=2, **rank, **({} if structure == "cross" else {"hidden": [3]})
    )
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)

    def mlp(v):
        return (v @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)

    crossed = model.cross(flat)
    hidden = {
        "parallel": lambda: torch.cat([crossed, mlp(flat)], 1),
        "stacked": lambda: mlp(crossed),
        "cross": lambda: crossed,
    }[structure]()
    expected = (hidden @ model.head.vector.weight.T).squeeze(1) + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_a_mixture_needs_a_rank():
    with pytest.raises(ValidationError, match="needs 'low_rank'"):
        Config(experts=4)
