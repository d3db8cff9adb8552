"""`Filters`: which of the rewrites that a model wrote are taken, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from easyrec.llm.examples import ExampleIndex
from easyrec.llm.rewriting.bid_words import BidWords
from easyrec.llm.rewriting.config import FiltersConfig
from easyrec.llm.rewriting.forms import UNFIT, Forms, cleaned
from easyrec.llm.rewriting.rewrites import WEIGHTS, Ask, Reason, Rejected, Rewrite
from easyrec.llm.rewriting.tagger import Tagger

LOW = 0.5
"""The least cosine unless a config says otherwise."""
SURE = 0.6
"""Share of the nearest known queries that must be of a category, before a text is taken to be."""


class Filters:
    """The rules. Any number of threads may use them.

    Args:
        config: Which ones.
        forms: How texts are compared.
        brands: Finds brands.
        categories: Finds names of categories.
        examples: Known queries with categories; None: there are none.
        bid_words: What advertisers pay for; None: nobody told.
    """

    def __init__(
        self,
        config: FiltersConfig,
        forms: Forms,
        brands: Tagger,
        categories: Tagger,
        examples: ExampleIndex | None = None,
        bid_words: BidWords | None = None,
    ) -> None:
        self.config, self.forms = config, forms
        self.brands, self.categories = brands, categories
        self.examples, self.bid_words = examples, bid_words

    def completed(self, ask: Ask, vector: np.ndarray | None) -> Ask:
        """A query with its category, where that is not known but can be found, as by a name in it or by its neighbours."""
        if ask.category is not None:
            return ask
        named = self.categories(ask.query)
        found = next(iter(named)) if len(named) == 1 else self._by_neighbours(ask.query, vector)
        return Ask(ask.query, found, ask.brand, ask.count)

    def sort(
        self, ask: Ask, texts: Sequence[str], vector: np.ndarray | None = None, vectors: np.ndarray | None = None
    ) -> tuple[tuple[Rewrite, ...], tuple[Rejected, ...]]:
        """Rewrites that are taken, the best first, and the others in their order.

        Args:
            ask: The query, as `completed` gave it.
            texts: What the model wrote, as `cleaned` gives it.
            vector: (d,) of the query, of length 1; None: there are no vectors.
            vectors: (n, d) of the texts, likewise.
        """
        kept: list[Rewrite] = []
        rejected: list[Rejected] = []
        taken = {self.forms.bag(ask.query)}
        brands = self._brands(ask)
        for number, text in enumerate(texts):
            own = None if vectors is None else vectors[number]
            similarity = None if own is None or vector is None else float(own @ vector)
            found = self.bid_words.match(text) if self.bid_words is not None and text else None
            bid_word, match = found if found is not None else (None, None)
            reason = self._reason(ask, text, taken, brands, own, similarity, match)
            if reason is not None:
                rejected.append(Rejected(text, reason, bid_word, match, similarity))
                continue
            taken.add(self.forms.bag(text))
            near = 1.0 - number / (len(texts) + 1) if similarity is None else max(similarity, 0.0)
            kept.append(Rewrite(text, round(near * WEIGHTS[match], 6), bid_word, match, similarity))
        return tuple(sorted(kept, key=lambda rewrite: -rewrite.score)), tuple(rejected)

    def _reason(
        self,
        ask: Ask,
        text: str,
        taken: set[str],
        brands: frozenset[str],
        vector: np.ndarray | None,
        similarity: float | None,
        match: str | None,
    ) -> Reason | None:
        """Why a rewrite is not taken."""
        config = self.config
        normal = self.forms.normal(text)
        if not normal:
            return "empty"
        if UNFIT.search(text):
            return "unfit"
        if len(text) > config.characters or len(normal.split()) > config.words:
            return "long"
        if self.forms.bag(text) in taken:
            return "duplicate"
        if not self._fits(config.brand, brands, self.brands(text)):
            return "brand"
        if not self._has_category(ask, text, vector):
            return "category"
        if similarity is not None:
            if similarity < (LOW if config.low is None else config.low):
                return "far"
            if config.high is not None and similarity > config.high:
                return "near"
        return None if self._is_bid_on(match) else "no_bid_word"

    def _brands(self, ask: Ask) -> frozenset[str]:
        """The brands of a query: that of its column, and those in its text."""
        given = [] if not ask.brand else [self.brands.same(ask.brand)]
        return self.brands(ask.query).union(given)

    @staticmethod
    def _fits(rule: str, wanted: frozenset[str], named: frozenset[str]) -> bool:
        if rule == "any":
            return True
        return named == wanted if rule == "same" else named <= wanted

    def _has_category(self, ask: Ask, text: str, vector: np.ndarray | None) -> bool:
        rule = self.config.category
        if rule == "any" or ask.category is None:
            return True
        wanted, named = self.categories.same(ask.category), self.categories(text)
        if named:
            return named <= {wanted} | self.categories(ask.query)
        if rule == "no_other":
            return True
        found = self._by_neighbours(text, vector)
        return found is not None and self.categories.same(found) == wanted

    def _by_neighbours(self, text: str, vector: np.ndarray | None) -> str | None:
        """The category of most known queries that are near, where these are sure enough."""
        if self.examples is None or not len(self.examples):
            return None
        if self.examples.by != "words" and vector is None:
            return None
        found, share = self.examples.category_of(text, vector=vector)
        return found if share >= SURE else None

    def _is_bid_on(self, match: str | None) -> bool:
        loosest = self.config.bid_word
        return loosest is None or (match is not None and WEIGHTS[match] >= WEIGHTS[loosest])


def texts_of(said: Sequence[str], count: int) -> list[str]:
    """What a model wrote, each cleaned; no more than was asked for."""
    return [cleaned(text) for text in said[:count]]
