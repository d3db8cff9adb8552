"""What models say of items, and the formula that makes one score of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from easyrec.errors import DataError
from feature_generator.expressions import ExpressionError
from serving.catalogue import Keys
from serving.engine.formula import Formula
from serving.engine.row_vectors import row_vectors
from serving.engine.rows import Floats, Ints, Rows
from serving.server.columns import Question, ask, filled
from serving.server.http import Refused
from serving.server.models import Loaded

if TYPE_CHECKING:
    from serving.engine.ask import Ask
    from serving.engine.config import ScoreConfig
    from serving.engine.world import World

Tasks = dict[str, npt.NDArray[Any]]


class Scorer:
    """Scores items for users.

    Args:
        config: By which model and formula.
        world: What all requests share.
        rows: The catalogue.
        stage: Its name, for errors.
    """

    def __init__(self, config: ScoreConfig, world: World, rows: Rows, stage: str) -> None:
        self.config, self.world, self.rows, self.stage = config, world, rows, stage
        self._formulas: dict[tuple[str, ...], Formula] = {}
        self._vectors = None if config.items is None else row_vectors(world, config.items, rows)

    def refresh(self) -> None:
        """Take vectors that were written anew."""
        if self._vectors is not None:
            self._vectors.refresh()

    def score(self, asked: Ask, items: Ints, until: float) -> tuple[Floats, Tasks]:
        """The score of each item, and what it was made of.

        Args:
            asked: The request.
            items: (n,) numbers of items.
            until: When it comes too late, by `time.perf_counter`.

        Raises:
            Refused: The model is not there yet, or cannot score them, or not in time.
            DataError: The formula reads what there is not.
        """
        tasks = self._by_vectors(asked, items) if self._vectors is not None else self._by_model(asked, items, until)
        numbers = {name: values for name, values in tasks.items() if values.ndim == 1}
        text = self.config.score
        if text is None:
            first = next(iter(numbers.values()), None)
            if first is None:
                raise DataError(f"{self.stage}: the model gives no single score for each item; say 'score'")
            return np.asarray(first, np.float64), tasks
        return self.formula(tuple(numbers))(items, numbers, asked.value), tasks

    def check(self) -> None:
        """Look whether the formula reads nothing but what there is.

        Raises:
            DataError: It does.
        """
        if self._vectors is not None:
            tasks: tuple[str, ...] = ("similarity",)
        else:
            with self.world.models.get(self.config.model).pick(self.config.version or "").leased() as loaded:
                outputs = loaded.predictor.manifest.signature.outputs
                tasks = tuple(one.name for one in outputs if not one.shape)
        if self.config.score is not None or not tasks:
            self.formula(tasks)

    def formula(self, tasks: tuple[str, ...]) -> Formula:
        """The formula over the scores of some tasks.

        Raises:
            DataError: It reads what there is not.
        """
        if tasks not in self._formulas:
            try:
                self._formulas[tasks] = Formula(self.config.score or "", tasks, self.rows)
            except ExpressionError as error:
                raise DataError(f"{self.stage}.score: {error}") from None
        return self._formulas[tasks]

    def _by_vectors(self, asked: Ask, items: Ints) -> Tasks:
        """Dot products; NaN where an item has no vector."""
        assert self._vectors is not None
        made = self._vectors.made
        if made is None:
            raise Refused(503, "vectors", f"there are no vectors of items in '{self.config.items}'")
        matrix, has, tower = made
        scores = matrix[items] @ asked.vector(self.config.model, None if self.config.any_model else tower)
        return {"similarity": np.where(has[items], scores, np.float32(np.nan))}

    def _by_model(self, asked: Ask, items: Ints, until: float) -> Tasks:
        model = self.world.models.get(self.config.model)
        named = self.config.version is not None
        with (
            model.pick(self.config.version or "").leased() as loaded,
            self.world.watched(model, loaded, named) as answered,
        ):
            given = self._question(asked, loaded, items)
            left_s = until - time.perf_counter()
            try:
                question = filled(loaded, given, left_s)
                scores = ask(loaded, question, max(1.0, 1000.0 * left_s))
            except Refused as refused:
                if refused.column != self.rows.key or not isinstance(given.items, Keys):
                    raise
                # The model has not seen an item yet that the catalogue has: its columns are known here.
                given = self._question(asked, loaded, items, by_key=False)
                scores = ask(loaded, filled(loaded, given, left_s))
            answered(given, scores)
        return dict(scores)

    def _question(self, asked: Ask, loaded: Loaded, items: Ints, *, by_key: bool = True) -> Question:
        sides: dict[str, list[str]] = {"user": [], "item": [], "context": []}
        for name, side in loaded.columns.items():
            sides[side].append(name)
        user, context = (asked.batch(side, sides[side]) if sides[side] else None for side in ("user", "context"))
        catalogue = loaded.predictor.catalogue
        if by_key and catalogue is not None:
            beside = self._columns(items, catalogue.asked) if catalogue.asked else None
            return Question(user, Keys(self.rows.keys.take(pa.array(items)), beside), context)
        return Question(user, self._columns(items, sides["item"]), context)

    def _columns(self, items: Ints, names: Any) -> pa.RecordBatch:
        """Columns of items: those of the config, of the catalogue, and nothing where neither has one."""
        held = [name for name in names if name in self.rows.table.column_names and name not in self.config.columns]
        arrays: dict[str, Any] = {}
        if held:
            batch = self.rows.batch(items, held)
            arrays = dict(zip(held, batch.columns, strict=True))
        for name in names:
            if name not in arrays:
                value = self.config.columns.get(name)
                arrays[name] = pa.array([value] * len(items)) if value is not None else pa.nulls(len(items))
        return pa.RecordBatch.from_arrays([arrays[name] for name in names], list(names))
