"""The codes of items are read and written as the paper says, and searched without a fault."""

import itertools
import math

import numpy as np
import pytest
import torch

from easyrec.batch import Batch, Embedded, Matches
from easyrec.config import TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.embedding.plan import plan_embeddings
from easyrec.errors import ConfigError
from easyrec.models import build
from easyrec.retrieval.trie import Trie
from feature_generator.config import member

TASKS = [TaskConfig(name="click", label="click")]
NONE = Batch(0, torch.zeros(0, 0), {}, {})
KEYS = {
    "width": 8,
    "layers": 2,
    "decoder_layers": 2,
    "heads": 2,
    "head_dim": 4,
    "feedforward": 16,
    "history": 3,
    "semantic_ids": {"levels": 3, "codes": 5},
}


def made(case, **keys):
    torch.manual_seed(1)
    found = case("tiger", **{**KEYS, **keys})
    return found, build(found.config, found.plan, TASKS).eval()


def alone(x, row):
    """The inputs of one row."""
    start, end = x.tensors["offsets:user/clicks"][row : row + 2].tolist()
    part = {key: t[row : row + 1] for key, t in x.tensors.items() if key.partition(":")[0] in ("emb", "dense")}
    part["seq:user/clicks"] = x.tensors["seq:user/clicks"][start:end]
    part["rows:user/clicks"] = torch.zeros(end - start, dtype=torch.int64)
    part["offsets:user/clicks"] = torch.tensor([0, end - start])
    return Embedded(part, x.layouts)


def slowly(model, x, row, codes):
    """Log p of an item of one user, token after token."""
    one = alone(x, row)
    steps = one.tensors["seq:user/clicks"][-3:]
    item, cate, hour = (span.columns for span in model.sequence.children)
    of_item = steps[:, item].long()
    beside = torch.cat([steps[:, cate], steps[:, hour]], 1) @ model.beside.weight.T
    known = torch.cat([one.tensors["emb:user"], one.tensors["dense:user"]], 1) @ model.known.weight.T
    tokens = [model.starts[0] + known[0]]
    for number, own in enumerate(of_item):
        for level, code in enumerate(own.tolist()):
            tokens.append(model.tokens[level * 6 + code] + model.ages[len(steps) - 1 - number] + beside[number])
    encoded = model.encoder(torch.stack(tokens), torch.tensor([0, len(tokens)]))
    told = 0.0
    for level in range(3):
        written = [model.starts[1], *(model.tokens[before * 6 + codes[before]] for before in range(level))]
        seen = type(x.sequence("clicks", "user"))(
            encoded, torch.zeros(len(tokens), dtype=torch.int64), torch.tensor([0, len(tokens)])
        )
        hidden, _ = model.decoder(torch.stack(written).unsqueeze(0), model.decoder.memory(seen))
        told += torch.log_softmax(hidden[0, -1] @ model.outputs[level], 0)[codes[level]].item()
    return told


def test_a_row_is_scored_as_the_formula_says(case):
    found, model = made(case)
    x = found.inputs(5)
    with torch.no_grad():
        logits = model(x)["logit"]
        for row in range(5):
            codes = x.tensors["emb:item"][row].long().tolist()
            assert logits[row].item() == pytest.approx(slowly(model, x, row, codes), abs=1e-4)


def test_probabilities_of_all_codes_add_up_to_one(case):
    found, model = made(case)
    every = torch.tensor(list(itertools.product(range(5), repeat=3))).float()
    one = found.inputs(1)
    tensors = {key: t.detach().expand(len(every), -1) for key, t in one.tensors.items() if key[:3] in ("emb", "den")}
    steps = int(one.tensors["offsets:user/clicks"][1])
    tensors["seq:user/clicks"] = one.tensors["seq:user/clicks"].detach().repeat(len(every), 1)
    tensors["rows:user/clicks"] = torch.repeat_interleave(torch.arange(len(every)), steps)
    tensors["offsets:user/clicks"] = torch.arange(len(every) + 1) * steps
    tensors["emb:item"] = every
    with torch.no_grad():
        assert model(Embedded(tensors, one.layouts))["logit"].exp().sum().item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("beam", [1, 7, 60])
def test_what_is_found_is_ordered_by_exact_log_probability(case, beam, monkeypatch):
    """The search keeps what the decoder knows of codes before; scoring does not. 60 beams hold all 50 items."""
    found, model = made(case, beam=beam)
    monkeypatch.setattr("easyrec.models._writing.BEAMS", 120)  # two users at once
    every = np.array(list(itertools.product(range(5), repeat=3)))
    codes = every[np.random.default_rng(3).permutation(125)[:50]]
    x = found.inputs(5)
    exact = torch.full((5, 50), -math.inf)
    with torch.no_grad():
        for item, own in enumerate(codes):
            tensors = {**x.tensors, "emb:item": torch.from_numpy(own).float().expand(5, -1)}
            exact[:, item] = model(Embedded(tensors, x.layouts))["logit"]
    items, scores = model.find(x, Trie(codes), 3)
    assert items.shape == (5, 3)
    torch.testing.assert_close(scores, exact.gather(1, items), rtol=1e-4, atol=1e-4)
    if beam >= 50:
        every_item, _ = model.find(x, Trie(codes), 70)
        assert every_item[:, :50].tolist() == exact.argsort(1, descending=True).tolist()
        assert (every_item[:, 50:] == -1).all()
        barred = torch.tensor([0, 0, 4]), torch.stack([items[0, 0], items[0, 2], items[4, 0]])
        left, _ = model.find(x, Trie(codes), 70, barred)
        assert [int((row >= 0).sum()) for row in left] == [48, 50, 50, 50, 49]
        assert not {items[0, 0].item(), items[0, 2].item()} & set(left[0].tolist())


def learned(model, x):
    """With every step but a row's first."""
    offsets, rows = x.tensors["offsets:user/clicks"], x.tensors["rows:user/clicks"]
    steps = torch.nonzero(torch.arange(len(rows)) > offsets[:-1][rows]).squeeze(1)
    none = torch.zeros(0, dtype=torch.int64)
    return model(Embedded(dict(x.tensors), x.layouts, Matches(NONE, none, none, rows[steps], steps=steps)))


def test_every_step_but_the_first_is_learned_from_those_before(case):
    found, model = made(case)
    x = found.inputs(3, lengths=[4, 1, 2])
    with torch.no_grad():
        told = learned(model, x)
        assert told["logit"].shape == (4,)
        for example, (row, step) in enumerate([(0, 1), (0, 2), (0, 3), (2, 1)]):
            start = int(x.tensors["offsets:user/clicks"][row])
            cut = alone(x, row)
            own = cut.tensors["seq:user/clicks"][step]
            cut.tensors["seq:user/clicks"] = x.tensors["seq:user/clicks"][start : start + step]
            cut.tensors["rows:user/clicks"] = torch.zeros(step, dtype=torch.int64)
            cut.tensors["offsets:user/clicks"] = torch.tensor([0, step])
            cut.tensors["emb:item"] = own[model.coded.columns].unsqueeze(0)
            assert told["logit"][example].item() == pytest.approx(model(cut)["logit"].item(), abs=1e-5)


def test_the_future_does_not_change_what_is_learned_before_it(case):
    found, model = made(case)
    x = found.inputs(2, lengths=[6, 6])
    before = learned(model, x)["logit"]
    steps = x.tensors["seq:user/clicks"].detach().clone()
    steps[3:6] = steps[[5, 3, 4]]  # the newest three of row 0
    steps[3:6, model.coded.columns] = (steps[3:6, model.coded.columns] + 1) % 5
    x.tensors["seq:user/clicks"] = steps
    after = learned(model, x)["logit"]
    torch.testing.assert_close(after[:2], before[:2])
    torch.testing.assert_close(after[5:], before[5:])
    assert not torch.isclose(after[2:5], before[2:5]).any()


def test_no_more_steps_are_learned_than_are_asked_for(case):
    assert made(case)[1].config.learned_steps() == LearnedSteps()
    assert made(case, prefixes=2)[1].config.learned_steps() == LearnedSteps(most=2)


def test_an_item_without_codes_is_read_as_unknown_and_never_written(case):
    found, model = made(case)
    x = found.inputs(2, lengths=[2, 2])
    x.tensors["emb:item"][0] = -1.0
    steps = x.tensors["seq:user/clicks"].detach().clone()
    steps[3, model.coded.columns] = -1.0
    x.tensors["seq:user/clicks"] = steps
    with torch.no_grad():
        logits = model(x)["logit"]
        assert logits[0] < -9999
        model.tokens.data[5] += 1.0  # the unknown one of the first level
        assert model(x)["logit"][1] != logits[1]


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (
            {"user": {"sequences": [{"sequence": "clicks"}]}, "item": ["item", "cate"]},
            "give 'item' the feature of its id alone",
        ),
        (
            {"user": {"sequences": [{"sequence": "clicks"}]}, "item": ["price"]},
            "give 'item' the feature of its id alone",
        ),
        (
            {"user": {"sequences": [{"sequence": "clicks"}]}, "item": ["scene"]},
            "one child of 'clicks' shares the embedding_name",
        ),
    ],
    ids=["two-features", "no-ids", "no-items"],
)
def test_groups_that_hold_no_items_are_refused(generator, groups, text):
    config = member("easyrec.models", "tiger").Config(embedding_dim=4, groups=groups)
    with pytest.raises(ConfigError, match=text):
        plan_embeddings(generator.outputs, config)


@pytest.mark.parametrize(
    ("sequences", "text"),
    [
        (
            [{"sequence": "clicks", "encoder": {"type": "din"}}],
            "'tiger' encodes the sequence itself: leave 'encoder' out",
        ),
        ([{"sequence": "clicks"}, {"sequence": "buys"}], "reads one sequence"),
    ],
)
def test_other_sequences_are_refused(case, sequences, text):
    config = member("easyrec.models", "tiger").Config(groups={"user": {"sequences": sequences}, "item": ["item"]})
    assert [text in problem.message for problem in config.misfits({}, TASKS)] == [True]


def test_codes_are_a_table_that_training_leaves_alone(case):
    found, _ = made(case)
    (table,) = (t for t in found.plan.tables if t.name == "item:codes")
    assert (table.rows, table.dim, table.trainable) == (30, 3, False)
    assert {"clicks__item", "item"} <= set(table.features)
