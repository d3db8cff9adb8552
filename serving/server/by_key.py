"""Questions whose candidates are named by their keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from easyrec.errors import nearest
from serving.catalogue import Keys, gives, names_of
from serving.server.columns import Question, check_names
from serving.server.http import Refused
from serving.server.models import Loaded, Model


def keys_of(loaded: Loaded, question: Question) -> Keys | None:
    """What the catalogue knows the candidates by; None where they come with their columns, or by ids of a store."""
    catalogue = loaded.predictor.catalogue
    return None if catalogue is None or not question.user_form else catalogue.keys_in(question.items)


def with_columns(loaded: Loaded, question: Question) -> Question:
    """The question with the columns of candidates that it names by their keys; itself where they came with it.

    Raises:
        DataError: An item has gone since the question was answered.
    """
    keys, catalogue = keys_of(loaded, question), loaded.predictor.catalogue
    if keys is None or catalogue is None:
        return question
    return replace(question, items=catalogue.columns_of(keys))


def check(model: Model, loaded: Loaded, question: Question) -> None:
    """As `check_names`, of a question that may name its candidates.

    Raises:
        Refused: As there.
    """
    keys = keys_of(loaded, question)
    if keys is None:
        check_names(model, loaded, question)
    else:
        check_names(model, loaded, Question(question.user, None, question.context))
        _check_keys(model, loaded, keys)


def check_items(model: Model, loaded: Loaded, rows: Sequence[Mapping[str, Any]]) -> None:
    """Compare the columns of items that are to be upserted with those that the catalogue keeps.

    Raises:
        Refused: An item lacks a column, whose value would be lost, or has one that no feature of items reads.
    """
    catalogue = loaded.predictor.catalogue
    assert catalogue is not None
    known = {name for name, side in loaded.columns.items() if side == "item"} | {catalogue.key}
    known |= {name.partition("__")[0] for name in known}
    for row, item in enumerate(rows):
        if model.config.unknown_columns == "fail" and not known.issuperset(item):
            name = next(name for name in item if name not in known)
            told = f"column '{name[:100]}' is read by no feature of items{nearest(name, known)}"
            raise Refused(400, "unknown_column", told, column=name[:100], row=row)
        if model.config.missing_columns == "fail":
            for column in catalogue.kept:
                if column != catalogue.key and not gives(item, column):
                    told = f"the item lacks the column '{column}'; null says that it has no value"
                    raise Refused(400, "missing_column", told, column=column, row=row)


def _check_keys(model: Model, loaded: Loaded, keys: Keys) -> None:
    """Compare the columns that came beside the keys with those that features read, and the keys with each other.

    Raises:
        Refused: A column is unknown, or `unique` is the key and one is there twice.
    """
    catalogue = loaded.predictor.catalogue
    assert catalogue is not None
    if keys.given is not None and model.config.unknown_columns == "fail":
        if isinstance(keys.given, list) and not all(isinstance(row, Mapping) for row in keys.given):
            row = next(i for i, row in enumerate(keys.given) if not isinstance(row, Mapping))
            raise Refused(400, "data", "an item must be an object of columns", column="items", row=row)
        for name in names_of(keys.given) or ():
            if name != catalogue.key and loaded.columns.get(name) != "item":
                told = f"is read by no feature{nearest(name, catalogue.asked)}"
                raise Refused(400, "unknown_column", f"column '{name[:100]}' {told}", column=name[:100])
    if model.config.unique == catalogue.key:
        seen: set[str] = set()
        for row, key in enumerate(map(str, keys.plain())):
            if key in seen:
                raise Refused(400, "duplicate_item", "the request has this item twice", column=catalogue.key, row=row)
            seen.add(key)
