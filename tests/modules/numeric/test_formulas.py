"""Each kind against its formula, field by field and row by row."""

import numpy as np
import pytest
import torch

from easyrec.config.model import NormalInit
from easyrec.modules.numeric import build
from easyrec.modules.numeric.autodis import Config as AutoDis
from easyrec.modules.numeric.mlp import Config as MLP
from easyrec.modules.numeric.periodic import Config as Periodic

SIZES, STARTS, DIM = [1, 3, 2], [0, 1, 4], 4


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((5, 6))


def made(config):
    torch.manual_seed(1)
    module = build(config, SIZES, DIM, NormalInit(std=1.0)).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module, {name: p.detach().numpy() for name, p in module.named_parameters()}


def embedded(module, values):
    return module.embed(torch.from_numpy(values).t()).transpose(0, 1).detach().numpy()


def test_autodis_mixes_the_vectors_of_each_number(values):
    module, w = made(AutoDis(buckets=3, temperature=0.7, skip=0.4))
    found = embedded(module, values)
    for row in range(5):
        for field, (start, size) in enumerate(zip(STARTS, SIZES, strict=True)):
            expected = np.zeros(DIM)
            for number in range(start, start + size):
                hidden = values[row, number] * w["first"][number, 0]
                hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
                scores = (hidden @ w["second"][number] + 0.4 * hidden) / 0.7
                shares = np.exp(scores) / np.exp(scores).sum()
                expected += shares @ w["table"][number]
            np.testing.assert_allclose(found[row, field], expected, rtol=1e-9)


def test_autodis_takes_one_vector_as_the_temperature_falls(values):
    module, w = made(AutoDis(buckets=3, temperature=1e-6))
    found = embedded(module, values)[:, 0]
    assert all(np.abs(w["table"][0] - vector).sum(1).min() < 1e-9 for vector in found)


def test_periodic_is_a_layer_over_waves(values):
    module, w = made(Periodic(frequencies=3))
    found = embedded(module, values)
    for row in range(5):
        for field, (start, size) in enumerate(zip(STARTS, SIZES, strict=True)):
            layer = w["bias"][field, 0].copy()
            for number in range(start, start + size):
                angles = 2 * np.pi * w["frequencies"][number, 0] * values[row, number]
                layer += np.concatenate([np.sin(angles), np.cos(angles)]) @ w["table"][number]
            np.testing.assert_allclose(found[row, field], np.maximum(layer, 0), rtol=1e-9, atol=1e-12)


def test_mlp_takes_the_numbers_of_a_field_as_one_vector(values):
    module, w = made(MLP(hidden=6))
    found = embedded(module, values)
    for row in range(5):
        for field, (start, size) in enumerate(zip(STARTS, SIZES, strict=True)):
            hidden = values[row, start : start + size] @ w["first"][start : start + size, 0] + w["bend"][field, 0]
            expected = np.maximum(hidden, 0) @ w["table"][field] + w["bias"][field, 0]
            np.testing.assert_allclose(found[row, field], expected, rtol=1e-9)
