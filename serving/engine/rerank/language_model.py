"""`language_model`: a language model puts the best candidates in order, if it does so in time."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

import numpy as np
from pydantic import Field

from easyrec.errors import DataError, DeadlineError, ModelError, nearest
from easyrec.llm.client import Client, Endpoint
from easyrec.llm.ranking import Case, LlmRanker
from easyrec.llm.ranking.ways import Listwise, Way
from easyrec.llm.templates import columns_of, filled
from easyrec.llm.texts import Template, cut
from serving.engine.ask import Ask
from serving.engine.merge import Candidates
from serving.engine.rerank import Rerank, RerankConfig, chosen_first
from serving.engine.rows import Ints

RESERVE_S = 0.01
"""Of a request's time that is left for what comes after."""
PATIENCE = 3
"""Failures in a row, after which the model is left alone for a while."""


class Config(RerankConfig):
    """Config of `language_model`."""

    type: Literal["language_model"] = "language_model"
    model: Endpoint
    """The model. Its own waits and tries are cut off by `timeout_ms`."""
    text: Template
    """What is told of an item, of columns of the catalogue: `{title}`."""
    longest: int = Field(200, ge=20, le=10_000)
    """Characters of a text."""
    how: Way = Field(Listwise(shuffles=1, named=5), validate_default=True)
    """How the model is asked."""
    about: str | None = Field(None, max_length=500)
    """What the items are, in a sentence that the model is told."""
    count: int = Field(20, ge=2, le=200)
    """The best candidates, which are put in order; the others follow as they stand."""
    last: int = Field(10, ge=1, le=1000)
    """Items that the user took, his newest, which are told; of who took none the order stays."""
    timeout_ms: float = Field(1000.0, gt=0.0)
    """How long it may take; else, and where the request has less time, the order stays."""
    rest_s: float = Field(10.0, ge=0.0)
    """So long nobody asks a model that failed three times in a row."""


class LanguageModel(Rerank):
    """Asks how likely the user takes each of the best candidates next, by what he took last.

    Where the model answers too late, wrongly or not at all the order stays, and the answer says so among what was left out.
    """

    def prepare(self) -> None:
        """Look for the columns, and open the client that catalogues share."""
        self._columns = columns_of(self.config.text)
        for name in self._columns:
            if name not in self.rows.columns:
                known = nearest(name, self.rows.columns)
                raise DataError(f"'{self.config.called}' tells of '{name}', which the catalogue does not have{known}")
        config = self.config
        self._asker: _Asker = self.world.shared(("language model", config.model_dump_json()), _Asker, config)

    def rerank(self, ask: Ask, candidates: Candidates, count: int) -> Candidates:
        """See the contract."""
        many = min(self.config.count, len(candidates))
        past = self.rows.find(list(ask.past.keys[: self.config.last]))
        past = past[past >= 0][::-1]  # the oldest first
        if many < 2 or not len(past) or ask.hurried:
            return candidates
        texts = self._texts(np.concatenate([past, candidates.rows[:many]]))
        history = [{"took": text} for text in texts[: len(past)]]
        case = Case(ask.question.request_id, texts[len(past) :], history)
        left = min(self.config.timeout_ms / 1000.0, ask.deadline - time.perf_counter() - RESERVE_S)
        return candidates.take(chosen_first(len(candidates), self._asker.order(case, left)))

    def _texts(self, rows: Ints) -> list[str]:
        """What is told of items."""
        told: list[dict[str, Any]] = (
            self.rows.batch(rows, self._columns).to_pylist() if self._columns else [{}] * len(rows)
        )
        return [cut(filled(self.config.text, row), self.config.longest) for row in told]


class _Asker:
    """The client, and how it fares."""

    def __init__(self, config: Config) -> None:
        self._ranker = LlmRanker(Client(config.model), config.how, config.about)
        self._rest_s, self._lock = config.rest_s, threading.Lock()
        self._failures, self._until = 0, 0.0

    def order(self, case: Case, timeout_s: float) -> list[int]:
        """The order of candidates.

        Raises:
            DeadlineError: There is no time, or not enough.
            ModelError: The model cannot be asked, has failed a few times, or has answered nothing that can be used.
        """
        if timeout_s <= 0.0:
            raise DeadlineError("no time is left to ask the language model", "language model")
        with self._lock:
            if time.monotonic() < self._until:
                raise ModelError("the language model has failed, and is left alone for a while")
        try:
            ranked = self._ranker.order(case, timeout_s)
            if not ranked.answered:
                raise ModelError("the language model answered nothing that can be used")
        except (DeadlineError, ModelError):
            with self._lock:
                self._failures += 1
                if self._failures >= PATIENCE:
                    self._failures, self._until = 0, time.monotonic() + self._rest_s
            raise
        with self._lock:
            self._failures = 0
        return ranked.order

    def close(self) -> None:
        """Close the client."""
        self._ranker.client.close()
