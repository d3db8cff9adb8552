"""Nodes are scored as the paper says, learned level by level, and searched as a slow search over the tree does."""

import numpy as np
import pytest
import torch

from easyrec.batch import Batch, Embedded, Matches
from easyrec.config import TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.models import build
from easyrec.retrieval.tree import TreeShape
from easyrec.retrieval.trie import Trie
from feature_generator.config import member

TASKS = [TaskConfig(name="click", label="click")]
NONE = Batch(0, torch.zeros(0, 0), {}, {})
SHAPE = TreeShape(20, 3)  # levels of 3, 9 and 20 nodes
KEYS = {
    "node_dim": 4,
    "hidden": [6, 5],
    "history": 3,
    "attention": {"hidden": [7], "activation": "prelu", "positions": 2},
    "tree": {"branching": 3, "items": 20},
}


def made(case, **keys):
    torch.manual_seed(1)
    found = case("tdm", **{**KEYS, **keys})
    model = build(found.config, found.plan, TASKS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape))
    return found, model


def inputs(found, rows, lengths=None):
    """Inputs whose items are leaves of the tree."""
    x = found.inputs(rows, lengths=lengths)
    random = np.random.default_rng(rows)
    x.tensors["emb:item"] = paths(random.integers(0, 20, rows))
    steps = x.tensors["seq:user/clicks"].detach().clone()
    steps[:, :3] = paths(random.integers(0, 20, len(steps)))
    x.tensors["seq:user/clicks"] = steps.requires_grad_()
    return x


def paths(leaves):
    return torch.from_numpy(SHAPE.paths(np.asarray(leaves))).float()


def slowly(model, x, row, level, number, newest=3, upto=None):
    """The logit of a node for one user, step by step."""
    with torch.no_grad():
        start, end = x.tensors["offsets:user/clicks"][row : row + 2].tolist()
        end = end if upto is None else upto
        steps = x.tensors["seq:user/clicks"][start:end][-newest:]
        known = torch.cat([x.tensors["emb:user"][row], x.tensors["dense:user"][row]])
        table = model.nodes

        def of(own):
            own = int(own)
            return table[-1] if own < 0 else table[sum(SHAPE.sizes[:level]) + own]

        node, unit = of(number), model.attention
        interest = torch.zeros(4 + steps.shape[1] - 3)
        for place, step in enumerate(steps):
            key, beside = of(step[level]), step[3:]
            told = torch.cat([node, key, node - key, node * key, beside])
            age = min(len(steps) - 1 - place, 1)
            hidden = told @ unit.first.weight.T + unit.first.bias + unit.recency[age]
            slope = next(unit.rest.parameters())
            hidden = torch.where(hidden > 0, hidden, slope * hidden)
            weight = hidden @ unit.last.weight[0] + unit.last.bias[0]
            interest += weight * torch.cat([key, beside])
        hidden = torch.cat([node, interest, known])
        return (model.head.vector.weight[0] @ model.deep(hidden.unsqueeze(0))[0] + model.head.bias[0]).item()


def test_a_row_is_scored_as_the_formula_says(case):
    found, model = made(case)
    x = inputs(found, 5)
    logits = model(x)["logit"].tolist()
    expected = [slowly(model, x, row, 2, x.tensors["emb:item"][row, 2]) for row in range(5)]
    assert logits == pytest.approx(expected, abs=1e-4)
    assert len(set(np.round(expected, 3))) == 5


@pytest.mark.parametrize("level", [0, 1])
def test_a_node_above_items_is_scored_by_what_lies_above_those_of_the_history(case, level):
    """Its path ends with its own number; what is before that does not matter."""
    found, model = made(case)
    x = inputs(found, 5)
    own = torch.tensor([0, 2, 1, 0, 2]) * (level + 1)
    path = torch.full((5, 3), -1.0)
    path[:, :level] = 0.0
    path[:, level] = own
    x.tensors["emb:item"] = path
    expected = [slowly(model, x, row, level, own[row]) for row in range(5)]
    assert model(x)["logit"].tolist() == pytest.approx(expected, abs=1e-4)


def test_items_that_are_not_in_the_tree_are_unknown(case):
    found, model = made(case)
    x = inputs(found, 4)
    x.tensors["emb:item"][1] = -1.0
    steps = x.tensors["seq:user/clicks"].detach().clone()
    steps[-1, :3] = -1.0
    x.tensors["seq:user/clicks"] = steps
    logits = model(x)["logit"].tolist()
    assert logits[1] < -9000
    assert logits[3] == pytest.approx(slowly(model, x, 3, 2, x.tensors["emb:item"][3, 2]), abs=1e-4)


def learned(model, x, seed=3):
    """With every step but a row's first, each with two nodes of every level beside its own; what it is, and the nodes."""
    offsets, rows = x.tensors["offsets:user/clicks"], x.tensors["rows:user/clicks"]
    steps = torch.nonzero(torch.arange(len(rows)) > offsets[:-1][rows]).squeeze(1)
    own = x.tensors["seq:user/clicks"][steps, :3].long()
    random, columns = np.random.default_rng(seed), []
    for level, size in enumerate(SHAPE.sizes):
        mine = own[:, level].numpy()
        columns.append(mine)
        columns += [(mine + random.integers(1, size, len(mine))) % size for _ in range(2)]
        columns[-3:] = [column + SHAPE.starts[level] for column in columns[-3:]]
    nodes = torch.from_numpy(np.stack(columns, axis=1))
    none = torch.zeros(0, dtype=torch.int64)
    matches = Matches(NONE, none, none, rows[steps], steps=steps, nodes=nodes)
    return (
        model(Embedded(dict(x.tensors), x.layouts, matches))["logit"],
        nodes,
        list(zip(rows[steps].tolist(), steps.tolist(), strict=True)),
    )


def test_a_step_is_learned_by_the_nodes_above_its_item_and_others(case):
    found, model = made(case)
    x = inputs(found, 3, lengths=[5, 1, 2])
    told, nodes, positions = learned(model, x)
    assert [step for _, step in positions] == [1, 2, 3, 4, 7]
    for example, (row, step) in enumerate(positions):
        start = int(x.tensors["offsets:user/clicks"][row])
        own, expected = x.tensors["seq:user/clicks"][step, :3], 0.0
        for node in nodes[example].tolist():
            level = int(np.searchsorted(SHAPE.starts, node, side="right")) - 1
            number = node - SHAPE.starts[level]
            logit = slowly(model, x, row, level, number, upto=start + step - start)
            expected += np.log(1 / (1 + np.exp(-logit if number == int(own[level]) else logit)))
        assert told[example].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_future_does_not_change_what_is_learned_before_it(case):
    found, model = made(case)
    x = inputs(found, 2, lengths=[6, 6])
    before, _, positions = learned(model, x)
    steps = x.tensors["seq:user/clicks"].detach().clone()
    steps[4, 3:] += 1.0  # what else is known of a step
    x.tensors["seq:user/clicks"] = steps
    after, _, _ = learned(model, x)
    changed = {step for (row, step), same in zip(positions, torch.isclose(before, after), strict=True) if not same}
    assert changed == {5}


def test_no_more_steps_are_learned_than_are_asked_for(case):
    assert made(case)[1].config.learned_steps() == LearnedSteps()
    assert made(case, prefixes=2)[1].config.learned_steps() == LearnedSteps(most=2)


def slow_search(model, x, row, beam, k, barred=()):
    """Level by level in plain Python, over children by the arithmetic of an even tree."""
    kept = [0]
    for level in range(SHAPE.levels):
        bounds = SHAPE.bounds(level)
        above = SHAPE.bounds(level - 1) if level else np.array([0, 20])
        children = [n for n in range(SHAPE.sizes[level]) for p in kept if above[p] <= bounds[n] < above[p + 1]]
        scored = {n: slowly(model, x, row, level, n) for n in children}
        if level + 1 == SHAPE.levels:
            scored = {n: s for n, s in scored.items() if n not in barred}
        kept = sorted(scored, key=lambda n: -scored[n])[:beam]
    return kept[:k], [scored[n] for n in kept[:k]]


@pytest.mark.parametrize("beam", [1, 2, 5, 20])
def test_what_is_found_is_what_a_slow_search_finds(case, beam, monkeypatch):
    found, model = made(case, beam=beam)
    monkeypatch.setattr("easyrec.models.tdm.STEPS", 2 * 3 * 6 * beam)  # two users at once
    x = inputs(found, 5)
    names = np.random.default_rng(4).permutation(20)  # the leaf of item n
    trie = Trie(SHAPE.paths(names))
    leaf_of = np.append(names, -1)
    barred = torch.tensor([0, 0, 4]), torch.tensor([3, 5, 7])
    for bars in (None, barred):
        items, scores = model.find(x, trie, beam, bars)
        for row in range(5):
            left = {} if bars is None else {int(names[i]) for u, i in zip(*barred, strict=True) if int(u) == row}
            expected, values = slow_search(model, x, row, beam, beam, left)
            assert leaf_of[items[row].numpy()].tolist() == expected + [-1] * (beam - len(expected))
            assert scores[row][: len(values)].tolist() == pytest.approx(values, abs=1e-4)


def test_a_beam_as_wide_as_the_levels_finds_the_best_of_all_leaves(case):
    found, model = made(case, beam=20)
    x = inputs(found, 5)
    every = torch.empty(5, 20)
    for leaf in range(20):
        tensors = {**x.tensors, "emb:item": paths([leaf] * 5)}
        every[:, leaf] = model(Embedded(tensors, x.layouts))["logit"].detach()
    items, scores = model.find(x, Trie(SHAPE.paths(np.arange(20))), 25)
    assert items[:, :20].tolist() == every.argsort(dim=1, descending=True).tolist()
    assert (items[:, 20:] == -1).all()
    torch.testing.assert_close(scores[:, :20], every.sort(dim=1, descending=True).values, rtol=1e-4, atol=1e-4)


def test_nobody_is_found_nothing(case):
    found, model = made(case)
    items, scores = model.find(inputs(found, 0), Trie(SHAPE.paths(np.arange(20))), 4)
    assert (items.shape, scores.shape) == ((0, 4), (0, 4))


@pytest.mark.parametrize(
    ("sequences", "text"),
    [
        (
            [{"sequence": "clicks", "encoder": {"type": "din"}}],
            "'tdm' encodes the sequence itself: leave 'encoder' out",
        ),
        ([{"sequence": "clicks"}, {"sequence": "buys"}], "'tdm' reads one sequence"),
    ],
)
def test_other_sequences_are_refused(sequences, text):
    config = member("easyrec.models", "tdm").Config(groups={"user": {"sequences": sequences}, "item": ["item"]})
    assert [text in problem.message for problem in config.misfits({}, TASKS)] == [True]


def test_a_history_of_items_alone_and_users_without_features(case):
    groups = {"user": {"sequences": [{"sequence": "buys"}]}, "item": ["item"]}
    found, model = made(case, groups=groups)
    assert (model.beside_width, model.known_width) == (0, 0)
    x = found.inputs(3)
    assert model(x)["logit"].shape == (3,)
    assert model.find(x, Trie(SHAPE.paths(np.arange(20))), 4)[0].shape == (3, 4)
