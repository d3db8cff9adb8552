import pytest
import torch

from easyrec.modules.mask_block import FieldNorm, MaskBlock


@pytest.mark.parametrize("layer_norm", [True, False], ids=["norm", "plain"])
def test_a_block_masks_its_input_by_what_the_embeddings_make(layer_norm):
    torch.manual_seed(0)
    block = MaskBlock(5, 4, 3, reduction=1.5, layer_norm=layer_norm, function="relu", dropout=0.0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    embedded, hidden = torch.randn(6, 5), torch.randn(6, 4)
    assert block.down.weight.shape == (6, 5)
    for row in range(6):
        mask = block.up.weight @ (block.down.weight @ embedded[row] + block.down.bias).clamp_min(0) + block.up.bias
        h = block.hidden[0].weight @ (mask * hidden[row])
        if layer_norm:
            h = (h - h.mean()) / torch.sqrt(h.var(unbiased=False) + 1e-5) * block.hidden[1].weight + block.hidden[
                1
            ].bias
        else:
            h = h + block.hidden[0].bias
        torch.testing.assert_close(block(embedded, hidden)[row], h.clamp_min(0), rtol=1e-4, atol=1e-5)


def test_each_field_is_normalised_by_itself():
    torch.manual_seed(0)
    norm, fields = FieldNorm(3, 4), torch.randn(5, 3, 4)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    for field in range(3):
        own = torch.nn.LayerNorm(4)
        own.load_state_dict({"weight": norm.weight[field], "bias": norm.bias[field]})
        torch.testing.assert_close(norm(fields)[:, field], own(fields[:, field]))
