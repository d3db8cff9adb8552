"""From training rows to the nodes of a tree that they are learned with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from easyrec.data.matching import Matcher
from easyrec.data.rows import Rows
from easyrec.data.samplers.tree import Tree

if TYPE_CHECKING:
    from easyrec.batch import Batch


class NodeMatcher(Matcher):
    """Gives batches their positions, and these nodes of the sampler's tree. Same seed and key, same ones."""

    def __call__(self, rows: Rows, outputs: Any, key: Sequence[int]) -> Batch:
        """The batch of some rows, with positions and nodes.

        Args:
            rows: The rows.
            outputs: The generator's outputs.
            key: What tells this batch from others.
        """
        import torch  # noqa: PLC0415 (it comes with the first batch, not with the import)

        batch = super().__call__(rows, outputs, key)
        assert batch.matches is not None
        assert isinstance(self.sampler, Tree)
        own = batch.matches.numbers[batch.matches.targets].numpy()
        seeds = np.random.SeedSequence([*self.seed, *key], spawn_key=(1,))
        nodes = self.sampler.nodes(own, np.random.default_rng(seeds))
        return batch.against(replace(batch.matches, nodes=torch.from_numpy(nodes)))
