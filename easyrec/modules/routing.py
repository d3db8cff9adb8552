"""Dynamic routing: the steps of a row sort themselves into capsules."""

from __future__ import annotations

import torch
from torch import Tensor

from easyrec.batch import Seq


def squash(capsules: Tensor) -> Tensor:
    """``|z|^2 / (1 + |z|^2) z / |z|`` of the last dim.

    Source:
        Sabour et al., "Dynamic Routing Between Capsules", NIPS 2017, eq. (1).
    """
    square = capsules.square().sum(-1, keepdim=True)
    return capsules * square / (1.0 + square) / (square + 1e-9).sqrt()


def route(votes: Tensor, start: Tensor, steps: Seq, turns: int) -> Tensor:
    """``u_k = squash(sum_l w_lk v_lk)`` with ``w_l = softmax(b_l)``, where each turn adds ``<u_k, v_lk>`` to ``b_lk``.

    Gradients go through the last turn alone.

    Shape:
        votes: (N, K, d), what each step says to each capsule
        start: (N, K), b at the beginning
        output: (B, K, d) float32; zeros for rows without steps

    Args:
        votes: The votes.
        start: The agreement that routing starts from.
        steps: Whose steps they are.
        turns: How often the capsules are made.

    Source:
        Sabour et al., "Dynamic Routing Between Capsules", NIPS 2017, procedure 1.
    """
    agreement, plain = start.float(), votes.float()
    fixed = plain.detach()
    rows = steps.offsets.shape[0] - 1
    capsules = plain.new_zeros((rows, *votes.shape[1:]))
    for turn in range(turns):
        given = plain if turn == turns - 1 else fixed
        weighted = torch.softmax(agreement, dim=1).unsqueeze(2) * given
        capsules = squash(plain.new_zeros((rows, *votes.shape[1:])).index_add(0, steps.rows, weighted))
        if turn < turns - 1:
            agreement = agreement + (capsules.index_select(0, steps.rows) * fixed).sum(2)
    return capsules
