import pytest
import torch
from pydantic import ValidationError

from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.masknet import Config


def normalised(fields, norm):
    mean, var = fields.mean(2, keepdim=True), fields.var(2, unbiased=False, keepdim=True)
    return (fields - mean) / torch.sqrt(var + 1e-5) * norm.weight + norm.bias


@pytest.mark.parametrize("norm", [True, False], ids=["norm", "plain"])
@pytest.mark.parametrize("structure", ["serial", "parallel"])
def test_blocks_stand_in_series_or_side_by_side(case, task, structure, norm):
    torch.manual_seed(0)
    keys = {} if structure == "serial" else {"blocks": 2, "block_dim": 3}
    made = case("masknet", structure=structure, embedding_norm=norm, hidden=[5, 4], **keys)
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    fields, dense = x.tensors["emb:deep"].view(5, 6, 4), x.tensors["dense:deep"]
    flat = torch.cat([fields.flatten(1), dense], 1)
    masked = torch.cat([(normalised(fields, model.norm) if norm else fields).flatten(1), dense], 1)
    if structure == "serial":
        hidden = model.blocks[1](flat, model.blocks[0](flat, masked))
    else:
        hidden = torch.cat([block(flat, masked) for block in model.blocks], 1)
        assert hidden.shape == (5, 6)
        for layer in (model.deep[0], model.deep[2]):
            hidden = (hidden @ layer.weight.T + layer.bias).clamp_min(0)
    expected = hidden @ model.head.vector.weight[0] + model.head.bias
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("key", [{"blocks": 2}, {"block_dim": 8}, {"batch_norm": True}], ids=str)
def test_a_serial_masknet_refuses_keys_that_it_would_not_read(key):
    with pytest.raises(ValidationError, match="is for 'structure: parallel': a serial masknet"):
        Config(structure="serial", **key)


def test_a_group_without_fields_is_refused_only_where_fields_are_normalised(case, task):
    groups = {"deep": ["price", "size"]}
    made = case("masknet", groups=groups)
    with pytest.raises(ConfigError, match="needs fields"):
        build(made.config, made.plan, [task])
    made = case("masknet", groups=groups, embedding_norm=False)
    assert build(made.config, made.plan, [task])(made.inputs(5))["logit"].shape == (5,)
