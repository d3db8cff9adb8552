import importlib
import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from easyrec.embedding import native
from feature_generator.native import load_native

BUILDS = [f"_native{suffix}" for suffix in ("", "_v3", "_v4")]
RULES = ["adam", "rowwise_adagrad", "adagrad", "sgd", "ftrl"]


def aligned_random(rng, *shape):
    return np.ascontiguousarray(rng.normal(size=shape), np.float32)


def trained(module, rule, dim):
    """Weights after two steps of one build on random rows."""
    rng = np.random.default_rng(0)
    weights, a, b = aligned_random(rng, 50, dim), np.ones((50, dim), np.float32), np.ones((50, dim), np.float32)
    linear, la, lb = aligned_random(rng, 3, dim), np.ones((3, dim), np.float32), np.ones((3, dim), np.float32)
    if rule == "rowwise_adagrad":
        a, la = a[:, :1].copy(), la[:, :1].copy()
    tables = module.Tables([weights, linear], [a, la], [b, lb], [True, True], 1)
    bags = module.Bags(
        tables, [("x", 0, 0, dim, 0, 1, True, True, False), ("y", 1, 1, dim, dim, 3, False, False, False)]
    )
    out = []
    for _ in range(2):
        offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 4, 40))])
        keys = np.concatenate([[0], np.cumsum(rng.integers(0, 4, offsets[-1]))])
        factors = aligned_random(rng, keys[-1])
        data = [(rng.integers(0, 50, keys[-1]), offsets, factors, keys), (aligned_random(rng, 40, 3), None, None, None)]
        call = bags.bind(data, 40)
        filled = np.empty((40, 2 * dim), np.float32)
        assert call.lookup(filled) is None
        step = module.Step(
            rule=getattr(module.Rule, rule), lr=0.1, beta1=0.9, beta2=0.99, eps=1e-6, correction1=0.1,
            correction2=0.1, l1=0.01, l2=0.1, beta=1.0, regularizer=0.01,
        )  # fmt: skip
        gradient = aligned_random(rng, 40, 2 * dim)
        out += [filled, np.array(tables.square_sum([(call, gradient)], step))]
        tables.apply([(call, gradient)], step)
    return [*out, weights, linear, a, b]


@pytest.mark.parametrize("rule", RULES)
def test_all_builds_give_the_same_bits(rule):
    best = load_native("easyrec.embedding").__name__
    runnable = BUILDS[: BUILDS.index(best.rpartition(".")[2]) + 1]
    built = [n for n in runnable if importlib.util.find_spec(f"easyrec.embedding.{n}") is not None]
    modules = [importlib.import_module(f"easyrec.embedding.{name}") for name in built]
    for dim in (1, 5, 16, 24):
        first, *others = (trained(module, rule, dim) for module in modules)
        for other in others:
            for ours, theirs in zip(first, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def tables(rows=5, dim=4):
    return native.Tables([np.zeros((rows, dim), np.float32)], [], [], [True], 1)


@pytest.mark.parametrize(
    "spec",
    [
        ("x", 3, 0, 4, 0, 1, False, False, False),
        ("x", 0, 1, 4, 0, 1, False, False, False),
        ("x", 0, -1, 4, 0, 1, False, False, False),
        ("x", 0, 0, 5, 0, 1, False, False, False),
        ("x", 0, 0, 4, -1, 1, False, False, False),
        ("x", 1, 0, 4, 0, 3, False, False, False),
        ("x", 2, -1, 4, 0, 3, False, False, False),
    ],
    ids=["kind", "no-such-table", "no-table", "dim", "column", "linear-rows", "copy-dim"],
)
def test_bags_that_do_not_fit_their_table_are_refused(spec):
    with pytest.raises(ValueError, match=r"x|kind"):
        native.Bags(tables(), [spec])


@pytest.mark.parametrize(
    "parts",
    [
        (np.zeros(3, np.int64), np.array([0, 2, 2]), None, None),
        (np.zeros(3, np.int64), np.array([1, 2, 3]), None, None),
        (np.zeros(3, np.int64), np.array([0, 3]), None, None),
        (np.zeros(3, np.int64), None, None, None),
        (np.zeros(2, np.int64), None, np.zeros(3, np.float32), None),
        (np.zeros(2, np.int64), None, None, np.array([0, 1])),
        (np.zeros(4, np.int64)[::2], None, None, None),
        (np.zeros((2, 1), np.int64), None, None, None),
    ],
    ids=["end", "start", "few", "rows", "weights", "keys", "strided", "matrix"],
)
def test_inputs_of_a_wrong_shape_are_refused(parts):
    bags = native.Bags(tables(), [("x", 0, 0, 4, 0, 1, False, False, False)])
    with pytest.raises(ValueError, match="x"):
        bags.bind([parts], 2)


@pytest.mark.parametrize("offsets", [[0, 3, 1, 3], [0, -1, 2, 3], [0, 9, 1, 3], [0, 2**62, -(2**62), 3]])
def test_offsets_that_do_not_ascend_are_a_fault(offsets):
    bags = native.Bags(tables(), [("x", 0, 0, 4, 0, 1, False, False, False)])
    call = bags.bind([(np.zeros(3, np.int64), np.array(offsets), None, None)], 3)
    assert call.lookup(np.empty((3, 4), np.float32)) == (0, 0, 0, "offsets")


@pytest.mark.parametrize("bad", [-1, 5, 2**63 - 1, -(2**63)])
def test_ids_outside_are_a_fault_or_counted(bad):
    bags = native.Bags(tables(), [("x", 0, 0, 4, 0, 1, False, False, False)])
    call = bags.bind([(np.array([0, bad, 1, bad]), None, None, None)], 4)
    out = np.empty((4, 4), np.float32)
    assert call.lookup(out) == (0, 1, bad, "id")
    assert call.lookup_counting(out) == 2
    np.testing.assert_array_equal(out, np.zeros((4, 4), np.float32))


def test_gradients_need_a_checked_lookup_of_the_same_tables():
    ours = tables()
    call = native.Bags(ours, [("x", 0, 0, 4, 0, 1, False, False, False)]).bind(
        [(np.zeros(2, np.int64), None, None, None)], 2
    )
    step = native.Step(rule=native.Rule.sgd, lr=0.1)
    gradient = np.zeros((2, 4), np.float32)
    with pytest.raises(ValueError, match="not looked up"):
        ours.apply([(call, gradient)], step)
    call.lookup(np.empty((2, 4), np.float32))
    with pytest.raises(ValueError, match="not looked up"):
        tables().apply([(call, gradient)], step)
    with pytest.raises(ValueError, match="shape"):
        ours.apply([(call, gradient[:1])], step)
    with pytest.raises(ValueError, match="state"):
        ours.apply([(call, gradient)], native.Step(rule=native.Rule.adagrad, lr=0.1))
    ours.apply([(call, gradient)], step)


def test_a_forked_child_works_alone_and_ends():
    ours = native.Tables([np.ones((100, 4), np.float32)], [], [], [True], 2)
    bags = native.Bags(ours, [("x", 0, 0, 4, 0, 1, False, False, False)])
    data = [(np.arange(10_000) % 100, None, None, None)]
    assert bags.bind(data, 10_000).lookup(np.empty((10_000, 4), np.float32)) is None
    code = 1
    child = os.fork()
    if child == 0:
        try:
            out = np.zeros((10_000, 4), np.float32)
            bags.bind(data, 10_000).lookup(out)
            code = int(not (out == 1).all())
            del bags, ours
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_may_look_up_at_the_same_time():
    ours = native.Tables([np.arange(400, dtype=np.float32).reshape(100, 4)], [], [], [True], 2)
    bags = native.Bags(ours, [("x", 0, 0, 4, 0, 1, False, False, False)])
    ids = np.random.default_rng(0).integers(0, 100, 5_000)

    def look_up(_):
        out = np.empty((5_000, 4), np.float32)
        bags.bind([(ids, None, None, None)], 5_000).lookup(out)
        return out

    with ThreadPoolExecutor(4) as executor:
        for out in executor.map(look_up, range(40)):
            np.testing.assert_array_equal(out[:, 0], 4.0 * ids)
