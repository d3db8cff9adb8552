import pytest
import torch

from easyrec.modules.token_mixer import MixerBlock, Tokens


def normalised(x, norm):
    mean, var = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * norm.weight + norm.bias


@pytest.mark.parametrize("width", [8, 10, 3], ids=["whole", "rest", "fewer"])
def test_tokens_are_slices_of_the_inputs(width):
    torch.manual_seed(0)
    cut, x = Tokens(width, 4, 6), torch.randn(5, width)
    size = -(-width // 4)
    for t, token in enumerate(cut(x)):
        part = x[:, t * size : (t + 1) * size]
        expected = part @ cut.project.weight[t][:, : part.shape[1]].T + cut.project.bias[t]
        torch.testing.assert_close(token, expected, rtol=1e-5, atol=1e-6)


def test_a_block_exchanges_slices_and_then_has_a_layer_per_token():
    torch.manual_seed(0)
    block, x = MixerBlock(3, 6, 2), torch.randn(5, 3, 6)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    found = block(x.transpose(0, 1)).transpose(0, 1)
    for row in range(5):
        mixed = [torch.cat([x[row, t, 2 * h : 2 * h + 2] for t in range(3)]) for h in range(3)]
        for t in range(3):
            s = normalised(mixed[t] + x[row, t], block.norms[0])
            hidden = torch.nn.functional.gelu(block.inner.weight[t] @ s + block.inner.bias[t])
            expected = normalised(block.outer.weight[t] @ hidden + block.outer.bias[t] + s, block.norms[1])
            torch.testing.assert_close(found[row, t], expected, rtol=1e-4, atol=1e-5)
