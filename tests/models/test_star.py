import pytest
import torch

from easyrec.config import TaskConfig
from easyrec.config.train import SGD
from easyrec.embedding.collection import EmbeddingCollection
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.star import Config

TASKS = [
    TaskConfig(name="click", label="click"),
    TaskConfig(name="stars", label="stars", type="multiclass", num_classes=3),
]
DOMAINS = torch.tensor([3, 0, 9, 3, 7])


def test_logits_are_those_of_the_domains_network_plus_the_auxiliary(case):
    made = case("star", hidden=[6], auxiliary=[4], groups={"deep": ["user", "item", "price"], "domain": ["cate"]})
    model, x = build(made.config, made.plan, TASKS).eval(), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.seen.fill_(1)
    domain = torch.nn.functional.one_hot(DOMAINS, 10).float()
    x.tensors["emb:domain"] = domain
    flat = torch.cat([x.tensors["emb:deep"], x.tensors["dense:deep"]], 1)
    layer, last, norm = model.star.layers[0], model.last, model.norm
    rows = []
    for row, d in zip(flat, DOMAINS, strict=True):
        scale, shift = norm.scale * norm.scales[d], norm.shift + norm.shifts[d]
        z = row / (1 + 1e-5) ** 0.5 * scale + shift
        h = ((layer.shared.weight * layer.weight[d]) @ z + layer.shared.bias + layer.bias[d]).clamp_min(0)
        star = (last.shared.weight * last.weight[d]) @ h + last.shared.bias + last.bias[d]
        side = torch.cat([z, torch.nn.functional.one_hot(d, 10).float()])
        deep = (model.deep[0].weight @ side + model.deep[0].bias).clamp_min(0)
        rows.append(star + model.head.vector.weight @ deep + model.head.bias)
    expected, logits = torch.stack(rows), model(x)
    torch.testing.assert_close(logits["click"], expected[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits["stars"], expected[:, 1:], rtol=1e-4, atol=1e-5)


def test_a_domain_that_was_never_trained_scores_as_none(case):
    made = case("star", hidden=[6], auxiliary=[4], groups={"deep": ["user", "item", "price"], "domain": ["cate"]})
    model, x = build(made.config, made.plan, TASKS), made.inputs(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x.tensors["emb:domain"] = torch.nn.functional.one_hot(DOMAINS, 10).float()
    model.train()(x)
    assert model.seen.nonzero().flatten().tolist() == [0, 3, 7, 9]
    model.eval()
    with torch.no_grad():
        told = model(x)["click"]
        x.tensors["emb:domain"] = torch.nn.functional.one_hot(torch.tensor([3, 0, 9, 5, 5]), 10).float()
        other = model(x)["click"]
        x.tensors["emb:domain"] = torch.zeros(5, 10)
        none = model(x)["click"]
    torch.testing.assert_close(other, torch.cat([told[:3], none[3:]]))
    assert (told[3:] - none[3:]).abs().min() > 1e-4


def test_a_domain_comes_as_a_one_hot_vector_that_training_leaves_alone(case):
    made = case("star", groups={"deep": ["user", "cate"], "domain": ["cate"]})
    table = next(t for t in made.plan.tables if t.name == "cate:one_hot")
    assert (table.rows, table.dim, table.trainable) == (10, 10, False)
    assert made.plan.layouts["domain"].width == 10
    collection = EmbeddingCollection(made.plan, SGD())
    assert torch.equal(torch.from_numpy(collection.weights["cate:one_hot"]), torch.eye(10))
    assert collection.weights["cate"].shape == (10, 4)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"deep": ["user"]}, "needs a group 'domain'\ngiven: deep; add e.g. domain: [scene]"),
        (
            {"deep": ["user"], "domain": ["cate", "user"]},
            "needs one feature of ids in 'domain', but it has: cate, user",
        ),
        (
            {"deep": ["user"], "domain": ["price"]},
            "it has: price\njoin several ids with a combo feature, give a number",
        ),
        ({"deep": ["user"], "domain": {"sequences": [{"sequence": "buys"}]}}, "it has: buys"),
        ({"deep": ["user"], "domain": ["large"]}, "at most 128 ids of 'domain' apart, but 'large' has 1,000"),
    ],
    ids=["none", "two", "number", "sequence", "many"],
)
def test_a_domain_that_cannot_be_told_is_refused_with_the_remedy(generator, groups, message):
    outputs = dict(generator.outputs)
    outputs["large"] = outputs["user"].__class__(**{**vars(outputs["user"]), "name": "large", "num_embeddings": 1000})
    with pytest.raises(ConfigError) as error:
        plan_embeddings(outputs, Config(groups=groups, embedding_dim=4))
    assert message in error.value.problems[0].message
