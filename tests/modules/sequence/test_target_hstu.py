import pytest
import torch

from easyrec.batch import Seq
from easyrec.errors import ConfigError
from easyrec.layout import SequenceLayout, Span
from easyrec.modules.sequence import build, hstu
from easyrec.modules.sequence.target_hstu import Config, preceded

CHILDREN = (Span("s__action", 2, 0), Span("s__time", 1, 2), Span("s__item", 4, 3))
LAYOUT = SequenceLayout("s", CHILDREN, (None, None, "item"))
LENGTHS, OFFSETS = [3, 0, 9, 1], [0, 3, 3, 12, 13]


def steps():
    torch.manual_seed(1)
    values = torch.randn(13, 7)
    values[:, 2] = torch.rand(13).cumsum(0) * 1000
    return Seq(values, torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS)), torch.tensor(OFFSETS))


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("now", [None, 5.0])
def test_it_is_hstu_over_the_steps_and_the_candidate(layers, now):
    """The whole row goes through the encoder `hstu` with the same weights, one row at a time."""
    keys = {"heads": 2, "positions": 4, "distances": 5, "time": "time", "buckets": 12, "layers": layers}
    encoder = build(Config(now=now, **keys), LAYOUT).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    plain = build(hstu.Config(**keys), LAYOUT).eval()
    told = {f"trunk.layers.{layers - 1}.": "last.layer.", "trunk.norm.": "norm."}
    state = encoder.state_dict()
    for name, parameter in plain.named_parameters():
        key = f"trunk.{name}"
        for ours, theirs in told.items():
            key = key.replace(ours, theirs)
        parameter.data.copy_(state.pop(key))
    assert list(state) == ["hidden"]
    given, query = steps(), torch.randn(4, 4)
    found = encoder.encode(given, query)
    for row, (start, length) in enumerate(zip(OFFSETS, LENGTHS, strict=False)):
        own = given.values[start : start + length]
        time = now if now is not None else (float(own[-1, 2]) if length else 0.0)
        candidate = torch.cat([encoder.hidden, torch.tensor([time]), query[row]])
        whole = torch.cat([own, candidate.unsqueeze(0)])
        alone = Seq(whole, torch.zeros(length + 1, dtype=torch.int64), torch.tensor([0, length + 1]))
        torch.testing.assert_close(found[row], plain.outputs(alone)[-1], rtol=1e-4, atol=1e-4)


def test_children_that_are_all_paired_leave_nothing_to_hide():
    layout = SequenceLayout("s", CHILDREN[2:], ("item",))
    assert build(Config(), SequenceLayout("s", (Span("s__item", 4, 0),), layout.query)).hidden is None


def test_what_precedes_stands_before_the_steps_of_its_row():
    given = steps()
    front = torch.randn(4, 2, 7)
    found = preceded(front, given)
    expected = [torch.cat([front[row], given.values[OFFSETS[row] : OFFSETS[row + 1]]]) for row in range(4)]
    assert torch.equal(found.values, torch.cat(expected))
    assert found.offsets.tolist() == [0, 5, 7, 18, 21]
    assert found.rows.tolist() == [0] * 5 + [1] * 2 + [2] * 11 + [3] * 3


def test_a_time_that_is_paired_is_refused():
    with pytest.raises(ConfigError, match="'s__time' tells the time of a step, so it is paired with no feature"):
        build(Config(time="time"), SequenceLayout("s", CHILDREN, (None, "age", "item")))
