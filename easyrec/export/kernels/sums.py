"""What a program of the kernels is given in place of fields, beside its steps. Knows no torch.

sums.json    {"folded": [group, ...], "inputs": {input: {"features": [...], "blocks": [[power, rows, columns], ...]}}}
sums.npy     the matrices of all blocks behind each other, float32
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from easyrec.embedding.sums import Block, SumsOf
from easyrec.errors import BundleError
from easyrec.export.strict_json import dump, read_json

SUMS, MATRICES = "sums.json", "sums.npy"


@dataclass(frozen=True)
class Given:
    """What a program for requests is given.

    Attributes:
        folded: Groups whose numbers it is given as they are.
        sums: By input of the candidates, sums over fields.
    """

    folded: tuple[str, ...] = ()
    sums: Mapping[str, SumsOf] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write it into an existing folder."""
        inputs, matrices = {}, [np.empty(0, np.float32)]
        for key, sums in self.sums.items():
            blocks = [[block.power, *block.matrix.shape] for block in sums.blocks]
            inputs[key] = {"features": list(sums.features), "blocks": blocks}
            matrices += [block.matrix.reshape(-1) for block in sums.blocks]
        (folder / SUMS).write_bytes(dump({"folded": list(self.folded), "inputs": inputs}))
        np.save(folder / MATRICES, np.concatenate(matrices), allow_pickle=False)

    @staticmethod
    def load(folder: Path) -> Given | None:
        """Read what `save` wrote; None where nothing was.

        Raises:
            BundleError: A file is damaged.
        """
        file = folder / SUMS
        if not file.exists():
            return None
        data = read_json(file)
        try:
            numbers, at, sums = np.load(folder / MATRICES, allow_pickle=False), 0, {}
            if numbers.dtype != np.float32 or numbers.ndim != 1:
                raise ValueError(f"{MATRICES} holds no numbers")
            for key, one in data["inputs"].items():
                blocks = []
                for power, rows, columns in one["blocks"]:
                    if power not in (1, 2) or min(rows, columns) < 1:
                        raise ValueError("a block is none")
                    blocks.append(Block(power, numbers[at : at + rows * columns].reshape(rows, columns)))
                    at += rows * columns
                if len({len(block.matrix) for block in blocks}) != 1:
                    raise ValueError("blocks do not fit each other")
                sums[key] = SumsOf(tuple(map(str, one["features"])), tuple(blocks))
            return Given(tuple(map(str, data["folded"])), sums)
        except OSError as error:
            raise BundleError(f"{folder / MATRICES}: cannot be read: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{file}: is damaged: {error}") from None
