"""Models that compare vectors: what a batch's positions are compared with, and that a user is known without an item."""

import math

import pytest
import torch

from easyrec.batch import Batch, Embedded, Matches
from easyrec.config import TaskConfig
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.models._sequential import SequentialConfig
from feature_generator.config import member, members

TASKS = [TaskConfig(name="click", label="click")]
CONFIGS = {n: member("easyrec.models", n).Config for n in members("easyrec.models")}
MATCHING = [n for n, config in CONFIGS.items() if config.item_groups and not config.searches]
SEQUENTIAL = [n for n in MATCHING if issubclass(CONFIGS[n], SequentialConfig)]
HIDING = [n for n in SEQUENTIAL if CONFIGS[n].model_construct().learned_steps().share]
NONE = Batch(0, torch.zeros(0, 0), {}, {})


def made(case, name, **keys):
    torch.manual_seed(1)
    found = case(name, **keys)
    return found, build(found.config, found.plan, TASKS)


def at(x, places=None):
    """The same input, learned at some steps of its sequence, by default at those after the first of each row."""
    offsets = x.tensors["offsets:user/clicks"]
    if places is None:
        places = [p for p in range(int(offsets[-1])) if p not in offsets.tolist()]
    places = torch.tensor(places)
    rows = torch.searchsorted(offsets, places, right=True) - 1
    matches = Matches(NONE, torch.zeros(0), torch.zeros_like(rows), rows, steps=places)
    return Embedded(x.tensors, x.layouts, matches)


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
    users = at(users) if name in SEQUENTIAL else users
    positions = model.scaled(model.positions(model.prepared(users))).detach()
    vectors = model.scaled(model.item(model.prepared(items))).detach()
    count = positions.shape[0]
    numbers = torch.tensor([4, 9, 2, 4, 6, 9, 1] if first else [4, 9, 2, 3, 6, 8, 1])  # the items of candidates
    targets = torch.arange(count) % (first or 7)
    log_q = torch.linspace(-2, 1, 7) if corrected else None
    rows, steps = torch.zeros(count, dtype=torch.int64), None
    if name in SEQUENTIAL:
        rows, steps = users.matches.rows, users.matches.steps
    matches = Matches(NONE, numbers, targets, rows, first, log_q, steps=steps)
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


def changed(x, **moved):
    """The same input with some steps in the places of others, and the other way round."""
    steps = x.tensors["seq:user/clicks"].detach().clone()
    for place, source in moved.items():
        steps[int(place[1:])] = -x.tensors["seq:user/clicks"][source].detach()
    return Embedded({**x.tensors, "seq:user/clicks": steps}, x.layouts, x.matches)


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", [n for n in SEQUENTIAL if n not in HIDING])
def test_the_future_does_not_change_what_is_known_of_a_step(case, name):
    found, model = made(case, name)
    model.eval()
    x = at(found.inputs(3, lengths=[6, 6, 0]))
    before = model.positions(model.prepared(x))  # 5 of row 0, then 5 of row 1
    assert before.shape[0] == 10
    after = model.positions(model.prepared(changed(x, _3=5, _4=3, _5=4)))  # the newest three of row 0
    torch.testing.assert_close(after[:3], before[:3])
    torch.testing.assert_close(after[5:], before[5:])
    assert not torch.allclose(after[3], before[3])
    assert not torch.allclose(after[4], before[4])


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", HIDING)
def test_a_hidden_step_is_not_seen_by_any_that_is_told(case, name):
    found, model = made(case, name)
    model.eval()
    x = at(found.inputs(3, lengths=[6, 6, 0]), [1, 4, 8])
    before = model.positions(model.prepared(x))
    after = model.positions(model.prepared(changed(x, _1=4, _4=1, _8=10)))
    torch.testing.assert_close(after, before)
    after = model.positions(model.prepared(changed(x, _5=2)))  # newer than both of row 0
    assert not torch.isclose(after[:2], before[:2]).all(1).any()
    torch.testing.assert_close(after[2], before[2])


@pytest.mark.family("easyrec.models")
@pytest.mark.parametrize("name", SEQUENTIAL)
def test_what_is_known_of_the_step_after_the_newest_is_the_user(case, name):
    """As far as the newest step is learned as it is asked for."""
    found, model = made(case, name)
    model.eval()
    whole = found.inputs(2, lengths=[6, 5])
    known = model.positions(model.prepared(at(whole, [5, 10])))
    kept = torch.tensor([0, 1, 2, 3, 4, 6, 7, 8, 9])
    short = {**whole.tensors, "seq:user/clicks": whole.tensors["seq:user/clicks"][kept]}
    short |= {"rows:user/clicks": torch.tensor([0] * 5 + [1] * 4), "offsets:user/clicks": torch.tensor([0, 5, 9])}
    torch.testing.assert_close(known, model.user(model.prepared(Embedded(short, whole.layouts))))


def test_some_of_the_steps_are_no_sequence_to_learn(case):
    with pytest.raises(ConfigError, match="learns the steps of 'clicks', so that all of them are looked up"):
        made(case, "sasrec", sequences=[{"sequence": "clicks", "newest": 3}])


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


def test_views_of_one_user_are_told_from_those_of_others(case):
    """By a loop over views; users without steps have none, and rows weigh as they say."""
    found, model = made(case, "cl4srec", contrast=0.3, contrast_temperature=0.5)
    model.train()
    outputs = model(found.inputs(4, lengths=[5, 0, 6, 3]))
    views = outputs["views"].detach()
    assert not views[:, 1].any()
    flat = [(user, views[side, user]) for side in range(2) for user in (0, 2, 3)]
    weights, total = torch.tensor([1.0, 7.0, 0.0, 2.0]), 0.0
    for number, (user, a) in enumerate(flat):
        scores = {other: float(a @ b) / 0.5 for other, (_, b) in enumerate(flat) if other != number}
        (partner,) = (other for other in scores if flat[other][0] == user)
        total += float(weights[user]) * (math.log(sum(map(math.exp, scores.values()))) - scores[partner])
    loss = model.auxiliary(outputs, {}, weights)["contrast"]
    assert loss.item() == pytest.approx(0.3 * total / 6, rel=1e-4)
    model.eval()
    assert set(model(found.inputs(4))) == {"logit"}


def test_views_without_users_cost_nothing(case):
    found, model = made(case, "cl4srec")
    model.train()
    loss = model.auxiliary(model(found.inputs(2, lengths=[0, 0])), {}, None)["contrast"]
    assert loss.item() == 0.0
