"""Models that compare vectors: what a batch's positions are compared with, and that a user is known without an item."""

import math

import pytest
import torch

from easyrec.batch import Batch, Embedded, Matches
from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build
from feature_generator.config import member, members

TASKS = [TaskConfig(name="click", label="click")]
CONFIGS = {n: member("easyrec.models", n).Config for n in members("easyrec.models")}
MATCHING = [n for n, config in CONFIGS.items() if config.item_groups and not config.generative]
SEQUENTIAL = [n for n in MATCHING if CONFIGS[n].next_item]
NONE = Batch(0, torch.zeros(0, 0), {}, {})


def made(case, name, **keys):
    torch.manual_seed(1)
    found = case(name, **keys)
    return found, build(found.config, found.plan, TASKS)


def of_side(x, side):
    """The tensors of the groups of one side, which are called after it."""
    groups = {key: key.partition(":")[2].partition("/")[0] for key in x.tensors}
    return {key: tensor for key, tensor in x.tensors.items() if groups[key].partition("_")[0] == side}


def near(users, items):
    """(B,), the products row by row, of the nearest vector where a user has several."""
    if users.dim() == 2:
        return (users * items).sum(1)
    return torch.stack([max(u @ v for u in several) for several, v in zip(users, items, strict=True)])


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MATCHING)
def test_a_user_is_known_without_an_item_and_an_item_without_a_user(case, name):
    found, model = made(case, name)
    x = found.inputs(5)
    model.eval()
    user = model.user(model.prepared(Embedded(of_side(x, "user"), x.layouts)))
    item = model.item(model.prepared(Embedded(of_side(x, "item"), x.layouts)))
    logits = near(model.scaled(user), model.scaled(item)) / found.config.temperature
    torch.testing.assert_close(model(x)["logit"], logits + model.head.bias)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", MATCHING)
@pytest.mark.parametrize("first", [0, 3], ids=["own-inside", "own-apart"])
@pytest.mark.parametrize("corrected", [False, True])
def test_positions_are_compared_with_all_candidates_but_their_own_once_more(case, name, first, corrected):
    found, model = made(case, name, temperature=0.5)
    model.eval()
    users, items = found.inputs(5), found.inputs(7, seed=1)
    positions = model.scaled(model.positions(model.prepared(users))).detach()
    vectors = model.scaled(model.item(model.prepared(items))).detach()
    count = positions.shape[0]
    numbers = torch.tensor([4, 9, 2, 4, 6, 9, 1] if first else [4, 9, 2, 3, 6, 8, 1])  # the items of candidates
    targets = torch.arange(count) % (first or 7)
    log_q = torch.linspace(-2, 1, 7) if corrected else None
    matches = Matches(NONE, numbers, targets, torch.zeros(count, dtype=torch.int64), first, log_q)
    tensors = {**of_side(users, "user"), **of_side(items, "item")}
    logits = model(Embedded(tensors, users.layouts, matches))["logit"].detach()
    candidates = [*([None] if first else []), *range(first, 7)]
    assert logits.shape == (count, len(candidates))
    for p in range(count):
        own = int(targets[p])
        one = positions[p]
        if one.dim() == 2:  # of several vectors the one that is the nearest to the own item
            one = max(one, key=lambda vector, own=own: float(vector @ vectors[own]))
        for column, candidate in enumerate(candidates):
            c = own if candidate is None else candidate
            expected = float(one @ vectors[c]) / 0.5 - (float(log_q[c]) if corrected else 0.0)
            is_own = column == int(matches.columns[p])
            if not is_own and numbers[c] == numbers[own]:
                expected = -math.inf
            assert logits[p, column].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["dssm", "mind"])
@pytest.mark.parametrize("first", [0, 2], ids=["own-inside", "own-apart"])
def test_a_position_is_spared_some_and_has_others_alone(case, name, first):
    """Against the logits without either; those that it has alone are not corrected, and those spared get no gradient."""
    _, model = made(case, name)
    torch.manual_seed(2)
    several = (3,) if name == "mind" else ()
    positions, items = torch.randn(2, *several, 4), torch.randn(7, 4, requires_grad=True)
    numbers, targets = torch.tensor([4, 9, 2, 3, 6, 8, 1]), torch.tensor([0, 1])
    log_q = torch.linspace(-2, 1, 7)
    rows = torch.arange(2)
    plain = model.against(positions, items, Matches(NONE, numbers, targets, rows, first, log_q))
    spared, apart = torch.tensor([[0, 0, 1], [2, 1, 2]]), torch.tensor([[5, -1], [6, 5]])
    matches = Matches(NONE, numbers, targets, rows, first, log_q, 5, spared, apart)
    logits = model.against(positions, items, matches)
    begin = 1 if first else 0  # the own one before the shared ones
    width = begin + 5 - first
    expected = plain[:, :width].detach().clone()
    expected[[0, 0, 1], [begin + 2, begin + 1, begin + 2]] = -math.inf
    torch.testing.assert_close(logits[:, :width], expected)
    for (p, column), candidate in {(0, 0): 5, (1, 0): 6, (1, 1): 5}.items():
        alone = plain[p, candidate - first + begin] + log_q[candidate]
        torch.testing.assert_close(logits[p, width + column], alone)
    assert logits[0, width + 1] == -math.inf
    torch.nn.functional.cross_entropy(logits, matches.columns).backward()
    assert not items.grad[first + 2].any()  # spared both
    assert items.grad[[first + 1, 5, 6]].any(1).all()


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_the_future_does_not_change_what_is_known_after_a_step(case, name):
    found, model = made(case, name)
    model.eval()
    x = found.inputs(3, lengths=[6, 6, 0])
    before = model.positions(model.prepared(x))  # 5 of row 0, then 5 of row 1
    assert before.shape[0] == 10
    changed = dict(x.tensors)
    steps = changed["seq:user/clicks"].detach().clone()
    steps[3:6] = steps[[5, 3, 4]] + 1.0  # the newest three of row 0
    changed["seq:user/clicks"] = steps
    after = model.positions(model.prepared(Embedded(changed, x.layouts)))
    torch.testing.assert_close(after[:3], before[:3])
    torch.testing.assert_close(after[5:], before[5:])
    assert not torch.allclose(after[3:5], before[3:5])


def test_vectors_of_no_length_are_compared_too(case):
    _, model = made(case, "dssm")
    vectors = torch.zeros(2, 4, requires_grad=True)
    model.scaled(vectors).sum().backward()
    assert vectors.grad.isfinite().all()


def test_an_encoder_that_looks_at_the_item_is_refused(case):
    with pytest.raises(ConfigError, match="computes a user without an item: 'din' looks at both"):
        made(case, "dssm", sequences=[{"sequence": "clicks", "encoder": {"type": "din"}}])


def test_separate_embeddings_are_two_tables(case):
    one = case("dssm").plan
    two = case("dssm", separate_embeddings=True).plan
    assert len(two.tables) > len(one.tables)


def test_a_user_without_memory_is_known_by_content(case):
    """With nothing to forget the towers read both parts; what is forgotten is forgotten for whole rows."""
    found, model = made(case, "dropoutnet", forget_users=0.5, forget_items=0.0)
    x = found.inputs(64)
    model.train()
    memory = model.flat(x, "user_memory").detach()
    known = model._known(x, "user", 0.5).detach()[:, : memory.shape[1]]
    forgotten = (known == 0).all(1)
    assert 16 < int(forgotten.sum()) < 48
    torch.testing.assert_close(known[~forgotten], memory[~forgotten])
    model.eval()
    torch.testing.assert_close(model._known(x, "user", 0.5)[:, : memory.shape[1]], memory)
