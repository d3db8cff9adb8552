"""`similarity`: how near an answer's vector is to that of the right answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from rag.cleaning import CITED
from rag.evaluation.case import Case
from rag.evaluation.metrics import FAILED, SKIPPED, Measured, MetricConfig, Tools


class Config(MetricConfig):
    """Config of `similarity`: the cosine, below 0 as 0. It asks no judge, and takes what sounds alike for right."""

    type: Literal["similarity"] = "similarity"
    needs: ClassVar[frozenset[str]] = frozenset({"answer", "embedder"})

    def measure(self, cases: Sequence[Case], tools: Tools) -> list[Measured]:
        """Of each question whose right answer is known; an answer that knows nothing is worth 0."""
        assert tools.embedder is not None
        found = [FAILED if case.failed else SKIPPED for case in cases]
        numbers, texts = [], []
        for number, case in enumerate(cases):
            if case.answered is None or not case.question.answer or case.question.kind == "unanswerable":
                continue
            if not case.answered.known:
                found[number] = Measured(0.0)
                continue
            numbers.append(number)
            texts += [CITED.sub("", case.answered.text).strip(), case.question.answer]
        if not numbers:
            return found
        vectors = np.asarray(tools.embedder.documents(texts), np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for number, cosine in zip(numbers, (vectors[::2] * vectors[1::2]).sum(axis=1), strict=True):
            found[number] = Measured(float(np.clip(cosine, 0.0, 1.0)))
        return found
