"""`RowVectors`: vectors of a catalogue's items, by their numbers there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serving.engine.rows import Mask, Rows
from serving.engine.vectors import Vectors
from serving.engine.world import World

Matrix = npt.NDArray[np.float32]


class RowVectors:
    """The vectors that `easyrec embed` wrote, laid out like the catalogue.

    Args:
        world: What all requests share.
        path: The folder.
        rows: The catalogue.
        unit: Whether their lengths are made 1, so that dot products are cosines.
    """

    def __init__(self, world: World, path: str, rows: Rows, *, unit: bool = False) -> None:
        self._vectors = world.shared(("vectors", path), Vectors, path)
        self._rows, self._unit, self._number = rows, unit, -1
        self._made: tuple[Matrix, Mask, str] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Take those that lie there now."""
        self._vectors.refresh()
        held = self._vectors.held
        if held is None or held.number == self._number:
            return
        places = self._rows.find(held.items.ids)
        known = places >= 0
        matrix = held.items.vectors()[known]
        if self._unit:
            lengths = np.sqrt(np.einsum("nd,nd->n", matrix, matrix))
            matrix = matrix / np.maximum(lengths, np.float32(1e-12))[:, None]
        laid, has = np.zeros((len(self._rows), matrix.shape[1]), np.float32), np.zeros(len(self._rows), bool)
        laid[places[known]], has[places[known]] = matrix, True
        self._made, self._number = (laid, has, held.items.model), held.number

    @property
    def made(self) -> tuple[Matrix, Mask, str] | None:
        """(N, D) vectors, (N,) which items have one, and the model that made them; None: there are none yet."""
        return self._made


def row_vectors(world: World, path: str, rows: Rows, *, unit: bool = False) -> RowVectors:
    """The vectors of a folder, which all who need them share."""
    return rows.shared(("vectors", path, unit), lambda: RowVectors(world, path, rows, unit=unit))
