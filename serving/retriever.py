"""`Retriever`: the nearest items of users, by the bundle of a user tower and what `easyrec embed` wrote."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import Self

from easyrec.errors import RunError
from easyrec.retrieval.items import Items, nearest
from serving.predictor import Predictor


@dataclass(frozen=True)
class Retrieved:
    """What was found for a user, the nearest first.

    Attributes:
        items: Their ids.
        scores: (n,) float32, larger is nearer.
    """

    items: list[Any]
    scores: np.ndarray


class Retriever:
    """Finds items for users. Any number of threads may use one at a time.

    Args:
        users: The user tower.
        items: The catalogue's vectors by the same model.
    """

    def __init__(self, users: Predictor, items: Items) -> None:
        (output,) = users.bundle.manifest.signature.outputs
        if output.meaning != "vector":
            raise RunError(f"{users.bundle.path}: answers with '{output.name}', and not with a vector: it is no tower")
        self.users, self.items, self._answer = users, items, output.name

    @classmethod
    def load(
        cls,
        bundle: str | os.PathLike[str],
        items: str | os.PathLike[str],
        *,
        any_model: bool = False,
        **options: Any,
    ) -> Self:
        """The retriever of a bundle and a folder that `easyrec embed` wrote.

        Args:
            bundle: The user tower, e.g. `runs/match/bundle/user`.
            items: The folder.
            any_model: Take vectors that another model made; whether they can be compared is yours to know.
            options: As `Predictor.load` takes them.

        Raises:
            BundleError: The bundle is damaged or does not score as trained.
            RunError: The items are not all there, or are another model's, or the bundle is no tower.
        """
        users = Predictor.load(bundle, **options)
        try:
            model = users.bundle.manifest.tower_of
            if model is None and not any_model:
                raise RunError(f"{bundle}: does not tell of which model it is a tower: export it anew")
            return cls(users, Items(Path(items), None if any_model else model))
        except BaseException:
            users.close()
            raise

    def retrieve(
        self,
        users: Any,
        k: int = 100,
        *,
        without: Any = None,
        only: Any = None,
        filter: Mapping[str, Any] | None = None,
    ) -> list[Retrieved]:
        """The nearest items of some users.

        Args:
            users: Rows with the user's columns, as `Predictor.predict_batch` takes them.
            k: How many items each gets; fewer where fewer may be found.
            without: Ids of items that none of them gets.
            only: Ids of items that may be found; None: all.
            filter: Values by attribute that `embed` kept: found are items that have one of them in each.

        Raises:
            DataError: A row cannot be used.
            ValueError: The items have no such attribute.
        """
        vectors = self.users.predict_batch(users)[self._answer]
        chosen = {
            "without": None if without is None else self.items.numbers(without),
            "only": None if only is None else self.items.numbers(only),
            "filter": filter,
        }
        numbers, scores = nearest(self.items.index, vectors, k, **chosen)
        known = numbers >= 0
        return [
            Retrieved(self.items.ids.take(row[there]).to_pylist(), mine[there])
            for row, mine, there in zip(numbers, scores, known, strict=True)
        ]

    def close(self) -> None:
        """Let the bundle go."""
        self.users.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
