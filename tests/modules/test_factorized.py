import torch

from easyrec.modules.factorized import FactorizedInteraction, FieldGate


def test_products_of_two_linear_maps_stand_beside_the_first():
    layer, x = FactorizedInteraction(5, 6, "concat"), torch.randn(4, 5)
    torch.nn.init.normal_(layer.maps.bias)
    u, v = (x @ w.T + b for w, b in zip(layer.maps.weight.split(3), layer.maps.bias.split(3), strict=True))
    torch.testing.assert_close(layer(x), torch.cat([u, u * v], 1))


def test_products_of_two_linear_maps_are_added_to_the_first():
    layer, x = FactorizedInteraction(5, 6, "sum"), torch.randn(4, 5)
    torch.nn.init.normal_(layer.maps.bias)
    u, v = (x @ w.T + b for w, b in zip(layer.maps.weight.split(6), layer.maps.bias.split(6), strict=True))
    torch.testing.assert_close(layer(x), u + u * v)


def test_gates_start_at_one_and_are_linear_in_the_same_dimension_of_all_fields():
    torch.manual_seed(0)
    gate, fields = FieldGate(3), torch.randn(4, 3, 2)
    torch.testing.assert_close(gate(fields), torch.cat([fields, fields], 1))
    torch.nn.init.normal_(gate.gate.weight)
    torch.nn.init.normal_(gate.gate.bias)
    output = gate(fields)
    for row in range(4):
        for d in range(2):
            g = gate.gate.weight @ fields[row, :, d] + gate.gate.bias
            torch.testing.assert_close(output[row, :3, d], fields[row, :, d])
            torch.testing.assert_close(output[row, 3:, d], fields[row, :, d] * g)
