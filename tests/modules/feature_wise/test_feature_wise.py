"""Layers over fields: what all of them promise, then each against its formula."""

import numpy as np
import pytest
import torch

from easyrec.modules.feature_wise import build
from easyrec.modules.feature_wise.dropout import Config as Dropout
from easyrec.modules.feature_wise.gate import Config as Gate
from easyrec.modules.feature_wise.senet import Config as SENet
from feature_generator.config import member, members

LAYERS = members("easyrec.modules.feature_wise")
DIMS = {"equal": [4, 4, 4], "unequal": [2, 4, 4, 1]}


def made(config, dims):
    torch.manual_seed(0)
    return build(config, dims).eval()


@pytest.mark.family("easyrec.modules.feature_wise")
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_fields_keep_their_shape(name, dims, rows):
    layer = made(member("easyrec.modules.feature_wise", name).Config(), dims)
    for training in (True, False):
        fields = layer.train(training)(torch.randn(rows, sum(dims)))
        assert fields.shape == (rows, sum(dims))
        assert fields.dtype == torch.float32


@pytest.mark.family("easyrec.modules.feature_wise")
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
def test_every_parameter_gets_a_gradient_and_rows_stay_apart(name, dims):
    layer, fields = made(member("easyrec.modules.feature_wise", name).Config(), dims), torch.randn(5, sum(dims))
    whole = layer(fields.requires_grad_())
    for row in range(5):
        torch.testing.assert_close(layer(fields[row : row + 1]), whole[row : row + 1])
    whole.square().sum().backward()
    assert [key for key, p in layer.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert (fields.grad != 0).all()


def parts(array, dims):
    return np.split(array, np.cumsum(dims)[:-1], axis=-1)


@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_senet_weighs_fields_by_their_means(dims, activation):
    layer, fields = made(SENet(reduction=2, activation=activation), dims), torch.randn(5, sum(dims))
    squeeze, excite = layer.squeeze.weight.detach().numpy(), layer.excite.weight.detach().numpy()
    assert squeeze.shape == (len(dims) // 2, len(dims))
    for row, found in zip(fields.numpy(), layer(fields).detach().numpy(), strict=True):
        z = np.array([part.mean() for part in parts(row, dims)])
        a = excite @ np.maximum(squeeze @ z, 0)
        a = 1 / (1 + np.exp(-a)) if activation == "sigmoid" else np.maximum(a, 0)
        expected = np.concatenate([weight * part for weight, part in zip(a, parts(row, dims), strict=True)])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
def test_a_gate_looks_at_its_own_field(dims):
    layer, fields = made(Gate(), dims), torch.randn(5, sum(dims))
    weights = parts(layer.weight.detach().numpy(), dims)
    for row, found in zip(fields.numpy(), layer(fields).detach().numpy(), strict=True):
        expected = [e / (1 + np.exp(-w @ e)) for w, e in zip(weights, parts(row, dims), strict=True)]
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
def test_a_bitwise_gate_has_a_matrix_per_field(dims):
    layer, fields = made(Gate(bitwise=True), dims), torch.randn(5, sum(dims))
    matrices = [matrix for run in layer.matrices for matrix in run.detach().numpy()]
    for row, found in zip(fields.numpy(), layer(fields).detach().numpy(), strict=True):
        expected = [e / (1 + np.exp(-e @ w)) for w, e in zip(matrices, parts(row, dims), strict=True)]
        np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
def test_dropout_takes_whole_fields_and_keeps_the_mean(dims):
    layer, fields = made(Dropout(rate=0.25), dims), torch.ones(4000, sum(dims))
    assert torch.equal(layer(fields), fields)
    left = np.stack([part.mean(axis=1) for part in parts(layer.train()(fields).numpy(), dims)], axis=1)
    assert set(np.round(np.unique(left), 3)) == {0.0, np.float32(1.333)}
    np.testing.assert_allclose((left == 0).mean(axis=0), 0.25, atol=0.03)
    assert len(np.unique(left, axis=0)) == 2 ** len(dims)
