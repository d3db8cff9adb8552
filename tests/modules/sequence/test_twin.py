import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easyrec.batch import Seq
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import _encoder, build
from easyrec.modules.sequence.twin import Config, top_steps

CHILDREN = (Span("s__hour", 2, 0), Span("s__item", 4, 2), Span("s__stay", 1, 6), Span("s__cate", 3, 7))
LAYOUT = SequenceLayout("s", CHILDREN, (None, "item", None, "cate"))
PAIRED = SequenceLayout("s", (Span("s__item", 4, 0), Span("s__cate", 3, 4)), ("item", "cate"))
LENGTHS = [9, 0, 5, 2]


def made(layout=LAYOUT, **keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), layout)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return encoder.eval()


def inputs(width, lengths=LENGTHS, seed=1):
    torch.manual_seed(seed)
    counts = torch.tensor(lengths)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = torch.repeat_interleave(torch.arange(len(lengths)), counts)
    return Seq(torch.randn(int(offsets[-1]), width), rows, offsets), torch.randn(len(lengths), 7)


def scores_of(encoder, layout, step, q):
    """The paper's scores of one step, head by head."""
    heads, dim = encoder.heads, encoder.query.weight.shape[0] // encoder.heads
    paired = [c for c, candidate in zip(layout.children, layout.query, strict=True) if candidate]
    alone = [c for c, candidate in zip(layout.children, layout.query, strict=True) if not candidate]
    k, result = torch.cat([step[c.columns] for c in paired]), []
    for head in range(heads):
        own = slice(head * dim, (head + 1) * dim)
        score = (encoder.query.weight[own] @ q) @ (encoder.key.weight[own] @ k) / dim**0.5
        for number, child in enumerate(alone):
            score = score + encoder.bias[head, number] * (encoder.pressed[number] @ step[child.columns])
        result.append(score)
    return torch.stack(result)


@torch.no_grad()
@pytest.mark.parametrize("layout", [LAYOUT, PAIRED], ids=["crosses", "paired"])
@pytest.mark.parametrize(("heads", "top"), [(1, 3), (3, 3), (2, 100)])
def test_attends_to_the_steps_of_its_own_largest_scores(layout, heads, top):
    encoder, (steps, query) = made(layout, heads=heads, top=top), inputs(layout.dim)
    found = encoder(steps, query)
    dim = encoder.value.weight.shape[0] // heads
    for row, length in enumerate(LENGTHS):
        own = steps.values[steps.offsets[row] : steps.offsets[row + 1]]
        if not length:
            assert not found[row].any()
            continue
        scores = torch.stack([scores_of(encoder, layout, step, query[row]) for step in own])  # (L, H)
        kept = sorted(range(length), key=lambda step: -float(scores[step].mean()))[:top]
        parts = []
        for head in range(heads):
            weights = torch.softmax(scores[kept, head], 0)
            parts.append(encoder.value.weight[head * dim : (head + 1) * dim] @ (weights @ own[kept]))
        torch.testing.assert_close(found[row], encoder.out.weight @ torch.cat(parts), rtol=1e-4, atol=1e-5)


def test_only_found_steps_are_trained():
    encoder, (steps, query) = made(top=3), inputs(10)
    values = steps.values.clone().requires_grad_()
    encoder(steps._replace(values=values), query).sum().backward()
    moved = values.grad.abs().sum(1) > 0
    counts = torch.zeros(4, dtype=torch.int64).index_add(0, steps.rows, moved.long())
    assert counts.tolist() == [3, 0, 3, 2]


def test_parts_are_the_whole(monkeypatch):
    encoder, (steps, query) = made(), inputs(10, [30, 0, 41, 3])
    whole = encoder.relevance(steps, query)
    monkeypatch.setattr(_encoder, "PART", 8)
    torch.testing.assert_close(encoder.relevance(steps, query), whole)


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 12), max_size=6),
    top=st.integers(1, 8),
    levels=st.sampled_from([1, 2, 4, 100]),
    seed=st.integers(0, 1000),
)
def test_top_steps_are_the_largest_and_of_equal_ones_the_newest(lengths, top, levels, seed):
    counts = torch.tensor(lengths, dtype=torch.int64)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows, total = torch.repeat_interleave(torch.arange(len(lengths)), counts), int(offsets[-1])
    scores = torch.randint(0, levels, (total,), generator=torch.Generator().manual_seed(seed)).float()
    found = top_steps(scores, Seq(torch.arange(total).float().unsqueeze(1), rows, offsets), top)
    for row in range(len(lengths)):
        own = range(int(offsets[row]), int(offsets[row + 1]))
        best = sorted(own, key=lambda step: (float(scores[step]), step), reverse=True)[:top]
        places = found.values[found.offsets[row] : found.offsets[row + 1], 0].long()
        assert places.tolist() == sorted(best)
        assert (found.rows[found.offsets[row] : found.offsets[row + 1]] == row).all()
