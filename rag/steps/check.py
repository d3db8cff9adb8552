"""`check`: looks sentence by sentence whether the named places say what the answer says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, Field

from easyrec.llm.telling import line, seen
from easyrec.retrieval.keyword.words import Words
from rag.answer import Answered, Citation, Verdict, original
from rag.chunkers import sentences_of
from rag.cleaning import CITED
from rag.pipeline.ports import Said
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import SayingConfig, value

if TYPE_CHECKING:
    from rag.pipeline.tools import Tools

RULES = """You are given excerpts of documents, each with a number "n", and sentences, each with a number "sentence" and the numbers of the
excerpts that shall say so. For each sentence say whether these excerpts say all of it: every number, name and condition. What is only
likely, or known from elsewhere, is not said."""
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
LEADING = re.compile(r"^\s*((?:\[\d{1,4}\]\s*)+)")
LISTED = re.compile(r"\s*(?:\d{1,3}[.)]|[-*+#]+)\s*")
"""What stands before the items of a list, and headings."""
SENTENCES = 64
"""Of an answer that are looked at."""


class Judged(BaseModel):
    """Whether one sentence is said."""

    sentence: int
    supported: bool


class Verdicts(BaseModel):
    """Whether the sentences are said."""

    verdicts: list[Judged]


class Config(SayingConfig):
    """Config of `check`."""

    type: Literal["check"] = "check"
    by: Literal["words", "embedding", "model"] = "words"
    """Who looks: shares of words and all numbers, the nearest sentence by its vector, or a model. Where there is no embedder, or
    the model fails, it is words."""
    above: float = Field(0.6, ge=0.0, le=1.0)
    """The share of a sentence's words, or the cosine, from which on it is said."""
    then: Literal["mark", "drop", "refuse"] = "mark"
    """What happens to a sentence that is not: it is marked, it goes, or the whole answer is replaced by `unknown`."""
    mark: str = Field(" (not supported)", min_length=1, max_length=100)
    """Stands behind it."""
    uncited: Literal["check", "keep"] = "check"
    """Whether a sentence that names no place counts as not supported, or stays as it is."""
    max_tokens: int = Field(1024, ge=16)
    """Of what the model says."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Check

    def asks(self) -> bool:
        """Whether it needs a model that the config of the whole must name."""
        return self.by == "model" and super().asks()


class Check(Step[Config]):
    """Looks at each sentence of an answer. Numbers must stand in the named places as they are, whoever looks."""

    def __init__(self, config: Config, tools: Tools) -> None:
        super().__init__(config, tools)
        self._words = Words(tools.config.knowledge.language)

    def run(self, note: Note, answer: Answered) -> Said:
        """The answer, with what is not supported marked or left out."""
        if not answer.known or not answer.text:
            return Said(answer)
        parts = _sentences(answer.text)
        cited = [
            tuple(dict.fromkeys(int(n) for n in CITED.findall(part) if int(n) <= len(answer.hits))) for part in parts
        ]
        scores = self._scores(note, parts, cited, answer)
        verdicts = [
            Verdict(part.strip(), numbers, self._holds(part, numbers, score), score)
            for part, numbers, score in zip(parts, cited, scores, strict=True)
        ]
        wrong = [place for place, verdict in enumerate(verdicts) if not verdict.supported]
        note.notes |= {"sentences": len(parts), "unsupported": len(wrong)}
        answer = replace(answer, checked=tuple(verdicts))
        if not wrong:
            return Said(answer)
        if self.config.then == "mark":
            marked = (_marked(part, self.config.mark) if n in wrong else part for n, part in enumerate(parts))
            return Said(replace(answer, text="".join(marked)))
        kept = [part for place, part in enumerate(parts) if place not in wrong]
        text = "".join(kept).strip() if self.config.then == "drop" else ""
        if not re.search(r"\w", CITED.sub("", text)):
            return Said(replace(answer, text=self.tools.config.answer.unknown, citations=(), known=False))
        numbers = dict.fromkeys(int(n) for n in CITED.findall(text) if int(n) <= len(answer.hits))
        return Said(replace(answer, text=text, citations=tuple(Citation(n, answer.hits[n - 1]) for n in numbers)))

    def _holds(self, part: str, numbers: Sequence[int], score: float) -> bool:
        """Whether a sentence stays as it is."""
        if not re.search(r"\w", CITED.sub("", part)):
            return True  # it says nothing
        if not numbers:
            return self.config.uncited == "keep"
        return score >= self.config.above

    def _scores(
        self, note: Note, parts: Sequence[str], cited: Sequence[tuple[int, ...]], answer: Answered
    ) -> list[float]:
        """How sure it is that each sentence is said, from 0 to 1."""
        texts = [" \n".join(original(answer.hits[n - 1]) for n in numbers) for numbers in cited]
        bare = [re.sub(rf"\A{LISTED.pattern}(?=\s|\D)", "", CITED.sub("", part)).strip() for part in parts]
        numbered = [_numbers(text) <= _numbers(said) for text, said in zip(bare, texts, strict=True)]
        by_model = self._asked(note, bare, cited, answer) if self.config.by == "model" else {}
        if self.config.by == "embedding" and self.tools.base.embedder is not None:
            with note.metered():
                scores = self._near(bare, texts)
        else:
            scores = [self._share(text, said) for text, said in zip(bare, texts, strict=True)]
        return [
            0.0 if not exact or not said else float(by_model.get(place, score))
            for place, (exact, said, score) in enumerate(zip(numbered, texts, scores, strict=True))
        ]

    def _share(self, text: str, said: str) -> float:
        """Which share of a sentence's words stands in the places."""
        words = set(self._words(text))
        return len(words & set(self._words(said))) / len(words) if words else 1.0

    def _near(self, parts: Sequence[str], texts: Sequence[str]) -> list[float]:
        """The cosine of each sentence and the nearest one in its places."""
        assert self.tools.base.embedder is not None
        within = [[s for s in sentences_of(text) if s.strip()] for text in texts]
        every = list(dict.fromkeys([*parts, *(s for some in within for s in some)]))
        rows = self.tools.base.embedder.documents(every)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        place = {text: number for number, text in enumerate(every)}
        return [
            max((float(rows[place[part]] @ rows[place[s]]) for s in some), default=0.0)
            for part, some in zip(parts, within, strict=True)
        ]

    def _asked(
        self, note: Note, parts: Sequence[str], cited: Sequence[tuple[int, ...]], answer: Answered
    ) -> dict[int, bool]:
        """What a model says of the sentences that name places."""
        wanted = [place for place, numbers in enumerate(cited) if numbers][:SENTENCES]
        named = sorted({n for place in wanted for n in cited[place]})
        if not wanted:
            return {}
        told = [line({"n": n, "text": seen(original(answer.hits[n - 1]))}) for n in named]
        told += [line({"sentence": p, "excerpts": list(cited[p]), "text": parts[p]}) for p in wanted]
        made = value(note, self.tools.client(self.config.llm), RULES, told, Verdicts, self.config)
        said = {judged.sentence: judged.supported for judged in made.verdicts} if made else {}
        missing = [place for place in wanted if place not in said]
        if made and missing:
            note.fell_back(f"{len(missing)} of {len(wanted)} sentences were not judged")
        return {place: said[place] for place in wanted if place in said}


def _sentences(text: str) -> list[str]:
    """The sentences of an answer, each with the places behind it; joined again they are the answer."""
    found: list[str] = []
    for part in sentences_of(text):
        leading = LEADING.match(part)
        end = leading.end() if leading and found and not found[-1].endswith("\n") else 0
        if found and (end or LISTED.fullmatch(found[-1])):
            end = end or len(part)
            found[-1] += part[:end]
        if part[end:]:
            found.append(part[end:])
    return found


def _marked(part: str, mark: str) -> str:
    """A sentence with a mark behind it."""
    end = len(part.rstrip())
    return part[:end] + mark + part[end:]


def _numbers(text: str) -> set[str]:
    """Its numbers, whether or not thousands are apart."""
    return {number.replace(",", "").rstrip(".") for number in NUMBER.findall(text)}
