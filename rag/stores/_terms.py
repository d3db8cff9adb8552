"""Filters as terms, which every engine can look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from easyrec.retrieval.filters import AnyOf, Condition, Range
from easyrec.retrieval.keyword.terms import range_terms, term_of


@dataclass(frozen=True)
class Terms:
    """Conditions in terms.

    Attributes:
        any: Of each of these an entry has one.
        none: It has none of these.
    """

    any: tuple[tuple[str, ...], ...]
    none: tuple[str, ...]

    @staticmethod
    def of(conditions: Sequence[Condition]) -> Terms:
        """The terms of conditions, all of which must hold."""
        some, none = list[tuple[str, ...]](), list[str]()
        for condition in conditions:
            if isinstance(condition, Range):
                some.append(tuple(range_terms(condition)))
                continue
            terms = [term_of(condition.name, value) for value in condition.values]
            if isinstance(condition, AnyOf):
                some.append(tuple(terms))
            else:
                none += terms
        return Terms(tuple(some), tuple(none))

    @property
    def impossible(self) -> bool:
        """Whether nothing can have them."""
        return not all(self.any)
