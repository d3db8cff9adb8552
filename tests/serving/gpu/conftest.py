"""A predictor on a device: on a GPU where there is one, else on one that computes on the processor."""

import pytest
import torch

from serving import Predictor

GPU = torch.cuda.is_available()
QUICK = {"sessions": 2, "tables": "cpu", "dense": "gpu"}
"""Nothing is left to be measured."""


@pytest.fixture
def served(monkeypatch):
    """Loads a bundle onto a device; options are those of `device`, but `on`, which is that device."""

    def made(bundle, on=None, **options):
        there = on or torch.device("cuda" if GPU else "cpu")
        monkeypatch.setattr("serving.gpu.scorer.open_device", lambda name, key: there)
        return Predictor.load(bundle, device={"name": "cuda", **QUICK, **options})

    return made
