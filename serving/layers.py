"""What the dense part computes of an item alone, computed ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from easyrec.embedding.sides import ITEM
from easyrec.errors import BundleError, ConfigError
from easyrec.export.warmup import FOLDER, WarmupRows, largest_error

if TYPE_CHECKING:
    from serving.predictor import Predictor
    from serving.runtimes import Runtime

ROWS = 4096
"""Items that go through the program at a time."""
TOLERANCE = 1e-5
"""How far scores may lie from those of the whole program, as for any compiled runtime: products of other sizes round otherwise."""


class Layers:
    """A program for requests in two parts, both run by torch.

    Args:
        items: Gives, of the candidates' inputs, a row of each layer.
        rest: Gives predictions of these and the user's inputs.
    """

    def __init__(self, items: Runtime, rest: Runtime) -> None:
        self._items, self.run = items, rest

    def of_items(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of the rest that follow from items."""
        count = len(next(iter(inputs.values())))
        parts = [
            self._items({key: array[start : start + ROWS] for key, array in inputs.items()})
            for start in range(0, max(count, 1), ROWS)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def find_layers(predictor: Predictor) -> Layers | None:
    """The layers of a predictor's program, proven on its warm-up rows; None where a product of items alone is no part of it.

    Raises:
        ConfigError: torch is not installed.
        BundleError: Scores lie too far from those of the whole program.
    """
    bundle, split, entry = predictor.bundle, predictor._open()[2], predictor.manifest.split
    if split is None or entry is None or split.summed:  # then the first layer is computed ahead in any case
        return None
    try:
        import torch  # noqa: PLC0415 (services need none but for this)

        from easyrec.export.calls import Program  # noqa: PLC0415
        from easyrec.export.split.items import split_items  # noqa: PLC0415
        from serving.runtimes.torch_export import TorchExport  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(f"layers are computed ahead by torch: '{error.name}' is not installed") from None
    rows = WarmupRows.load(bundle.folder(FOLDER)).rows
    one, sides = rows.slice(0, 1), predictor._sides
    user, context = (one.select(sides[side]) if sides[side] else None for side in ("user", "context"))
    request = predictor.generator.request(user, context)
    of_user, of_items = split.of_user(request.user), split.of_items(request.score_items(rows))
    example = {key: torch.from_numpy(array) for key, array in of_items.items()}
    parts = split_items(Program.load(bundle.folder(entry.folder)), example)
    if parts is None:
        return None
    kept = [key for key in parts.rest.inputs if key.startswith(ITEM)]
    layers = Layers(_WithInputs(TorchExport(parts.items), kept), TorchExport(parts.rest))
    expected, found = split.run(of_user | of_items), layers.run(of_user | layers.of_items(of_items))
    for task, scores in expected.items():
        difference = largest_error(found[task], scores)
        if not difference <= TOLERANCE:
            told = f"differs by {difference:.2e}, allowed are {TOLERANCE:.0e}"
            raise BundleError(f"{bundle.path}: with layers computed ahead task '{task}' {told}")
    return layers


class _WithInputs:
    """A runtime that gives some of its inputs beside its outputs."""

    def __init__(self, runtime: Runtime, kept: list[str]) -> None:
        self._runtime, self._kept = runtime, kept

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._runtime(inputs) | {key: inputs[key] for key in self._kept}
