"""`World`: what all requests of an engine share: models, counts, history, and what several stages read."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError, nearest
from feature_generator.errors import FeatureGeneratorError, Problem
from serving.engine.ask import Ask, Vector
from serving.engine.history import History
from serving.engine.live import Live
from serving.engine.rows import Rows
from serving.server.events import tell
from serving.server.http import Refused
from serving.server.models import Loaded, Model, Models

if TYPE_CHECKING:
    from serving.engine.config import EngineConfig
    from serving.server.columns import Question as ModelQuestion

T = TypeVar("T")
Watched: TypeAlias = Callable[
    ["Model", "Loaded", bool], AbstractContextManager[Callable[["ModelQuestion", Mapping[str, Any]], None]]
]
TOLD_S = 10.0
"""Between two lines of the log on a stage that is left out."""
TIMES, HOURS_AGO = {"event_time_ms": (1, pa.int64()), "event_time_s": (1000, pa.int64())}, "hours_ago"


@contextlib.contextmanager
def _unwatched(*_: Any) -> Iterator[Callable[[ModelQuestion, Mapping[str, Any]], None]]:
    yield lambda *_: None


class World:
    """What requests share.

    Args:
        config: The engine's.
        models: What scores.
        history: What users did.
        live: What is counted of items.

    Attributes:
        watched: Takes note of a model that is asked, whether its version was named, and of what it answers.
    """

    def __init__(self, config: EngineConfig, models: Models, history: History, live: Live) -> None:
        self.config, self.models, self.history, self.live = config, models, history, live
        self.watched: Watched = _unwatched
        self._shared: dict[Hashable, Any] = {}
        self._lock = threading.RLock()
        self._told: dict[str, float] = {}

    def shared(self, key: Hashable, make: Callable[..., T], *given: Any) -> T:
        """Something large that several stages need, made when the first one asks for it."""
        with self._lock:
            if key not in self._shared:
                self._shared[key] = make(*given)
            found: T = self._shared[key]
            return found

    def close(self) -> None:
        """Let go of what stages share and what is open."""
        with self._lock:
            for one in self._shared.values():
                close = getattr(one, "close", None)  # most hold nothing
                if close is not None:
                    close()

    def failed(self, stage: str, error: Exception) -> None:
        """Tell the log of a stage that is left out, now and then: what is counted holds all of them."""
        now = time.monotonic()
        if now - self._told.get(stage, -TOLD_S) < TOLD_S:
            return
        self._told[stage] = now
        known = isinstance(error, Refused | FeatureGeneratorError)
        tell(
            logging.WARNING,
            "a stage was left out",
            None if known else error,
            stage=stage,
            why=str(error)[:300] if known else "",
        )

    def vector(self, ask: Ask, model: str, tower: str | None) -> Vector:
        """The vector of a user.

        Args:
            ask: The request.
            model: One of the models.
            tower: Of which model the tower has to be, as vectors of items are compared with it: where one of them was
                replaced already and the other was not, the former tower still answers. None: whichever.

        Raises:
            Refused: The model is not there yet, or is another one's tower.
            DataError: A column is unreadable, or the model gives no vector.
        """
        with self._leased(model, tower) as loaded:
            predictor = loaded.predictor
            rows = ask.batch("user", [name for name, side in loaded.columns.items() if side == "user"])
            beside = [name for name, side in loaded.columns.items() if side == "context"]
            if beside:
                more = ask.batch("context", beside)
                rows = pa.RecordBatch.from_arrays(
                    [*rows.columns, *more.columns], [*rows.schema.names, *more.schema.names]
                )
            (found,) = predictor.predict_batch(rows).values()
        if found.ndim < 2:
            raise DataError(f"the model '{model}' gives scores, and no vectors: name a user tower")
        vector = found[0] if found.ndim == 2 else found[0, 0]
        return np.ascontiguousarray(vector, np.float32)

    @contextlib.contextmanager
    def _leased(self, model: str, tower: str | None) -> Iterator[Loaded]:
        """A model's bundle that is the tower of a model."""
        version = self.models.get(model).pick()
        current, former = version.current, version.previous
        for loaded in (current, former):
            if loaded is not None and tower is not None and loaded.predictor.manifest.tower_of == tower:
                with loaded.leased() as alive:
                    if alive:
                        yield loaded
                        return
        if current is not None and tower is not None:
            raise Refused(503, "tower", f"the vectors of items are not those of the model '{model}'")
        with version.leased() as loaded:
            yield loaded

    def check_history(self, rows: Rows) -> None:
        """Look whether the columns of the user that are made of clicks can be.

        Raises:
            DataError: The catalogue lacks what one is made of.
        """
        known = [*rows.columns, *TIMES, HOURS_AGO]
        for name, source in self.config.history.columns.items():
            if source not in known:
                told = f"the catalogue has no such column{nearest(source, known)}"
                raise DataError(told, column=source).asked_by(Problem("", where=f"history . columns . {name}"))

    def past_columns(self, ask: Ask, stored: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Columns of the user that are made of the clicks; what a store has of them stands before."""
        wanted = self.config.history.columns
        if not wanted or not len(ask.clicked):
            return {}
        rows, times = ask.clicked[::-1], ask.clicked_times[::-1]
        found: dict[str, Any] = {}
        for name, source in wanted.items():
            if source in TIMES:
                unit, kind = TIMES[source]
                values = pa.array(times // unit, kind)
            elif source == HOURS_AGO:
                values = pa.array((ask.question.time - times) / 3_600_000.0)
            elif source not in ask.rows.table.column_names:  # the catalogue lost it: the column is null, as if unknown
                continue
            else:
                taken = ask.rows.table.column(source).take(pa.array(rows))
                values = taken.chunk(0) if taken.num_chunks else pa.array([], taken.type)
                if pa.types.is_dictionary(values.type):
                    values = values.dictionary_decode()
            found[name] = _behind(stored.get(name), values)
        return found


def _behind(former: pa.Array | None, values: pa.Array) -> pa.Array:
    """A list of values, behind those of a list that was there."""
    if former is not None and former.null_count == 0 and not pa.types.is_null(former.type):
        before = former.flatten()
        with contextlib.suppress(pa.ArrowException):  # of other types: the clicks of now are worth more
            values = pa.concat_arrays([before, values.cast(before.type)])
    return pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
