"""A graph of fields that pass messages along weighted edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyrec.modules.experts import Linears
from easyrec.modules.mlp import linear


class Edges(nn.Module):
    """``a_ij = softmax_j(leaky_relu(w . [e_i, e_j]))`` over all other fields j.

    Shape:
        fields: (B, F, D)
        output: (B, F, F), 0 on the diagonal

    Source:
        Li et al., "Fi-GNN: Modeling Feature Interactions via Graph Neural Networks for CTR Prediction", CIKM 2019,
        section 3.4.
    """

    own: Tensor

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__()
        self.ends = linear(dim, 2, bias=False)
        own = torch.zeros(fields, fields).fill_diagonal_(-torch.inf)
        self.register_buffer("own", own, persistent=False)

    def forward(self, fields: Tensor) -> Tensor:
        """The weights."""
        ends = self.ends(fields).float()  # (B, F, 2): the two halves of w
        scores = F.leaky_relu(ends[:, :, :1] + ends[:, :, 1:].transpose(1, 2))
        return torch.softmax(scores + self.own, dim=2)


class Messages(nn.Module):
    """``m_i = P_i sum_j a_ij Q_j h_j + b_i``, with matrices P, Q of every field.

    Shape:
        edges: (B, F, F)
        states, output: (B, F, D)

    Source:
        Li et al., "Fi-GNN", CIKM 2019, section 3.4.
    """

    def __init__(self, fields: int, dim: int) -> None:
        super().__init__()
        self.leaving = nn.Parameter(torch.stack([linear(dim, dim).weight.detach() for _ in range(fields)]))
        self.arriving = Linears(fields, dim, dim)

    def forward(self, edges: Tensor, states: Tensor) -> Tensor:
        """The messages."""
        sent = torch.bmm(states.transpose(0, 1), self.leaving.transpose(1, 2)).transpose(0, 1)  # (B, F, D)
        return self.arriving(torch.bmm(edges.to(sent.dtype), sent))  # type: ignore[no-any-return]


class GatedUpdate(nn.Module):
    """``z * h + (1 - z) * tanh(W m + r * (U h))`` with gates z and r that read m and h: a GRU's step.

    Shape:
        message, state, output: (.., D)

    Source:
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014, eq. (5)-(8), with r after U.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.of_message, self.of_state = linear(dim, 3 * dim), linear(dim, 3 * dim)

    def forward(self, message: Tensor, state: Tensor) -> Tensor:
        """The next state."""
        reset, update, new = torch.chunk(self.of_message(message), 3, dim=-1)
        reset_h, update_h, new_h = torch.chunk(self.of_state(state), 3, dim=-1)
        reset, update = torch.sigmoid(reset + reset_h), torch.sigmoid(update + update_h)
        return torch.lerp(torch.tanh(new + reset * new_h), state.to(update.dtype), update)
