import pytest
import torch

from easyrec.models import build


@pytest.mark.parametrize("hidden", [[], [7, 3]], ids=["", "deep"])
@pytest.mark.parametrize("linear", [False, True], ids=["", "linear"])
@pytest.mark.parametrize("residual", ["each", "last", "none"])
def test_logit_is_attention_and_the_optional_parts(case, task, hidden, linear, residual):
    torch.manual_seed(0)
    made = case("destine", hidden=hidden, linear=linear, residual=residual, attention_layers=2, attention_dim=6)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    fields, dense = x.tensors["emb:deep"].view(5, 6, 4), x.tensors["dense:deep"]
    attended = model.attention[1](model.attention[0](fields.reshape(30, 4)))
    assert (model.attention[0].values.weight.shape[0] == 12) is (residual == "each")
    if residual == "last":
        attended = attended + fields.reshape(30, 4) @ model.map.weight.T
    parts = [attended.reshape(5, 36)]
    if hidden:
        deep = torch.cat([x.tensors["emb:deep"], dense], 1)
        for layer in (model.deep[0], model.deep[2]):
            deep = (deep @ layer.weight.T + layer.bias).clamp_min(0)
        parts.append(deep)
    elif not linear:
        parts.append(dense)
    expected = torch.cat(parts, 1) @ model.head.vector.weight[0] + model.head.bias
    if linear:
        expected = expected + x.tensors["first:deep"].sum(1) + dense @ model.dense_weights["deep"].weight[0]
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)
