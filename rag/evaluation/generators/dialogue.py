"""`dialogue`: a talk whose every turn a chunk answers; later turns are only understood with the earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from rag.evaluation.filtering import Reason
from rag.evaluation.generators import RULES, Form, GeneratorConfig, reference_to, text_of
from rag.evaluation.questions import Question, Turn, bare
from rag.records import Part

TALK = """. Write a talk of {turns} questions with their answers, as one has it: the first question is understood by itself, each later one goes on from
what was said, and may say "it" or "there" for what was named before. What is said here of a question holds of the first one"""
QUOTES = (
    "and each turn has the words of the excerpt that say its answer, copied exactly, letter by letter, as its quote"
)


class Spoken(BaseModel):
    """A question of a talk."""

    question: str = Field(min_length=1, max_length=2000)
    answer: str = Field(min_length=1, max_length=4000)
    quote: str = Field(max_length=4000)


class Dialogue(BaseModel):
    """What the model says."""

    turns: list[Spoken] = Field(min_length=2, max_length=12)


class Config(GeneratorConfig):
    """Config of `dialogue`.

    Source:
        Yang et al., "RefGPT: dialogue generation of GPT, by GPT, and for GPT", EMNLP findings 2023.
    """

    type: Literal["dialogue"] = "dialogue"
    form: ClassVar[Form] = Dialogue
    min_tokens: int = Field(60, ge=1)
    turns: int = Field(3, ge=2, le=12)
    """Questions of a talk; the last one is what is asked."""

    def rules(self) -> str:
        """One excerpt, one talk."""
        told = TALK.format(turns=self.turns)
        return RULES.format(given="an excerpt, a JSON object", more=told, answered=QUOTES)

    def questions(self, said: Any, parts: Sequence[Part]) -> list[Question] | Reason:
        """The last turn, behind the others, if all of them are in the excerpt."""
        *before, last = said.turns[: self.turns]
        text = bare(text_of(parts[0]))
        if len(before) + 1 < self.turns or any(not bare(turn.quote) or bare(turn.quote) not in text for turn in before):
            return "quote_not_found"
        history = [
            Turn(role=role, content=words)
            for turn in before
            for role, words in (("user", turn.question), ("assistant", turn.answer))
        ]
        reference = reference_to(parts[0], last.quote)
        return [
            Question(
                question=last.question, kind="dialogue", history=history, answer=last.answer, references=(reference,)
            )
        ]
