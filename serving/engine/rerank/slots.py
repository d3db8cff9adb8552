"""`slots`: positions that belong to items of a kind: of a source, a brand, a campaign."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from easyrec.errors import DataError
from feature_generator.config import StrictModel
from feature_generator.expressions import ExpressionError
from serving.engine.ask import Ask
from serving.engine.formula import Formula, check_text
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig
from serving.engine.rows import Mask
from serving.server.config import Name


class Slot(StrictModel):
    """Positions and who may stand there."""

    positions: list[Annotated[int, Field(ge=0, le=1000)]] = Field(min_length=1)
    """From 0."""
    source: Name | None = None
    """Items of this source."""
    only: dict[str, list[Any]] = {}
    """By column of the catalogue, values of which items must have one."""
    keep: Annotated[str, AfterValidator(check_text)] | None = None
    """An expression as that of a `rule`."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.source is None and not self.only and self.keep is None:
            raise ValueError("needs 'source', 'only' or 'keep': who may stand there?")
        return self


class Config(RerankConfig):
    """Config of `slots`."""

    type: Literal["slots"] = "slots"
    slots: list[Slot] = Field(min_length=1, max_length=100)


class Slots(Rerank):
    """The best item of the kind that does not stand above moves to the position; without one it stays as it is."""

    def prepare(self) -> None:
        """Which items of the catalogue each slot takes."""
        self._masks: list[Mask | None] = []
        self._keeps: list[Formula | None] = []
        for slot in self.config.slots:
            if slot.source is not None and slot.source not in self.sources:
                raise DataError(f"a slot of '{self.config.called}' is for source '{slot.source}', which there is not")
            mask: Mask | None = None
            for column, values in slot.only.items():
                groups, found = self.rows.groups(column), np.zeros(len(self.rows), bool)
                for value in values:
                    code = self.rows.code(column, value)
                    if code >= 0:
                        found[groups.of(code)] = True
                mask = found if mask is None else mask & found
            self._masks.append(mask)
            try:
                self._keeps.append(None if slot.keep is None else Formula(slot.keep, (), self.rows))
            except ExpressionError as error:
                raise DataError(f"a slot of '{self.config.called}', keep: {error}") from None

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        many = len(candidates)
        wanted: dict[int, Mask] = {}
        for slot, mask, keep in zip(self.config.slots, self._masks, self._keeps, strict=True):
            fits = np.ones(many, bool) if mask is None else mask[candidates.rows]
            if slot.source is not None:
                fits = fits & ((candidates.sources >> self.sources[slot.source]) & 1).astype(bool)
            if keep is not None:
                values = keep(candidates.rows, {}, ask.value)
                fits = fits & (values != 0.0) & ~np.isnan(values)
            wanted |= dict.fromkeys((p for p in slot.positions if p < many), fits)
        free = np.ones(many, bool)
        order = np.full(many, -1, np.int64)
        for position in sorted(wanted):
            able = np.flatnonzero(wanted[position] & free)
            if len(able):
                order[position] = able[0]
                free[able[0]] = False
        order[order < 0] = np.flatnonzero(free)
        return candidates.take(order)
