import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.models import build

GROUPS = {"image": ["item", "cate", "price"], "text": ["user", "item"], "deep": ["user", "size"]}


def heads(q, k, v, count):
    """Attention of one row, head by head and field by field."""
    size = q.shape[1] // count
    found = torch.zeros(len(q), q.shape[1])
    for head in range(count):
        part = slice(head * size, (head + 1) * size)
        for field in range(len(q)):
            weights = torch.softmax(torch.stack([q[field, part] @ other for other in k[:, part]]), 0)
            found[field, part] = sum(w * value for w, value in zip(weights, v[:, part], strict=True))
    return found


def self_attended(layer, fields, count):
    maps = torch.cat([layer.queries_keys.weight, layer.values.weight])
    q, k, v, residual = (fields @ maps.T).split(layer.config.attention_dim, dim=1)
    return (heads(q, k, v, count) + residual).clamp_min(0)


def asked(layer, a, b, count):
    k, v = (b @ layer.maps.weight.T).split(layer.config.attention_dim, dim=1)
    return (a + heads(a @ layer.query.weight.T, k, v, count)).clamp_min(0)


def test_equals_attention_inside_and_across_row_by_row(case, task):
    torch.manual_seed(0)
    made = case("cmbf", groups=GROUPS, attention_dim=6, heads=2, hidden=[5])
    model, x = build(made.config, made.plan, [task]).eval(), made.inputs(3)
    logits = model(x)["logit"]
    for row in range(3):
        fields = {m: x.tensors[f"emb:{m}"][row].view(-1, 4) for m in ("image", "text")}
        seen = {m: self_attended(model.inside[m][0], f, 2) for m, f in fields.items()}
        image = asked(model.across["image"], seen["image"], seen["text"], 2).mean(0)
        text = asked(model.across["text"], seen["text"], seen["image"], 2).mean(0)
        dense = [x.tensors["dense:image"][row], x.tensors["emb:deep"][row], x.tensors["dense:deep"][row]]
        hidden = torch.cat([image, text, *dense])
        deep = (model.deep[0].weight @ hidden + model.deep[0].bias).clamp_min(0)
        expected = model.head.vector.weight[0] @ deep + model.head.bias[0]
        torch.testing.assert_close(logits[row], expected, rtol=1e-4, atol=1e-5)


def test_deep_may_be_left_out(case, task):
    made = case("cmbf", groups={"image": ["item"], "text": ["cate"]})
    assert build(made.config, made.plan, [task]).eval()(made.inputs(4))["logit"].shape == (4,)


def test_a_modality_must_be_there(case):
    with pytest.raises(ConfigError, match="'cmbf' needs a group 'text'"):
        case("cmbf", groups={"image": ["item"], "deep": ["user"]})
