import torch

from easyrec.modules.attentive_pooling import AttentivePooling


def test_vectors_are_summed_by_the_shares_that_they_earn():
    torch.manual_seed(0)
    pool, x = AttentivePooling(4, 3), torch.randn(5, 6, 4)
    torch.nn.init.normal_(pool.hidden.bias)
    for row, found in zip(x, pool(x), strict=True):
        scores = [
            torch.exp(pool.score.weight[0] @ (pool.hidden.weight @ v + pool.hidden.bias).clamp_min(0)) for v in row
        ]
        expected = sum(score / sum(scores) * vector for score, vector in zip(scores, row, strict=True))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
