"""Every block: the shape that it tells is the one that it gives, its numbers are those of a plain formula."""

from itertools import combinations

import pytest
import torch

from easyrec.errors import ConfigError
from easyrec.modules.blocks import BLOCKS, GroupBlockConfig
from easyrec.modules.blocks._block import run
from easyrec.modules.blocks._graph import Surroundings
from feature_generator.config import Choice, member, members

V, W, F = (6,), (2,), (4, 3)  # vectors of 6 and 2 units; 4 fields of 3
GROUPS = [name for name in members(BLOCKS) if issubclass(member(BLOCKS, name).Config, GroupBlockConfig)]


def made(keys, *forms):
    """The block of a config; forms by key of `takes`, one shape or a list of them."""
    config = Choice(BLOCKS).resolve(keys)
    around = Surroundings(None, [], {}, ())
    listed = [form if isinstance(form, list) else [form] for form in forms]
    return around.made(config, dict(zip(config.takes, listed, strict=False)))


def called(block, *values):
    listed = [value if isinstance(value, list) else [value] for value in values]
    inputs = dict(zip(block.config.takes, [*listed, *[()] * len(block.config.takes)], strict=False))
    return run(block.eval(), None, None, inputs)


def drawn(form, rows=5):
    if isinstance(form, list):
        return [drawn(shape, rows) for shape in form]
    return torch.randn(rows, *form)


def pairs(x):
    return sum((x[:, i] * x[:, j]).sum(1, keepdim=True) for i, j in combinations(range(x.shape[1]), 2))


def crossed(block, x):
    y = x
    for copy in block.copies:
        y = x * (y @ copy.layer.weight.T + copy.layer.bias) + y
    return y


def chained(layers, x):
    for layer in layers:
        x = torch.relu(x @ layer.weight.T + layer.bias)
    return x


def lines(copies):
    return [copy.layer for copy in copies]


def products(x):
    return torch.stack([x[:, i] * x[:, j] for i, j in combinations(range(x.shape[1]), 2)], 1)


def layer(module, x):
    return x @ module.weight.T + (0 if module.bias is None else module.bias)


def bilinear(block, x):
    return torch.stack([(x[:, i] @ block.layer.weight[0]) * x[:, j] for i, j in combinations(range(x.shape[1]), 2)], 1)


def squeezed(block, x):
    weights = torch.relu(layer(block.layer.excite, torch.relu(layer(block.layer.squeeze, x.mean(2)))))
    return x * weights[:, :, None]


def masked(block, x, mask):
    made = layer(block.layer.up, torch.relu(layer(block.layer.down, mask)))
    return torch.relu(layer(block.layer.hidden[0], made * x))


def gated(block, x, by):
    return x * 2 * torch.sigmoid(layer(block.layer.gate, torch.relu(layer(block.layer.hidden[0], by))))


def expert(experts, e, x):
    (first,) = experts.linears
    return torch.relu(x @ first.weight[e].T + first.bias[e])


def mixed(block, x):
    scores, count = block.gate.scores, block.experts.number
    outputs = []
    for task in range(2):
        shares = torch.softmax(x @ scores.weight[task].T + scores.bias[task], 1)
        outputs.append(sum(shares[:, [e]] * expert(block.experts, e, x) for e in range(count)))
    return torch.stack(outputs, 1)


def factorized(block, x):
    kept, other = layer(block.layer.maps, x).split(2, 1)
    return torch.cat([kept, kept * other], 1)


def residual(block, x):
    return torch.relu(x + layer(block.layer.inner[2], torch.relu(layer(block.layer.inner[0], x))))


LINE = {"type": "linear", "units": 6}
DEEP = {"type": "mlp", "hidden": [6]}

# type: [(keys, forms of its inputs, formula over the block and the inputs)]
FORMULAS = {
    "mlp": [({"hidden": [5]}, [[V, F]], lambda b, i: chained([b.layer[0]], torch.cat([i[0], i[1].flatten(1)], 1)))],
    "linear": [({"units": 4, "bias": False}, [V], lambda b, i: i @ b.layer.weight.T)],
    "fm": [({}, [F], lambda b, i: pairs(i)), ({}, [[F, (1, 3)]], lambda b, i: pairs(torch.cat(i, 1)))],
    "cross": [({"cross_layers": 1}, [V], lambda b, i: i * (i @ b.layer.layers[0].weight.T) + i)],
    "cross_layer": [({}, [[V, V]], lambda b, i: i[0] * (i[1] @ b.layer.weight.T) + i[1])],
    "concat": [
        ({}, [[V, W]], lambda b, i: torch.cat(i, 1)),
        ({"axis": -1}, [[F, (4, 1)]], lambda b, i: torch.cat(i, 2)),
    ],
    "stack": [({}, [[V, V, V]], lambda b, i: torch.stack(i, 1))],
    "list": [({}, [[V, W]], lambda b, i: i)],
    "sum": [
        ({}, [[F, F, F]], lambda b, i: i[0] + i[1] + i[2]),
        ({"axis": 1}, [F], lambda b, i: i[:, 0] + i[:, 1] + i[:, 2] + i[:, 3]),
        ({"axis": -1}, [V], lambda b, i: (i @ torch.ones(6)).unsqueeze(1)),
    ],
    "mean": [
        ({}, [[V, V]], lambda b, i: (i[0] + i[1]) / 2),
        ({"axis": 2}, [F], lambda b, i: (i[:, :, 0] + i[:, :, 1] + i[:, :, 2]) / 3),
    ],
    "max": [({}, [[V, V]], lambda b, i: torch.where(i[0] > i[1], i[0], i[1]))],
    "product": [
        ({}, [[V, V, V]], lambda b, i: i[0] * i[1] * i[2]),
        ({}, [[V, (1,)]], lambda b, i: i[0] * i[1].expand(-1, 6)),
    ],
    "difference": [({}, [[V, V]], lambda b, i: i[0] - i[1])],
    "slice": [
        ({"start": 1, "stop": 5, "step": 2}, [V], lambda b, i: torch.stack([i[:, 1], i[:, 3]], 1)),
        ({"axis": 1, "start": -2}, [F], lambda b, i: i[:, [2, 3]]),
        ({"axis": 2, "stop": 1}, [F], lambda b, i: i[:, :, [0]]),
    ],
    "item": [
        ({"index": 1}, [[V, W]], lambda b, i: i[1]),
        ({"index": -1}, [F], lambda b, i: i[:, 3]),
    ],
    "flatten": [({}, [[F, W]], lambda b, i: torch.cat([i[0].reshape(-1, 12), i[1]], 1))],
    "unflatten": [({"fields": 2}, [V], lambda b, i: torch.stack([i[:, :3], i[:, 3:]], 1))],
    "transpose": [({}, [F], lambda b, i: torch.einsum("bfd->bdf", i))],
    "dropout": [({"rate": 0.5}, [V], lambda b, i: i)],
    "layer_norm": [
        (
            {},
            [F],
            lambda b, i: (
                (i - i.mean(2, keepdim=True))
                / ((i - i.mean(2, keepdim=True)).square().mean(2, keepdim=True) + 1e-5).sqrt()
            ),
        )
    ],
    "batch_norm": [({}, [F], lambda b, i: i / (1 + 1e-5) ** 0.5)],
    "activation": [({"activation": "tanh"}, [F], lambda b, i: torch.tanh(i))],
    "softmax": [({}, [V], lambda b, i: i.exp() / i.exp().sum(1, keepdim=True))],
    "scale": [({"factor": 0.5}, [F], lambda b, i: i / 2)],
    "stop_gradient": [({}, [F], lambda b, i: i)],
    "mix": [
        ({"softmax": False}, [[V, V], W], lambda b, i, w: w[:, :1] * i[0] + w[:, 1:] * i[1]),
        ({}, [F, (4,)], lambda b, i, w: sum(torch.softmax(w, 1)[:, e, None] * i[:, e] for e in range(4))),
    ],
    "dot": [
        ({}, [F], lambda b, i: products(i).sum(2)),
        ({}, [[F, (1, 3)]], lambda b, i: products(torch.cat(i, 1)).sum(2)),
    ],
    "pairs": [({}, [F], lambda b, i: products(i))],
    "outer": [
        (
            {},
            [F],
            lambda b, i: torch.stack([i.sum(1)[:, r] * i.sum(1)[:, c] for r in range(3) for c in range(r, 3)], 1),
        )
    ],
    "bilinear": [({}, [F], bilinear)],
    "senet": [({"reduction": 2}, [F], squeezed)],
    "anova": [
        (
            {"order": 3},
            [F],
            lambda b, i: sum(
                (i[:, f] * i[:, g] * i[:, h]).sum(1, keepdim=True) for f, g, h in combinations(range(4), 3)
            ),
        )
    ],
    "mask_block": [
        ({"units": 5, "layer_norm": False}, [V, W], masked),
        ({"units": 5, "layer_norm": False}, [V], lambda b, i: masked(b, i, i)),
    ],
    "gate": [({"hidden": [4]}, [V, W], gated), ({}, [V], lambda b, i: i)],
    "factorized": [({"units": 4}, [V], factorized)],
    "residual": [({"units": 4}, [V], residual)],
    "experts": [
        ({"experts": 3, "hidden": [5]}, [V], lambda b, i: torch.stack([expert(b.layer, e, i) for e in range(3)], 1))
    ],
    "mmoe": [({"experts": 3, "hidden": [5], "outputs": 2}, [V], mixed)],
    # Their modules have formulas of their own.
    "cin": [({"cin_units": [6, 4]}, [F], lambda b, i: b.layer(i))],
    "logarithmic": [({"neurons": 5}, [F], lambda b, i: b.layer(i))],
    "attention": [
        ({"units": 8}, [F], lambda b, i: torch.stack([b.layer(row) for row in i]) if len(i) else i.new_zeros(0, 4, 8))
    ],
    "repeat": [
        ({"block": DEEP, "times": 3}, [V], lambda b, i: chained([c.layer[0] for c in b.copies], i)),
        (
            {"block": LINE, "times": 2, "shared": True, "output": "concat"},
            [V],
            lambda b, i: torch.cat([lines(b.copies)[0](i), lines(b.copies)[0](lines(b.copies)[0](i))], 1),
        ),
    ],
    "recurrence": [({"block": {"type": "cross_layer"}, "times": 3}, [V], crossed)],
    "parallel": [
        ({"block": LINE, "times": 2}, [V], lambda b, i: [layer(i) for layer in lines(b.copies)]),
        ({"block": LINE, "times": 2, "output": "sum"}, [V], lambda b, i: sum(layer(i) for layer in lines(b.copies))),
    ],
    "map": [
        ({"block": LINE}, [[V, W]], lambda b, i: [layer(x) for layer, x in zip(lines(b.copies), i, strict=True)]),
        (
            {"block": LINE, "shared": True, "output": "stack"},
            [F],
            lambda b, i: torch.stack([lines(b.copies)[0](i[:, f]) for f in range(4)], 1),
        ),
    ],
}
CASES = [pytest.param(t, *case, id=f"{t}-{n}") for t, cases in FORMULAS.items() for n, case in enumerate(cases)]


def test_every_block_has_a_formula():
    others = {"package", *GROUPS}  # see tests/models/test_backbone.py
    assert set(members(BLOCKS)) - others - set(FORMULAS) == set()


@pytest.mark.parametrize(("type", "keys", "forms", "formula"), CASES)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_block_gives_its_formula_in_the_shape_that_it_tells(type, keys, forms, formula, rows):
    torch.manual_seed(1)
    block = made({"type": type, **keys}, *forms)
    inputs = [drawn(form, rows) for form in forms]
    output, expected = called(block, *inputs), formula(block, *inputs)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
    shapes = [tuple(t.shape[1:]) for t in output] if isinstance(output, list) else tuple(output.shape[1:])
    assert shapes == block.shape


# id: (keys, forms, what the message says)
REFUSED = {
    "fm-of-a-vector": ({"type": "fm"}, [V], "reads fields (F, D), but is given (B, 6)\ntake the block 'fields'"),
    "fields-of-two-dims": (
        {"type": "fm"},
        [[F, (2, 5)]],
        "reads fields of one dim D, but is given (B, 4, 3), (B, 2, 5)",
    ),
    "one-tensor": ({"type": "softmax"}, [[V, W]], "reads one tensor, but is given (B, 6), (B, 2)\njoin them by concat"),
    "concat": ({"type": "concat"}, [[V, F]], "joins tensors that are equal but for axis 1"),
    "concat-axis": ({"type": "concat", "axis": 2}, [[V, V]], "has no axis 2: (B, 6) has 1, and 0 are the rows"),
    "rows": ({"type": "slice", "axis": 0}, [F], "has no axis 0: (B, 4, 3) has 1 to 2"),
    "stack": ({"type": "stack"}, [[V, W]], "stacks inputs of one shape, but is given (B, 6), (B, 2)"),
    "sum": ({"type": "sum"}, [[V, W]], "folds inputs of one shape"),
    "sum-axis": ({"type": "sum", "axis": 1}, [[F, F]], "folds an axis of one tensor, but is given 2"),
    "product": ({"type": "product"}, [[V, W]], "multiplies tensors of equal sizes, or of size 1"),
    "product-rank": ({"type": "product"}, [[V, F]], "multiplies tensors of one rank"),
    "difference": ({"type": "difference"}, [[V]], "takes two inputs"),
    "slice": ({"type": "slice", "start": 6}, [V], "takes nothing: axis 1 of (B, 6) has 6 places"),
    "item": ({"type": "item", "index": 2}, [[V, W]], "has no element 2: there are 2"),
    "unflatten": ({"type": "unflatten", "fields": 4}, [V], "cannot cut (B, 6) into 4 equal fields"),
    "mix": ({"type": "mix"}, [[V, V], V], "mixes 2 experts, but 'weights' is (B, 6)"),
    "cross-layer": ({"type": "cross_layer"}, [[V, W]], "takes two vectors of equal width, x_0 and x"),
    "dot-of-one-field": ({"type": "dot"}, [(1, 3)], "crosses pairs of fields, but is given (B, 1, 3)"),
    "heads": ({"type": "attention", "units": 8, "heads": 3}, [F], "'heads' must divide 'units', but 3 does not"),
    "odd-units": ({"type": "factorized", "units": 5}, [V], "'units' must be even where 'residual' is concat"),
    "shared": (
        {"type": "repeat", "times": 2, "shared": True, "block": {"type": "linear", "units": 2}},
        [V],
        "copies that share their weights need equal inputs, but the first has (B, 6), another (B, 2)",
    ),
    "inside": ({"type": "parallel", "times": 2, "block": {"type": "fm"}}, [V], "reads fields (F, D)"),
    "map-stack": (
        {"type": "map", "output": "stack", "block": {"type": "scale"}},
        [[V, W]],
        "has inputs of one shape, but is given (B, 6), (B, 2)",
    ),
}


@pytest.mark.parametrize(("keys", "forms", "message"), REFUSED.values(), ids=REFUSED)
def test_shapes_that_do_not_suit_are_refused(keys, forms, message):
    with pytest.raises(ConfigError) as error:
        made(keys, *forms)
    assert message in error.value.problems[0].message


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "fields"}, "'fields' reads a feature group, so there is nothing to repeat"),
        ({"type": "fm", "input": "x"}, "takes no 'input': 'repeat' gives it its input"),
        ({"type": "fm", "name": "x"}, "takes no 'name'"),
        ({"type": "mix"}, "'mix' also needs 'weights'\nwrite it into a package"),
    ],
)
def test_a_block_inside_another_one_is_bare(block, message):
    with pytest.raises(ValueError, match="1 validation error") as error:
        Choice(BLOCKS).resolve({"type": "repeat", "times": 2, "input": "x", "block": block})
    assert message in str(error.value)


def test_dropout_zeroes_while_training_alone():
    block, x = made({"type": "dropout", "rate": 0.5}, (1000,)), torch.ones(8, 1000)
    assert torch.equal(called(block, x), x)
    assert 0.4 < (block.train()(x) == 0).float().mean() < 0.6


def test_nothing_is_learned_through_a_stopped_gradient():
    x = torch.ones(2, 6, requires_grad=True)
    assert not called(made({"type": "stop_gradient"}, V), x).requires_grad


def test_copies_have_weights_of_their_own_unless_they_share_them():
    numbers = [
        sum(p.numel() for p in made({"type": "parallel", "times": 3, "block": LINE, "shared": shared}, V).parameters())
        for shared in (False, True)
    ]
    assert numbers == [3 * 42, 42]
