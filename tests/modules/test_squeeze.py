import torch

from easyrec.modules.squeeze import SqueezeExcitation, SqueezeExcitationPlus


def test_fields_are_weighted_by_the_means_of_all():
    torch.manual_seed(0)
    layer, fields = SqueezeExcitation(6, 2), torch.randn(5, 6, 4)
    assert layer.squeeze.weight.shape == (3, 6)
    for row in range(5):
        z = torch.stack([e.mean() for e in fields[row]])
        weights = (layer.excite.weight @ (layer.squeeze.weight @ z).clamp_min(0)).clamp_min(0)
        expected = torch.stack([w * e for w, e in zip(weights, fields[row], strict=True)])
        torch.testing.assert_close(layer(fields)[row], expected)


def test_plus_weighs_every_number_by_means_and_maxima_of_parts():
    torch.manual_seed(0)
    layer, fields = SqueezeExcitationPlus(3, 4, 2, 3), torch.randn(5, 3, 4)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    assert layer.squeeze.weight.shape == (4, 12)
    for row in range(5):
        parts = [part for e in fields[row] for part in (e[:2], e[2:])]
        z = torch.stack([part.mean() for part in parts] + [part.max() for part in parts])
        weights = layer.excite.weight @ (layer.squeeze.weight @ z).clamp_min(0)
        fused = fields[row] * weights.view(3, 4) + fields[row]
        for field in range(3):
            e = fused[field]
            wanted = (e - e.mean()) / torch.sqrt(e.var(unbiased=False) + 1e-5) * layer.norm.weight + layer.norm.bias
            torch.testing.assert_close(layer(fields)[row, field], wanted, rtol=1e-4, atol=1e-4)
