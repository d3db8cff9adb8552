"""The search for items by a model that writes their codes."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from easyrec.batch import Seq
from easyrec.models._searching import of_rows
from easyrec.modules.encoder_decoder import Decoder, Past
from easyrec.retrieval.beam import Score, added, in_turns
from easyrec.retrieval.trie import Trie

BEAMS = 1 << 14
"""Beams that are continued at once."""


class Writer(Protocol):
    """A model that writes codes.

    Attributes:
        codes: C, codes of a level.
        config: With `beam`.
        decoder: What continues codes.
        starts: (2, D), the second is what codes begin with.
        tokens: (L * (C + 1), D), of the codes of each level, and one for none.
        outputs: (L, D, C).
    """

    codes: int
    config: Any
    decoder: Decoder
    starts: Any
    tokens: Any
    outputs: Any


def found(
    model: Writer, encoded: Seq, trie: Trie, k: int, barred: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """(B, k) the items that are the most probable, -1 behind the last, and (B, k) their log-probabilities.

    Args:
        model: The model.
        encoded: What its encoder made of the users.
        trie: The items.
        k: How many are found; the beam is as wide at least.
        barred: Users and items (n,) that are not found together.
    """
    users, beam = encoded.offsets.shape[0] - 1, min(max(model.config.beam, k), len(trie.items))

    def of(start: int, stop: int) -> Score:
        return added(Writing(model, of_rows(encoded, start, stop)).advance)

    return in_turns(of, users, max(BEAMS // beam, 1), trie, beam, k, barred)


class Writing:
    """The codes that some users' beams have written so far, with keys and values of the decoder."""

    def __init__(self, model: Writer, encoded: Seq) -> None:
        self.model, self.users = model, encoded.offsets.shape[0] - 1
        self.memory, self.level = model.decoder.memory(encoded), 0
        self.past: list[Past] | None = None

    def advance(self, parents: Tensor | None, codes: Tensor | None) -> Tensor:
        """As `beam_search` asks."""
        model = self.model
        if parents is None or codes is None:
            token = model.starts[1].expand(self.users, 1, -1)
        else:
            assert self.past is not None
            width = self.past[0][0].shape[0] // max(self.users, 1)
            kept = (parents + torch.arange(self.users, device=parents.device).unsqueeze(1) * width).flatten()
            self.past = [(keys.index_select(0, kept), values.index_select(0, kept)) for keys, values in self.past]
            token = model.tokens.index_select(0, codes.flatten() + (self.level - 1) * (model.codes + 1)).unsqueeze(1)
        hidden, self.past = model.decoder(token, self.memory, self.past)
        logs: Tensor = torch.log_softmax(hidden.squeeze(1).float() @ model.outputs[self.level], dim=1)
        self.level += 1
        return logs.view(self.users, -1, model.codes)
