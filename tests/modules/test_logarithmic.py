import torch

from easyrec.modules.logarithmic import LogarithmicLayer


def settled(fields, neurons):
    """A layer with other statistics than those it starts with, in evaluation."""
    torch.manual_seed(0)
    layer = LogarithmicLayer(fields, neurons)
    for norm in (layer.fields_norm, layer.neurons_norm):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    return layer.eval()


def normal(values, norm, index):
    scale = norm.weight[index] / torch.sqrt(norm.running_var[index] + 1e-5)
    return (values - norm.running_mean[index]) * scale + norm.bias[index]


def test_each_neuron_is_a_product_of_powers():
    layer, fields = settled(3, 2), torch.randn(5, 3, 4)
    fields[0, 0, 0] = 0.0
    output = layer(fields).view(5, 4, 2)
    for n in range(2):
        product = torch.ones(5, 4)
        for f in range(3):
            log = normal(torch.log(fields[:, f].abs().clamp_min(1e-5)), layer.fields_norm, f)
            product = product * torch.exp(log) ** layer.powers.weight[n, f]
        torch.testing.assert_close(output[:, :, n], normal(product, layer.neurons_norm, n), rtol=1e-4, atol=1e-4)


def test_without_normalisation_powers_of_one_multiply_the_fields():
    layer, fields = LogarithmicLayer(3, 1).eval(), torch.rand(5, 3, 4) + 0.5
    torch.nn.init.ones_(layer.powers.weight)
    torch.testing.assert_close(layer(fields), fields.prod(1), rtol=1e-3, atol=1e-3)


def test_exponents_stay_float32_under_autocast():
    layer, fields = settled(3, 2), torch.randn(5, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(fields)
    assert torch.equal(output, layer(fields))
