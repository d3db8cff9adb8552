"""A question to a model: raw columns of one user and its candidates, of rows, or ready-made inputs; and its answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import BundleError, DataError, DeadlineError, StoreError, nearest
from feature_generator.json_rows import JsonRows
from feature_generator.native import distinct_keys
from serving.explained import Explained
from serving.server.events import tell
from serving.server.http import Refused
from serving.server.models import Loaded, Model

Scores = dict[str, np.ndarray]
UNHURRIED_MS, MANY = 50.0, 1000
"""With so much time and fewer candidates than this a deadline is not looked at while they are scored."""


@dataclass
class Question:
    """What is to be scored.

    Attributes:
        user: The user's columns: a mapping, or a batch of one row.
        items: Candidates: a list of mappings, a mapping of arrays, or a batch.
        context: The request's columns.
        rows: Instead of these, rows that hold all columns side by side.
        inputs: Instead of all, inputs of the dense part.
        explain: Whether it is asked how the scores come about.
        explained: That, once it was answered.
    """

    user: Any = None
    items: Any = None
    context: Any = None
    rows: pa.RecordBatch | None = None
    inputs: Mapping[str, np.ndarray] | None = None
    explain: bool = field(default=False, kw_only=True)
    explained: Explained | None = field(default=None, kw_only=True)

    @property
    def user_form(self) -> bool:
        """Whether it is about one user and its candidates."""
        return self.rows is None and self.inputs is None

    @property
    def count(self) -> int:
        """Candidates or rows, as far as they can be counted before they are read."""
        if self.inputs is not None:
            return max(
                (len(a) for name, a in self.inputs.items() if name.startswith(("emb:", "first:", "dense:"))), default=0
            )
        if self.rows is not None:
            return int(self.rows.num_rows)
        if isinstance(self.items, Mapping):
            return max((len(values) for values in self.items.values() if isinstance(values, list)), default=0)
        return 0 if self.items is None else len(self.items)


def ask(loaded: Loaded, question: Question, deadline_ms: float | None = None) -> Scores:
    """The scores by task.

    Args:
        loaded: Who is asked.
        question: What.
        deadline_ms: After which no further stage is begun. Looking at the clock costs 0.05 ms, so it is left out where
            there is much time for few candidates.

    Raises:
        Refused: The question cannot be answered; says why.
    """
    predictor = loaded.predictor
    with _refusing():
        if question.inputs is not None:
            try:
                return predictor.program(question.inputs)
            except BundleError as error:
                raise Refused(400, "tensors", f"the dense part cannot be run on these inputs: {error}") from None
        if question.rows is not None:
            return predictor.predict_batch(question.rows)
        asked = (question.user, question.items, question.context)
        if question.explain:
            question.explained = predictor.predict(*asked, deadline_ms=deadline_ms, explain=True)
            return dict(question.explained.scores)
        if deadline_ms is not None and deadline_ms >= UNHURRIED_MS and question.count < MANY:
            deadline_ms = None
        return predictor.predict(*asked, deadline_ms=deadline_ms)


def filled(loaded: Loaded, question: Question, left_s: float) -> Question:
    """The question with the columns that a feature store has; itself where there is none.

    Raises:
        Refused: As in `ask`.
    """
    store = loaded.predictor.store
    if store is None or not question.user_form:
        return question
    with _refusing():
        user, items, context = store.filled(question.user, question.items, question.context, left_s)
    return replace(question, user=user, items=items, context=context)


def unread(error: StoreError) -> Refused:
    """What a client is told of a store that cannot be read, whose address is none of its business."""
    tell(logging.ERROR, "a feature store cannot be read", why=str(error))
    return Refused(503, "store", "the feature store cannot be read; the server's log tells more", retry_after=1)


def ask_together(loaded: Loaded, questions: Sequence[Question]) -> list[Scores]:
    """The scores of several questions about a user each, as rows of one batch.

    Raises:
        Refused: One of them cannot be answered.
    """
    with _refusing():
        return loaded.predictor.predict_together([(one.user, one.items, one.context) for one in questions])


@contextmanager
def _refusing() -> Iterator[None]:
    """Tell the client what a predictor says of a question."""
    try:
        yield
    except DataError as error:
        raise Refused(400, "data", str(error), column=error.column, row=error.row) from None
    except StoreError as error:
        raise unread(error) from None
    except DeadlineError as error:
        text = f"the deadline passed while the request was being scored, in the stage '{error.stage}'"
        raise Refused(504, "deadline_score", text) from None
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        # What Arrow and numpy say of values that no column can hold.
        raise Refused(400, "data", f"a column cannot be read: {str(error).splitlines()[0][:300]}") from None


def check_names(model: Model, loaded: Loaded, question: Question) -> None:
    """Compare the columns of a JSON question with those that features read, and its items with each other.

    Raises:
        Refused: A column is unknown, or a value of the `unique` column is there twice.
    """
    store, items = loaded.predictor.store, question.items
    keys = None if store is None else store.item_keys(items)
    if keys is not None:
        items = {name: keys.plain() for name, side in loaded.ids.items() if side == "item"}
    names = items if isinstance(items, Mapping) else _keys([] if items is None else items)
    if model.config.unknown_columns == "fail":
        _known(loaded, question.user, "user")
        _known(loaded, question.context, "context")
        _known(loaded, names, "item")
    if model.config.unique is not None:
        check_distinct(items, model.config.unique)


def _keys(items: Sequence[Any]) -> list[str]:
    """The columns that any of the items has."""
    if isinstance(items, JsonRows):
        return items.names
    names: list[str] | None = distinct_keys(items)
    if names is None:
        row = next(i for i, item in enumerate(items) if not isinstance(item, dict))
        raise Refused(400, "data", "an item must be an object of columns", column="items", row=row)
    return names


def _known(loaded: Loaded, given: Any, side: str) -> None:
    for name in given or ():
        if loaded.columns.get(name) == side or loaded.ids.get(name) == side:
            continue
        if name in loaded.heads and any(
            own == side and column.startswith(f"{name}__") for column, own in loaded.columns.items()
        ):
            continue
        elsewhere = loaded.columns.get(name)
        if elsewhere is not None:
            told = f"belongs to the {elsewhere}, not to the {side}"
        else:
            known = [column for column, own in loaded.columns.items() if own == side]
            told = f"is read by no feature{nearest(str(name), known)}"
        raise Refused(400, "unknown_column", f"column '{str(name)[:100]}' {told}", column=str(name)[:100])


def check_distinct(items: Any, column: str) -> None:
    """Compare the items' values of a column with each other.

    Raises:
        Refused: One is there twice, of the same type.
    """
    values = items.get(column, []) if isinstance(items, Mapping) else [item.get(column) for item in items or ()]
    kinds = set(map(type, values))
    if len(kinds) == 1 and kinds <= {str, int} and len(set(values)) == len(values):
        return
    seen: set[Any] = set()
    for row, value in enumerate(values):
        key = repr(value)
        if key in seen:
            raise Refused(400, "duplicate_item", "the request has this item twice", column=column, row=row)
        seen.add(key)
