import torch

from easyrec.batch import Seq
from easyrec.modules.augmentation import augmented

LENGTHS = [10, 0, 1, 7]
MASK = torch.full((2,), -1.0)


def steps():
    rows = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
    values = torch.stack([torch.arange(18.0), torch.arange(18.0)], dim=1)
    return Seq(values, rows, torch.tensor([0, 10, 10, 11, 18]))


def test_a_view_is_a_part_one_with_gaps_or_one_in_another_order():
    """Of 10 steps 6 are kept, or 3 masked, or 6 shuffled; which and where is left to chance."""
    torch.manual_seed(0)
    kinds, starts, masked, moved = set(), set(), set(), set()
    for _ in range(300):
        view = augmented(steps(), MASK, crop=0.6, hide=0.3, reorder=0.6)
        lengths = view.offsets.diff()
        assert view.rows.tolist() == torch.repeat_interleave(torch.arange(4), lengths).tolist()
        row = view.values[: lengths[0], 0].long().tolist()
        assert len(set(view.values[:, 0].tolist()) - {-1.0}) == (view.values[:, 0] >= 0).sum()
        if len(row) == 6:
            kinds.add("part")
            assert row == list(range(row[0], row[0] + 6))
            starts.add(row[0])
        elif -1 in row:
            kinds.add("gaps")
            assert row.count(-1) == 3
            assert all(value in (-1, place) for place, value in enumerate(row))
            masked |= {place for place, value in enumerate(row) if value == -1}
        else:
            kinds.add("order")
            assert sorted(row) == list(range(10))
            others = [place for place, value in enumerate(row) if value != place]
            assert not others or others[-1] - others[0] < 6
            moved |= set(others)
        assert lengths[1] == 0
        assert lengths[2] == 1
    assert kinds == {"part", "gaps", "order"}
    assert starts == set(range(5))
    assert masked == moved == set(range(10))


def test_the_same_state_of_torchs_generator_gives_the_same_view():
    views = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        views.append(augmented(steps(), MASK, crop=0.5, hide=0.5, reorder=0.5))
    assert torch.equal(views[0].values, views[1].values)
    assert not torch.equal(views[0].values, views[2].values)
