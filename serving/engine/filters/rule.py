"""`rule`: what columns of the catalogue, the user and the context say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from easyrec.errors import DataError
from feature_generator.expressions import ExpressionError
from serving.engine.ask import Ask
from serving.engine.filters import Filter, FilterConfig
from serving.engine.formula import Formula, check_text
from serving.engine.rows import Ints, Mask


class Config(FilterConfig):
    """Config of `rule`."""

    type: Literal["rule"] = "rule"
    keep: Annotated[str, AfterValidator(check_text)] | None = None
    """An expression over columns of numbers of the catalogue, `user.<column>` and `context.<column>`, e.g.
    `stock > 0 && (adult == 0 || user.age >= 18)`; items where it is 0, or cannot be told, are left out."""
    only: dict[str, list[Any]] = {}
    """By column of the catalogue, the values that may be shown."""
    without: dict[str, list[Any]] = {}
    """By column, the values that may not."""
    when: Annotated[str, AfterValidator(check_text)] | None = Field(None)
    """An expression over `user.` and `context.` columns; where it is 0, or cannot be told, the rule does not count."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.keep is None and not self.only and not self.without:
            raise ValueError("needs 'keep', 'only' or 'without': what may be shown?")
        return self


class Rule(Filter):
    """What needs nothing of the request is a mask that is made once."""

    def prepare(self) -> None:
        """Compile it, and compute what can be computed ahead."""
        config, rows = self.config, self.rows
        self._mask = np.ones(len(rows), bool)
        for kept, wanted in ((True, config.only), (False, config.without)):
            for column, values in wanted.items():
                self._mask &= self._holds(column, values) == kept
        self._keep, self._when = self._formula("keep"), self._formula("when")
        if self._keep is not None and not self._keep.asks:
            self._mask &= _true(self._keep(None, {}, None))
            self._keep = None

    def _formula(self, key: str) -> Formula | None:
        text = getattr(self.config, key)
        try:
            return None if text is None else Formula(text, (), self.rows)
        except ExpressionError as error:
            raise DataError(f"filter '{self.config.called}', {key}: {error}") from None

    def _holds(self, column: str, values: list[Any]) -> Mask:
        groups, found = self.rows.groups(column), np.zeros(len(self.rows), bool)
        for value in values:
            code = self.rows.code(column, value)
            if code >= 0:
                found[groups.of(code)] = True
        return found

    def everywhere(self) -> Mask | None:
        """See the contract."""
        return self._mask if self._when is None else None

    def keeps(self, ask: Ask, items: Ints) -> Mask | None:
        """See the contract."""
        if self._when is not None:
            if not len(items) or not _true(self._when(items[:1], {}, ask.value))[0]:
                return None
            mask = self._mask[items]
        elif self._keep is None:
            return None
        else:
            mask = np.ones(len(items), bool)
        if self._keep is not None:
            mask = mask & _true(self._keep(items, {}, ask.value))
        return mask


def _true(values: Any) -> Mask:
    found: Mask = (values != 0.0) & ~np.isnan(values)
    return found
