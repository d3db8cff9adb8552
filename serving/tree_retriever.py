"""`TreeRetriever`: the items that a model finds for users in its tree, by its bundle alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor
from typing_extensions import Self

from easyrec.errors import BundleError, DataError, RunError
from easyrec.export.manifest import PATH
from easyrec.export.warmup import FOLDER, WarmupRows
from easyrec.retrieval.beam import Grown, Score, in_turns
from easyrec.retrieval.trie import Trie
from feature_generator.incoming import record
from serving.predictor import Predictor
from serving.retriever import Retrieved

ROWS = 1 << 14
"""Nodes that are scored at once."""
STEPS = 1 << 20
"""Steps of users' sequences that are looked at for them at once."""


class TreeRetriever:
    """Finds items for users: from the root down, the best children of the nodes that are kept. Any number of threads may use one.

    Args:
        model: The bundle of a model that searches a tree.

    Raises:
        RunError: It is the bundle of another model.
        BundleError: Its items cannot be read.
    """

    def __init__(self, model: Predictor) -> None:
        bundle = model.bundle
        search = bundle.manifest.search
        if search is None:
            raise RunError(f"{bundle.path}: is of a model that searches no tree; serving.Retriever takes towers")
        self.model, self.search = model, search
        try:
            items = pq.read_table(bundle.file(search.items))
            self.column = items.column_names[0]
            self.ids: pa.Array = items.column(0).combine_chunks()
            paths = items.column(PATH).combine_chunks()
            self.trie = Trie(paths.flatten().to_numpy().astype(np.int64).reshape(len(paths), -1))
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise BundleError(f"{bundle.path}: '{search.items}' holds no tree of items: {error}") from error
        sides = model.generator.inputs
        self._columns = [name for name, side in sides.items() if side != "item"]
        kept = WarmupRows.load(bundle.folder(FOLDER)).rows
        self._some = pa.Table.from_batches([kept.select([name for name in sides if sides[name] == "item"])]).slice(0, 1)
        (output,) = bundle.manifest.signature.outputs
        self._answer = output.name

    @classmethod
    def load(cls, bundle: str | os.PathLike[str], **options: Any) -> Self:
        """The retriever of a bundle.

        Args:
            bundle: Its folder, e.g. `runs/tdm/bundle`.
            options: As `Predictor.load` takes them.

        Raises:
            BundleError: The bundle is damaged or does not score as trained.
            RunError: It is of a model that searches no tree.
        """
        model = Predictor.load(bundle, **options)
        try:
            return cls(model)
        except BaseException:
            model.close()
            raise

    def retrieve(self, users: Any, k: int = 100, *, without: Any = None, beam: int | None = None) -> list[Retrieved]:
        """The items that are found for some users, with the probabilities that they take them.

        Args:
            users: Rows with the user's columns, as `Predictor.predict_batch` takes them.
            k: How many items each gets; fewer where fewer are found.
            without: Ids of items that none of them gets.
            beam: Nodes of a level that are kept, at least k; default: what the model was trained for.

        Raises:
            RunError: `k` or `beam` is below 1.
            DataError: A row cannot be used, or `without` holds what is no id.
        """
        for name, number in (("k", k), ("beam", beam)):
            if number is not None and number < 1:
                raise RunError(f"{name} must be at least 1, but is {number}")
        inputs = self._inputs(users)
        count, most = len(inputs[self.search.inputs]), len(self.trie.items)
        k = min(k, most)
        width = min(max(beam or self.search.beam, k), most)
        barred = None
        if without is not None:
            try:
                given = pa.array(without, self.ids.type)
            except (pa.ArrowException, TypeError) as error:
                raise DataError(f"without: ids of items are {self.ids.type}: {error}") from None
            places = pc.index_in(given, value_set=self.ids)
            numbers = torch.from_numpy(places.drop_null().to_numpy(zero_copy_only=False).astype(np.int64))
            barred = torch.arange(count).repeat_interleave(len(numbers)), numbers.repeat(count)
        lengths = [np.diff(values).max(initial=1) for key, values in inputs.items() if key.startswith("offsets:")]
        nodes = width * self.search.branching
        step = max(min(ROWS // nodes, STEPS // (nodes * int(max(lengths, default=1)))), 1)
        numbers, scores = in_turns(
            lambda start, stop: self._score(inputs, start), count, step, self.trie, width, k, barred
        )
        return [
            Retrieved(self.ids.take(pa.array(row[row >= 0])).to_pylist(), mine[row >= 0])
            for row, mine in zip(numbers.numpy(), scores.numpy(), strict=True)
        ]

    def _inputs(self, users: Any) -> Mapping[str, np.ndarray]:
        """What the program is given of users, each with some item."""
        rows = pa.Table.from_batches([record(users, self._columns)])
        item = self._some.take(pa.array(np.zeros(rows.num_rows, np.int64)))
        for name in item.column_names:
            rows = rows.append_column(name, item.column(name))
        return with_newest(self.model.inputs(rows), self.search.sequence, self.search.history)

    def _score(self, inputs: Mapping[str, np.ndarray], start: int) -> Score:
        """Scores nodes for users, counted from one on."""

        def score(grown: Grown) -> Tensor:
            paths = np.full((len(grown.codes), self.trie.levels), -1.0, np.float32)
            paths[:, : grown.level] = 0.0
            paths[:, grown.level] = grown.codes.numpy()
            asked = {**taken(inputs, start + grown.users.numpy()), self.search.inputs: paths}
            return torch.from_numpy(self.model.program(asked)[self._answer])

        return score

    def close(self) -> None:
        """Let the bundle go."""
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def with_newest(inputs: Mapping[str, np.ndarray], name: str, most: int) -> dict[str, np.ndarray]:
    """The inputs of a program with the newest steps of a sequence alone, which are its last ones."""
    ends = inputs[f"offsets:{name}"][1:]
    lengths = np.minimum(np.diff(inputs[f"offsets:{name}"]), most)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps = np.arange(len(lengths)).repeat(lengths)
    kept = inputs[f"seq:{name}"][np.arange(len(steps)) + (ends - offsets[1:])[steps]]
    return {**inputs, f"offsets:{name}": offsets, f"rows:{name}": steps, f"seq:{name}": kept}


def taken(inputs: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a program for some of its rows, each as often as it is named."""
    found = {}
    for key, values in inputs.items():
        kind, _, name = key.partition(":")
        if kind not in ("seq", "rows", "offsets"):
            found[key] = values[rows]
        elif kind == "offsets":
            starts, lengths = values[rows], np.diff(values)[rows]
            ends = np.cumsum(lengths)
            steps = np.arange(len(rows)).repeat(lengths)
            found[key] = np.concatenate([[0], ends])
            found[f"rows:{name}"] = steps
            found[f"seq:{name}"] = inputs[f"seq:{name}"][np.arange(len(steps)) + (starts - ends + lengths)[steps]]
    return found
