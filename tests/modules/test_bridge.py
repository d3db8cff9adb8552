import math

import pytest
import torch

from easyrec.modules.bridge import Bridge, Regulation


@pytest.mark.parametrize("join", ["product", "sum", "concat", "attention"])
def test_each_bridge_is_its_formula(join):
    torch.manual_seed(0)
    bridge, x, y = Bridge(3, join), torch.randn(4, 3), torch.randn(4, 3)

    def score(v):
        return bridge.score.weight[0] @ (bridge.layer.weight @ v + bridge.layer.bias).clamp_min(0)

    def attended(a, b):
        first, second = math.exp(score(a).item()), math.exp(score(b).item())
        return (first * a + second * b) / (first + second)

    formula = {
        "product": lambda a, b: a * b,
        "sum": lambda a, b: a + b,
        "concat": lambda a, b: (bridge.layer.weight @ torch.cat([a, b]) + bridge.layer.bias).clamp_min(0),
        "attention": attended,
    }[join]
    for row in range(4):
        torch.testing.assert_close(bridge(x, y)[row], formula(x[row], y[row]))


def test_a_share_weighs_fields_of_any_width_by_a_softmax():
    torch.manual_seed(0)
    share, x = Regulation([2, 1, 3], 0.5, batch_norm=False), torch.randn(4, 6)
    torch.testing.assert_close(share(x), (x / 3, x / 3))
    torch.nn.init.normal_(share.weight)
    for output, weights in zip(share(x), share.weight.tolist(), strict=True):
        exps = [math.exp(w / 0.5) for w in weights]
        a, b, c = (e / sum(exps) for e in exps)
        torch.testing.assert_close(output, x * torch.tensor([a, a, b, c, c, c]))


def test_shares_are_normalised_over_the_batch():
    torch.manual_seed(0)
    share, x = Regulation([2, 2], 1.0, batch_norm=True), 5 + 3 * torch.randn(50, 4)
    for output in share.train()(x):
        torch.testing.assert_close(output.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(output.var(0, unbiased=False), torch.ones(4), atol=1e-3, rtol=0)
