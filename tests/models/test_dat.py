import pytest
import torch

from easyrec.batch import Batch, Embedded, Matches
from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models.dat import alignment

TASKS = [TaskConfig(name="click", label="click")]
GROUPS = {
    "user": ["user", "scene"],
    "item": ["item", "cate", "price"],
    "user_augmented": ["user"],
    "item_augmented": ["item"],
}


def made(case, tasks=TASKS, groups=GROUPS, **keys):
    torch.manual_seed(1)
    found = case("dat", hidden=[6], groups=groups, **{"output_dim": 3, **keys})
    return found, build(found.config, found.plan, tasks)


def vectors(model, x):
    """u, v, a_u and a_v, step by step."""
    found = []
    for side, tower in (("user", model.user_tower), ("item", model.item_tower)):
        augmented = x.tensors[f"emb:{side}_augmented"] @ model.augmented[side].weight.T
        parts = [x.tensors[f"emb:{side}"], *([x.tensors["dense:item"]] if side == "item" else []), augmented]
        (layer, _), out = tower
        v = (torch.cat(parts, 1) @ layer.weight.T + layer.bias).relu() @ out.weight.T + out.bias
        found += [v / v.norm(dim=1, keepdim=True), augmented]
    return found[0], found[2], found[1], found[3]


def test_the_logit_is_that_of_towers_that_read_the_augmented_vectors(case):
    found, model = made(case, temperature=0.5)
    x = found.inputs(5)
    u, v, _, _ = vectors(model, x)
    assert list(model.eval()(x)) == ["logit"]
    torch.testing.assert_close(model(x)["logit"], (u * v).sum(1) / 0.5 + model.head.bias)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 0.0, 1.0]], ids=["alike", "weighted"])
def test_augmented_vectors_mimic_the_other_side_of_what_was_taken(case, weights):
    found, model = made(case, mimic_user=0.7, mimic_item=0.2)
    x, labels = found.inputs(5), {"click": torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])}
    given = None if weights is None else torch.tensor(weights)
    losses = model.auxiliary(model.train()(x), labels, given)
    u, v, a_u, a_v = vectors(model, x)
    shares = [
        (w if weights else 1.0) * label for w, label in zip(weights or [1.0] * 5, labels["click"].tolist(), strict=True)
    ]
    expected = {"mimic_user": (0.7, a_u, v), "mimic_item": (0.2, a_v, u)}
    assert list(losses) == list(expected)
    for name, (weight, augmented, other) in expected.items():
        costs = [s * ((a - o) ** 2).sum().item() for s, a, o in zip(shares, augmented, other, strict=True)]
        assert losses[name].item() == pytest.approx(weight * sum(costs) / sum(shares), rel=1e-5)


def test_nothing_but_the_augmented_vector_learns_to_mimic(case):
    found, model = made(case)
    x = found.inputs(5)
    model.auxiliary(model.train()(x), {"click": torch.ones(5)}, None)["mimic_user"].backward()
    assert x.tensors["emb:user_augmented"].grad.abs().sum() > 0
    moved = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert moved == ["augmented.user.weight"]


def test_positions_mimic_their_own_items_among_the_candidates(case):
    found, model = made(case)
    users, items = found.inputs(4), found.inputs(6, seed=1)
    tensors = {k: t for k, t in users.tensors.items() if ":user" in k} | {
        k: t for k, t in items.tensors.items() if ":item" in k
    }
    targets = torch.tensor([2, 0, 2, 5])
    matches = Matches(Batch(0, torch.zeros(0, 0), {}, {}), torch.arange(6), targets, torch.arange(4))
    losses = model.auxiliary(model.train()(Embedded(tensors, users.layouts, matches)), {}, None)
    u, _, a_u, _ = vectors(model, users)
    _, v, _, a_v = vectors(model, items)
    mean_u = sum(((a_u[p] - v[t]) ** 2).sum().item() for p, t in enumerate(targets.tolist())) / 4
    mean_v = sum(((a_v[t] - u[p]) ** 2).sum().item() for p, t in enumerate(targets.tolist())) / 4
    assert losses["mimic_user"].item() == pytest.approx(0.5 * mean_u, rel=1e-5)
    assert losses["mimic_item"].item() == pytest.approx(0.5 * mean_v, rel=1e-5)


def test_augmented_vectors_as_wide_as_the_output_are_taken_as_they_are(case):
    _, model = made(case, output_dim=4)
    assert not list(model.augmented.parameters())


def test_categories_are_drawn_to_the_covariance_of_the_greatest():
    """A category with one item has none."""
    torch.manual_seed(2)
    items, codes = torch.randn(10, 3), [1, 0, 1, 1, 0, 2, 1, 2, 2, 3]
    rows = {c: items[[i for i, code in enumerate(codes) if code == c]] for c in (0, 1, 2)}
    covariances = {c: torch.cov(part.T, correction=0) for c, part in rows.items()}
    expected = sum(((covariances[1] - covariances[c]) ** 2).sum() for c in (0, 2))
    torch.testing.assert_close(alignment(items, torch.tensor(codes)), expected)


@pytest.mark.parametrize("codes", [[], [0, 1, 2]], ids=["no-items", "each-its-own"])
def test_nothing_is_aligned_where_no_category_has_two_items(codes):
    assert alignment(torch.randn(len(codes), 3), torch.tensor(codes, dtype=torch.int64)).item() == 0.0


def test_categories_are_told_apart_by_their_embeddings_in_training_alone(case):
    found, model = made(case, category="cate", alignment=2.0)
    x = found.inputs(5)
    fields = x.tensors["emb:item"].detach().clone()
    fields[:, 4:8] = fields[[0, 1, 0, 1, 0], 4:8]  # of the category
    x = Embedded({**x.tensors, "emb:item": fields}, x.layouts)
    losses = model.auxiliary(model.train()(x), {"click": torch.ones(5)}, None)
    _, v, _, _ = vectors(model, x)
    expected = 2.0 * alignment(v, torch.tensor([0, 1, 0, 1, 0])).item()
    assert losses["alignment"].item() == pytest.approx(expected, rel=1e-5)
    assert list(model.eval()(x)) == ["logit"]


@pytest.mark.parametrize(
    ("category", "item", "told"),
    [
        (
            "catee",
            GROUPS["item"],
            "'catee' is no feature with an embedding in 'item'; did you mean 'cate'?\nknown: item, cate",
        ),
        ("price", GROUPS["item"], "'price' is no feature with an embedding in 'item'"),
        ("cate", {"features": ["item", "cate"], "feature_wise": [{"type": "senet"}]}, "which 'feature_wise' changes"),
    ],
    ids=["unknown", "a-number", "weighed"],
)
def test_a_category_that_cannot_be_told_is_refused(case, category, item, told):
    found = case("dat", groups={**GROUPS, "item": item}, category=category)
    (problem,) = found.config.misfits(found.layouts, TASKS)
    assert told in problem.message
    assert problem.where == "model.category"


def test_a_weight_of_an_alignment_of_nothing_is_refused(case):
    with pytest.raises(ValueError, match="'alignment' weighs the loss over categories: name the feature"):
        made(case, alignment=0.1)


def test_the_groups_of_the_augmented_vectors_are_needed(case):
    with pytest.raises(ConfigError, match="type 'dat' needs a group 'item_augmented'"):
        made(case, groups={k: v for k, v in GROUPS.items() if k != "item_augmented"})
