import pytest
import torch
import torch.nn.functional as F

from easyrec.modules.product import Linear, _Product, outer, product, usual

onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"),
    reason="this torch has no oneDNN",
)


@onednn
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("rows", [1, 5, 300, 999])
def test_product_and_its_gradients_equal_the_plain_formula(rows, biased):
    torch.manual_seed(0)
    x = torch.randn(rows, 40, requires_grad=True)
    weight = torch.randn(24, 40, requires_grad=True)
    bias = torch.randn(24, requires_grad=True) if biased else None
    inputs = [t for t in (x, weight, bias) if t is not None]
    gradient = torch.randn(rows, 24)
    plain = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    wanted = torch.autograd.grad(plain, inputs, gradient.double())
    ours = _Product.apply(x, weight, bias)
    got = torch.autograd.grad(ours, inputs, gradient)
    torch.testing.assert_close(ours, plain.float(), rtol=1e-5, atol=1e-5)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-5, atol=1e-4)


def test_evaluation_is_bit_equal_to_torch():
    layer, plain = Linear(40, 24), torch.nn.Linear(40, 24)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(7, 40)
    with torch.no_grad():
        assert torch.equal(layer(x), plain(x))


def test_no_rows_and_narrow_layers_keep_their_shapes():
    weight = torch.randn(24, 40, requires_grad=True)
    assert product(torch.zeros(0, 40), weight).shape == (0, 24)
    assert product(torch.zeros(3, 40), weight[:1]).shape == (3, 1)


@onednn
def test_slices_are_laid_out_before_their_product():
    """The weights' gradient of a slice takes oneDNN a thousand times as long."""
    wide, weight = torch.randn(8, 100), torch.randn(24, 40, requires_grad=True)
    (saved, _) = _Product.apply(wide[:, 10:50], weight, None).grad_fn.saved_tensors
    assert saved.is_contiguous()


def test_onednn_meets_few_numbers_of_rows_and_nearly_all_of_each():
    for low in (64, 1024, 65536):
        taken = {usual(rows) for rows in range(low, 2 * low)}
        assert len(taken) == 16
        assert all(rows - usual(rows) < low / 16 for rows in range(low, 2 * low))
    assert [usual(rows) for rows in (0, 1, 31, 2048, 3072, 4096)] == [0, 1, 31, 2048, 3072, 4096]


@onednn
def test_the_gradient_of_a_weight_is_right_where_torch_does_the_rest():
    gradient, x = torch.randn(999, 24), torch.randn(999, 40)
    torch.testing.assert_close(outer(gradient, x), gradient.t() @ x, rtol=1e-4, atol=1e-4)


def test_gradients_have_gradients():
    """As a penalty of the gradient's norm asks for."""
    found = []
    for layer in (_Product.apply, torch.nn.functional.linear):
        torch.manual_seed(0)
        x, weight, bias = (torch.randn(*shape, requires_grad=True) for shape in ((7, 24), (32, 24), (32,)))
        (slope,) = torch.autograd.grad(layer(x, weight, bias).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        found.append([tensor.grad for tensor in (x, weight, bias)])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-2)
