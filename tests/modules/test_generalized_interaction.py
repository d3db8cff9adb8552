import torch

from easyrec.modules.generalized_interaction import GeneralizedInteraction


def test_equals_the_sum_of_weighted_outer_products():
    torch.manual_seed(0)
    layer, fields, x = GeneralizedInteraction(3, 2, 4, 5), torch.randn(6, 3, 5), torch.randn(6, 2, 5)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    output = layer(fields, x)
    for row in range(6):
        for o in range(4):
            outer = sum(
                layer.weight[i, j, o] * torch.outer(fields[row, i], x[row, j]) for i in range(3) for j in range(2)
            )
            expected = (outer * layer.matrix[o]) @ layer.columns[o]
            torch.testing.assert_close(output[row, o], expected, rtol=1e-4, atol=1e-4)


def test_starts_as_the_product_of_both_sums():
    fields, x = torch.randn(6, 3, 5), torch.randn(6, 2, 5)
    output = GeneralizedInteraction(3, 2, 4, 5)(fields, x)
    torch.testing.assert_close(output, (fields.sum(1) * x.sum(1)).unsqueeze(1).expand(6, 4, 5), rtol=1e-4, atol=1e-5)
