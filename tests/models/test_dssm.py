import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build
from feature_generator.config import member

TASKS = [TaskConfig(name="click", label="click")]
PARALLEL = [{"type": "mlp", "hidden": [6]}, {"type": "cross", "cross_layers": 1}, {"type": "plain"}]


def made(case, **keys):
    torch.manual_seed(1)
    found = (
        case("dssm", hidden=[6], output_dim=3, **keys) if "parallel" not in keys else case("dssm", output_dim=3, **keys)
    )
    return found, build(found.config, found.plan, TASKS).eval()


def cosine(u, v):
    return (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1))


def mlp_tower(tower, x):
    (layer, _), out = tower[0], tower[1]
    return (x @ layer.weight.T + layer.bias).relu() @ out.weight.T + out.bias


def parallel_tower(tower, x):
    (layer, _), cross, _ = tower[0].parts
    first, out = cross.layers[0], tower[1]
    crossed = x * (x @ first.weight.T + first.bias) + x
    both = torch.cat([(x @ layer.weight.T + layer.bias).relu(), crossed, x], 1)
    return both @ out.weight.T + out.bias


@pytest.mark.parametrize(
    ("keys", "tower"), [({}, mlp_tower), ({"parallel": PARALLEL}, parallel_tower)], ids=["mlp", "parallel"]
)
def test_the_logit_is_the_cosine_of_the_towers(case, keys, tower):
    found, model = made(case, temperature=0.2, sequences=[], **keys)
    x = found.inputs(5)
    users, items = (torch.cat([x.tensors[f"emb:{s}"], x.tensors[f"dense:{s}"]], 1) for s in ("user", "item"))
    expected = cosine(tower(model.user_tower, users), tower(model.item_tower, items)) / 0.2
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias)


def test_fields_of_either_side_are_weighed_by_senet(case):
    """`feature_wise` of a group, before its tower."""
    side = {"features": ["user", "item", "cate"], "feature_wise": [{"type": "senet", "reduction": 2}]}
    found, model = made(case, groups={"user": side, "item": side})
    x = found.inputs(5)
    weighed = {}
    for name in ("user", "item"):
        (senet,) = model.feature_wise[name]
        fields = torch.unflatten(x.tensors[f"emb:{name}"], 1, (3, 4))
        inner = (fields.mean(2) @ senet.squeeze.weight.T).relu()
        weighed[name] = (fields * torch.sigmoid(inner @ senet.excite.weight.T).unsqueeze(2)).flatten(1)
    expected = cosine(mlp_tower(model.user_tower, weighed["user"]), mlp_tower(model.item_tower, weighed["item"]))
    torch.testing.assert_close(model(x)["logit"], expected + model.head.bias)


def test_sides_share_the_embeddings_of_one_name_unless_told_not_to(case):
    """Both groups read `item`; with `separate_embeddings` each has a table."""
    groups = {"user": ["user", "item"], "item": ["item"]}
    tables = {
        own: [t.name for t in case("dssm", groups=groups, separate_embeddings=own).plan.tables] for own in (False, True)
    }
    assert tables[False] == ["user", "item"]
    assert len(tables[True]) == 3


@pytest.mark.parametrize("keys", [{"hidden": [4]}, {"user_tower": [4]}, {"dropout": 0.1}], ids=str)
def test_keys_of_one_mlp_are_refused_beside_parts(keys):
    with pytest.raises(ValueError, match="is of towers that are one MLP\nwith 'parallel' give it to a part"):
        member("easyrec.models", "dssm").Config(parallel=PARALLEL, **keys)


def test_parts_of_unknown_kinds_are_told():
    with pytest.raises(ValueError, match="unknown type 'tree'\nknown: cross, mlp, plain"):
        member("easyrec.models", "dssm").Config(parallel=[{"type": "tree"}])


def test_an_encoder_that_sees_the_item_is_refused(case):
    with pytest.raises(ConfigError, match="computes a user without an item"):
        made(case, sequences=[{"sequence": "clicks", "encoder": {"type": "pdn"}}])
