"""`Explained`: how the scores of a request came about, to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_generator import FeatureGenerator, Table
from feature_generator.columns import BadValue
from serving.course import Course

if TYPE_CHECKING:
    from serving.predictor import Predictor
    from serving.staged import Stages

SHOWN_ITEMS, SHOWN_ROWS, SHOWN_TEXT = 5, 8, 40
"""What fits a screen when it is printed; the fields hold all."""


@dataclass(frozen=True)
class Default:
    """A raw column that was null, empty or not given, so that features took their defaults.

    Attributes:
        side: `user`, `item` or `context`.
        column: Its name.
        rows: In which candidates; of the user and the context [0].
        features: The features that read it, and their defaults.
    """

    side: str
    column: str
    rows: list[int]
    features: dict[str, str]


@dataclass(frozen=True)
class Explained:
    """The scores of a request, and how they came about. Printed, it is a table.

    Attributes:
        scores: By task, as `predict` gives them.
        times_ms: Milliseconds by stage.
        features: The features as the model was given them, a row for each candidate.
        defaults: Where features took their defaults, of the columns that came with the request.
        missing: By raw column, values that were null or not given.
        unknown: By feature, values outside its vocabulary or range.
        bad: Values that broke a rule, which took the default.
        keys: The candidates' keys, where they were asked for by key.
    """

    scores: Mapping[str, np.ndarray]
    times_ms: Mapping[str, float]
    features: Table
    defaults: list[Default]
    missing: Mapping[str, int]
    unknown: Mapping[str, int]
    bad: list[BadValue]
    keys: list[Any] | None = None

    def plain(self) -> dict[str, Any]:
        """Everything but the scores as plain data, as JSON takes it."""
        return {
            "times_ms": {stage: round(ms, 4) for stage, ms in self.times_ms.items()},
            "features": self.features.to_arrow().to_pydict(),
            "defaults": [vars(one) for one in self.defaults],
            "missing": dict(self.missing),
            "unknown": dict(self.unknown),
            "bad": [vars(one) for one in self.bad],
        }

    def __str__(self) -> str:
        return "\n\n".join("\n".join(part) for part in self._parts() if part)

    def _parts(self) -> Iterator[list[str]]:
        times = [*self.times_ms.items(), ("total", sum(self.times_ms.values()))]
        yield _aligned([("stage", "ms"), *((stage, f"{ms:.3f}") for stage, ms in times)])
        count = self.features.num_rows
        shown = range(min(count, SHOWN_ITEMS))
        names = [str(i if self.keys is None else self.keys[i]) for i in shown]
        head = [("", *names)] if count <= SHOWN_ITEMS else [("", *names, f"... {count - SHOWN_ITEMS} more")]
        scores = [(task, *(_short(values[i].tolist()) for i in shown)) for task, values in self.scores.items()]
        listed = self.features.slice(0, len(shown)).to_arrow().to_pydict()
        yield _aligned([*head, *scores, *((name, *map(_short, values)) for name, values in listed.items())])
        if self.defaults:
            lines = [
                (one.side, one.column, _rows(one.rows), ", ".join(f"{f}={d!r}" for f, d in one.features.items()))
                for one in self.defaults
            ]
            yield _aligned([("defaults", "column", "rows", "features"), *lines])
        if self.unknown:
            yield _aligned([("unknown", "values"), *((name, str(count)) for name, count in self.unknown.items())])
        if self.bad:
            yield _aligned([("bad", "row", "reason"), *((b.column, str(b.row), b.reason) for b in self.bad)])


def explained(predictor: Predictor, stages: Stages, user: Any, items: Any, context: Any, course: Course) -> Explained:
    """Score a request and tell how.

    Raises:
        DataError: As `Predictor.predict` says.
        DeadlineError: The deadline passed.
    """
    staged = stages.answer(user, items, context, course, whole=True)
    assert staged.table is not None
    defaults = [
        found
        for side, batch in staged.batches.items()
        for found in ([] if batch is None else _defaults(predictor.generator, side, batch))
    ]
    return Explained(
        staged.scores,
        {stage: 1000.0 * seconds for stage, seconds in course.times.items()},
        staged.table,
        defaults,
        staged.missing,
        staged.unknown,
        staged.table.bad,
        None if staged.keys is None else staged.keys.plain(),
    )


def _defaults(generator: FeatureGenerator, side: str, batch: pa.RecordBatch) -> Iterator[Default]:
    batch = batch if type(batch) is pa.RecordBatch else pa.record_batch(batch)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        absent = column.is_null()
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            absent = pc.or_(absent, pc.equal(pc.binary_length(column), 0).fill_null(True))
        rows = np.flatnonzero(absent.to_numpy(zero_copy_only=False)).tolist()
        if rows:
            yield Default(side, name, rows, _reading(generator, name))


def _reading(generator: FeatureGenerator, column: str) -> dict[str, str]:
    """The outputs that read a column themselves, and their defaults."""
    found = {}
    for name, spec in generator.outputs.items():
        grouped = spec.sequence is not None and spec.sequence != name
        sources = [source.name for source in spec.config.sources if source.side not in ("feature", "const")]
        read = name if generator.mode == "encoded" else column.removeprefix(f"{spec.sequence}__") if grouped else column
        if read in sources and (not grouped or column.startswith(f"{spec.sequence}__")):
            found[name] = str(spec.config.default_value)
    return found


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    columns = max(len(row) for row in rows)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(columns)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        text = f"[{', '.join(map(_short, value[:SHOWN_ROWS]))}{', ...' if len(value) > SHOWN_ROWS else ''}]"
    else:
        text = str(value)
    return text if len(text) <= SHOWN_TEXT else f"{text[: SHOWN_TEXT - 3]}..."


def _rows(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:SHOWN_ROWS])) + (f", ... {len(rows)}" if len(rows) > SHOWN_ROWS else "")
