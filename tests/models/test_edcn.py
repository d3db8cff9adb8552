import pytest
import torch

from easyrec.models import build


@pytest.mark.parametrize("bridge", ["product", "sum", "concat", "attention"])
def test_both_networks_read_shares_of_what_joined_the_layer_before(case, task, bridge):
    torch.manual_seed(0)
    made = case("edcn", cross_layers=3, bridge=bridge, temperature=2.0, batch_norm=False)
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.8)
    joined = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    columns = [f for f, dim in enumerate([4, 4, 4, 4, 4, 4, 1, 2]) for _ in range(dim)]  # six fields, price, size
    first = None
    for layer in range(3):
        gates = torch.softmax(model.shares[layer].weight / 2.0, 1)[:, columns]
        crossed, hidden = gates[0] * joined, gates[1] * joined
        first = crossed if first is None else first
        crossed = first * (crossed @ model.cross[layer].weight[0])[:, None] + model.shifts[layer]
        hidden = (hidden @ model.deep[layer][0].weight.T + model.deep[layer][0].bias).clamp_min(0)
        joined = model.bridges[layer](crossed, hidden)
    expected = torch.cat([crossed, hidden, joined], 1) @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-3, atol=1e-3)


def test_an_encoded_sequence_is_one_field_of_the_shares(case, task):
    made = case("edcn", sequences=[{"sequence": "buys", "encoder": "din"}])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.shares[0].weight.shape == (2, 3 + 1 + 2)
    assert model(x)["logit"].shape == (5,)
