import pytest
import torch

from easyrec.models import build


@pytest.mark.parametrize("hidden", [[], [7, 3]], ids=["cin", "cin-and-mlp"])
@pytest.mark.parametrize("split", [False, True], ids=["all", "halves"])
def test_logit_is_linear_plus_cin_plus_mlp(case, task, hidden, split):
    torch.manual_seed(0)
    made = case("xdeepfm", hidden=hidden, cin_units=[4, 2], split_half=split)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields, dense = x.tensors["emb:deep"].view(5, 6, 4), x.tensors["dense:deep"]
    parts = [torch.einsum("bid,bjd,hij->bhd", fields, fields, model.cin.layers[0].weight.view(4, 6, 6))]
    parts[0] = parts[0] + model.cin.layers[0].bias[:, None]
    before = parts[0][:, :2] if split else parts[0]
    second = model.cin.layers[1]
    parts.append(torch.einsum("bid,bjd,hij->bhd", fields, before, second.weight.view(2, 6, -1)) + second.bias[:, None])
    parts[0] = parts[0][:, 2:] if split else parts[0]
    joined = [part.sum(2) for part in parts]
    if hidden:
        deep = torch.cat([x.tensors["emb:deep"], dense], 1)
        for layer in (model.deep[0], model.deep[2]):
            deep = (deep @ layer.weight.T + layer.bias).clamp_min(0)
        joined.append(deep)
    linear = x.tensors["first:deep"].sum(1) + dense @ model.dense_weights["deep"].weight[0]
    expected = torch.cat(joined, 1) @ model.head.vector.weight[0] + model.head.bias + linear
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)
