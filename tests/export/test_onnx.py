"""The ONNX model of a program answers as the program, for any number of rows and steps."""

import numpy as np
import pytest
import torch
from torch import nn

from easyrec.batch import Embedded
from easyrec.errors import BundleError, RunError
from easyrec.export.calls import Body, Call, Program, Value
from easyrec.export.program import example, export_program, to_calls
from easyrec.layout import GroupLayout, Span

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from easyrec.export.onnx.model import convert, quantize  # noqa: E402
from easyrec.export.onnx.session import MODEL, Session  # noqa: E402

LAYOUTS = {"deep": GroupLayout("deep", (Span("a", 4, 0), Span("b", 4, 4)), (Span("price", 2, 0),), ())}


def session_of(model, path):
    (path / MODEL).write_bytes(model.SerializeToString())
    return Session(path / MODEL)


def unary(name, *args):
    return Program(["x"], {}, [Call(f"aten.{name}", (Value(0), *args), {})], {"y": 1})


FLOATS = torch.tensor([[-3.0, -1e-4, 0.0, 1e-4], [0.25, 0.5, 1.5, 3.0]])


@pytest.mark.parametrize(
    "program",
    [
        unary("expm1.default"),
        unary("round.default"),
        unary("remainder.Scalar", 2),
        unary("clamp.default", None, 1),
        unary("sum.dim_IntList", []),
        unary("mean.dim", [-1], True),
        unary("pow.Tensor_Scalar", 2),
        unary("constant_pad_nd.default", [1, 2], 0.5),
        unary("select.int", 1, -1),
        unary("cumsum.default", 1),
        unary("amax.default", [1]),
        unary("any.dim", 1),
        unary("gelu.default"),
        unary("ne.Scalar", 0.5),
        unary("lt.Scalar", 1),
        unary("_softmax.default", -1, False),
    ],
    ids=lambda program: program.calls[0].operator,
)
def test_an_operator_gives_what_torch_gives(program, tmp_path):
    found = session_of(convert(program, {"x": FLOATS}), tmp_path)({"x": FLOATS.numpy()})["y"]
    expected = program({"x": FLOATS})["y"].float().numpy()
    near = 1e-6 if "gelu" in program.calls[0].operator else 1e-7  # by another approximation of erf
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=near)


def test_log1p_is_exact_near_zero(tmp_path):
    x = torch.tensor([[1e-9, -1e-9, 1e-4, 0.5]])
    program = unary("log1p.default")
    found = session_of(convert(program, {"x": x}), tmp_path)({"x": x.numpy()})["y"]
    np.testing.assert_allclose(found, torch.log1p(x.double()).numpy(), rtol=1e-6)


@pytest.mark.parametrize("y", [-2.0, 0.0, 2.0])
@pytest.mark.parametrize("x", [-2.0, 0.0, 2.0])
def test_the_angle_of_a_point_is_in_its_quadrant(x, y, tmp_path):
    program = Program(["y", "x"], {}, [Call("aten.atan2.default", (Value(0), Value(1)), {})], {"angle": 2})
    given = {"y": torch.tensor([y]), "x": torch.tensor([x])}
    found = session_of(convert(program, given), tmp_path)({k: v.numpy() for k, v in given.items()})["angle"]
    assert found == pytest.approx(np.arctan2(y, x), abs=1e-6)


def test_a_loop_takes_as_many_turns_as_are_asked_for(tmp_path):
    """x, x + 1, x + 2 ... and the turn, which the body counts."""
    body = Body((Call("aten.add.Tensor", (Value(0), 1), {}), Call("aten.add.Tensor", (Value(1), Value(2)), {})), (3, 4))
    calls = [
        Call("aten.sym_size.int", (Value(0), 0), {}),
        Call("aten.scalar_tensor.default", (Value(1),), {"dtype": torch.int64}),
        Call("aten.full.default", ([], 0), {"dtype": torch.int64}),
        Call("aten.full_like.default", (Value(0), 1.0), {}),
        Call("repeat", (Value(2), [Value(3), Value(0)], [Value(4)], body), {}),
        Call("getitem", (Value(5), 1), {}),
    ]
    program = Program(["x"], {}, calls, {"y": 6})
    session = session_of(convert(program, {"x": torch.zeros(7, 2)}), tmp_path)
    for rows in (0, 1, 5):
        found = session({"x": np.zeros((rows, 2), np.float32)})["y"]
        np.testing.assert_array_equal(found, np.full((rows, 2), rows))
        np.testing.assert_array_equal(found, program({"x": torch.zeros(rows, 2)})["y"].numpy())


def test_what_onnx_has_no_counterpart_for_is_named():
    with pytest.raises(RunError, match=r"'aten\.flip\.default': no operator"):
        convert(unary("flip.default", [0]), {"x": FLOATS})


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, x):
        return {"click": torch.sigmoid(self.deep(x.flat("deep")).squeeze(1))}


@pytest.fixture(scope="module")
def wide():
    torch.manual_seed(0)
    model = Wide().eval()
    return model, to_calls(export_program(model, LAYOUTS))


def inputs(rows):
    drawn = torch.Generator().manual_seed(rows)
    return {"emb:deep": torch.randn(rows, 8, generator=drawn), "dense:deep": torch.randn(rows, 2, generator=drawn)}


def scores(model, tensors):
    with torch.no_grad():
        return model(Embedded(tensors, LAYOUTS))["click"].numpy()


def test_a_small_probability_is_as_exact_as_a_large_one(tmp_path):
    logits = torch.linspace(-80, 40, 1000)
    found = session_of(convert(unary("sigmoid.default"), {"x": logits}), tmp_path)({"x": logits.numpy()})["y"]
    np.testing.assert_allclose(found, torch.sigmoid(logits.double()).numpy(), rtol=3e-7)


def test_int8_rounds_the_products_and_stays_near(wide, tmp_path):
    model, program = wide
    whole = convert(program, example(LAYOUTS))
    small = quantize(whole)
    assert small.ByteSize() < whole.ByteSize()
    tensors = inputs(100)
    found = session_of(small, tmp_path)({k: v.numpy() for k, v in tensors.items()})["click"]
    error = np.abs(found - scores(model, tensors)).max()
    assert 1e-6 < error < 0.02


def test_a_model_without_products_has_no_int8():
    with pytest.raises(RunError, match="int8"):
        quantize(convert(unary("relu.default"), {"x": FLOATS}))


def test_columns_of_a_wider_block_are_read_where_they_lie(wide, tmp_path):
    model, program = wide
    session = session_of(convert(program, example(LAYOUTS)), tmp_path)
    tensors = inputs(5)
    block = np.zeros((5, 4), np.float32)
    block[:, 1:3] = tensors["dense:deep"].numpy()
    found = session({"emb:deep": tensors["emb:deep"].numpy(), "dense:deep": block[:, 1:3]})
    np.testing.assert_allclose(found["click"], scores(model, tensors), atol=1e-6)


def test_a_damaged_model_is_refused(tmp_path):
    (tmp_path / MODEL).write_bytes(b"no model")
    with pytest.raises(BundleError, match="cannot be read"):
        Session(tmp_path / MODEL)


def test_a_model_cannot_read_other_files(wide, tmp_path):
    """Weights outside of the model would be read from any path of the machine."""
    _, program = wide
    model = convert(program, example(LAYOUTS))
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10_000))
    weight = max(model.graph.initializer, key=lambda w: w.ByteSize())
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", str(secret)), ("offset", "0"), ("length", str(4 * int(np.prod(weight.dims))))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    with pytest.raises(BundleError, match="cannot be read"):
        session_of(model, tmp_path)


def test_inputs_of_another_shape_are_refused(wide, tmp_path):
    _, program = wide
    session = session_of(convert(program, example(LAYOUTS)), tmp_path)
    with pytest.raises(BundleError, match="cannot be run"):
        session({"emb:deep": np.zeros((5, 7), np.float32), "dense:deep": np.zeros((5, 2), np.float32)})
    with pytest.raises(BundleError, match="cannot be run"):
        session({"emb:deep": np.zeros((5, 8), np.float32)})


@pytest.mark.parametrize(
    ("fields", "dim", "dims", "products"),
    [(7, 4, [1], 1), (7, 4, [-2], 1), (7, 64, [1], 0), (7, 4, [2], 0), (7, 4, [1, 2], 0)],
    ids=["fields", "from-behind", "too-wide", "dims", "both"],
)
def test_sums_over_fields_are_products(fields, dim, dims, products, tmp_path):
    calls = [
        Call("aten.view.default", (Value(0), [-1, fields, dim]), {}),
        Call("aten.sum.dim_IntList", (Value(1), dims), {}),
    ]
    program = Program(["x"], {}, calls, {"y": 2})
    x = torch.randn(5, fields * dim)
    model = convert(program, {"x": x[:3]})
    assert sum(node.op_type == "MatMul" for node in model.graph.node) == products
    found = session_of(model, tmp_path)({"x": x.numpy()})["y"]
    np.testing.assert_allclose(found, program({"x": x})["y"].numpy(), rtol=1e-5, atol=1e-5)


def test_a_sum_over_a_number_of_steps_that_is_not_known_stays_a_sum():
    program = Program(["x"], {}, [Call("aten.unsqueeze.default", (Value(0), 0), {}), Call("aten.sum.dim_IntList", (Value(1), [1]), {})], {"y": 2})  # fmt: skip
    model = convert(program, {"x": torch.randn(4, 3)})
    assert [node.op_type for node in model.graph.node if node.op_type in ("MatMul", "ReduceSum")] == ["ReduceSum"]
