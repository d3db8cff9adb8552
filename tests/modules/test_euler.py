import pytest
import torch

from easyrec.modules.euler import EulerLayer


def layer_of(fields, orders, **keys):
    torch.manual_seed(0)
    layer = EulerLayer(fields, 4, orders, **keys)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer


@pytest.mark.parametrize("orders", [3, 5], ids=["equal", "more"])
def test_equals_the_product_of_powers_of_complex_numbers(orders):
    layer, angles, moduli = layer_of(3, orders), torch.randn(6, 3, 4), torch.rand(6, 3, 4) + 0.1
    c = torch.polar(moduli, angles.clamp(-3, 3))
    real, imaginary = layer(c.real, c.imag)
    weight, bias = layer.implicit.weight, layer.implicit.bias
    for k in range(orders):
        product = torch.polar(torch.exp(layer.modulus[k]), layer.angle[k]).expand(6, 4)
        for j in range(3):
            product = product * c[:, j] ** layer.powers[k, j]
        part = slice(4 * k, 4 * k + 4)
        for found, whole, side in ((real, c.real, product.real), (imaginary, c.imag, product.imag)):
            implicit = (whole.flatten(1) @ weight[part].T + bias[part]).clamp_min(0)
            torch.testing.assert_close(found[:, k], side + implicit, rtol=1e-4, atol=1e-5)


def test_a_square_layer_starts_by_passing_fields_on():
    layer = EulerLayer(3, 4, 3)
    for parameter in (layer.modulus, layer.angle, layer.implicit.weight):
        torch.nn.init.zeros_(parameter)
    c = torch.polar(torch.ones(5, 3, 4), torch.rand(5, 3, 4))
    real, imaginary = layer(c.real, c.imag)
    torch.testing.assert_close((real, imaginary), (c.real, c.imag))


def test_zeros_give_numbers_and_gradients():
    layer = layer_of(3, 3, norm=True)
    real, imaginary = torch.zeros(2, 3, 4, requires_grad=True), torch.zeros(2, 3, 4, requires_grad=True)
    torch.stack(layer(real, imaginary)).sum().backward()
    assert all(p.grad.isfinite().all() for p in (real, imaginary, *layer.parameters()))
