import json

import numpy as np
import pytest
import torch
from torch import nn

from easyrec.batch import Embedded
from easyrec.errors import BundleError, RunError
from easyrec.export.calls import Body, Call, Program, Value
from easyrec.export.operators import allowed, find
from easyrec.export.program import export_program, to_calls
from easyrec.layout import GroupLayout, SequenceLayout, Span

LAYOUTS = {
    "deep": GroupLayout(
        "deep",
        tuple(Span(f"f{i}", 4, 4 * i) for i in range(3)),
        (Span("price", 2, 0),),
        (SequenceLayout("clicks", (Span("clicks__item", 4, 0),), ("f0",)),),
        first_order=True,
    )
}


class Everything(nn.Module):
    """Attention over a sequence, batch and layer norm, dropout, in-place operations, constants, several results."""

    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(
            nn.Linear(14, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(8, 1)
        )
        self.norm, self.attention, self.classes = nn.LayerNorm(4), nn.Linear(16, 1), nn.Linear(4, 3)
        self.register_buffer("order", torch.tensor([2, 0, 1]), persistent=False)

    def forward(self, x):
        fields = x.fields("deep")
        steps = x.sequence("clicks")
        rows = steps.offsets.shape[0] - 1
        query = fields[:, 0][steps.rows]
        score = self.attention(torch.cat([steps.values, query, steps.values - query, steps.values * query], 1)).squeeze(
            1
        )
        top = torch.full((rows,), -torch.inf).scatter_reduce(0, steps.rows, score, "amax")
        weight = (score - top[steps.rows]).exp()
        total = torch.zeros(rows).index_add(0, steps.rows, weight)
        pooled = torch.zeros(rows, 4).index_add(0, steps.rows, steps.values * (weight / total[steps.rows])[:, None])
        lengths = (steps.offsets[1:] - steps.offsets[:-1]).clamp(min=1)
        logit = self.deep(x.flat("deep")).squeeze(1)
        logit += x.first("deep").sum(1) + (self.norm(pooled) / lengths[:, None]).sum(1)
        logit += (fields[:, self.order] * torch.tensor([1.0, 2.0, 3.0])[None, :, None]).sum((1, 2))
        logit += torch.softmax(fields.flatten(1), 1).max(1)[0] + torch.split(fields, [1, 2], 1)[1].mean((1, 2))
        return {"click": torch.sigmoid(logit), "kind": torch.softmax(self.classes(pooled), 1)}


def inputs(rows, steps, seed=0):
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    return {
        "emb:deep": draw(rows, 12),
        "first:deep": draw(rows, 3),
        "dense:deep": draw(rows, 2),
        "seq:deep/clicks": draw(rows * steps, 4),
        "rows:deep/clicks": torch.arange(rows).repeat_interleave(steps),
        "offsets:deep/clicks": torch.arange(rows + 1) * steps,
    }


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Everything()
    model(Embedded(inputs(50, 3), LAYOUTS))  # batch norm sees some data
    return model


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    to_calls(export_program(model, LAYOUTS)).save(folder)
    return folder


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 200])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_the_program_equals_the_model_for_any_number_of_rows_and_steps(model, saved, rows, steps):
    tensors = inputs(rows, steps, seed=rows)
    model.eval()
    with torch.no_grad():
        expected = model(Embedded(tensors, LAYOUTS))
    found = Program.load(saved)(tensors)
    assert list(found) == ["click", "kind"]
    for name, values in expected.items():
        assert torch.equal(found[name], values)


def test_capturing_leaves_the_model_as_it_was(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_program(model, LAYOUTS)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_inputs_stay_as_they_are(saved):
    tensors = inputs(5, 3)
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    Program.load(saved)(tensors)
    assert all(torch.equal(copies[name], tensor) for name, tensor in tensors.items())


def test_a_missing_input_is_named(saved):
    tensors = inputs(5, 3)
    del tensors["dense:deep"]
    with pytest.raises(KeyError, match="dense:deep"):
        Program.load(saved)(tensors)


def test_what_only_training_needs_is_not_stored(saved):
    description = json.loads((saved / "program.json").read_bytes())
    assert not any("dropout" in call[0] for call in description["calls"])
    assert not any("num_batches_tracked" in name for name in description["weights"])


class Fixed(nn.Module):
    """Fixes the number of rows."""

    def forward(self, x):
        return {"click": x.first("deep").sum(1) + torch.arange(7.0)}


class Random(nn.Module):
    """Draws random numbers."""

    def forward(self, x):
        return {"click": x.first("deep").sum(1) + torch.rand(())}


class Branches(nn.Module):
    """Looks at a value."""

    def forward(self, x):
        total = x.first("deep").sum(1)
        return {"click": total if total.sum() > 0 else -total}


class Counts(nn.Module):
    """Changes itself when it is evaluated."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return {"click": x.first("deep").sum(1) + self.calls}


@pytest.mark.parametrize("kind", [Fixed, Random, Branches, Counts])
def test_a_model_that_cannot_be_stored_is_refused(kind):
    with pytest.raises(RunError, match="cannot be exported"):
        to_calls(export_program(kind(), LAYOUTS))


def test_a_fixed_number_of_rows_is_named_as_the_reason():
    with pytest.raises(RunError, match="rows"):
        to_calls(export_program(Fixed(), LAYOUTS))


# ------------------------------------------------------------------------------------------ files of others


def forged(folder, change):
    data = json.loads((folder / "program.json").read_bytes())
    change(data)
    (folder / "program.json").write_text(json.dumps(data))


@pytest.fixture
def small(tmp_path):
    program = Program(["a"], {"w": torch.tensor([2.0])}, [Call("aten.mul.Tensor", (Value(0), Value(1)), {})], {"y": 2})
    program.save(tmp_path)
    return tmp_path


def test_a_small_program_by_hand(small):
    assert Program.load(small)({"a": torch.tensor([3.0, 4.0])})["y"].tolist() == [6.0, 8.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format=2), "no program of format 1"),
        (lambda d: d.pop("calls"), "damaged"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"value": 0}, {"value": 9}], {}]]), "does not exist yet"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"value": 0}, {"value": -1}], {}]]), "does not exist yet"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"value": 0}, {"value": True}], {}]]), "no argument"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"code": "exit()"}], {}]]), "no argument"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"dtype": "__class__"}], {}]]), "damaged"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [{"float": "1e5"}], {}]]), "no argument"),
        (lambda d: d.update(calls=[["aten.mul.Tensor", [], {"x": {"value": 0}}]]), "keyword"),
        (lambda d: d.update(outputs={"y": 7}), "does not exist"),
        (lambda d: d.update(outputs={"y": "0"}), "does not exist"),
        (lambda d: d.update(weights=["other"]), "damaged"),
        (lambda d: d.update(weights=[["w"]]), "damaged"),
        (lambda d: d.update(calls=[["eval", ["1"], {}]]), "'eval'"),
        (lambda d: d.update(calls="x"), "damaged"),
        (lambda d: d.update(calls=[[5, [], {}]]), "damaged"),
    ],
)
def test_a_forged_program_is_refused(small, change, message):
    forged(small, change)
    with pytest.raises(BundleError, match=message):
        Program.load(small)


DOUBLE = Body((Call("aten.add.Tensor", (Value(0), Value(0)), {}),), (1,))


def doubling():
    calls = [Call("repeat", (Value(1), [Value(0)], [], DOUBLE), {}), Call("getitem", (Value(2), 0), {})]
    return Program(["a", "n"], {}, calls, {"y": 3})


def test_a_repeat_is_stored_and_done(tmp_path):
    doubling().save(tmp_path)
    for turns, expected in ((0, [3.0, 1.0, 2.0]), (3, [24.0, 8.0, 16.0])):
        found = Program.load(tmp_path)({"a": torch.tensor([3.0, 1.0, 2.0]), "n": torch.tensor(turns)})
        assert found["y"].tolist() == expected


def test_a_repeat_takes_no_more_turns_than_its_values_have_rows():
    with pytest.raises(ValueError, match="4 turns over values of at most 3 rows"):
        doubling()({"a": torch.ones(3), "n": torch.tensor(4)})


def repeat(d):
    return d["calls"][0][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: repeat(d)[3]["body"][0].append(json.loads(json.dumps(d["calls"][0]))),
            "a body that does not repeat",
        ),
        (lambda d: repeat(d)[3]["body"].__setitem__(1, [2]), "result 0 of a repeat is value 2, which does not exist"),
        (lambda d: repeat(d)[3]["body"].__setitem__(1, [True]), "result 0 of a repeat is value True"),
        (lambda d: repeat(d)[3]["body"].__setitem__(1, []), "carries 1 values, but its body gives 0"),
        (lambda d: repeat(d)[3]["body"].append(1), "damaged"),
        (lambda d: repeat(d)[3]["body"][0][0].__setitem__(0, "aten.add_.Tensor"), "not among the operators"),
        (lambda d: repeat(d)[3]["body"][0][0][1].__setitem__(0, {"value": 1}), "does not exist yet"),
        (lambda d: repeat(d).__setitem__(0, 3), "a repeat takes"),
        (lambda d: repeat(d).pop(), "a repeat takes"),
        (lambda d: repeat(d).append(1), "a repeat takes"),
        (lambda d: d["calls"][0].__setitem__(2, {"x": 1}), "a repeat takes"),
        (lambda d: d["calls"][1].__setitem__(1, [repeat(d)[3], 0]), "a body belongs to a repeat"),
    ],
)
def test_a_forged_repeat_is_refused(tmp_path, change, message):
    doubling().save(tmp_path)
    forged(tmp_path, change)
    with pytest.raises(BundleError, match=message):
        Program.load(tmp_path)


def test_weights_are_no_pickle(small):
    torch.save({"w": torch.tensor([2.0])}, small / "weights.safetensors")
    with pytest.raises(BundleError, match=r"weights.safetensors: cannot be read"):
        Program.load(small)


def test_special_floats_and_types_survive(tmp_path):
    calls = [
        Call("aten.full.default", ([3], float("-inf")), {"dtype": torch.float64}),
        Call("aten.clone.default", (Value(1),), {"memory_format": torch.contiguous_format}),
    ]
    Program(["a"], {}, calls, {"y": 2}).save(tmp_path)
    found = Program.load(tmp_path)({"a": torch.zeros(1)})["y"]
    assert found.dtype == torch.float64
    assert np.isneginf(found.numpy()).all()


def test_tied_weights_are_stored_twice_and_read(tmp_path):
    shared = torch.tensor([2.0])
    program = Program(["a"], {"v": shared, "w": shared}, [Call("aten.mul.Tensor", (Value(1), Value(2)), {})], {"y": 3})
    program.save(tmp_path)
    assert Program.load(tmp_path)({"a": shared})["y"].item() == 4.0


def test_no_operator_with_an_effect_is_allowed():
    """Over all operators that torch knows: what writes, reads files or draws random numbers is refused."""
    names = {
        f"{s.name}.{s.overload_name or 'default'}"
        for s in torch._C._jit_get_all_schemas()
        if s.name.startswith("aten::")
    }
    accepted = set()
    for name in names:
        head, _, tail = name.removeprefix("aten::").rpartition(".")
        packet = getattr(torch.ops.aten, head, None)
        overload = getattr(packet, tail, None)
        if isinstance(overload, torch._ops.OpOverload) and allowed(overload):
            accepted.add(head)
            assert not overload._schema.is_mutable
            assert not any(str(a.type) == "str" and "file" in a.name for a in overload._schema.arguments)
    assert {"linear", "mul", "cat", "index", "_softmax"} <= accepted
    assert not accepted & {
        "from_file",
        "save",
        "rand",
        "randn",
        "bernoulli",
        "dropout",
        "manual_seed",
        "set_",
        "_print",
        "multinomial",
    }


def test_a_core_operator_is_found_and_a_name_that_is_none_is_not():
    assert find("aten.linear.default") is torch.ops.aten.linear.default
    for name in ("aten.linear", "aten.nothing.default", "prims.add.default", "aten.linear.default.x", "torch.load"):
        with pytest.raises(BundleError, match="the program calls"):
            find(name)
