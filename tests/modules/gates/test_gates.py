"""Gates on the inputs of a model: what all types promise, then each against its formula."""

import math

import numpy as np
import pytest
import torch

from easyrec.layout import GroupLayout, SequenceLayout, Span
from easyrec.modules.gates import build
from feature_generator.config import member, members

TYPES = members("easyrec.modules.gates")
LAYOUTS = {
    "deep": GroupLayout(
        "deep",
        fields=(Span("item", 4, 0), Span("user", 2, 4)),
        dense=(Span("price", 1, 0),),
        sequences=(SequenceLayout("clicks", (Span("clicks__item", 4, 0), Span("clicks__cate", 2, 4)), ("item", None)),),
        first_order=True,
    ),
    "wide": GroupLayout("wide", fields=(Span("user", 2, 0), Span("code", 3, 2, coded=True))),
}
FEATURES = ["item", "user", "price", "clicks__item", "clicks__cate"]


def made(name, **keys):
    return build(member("easyrec.modules.gates", name).Config(**keys), LAYOUTS)


def inputs(rows):
    torch.manual_seed(1)
    lengths = torch.arange(rows) % 3
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return {
        "emb:deep": torch.randn(rows, 6),
        "first:deep": torch.randn(rows, 2),
        "dense:deep": torch.randn(rows, 1),
        "seq:deep/clicks": torch.randn(int(offsets[-1]), 6),
        "rows:deep/clicks": torch.repeat_interleave(torch.arange(rows), lengths),
        "offsets:deep/clicks": offsets,
        "emb:wide": torch.randn(rows, 5),
    }


def ratios(gates, rows=6):
    """Output by input of every number, by key; the steps' indices stay as they are."""
    given = inputs(rows)
    found = gates(given)
    assert all(torch.equal(found[key], given[key]) for key in ("rows:deep/clicks", "offsets:deep/clicks"))
    return {
        key: (found[key] / given[key]).detach() for key in given if key.startswith(("emb", "first", "dense", "seq"))
    }


@pytest.mark.parametrize("per", ["feature", "dim"])
@pytest.mark.parametrize("name", TYPES)
def test_all_that_a_model_reads_of_a_feature_has_the_gate_of_the_feature(name, per):
    gates = made(name, per=per, rate=1.0).eval()
    assert list(gates.importance()) == FEATURES
    with torch.no_grad():
        gates.weight.copy_(torch.linspace(-1.5, 1.5, gates.width))
    found = ratios(gates)
    rows = [value for value in found.values() if len(value)]
    assert all(torch.allclose(value, value[:1].expand_as(value), atol=1e-5) for value in rows)  # no row has its own
    numbers = dict(zip(FEATURES, torch.split(gates.values(None), list(gates.widths.values())), strict=True))

    def wide(feature, dim):
        return numbers[feature] if per == "dim" else numbers[feature].expand(dim)

    item, user, steps = wide("item", 4), wide("user", 2), [wide("clicks__item", 4), wide("clicks__cate", 2)]
    for key, expected in {
        "emb:deep": torch.cat([item, user]),
        "first:deep": torch.stack([item.mean(), user.mean()]),
        "dense:deep": wide("price", 1),
        "seq:deep/clicks": torch.cat(steps),
        "emb:wide": torch.cat([user, torch.ones(3)]),  # codes are no embeddings
    }.items():
        torch.testing.assert_close(found[key][0], expected.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_any_number_of_rows_is_gated(name, rows):
    gates = made(name)
    for training in (True, False):
        found = gates.train(training)(inputs(rows))
        assert {key: value.shape for key, value in found.items()} == {k: v.shape for k, v in inputs(rows).items()}


@pytest.mark.parametrize("per", ["feature", "dim"])
@pytest.mark.parametrize("name", TYPES)
def test_every_gate_learns_and_pays(name, per):
    gates = made(name, per=per, penalty=0.1).train()
    torch.manual_seed(0)
    sum(value.square().sum() for key, value in gates(inputs(50)).items() if value.dtype == torch.float32).backward()
    assert (gates.weight.grad != 0).all()
    gates.weight.grad = None
    gates.penalty().backward()
    assert (gates.weight.grad > 0).all()


@pytest.mark.parametrize("name", TYPES)
def test_features_of_a_group_share_a_gate(name):
    gates = made(name, per="feature", groups={"who": ["user", "item"]})
    assert list(gates.importance()) == ["who", *FEATURES[2:]]
    first = ratios(gates.train(), rows=8)["first:deep"]
    assert torch.allclose(first[:, 0], first[:, 1], atol=1e-5)


@pytest.mark.parametrize("name", ["hard_concrete", "variational_dropout"])
def test_steps_have_the_gate_of_their_row(name):
    gates = made(name, per="feature", groups={"all": FEATURES}).train()
    found, rows = ratios(gates, rows=9), inputs(9)["rows:deep/clicks"]
    torch.testing.assert_close(found["seq:deep/clicks"][:, 0], found["emb:deep"][rows, 0], atol=1e-4, rtol=1e-3)
    assert found["emb:deep"][:, 0].std() > 0.05


def test_a_rate_moves_gates_so_many_times_as_far():
    slow, fast = made("group_lasso", rate=1.0), made("group_lasso", rate=5.0)
    for gates in (slow, fast):
        with torch.no_grad():
            gates.weight.fill_(0.1)
    assert slow.raw[0].item() == pytest.approx(1.1)
    assert fast.raw[0].item() == pytest.approx(1.5)


def test_hard_concrete_is_open_as_often_as_it_says():
    gates = made("hard_concrete", rate=1.0).train()
    with torch.no_grad():
        gates.weight.copy_(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]))
    torch.manual_seed(0)
    drawn = gates.values(200_000)
    chances = gates.importance().values()
    np.testing.assert_allclose((drawn > 0).float().mean(0), list(chances), atol=0.01)
    assert drawn.min() == 0
    assert drawn.max() == 1
    assert gates.penalty().item() == pytest.approx(1e-5 * sum(chances), rel=1e-4)


def test_variational_dropout_keeps_a_feature_as_often_as_it_says():
    gates = made("variational_dropout", rate=1.0).train()
    with torch.no_grad():
        gates.weight.copy_(torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))
    torch.manual_seed(0)
    chances = [1 / (1 + math.exp(-a)) for a in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose((gates.values(200_000) > 0.5).float().mean(0), chances, atol=0.01)
    np.testing.assert_allclose(gates.eval().values(None).detach(), chances, atol=1e-6)
    assert list(gates.importance().values()) == pytest.approx(chances, abs=1e-6)


def test_group_lasso_charges_the_norm_of_a_feature():
    gates = made("group_lasso", penalty=0.5, rate=1.0)
    with torch.no_grad():
        gates.weight.copy_(torch.randn(gates.width))
    parts = np.split(gates.raw.detach().numpy(), np.cumsum(list(gates.widths.values()))[:-1])
    norms = [np.linalg.norm(part) / math.sqrt(len(part)) for part in parts]
    assert gates.penalty().item() == pytest.approx(0.5 * sum(norms), rel=1e-4)
    assert list(gates.importance().values()) == pytest.approx(norms, rel=1e-4)
