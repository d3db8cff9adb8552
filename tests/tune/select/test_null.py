"""What noise may seem to be worth."""

import numpy as np
import pytest

from easyrec.tune.select.null import Null


def drawn(number, mean, spread, seed=0):
    random = np.random.default_rng(seed)
    sizes = {f"c{i}": float(size) for i, size in enumerate(random.uniform(0, 10, number))}
    return {name: float(random.normal(mean(x), spread(x))) for name, x in sizes.items()}, sizes


@pytest.mark.parametrize(
    ("mean", "spread"),
    [(lambda x: 0.0, lambda x: 1.0), (lambda x: 2 - 0.1 * x, lambda x: 0.02 + 0.05 * x)],
    ids=["all-alike", "by-size"],
)
def test_so_much_noise_of_every_size_lies_below_the_bound(mean, spread):
    null = Null(*drawn(400, mean, spread), quantile=0.95)
    more, sizes = drawn(4000, mean, spread, seed=1)
    for low, high in ((0, 3), (3, 7), (7, 10)):
        of = [name for name, size in sizes.items() if low <= size < high]
        below = np.mean([more[name] <= null.bound(sizes[name]) for name in of])
        assert 0.90 < below < 0.99


def test_what_makes_a_model_worse_is_worth_nothing():
    worth, sizes = drawn(50, lambda x: -5.0, lambda x: 0.1)
    assert Null(worth, sizes, 0.99).bound(3.0) == 0.0


def test_a_few_copies_have_one_bound_for_all():
    null = Null({"a": 0.1, "b": 0.3}, {"a": 1.0, "b": 8.0}, 1.0)
    assert null.bound(0.0) == null.bound(20.0) == pytest.approx(0.3)
