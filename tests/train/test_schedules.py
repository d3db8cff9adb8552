import math

import pytest
import torch

from easyrec.config.train import Constant, Cosine, Exponential, Plateau, Steps
from easyrec.train.schedules import Rate


def rates(schedule, steps, lr=0.1):
    rate = Rate(lr, schedule)
    return [rate.at(step) for step in range(steps)]


def torch_rates(make, steps, lr=0.1):
    """What torch's own scheduler gives, step by step."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_a_constant_rate_stays():
    assert rates(Constant(), 5) == [0.1] * 5


def test_exponential_is_a_power():
    assert rates(Exponential(rate=0.5, steps=10), 30) == pytest.approx([0.1 * 0.5 ** (s / 10) for s in range(30)])


def test_exponential_by_one_step_equals_torch():
    found = torch_rates(lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9), 20)
    assert rates(Exponential(rate=0.9, steps=1), 20) == pytest.approx(found)


def test_a_staircase_equals_torch():
    found = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 7, gamma=0.3), 40)
    assert rates(Exponential(rate=0.3, steps=7, staircase=True), 40) == pytest.approx(found)


def test_exponential_stops_at_its_minimum():
    assert rates(Exponential(rate=0.1, steps=1, minimum=0.002), 4) == pytest.approx([0.1, 0.01, 0.002, 0.002])


def test_cosine_equals_torch_and_then_stays():
    found = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.01), 21)
    assert rates(Cosine(steps=20, minimum=0.01), 30) == pytest.approx(found + [0.01] * 9)


def test_a_cosine_without_steps_takes_the_whole_training():
    rate = Rate(0.1, Cosine(minimum=0.01), steps=20)
    assert [rate.at(step) for step in range(25)] == pytest.approx(rates(Cosine(steps=20, minimum=0.01), 25))


def test_a_cosine_over_a_training_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="give the schedule its 'steps'"):
        Rate(0.1, Cosine())


def test_steps_change_at_their_boundaries():
    assert rates(Steps(boundaries=[2, 4], factors=[0.5, 0.1]), 6) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.01, 0.01])


def test_warmup_ends_at_the_full_rate():
    assert rates(Constant(warmup_steps=4), 6) == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_warmup_multiplies_the_schedule():
    plain, warm = rates(Cosine(steps=10), 8), rates(Cosine(steps=10, warmup_steps=4), 8)
    assert warm == pytest.approx([r * min(1, (s + 1) / 4) for s, r in enumerate(plain)])


def test_plateau_equals_torch():
    values = [0.5, 0.6, 0.6, 0.59, 0.7, 0.69, 0.68, 0.67, 0.66, 0.71, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    parameter = torch.zeros(1)
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    # torch waits for more than `patience` bad evaluations, we for as many.
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.1, patience=1, threshold=0.0, min_lr=1e-4, eps=0.0
    )
    ours, best = Rate(0.1, Plateau(factor=0.1, patience=2, minimum=1e-4)), -math.inf
    for step, value in enumerate(values):
        scheduler.step(value)
        ours.evaluated(improved=value > best)
        best = max(best, value)
        assert ours.at(step) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_continues_from_its_state():
    first = Rate(0.1, Plateau(patience=2))
    for improved in (True, False, False, False):
        first.evaluated(improved=improved)
    second = Rate(0.1, Plateau(patience=2))
    second.load_state(first.state())
    for rate in (first, second):
        rate.evaluated(improved=False)
    assert second.at(9) == first.at(9) == pytest.approx(0.1 * 0.1**2)


def test_other_schedules_do_not_react_to_evaluations():
    rate = Rate(0.1, Constant())
    rate.evaluated(improved=False)
    assert rate.at(0) == 0.1
