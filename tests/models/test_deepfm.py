from dataclasses import replace
from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.deepfm import DeepFM


def test_logit_is_linear_plus_pairs_plus_mlp(case, task):
    made = case("deepfm", hidden=[3])
    model, x = build(made.config, made.plan, [task]), made.inputs(5)
    fields = x.tensors["emb:deep"].view(5, -1, 4)
    pairs = sum((fields[:, i] * fields[:, j]).sum(1) for i, j in combinations(range(6), 2))
    linear = x.tensors["first:deep"].sum(1) + x.tensors["dense:deep"] @ model.dense_weights["deep"].weight[0]
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    hidden = (flat @ model.deep[0].weight.T + model.deep[0].bias).clamp_min(0)
    expected = linear + pairs + (hidden @ model.head.vector.weight.T).squeeze(1)
    torch.testing.assert_close(model(x)["logit"], expected, rtol=1e-4, atol=1e-5)


def test_an_encoded_sequence_is_a_field_per_child(case, task):
    made = case("deepfm", sequences=[{"sequence": "buys", "encoder": {"type": "din", "product": True}}])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(5)
    assert model.fields(x).shape == (5, 3 + 2, 4)
    assert model.deep[0].in_features == 5 * 4 + 3
    assert model(x)["logit"].shape == (5,)


def test_fields_of_other_dims_in_an_encoded_sequence_are_named(case, generator, task):
    made = case("deepfm", sequences=[{"sequence": "clicks", "encoder": "din"}])
    layout = made.layouts["deep"]
    children = (*layout.sequences[0].children[:2], replace(layout.sequences[0].children[2], dim=7))
    wide = replace(layout, sequences=(replace(layout.sequences[0], children=children),))
    with pytest.raises(ConfigError, match="clicks__hour 7"):
        DeepFM(made.config, {"deep": wide}, [task])
