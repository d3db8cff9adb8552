import pytest
import torch

from easyrec.batch import Embedded, Seq
from easyrec.export.program import export_program, to_calls
from easyrec.layout import GroupLayout, SequenceLayout, Span
from easyrec.modules.recurrent import unroll
from easyrec.modules.sequence import build
from easyrec.modules.sequence._next_step import next_step_loss
from easyrec.modules.sequence.dien import Config

CHILDREN = (Span("s__item", 4, 0), Span("s__hour", 2, 4), Span("s__cate", 3, 6))
LAYOUT = SequenceLayout("s", CHILDREN, ("item", None, "cate"))
LENGTHS, OFFSETS = [3, 0, 5, 1], [0, 3, 3, 8, 9]


def made(**keys):
    torch.manual_seed(0)
    encoder = build(Config(**keys), LAYOUT)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def inputs():
    torch.manual_seed(1)
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    return Seq(torch.randn(9, 9), rows, torch.tensor(OFFSETS)), torch.randn(4, 7)


def looped(encoder, steps, query):
    """Row by row and step by step; the cells themselves have a test of their own."""
    result = torch.zeros(4, 9)
    for row, length in enumerate(LENGTHS):
        states, state = [], torch.zeros(1, 9)
        for step in steps.values[OFFSETS[row] : OFFSETS[row + 1]]:
            state = encoder.extraction(encoder.extraction.input(step[None]), state, None)
            states.append(state)
        if not length:
            continue
        scores = torch.softmax(torch.cat(states) @ (encoder.attention.weight @ query[row]), 0)
        interest = torch.zeros(1, 9)
        for score, state in zip(scores, states, strict=True):
            if encoder.config.evolution == "aigru":
                interest = encoder.evolution(encoder.evolution.input(score * state), interest, None)
            else:
                interest = encoder.evolution(encoder.evolution.input(state), interest, score[None])
        result[row] = interest
    return result


@pytest.mark.parametrize("evolution", ["augru", "aigru", "agru"])
def test_equals_a_loop_over_steps_with_gradients(evolution):
    encoder, results = made(evolution=evolution), []
    for form in (encoder, lambda steps, query: looped(encoder, steps, query)):
        steps, query = inputs()
        leaves = [steps.values.requires_grad_(), query.requires_grad_(), *encoder.parameters()]
        vector = form(steps, query)
        results.append([vector, *torch.autograd.grad((vector * (torch.arange(9.0) - 3)).sum(), leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("evolution", [pytest.param("aigru", marks=pytest.mark.slow), "agru"])
def test_exported_equals_eager(evolution):
    encoder = made(evolution=evolution)

    class Alone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, x):
            return {"vector": self.encoder(x.sequence("s"), x.flat("deep"))}

    layouts = {"deep": GroupLayout("deep", (Span("item", 4, 0), Span("cate", 3, 4)), (), (LAYOUT,))}
    program = to_calls(export_program(Alone().eval(), layouts))
    steps, query = inputs()
    tensors = {"emb:deep": query, **dict(zip(("seq:deep/s", "rows:deep/s", "offsets:deep/s"), steps, strict=True))}
    with torch.no_grad():
        expected = Alone().eval()(Embedded(tensors, layouts))["vector"]
    torch.testing.assert_close(program(tensors)["vector"], expected)


def test_states_tell_the_next_step():
    encoder, (steps, query) = made(auxiliary=0.5).train(), inputs()
    torch.manual_seed(7)
    encoder(steps, query)
    torch.manual_seed(7)
    states, _ = unroll(encoder.extraction, steps.values, None, steps.offsets)
    torch.testing.assert_close(encoder.auxiliary, 0.5 * next_step_loss(states, steps))
