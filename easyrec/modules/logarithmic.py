"""The logarithmic transformation layer of AFN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from easyrec.modules.activation import BatchNorm
from easyrec.modules.mlp import in_float32, linear

SMALLEST = 1e-5
"""Numbers nearer to 0 than this count as this; the authors' 1e-7 trains worse from embeddings that start near 0."""


class LogarithmicLayer(nn.Module):
    """``norm(exp(sum_f w_nf norm(log |e_f|)))`` for each neuron n: products of the fields, each to a learned power.

    Both normalisations run over the rows and dimensions of a batch, per field and per neuron. All is float32, since a
    rounded exponent would be a wrong factor.

    Shape:
        fields: (B, F, D)
        output: (B, D * neurons), the neurons of one dimension after those of another

    Source:
        Cheng et al., "Adaptive Factorization Network", AAAI 2020, eq. (7) and section 3.3.
    """

    def __init__(self, fields: int, neurons: int) -> None:
        super().__init__()
        self.fields_norm, self.neurons_norm = BatchNorm(fields), BatchNorm(neurons)
        self.powers = linear(fields, neurons, bias=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The neurons."""
        dim = fields.shape[2]
        columns = fields.transpose(1, 2).flatten(0, 1).float()  # (B * D, F)
        logs = self.fields_norm(torch.log(columns.abs().clamp_min(SMALLEST)))
        products = self.neurons_norm(torch.exp(in_float32(self.powers, logs)))  # (B * D, neurons)
        return torch.unflatten(products, 0, (-1, dim)).flatten(1)
