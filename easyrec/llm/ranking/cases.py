"""What is put in order, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from easyrec.llm.client import Message, Parsed

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Case:
    """A request.

    Attributes:
        key: Tells it from others; chance begins with it.
        candidates: Their texts, in the order that they have now.
        history: What the person took, the oldest first: lines that the model is told.
        query: What the person searches, if he does.
        shots: Requests whose outcome is known, which are shown before this one.
    """

    key: str
    candidates: Sequence[str] = field(repr=False)
    history: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    query: str | None = field(default=None, repr=False)
    shots: Sequence[Shot] = field(default=(), repr=False)


@dataclass(frozen=True)
class Shot:
    """A request whose outcome is known.

    Attributes:
        case: The request.
        best: Places of the candidates that were taken.
    """

    case: Case
    best: Sequence[int]


@dataclass(frozen=True)
class Prompt(Generic[M]):
    """A question.

    Attributes:
        talk: Makes its messages, when it is sent.
        schema: What is answered.
        more: Fields that the server understands besides.
        made: Makes what is kept of an answer.
    """

    talk: Callable[[], list[Message]] = field(repr=False)
    schema: type[M]
    more: Mapping[str, Any] | None = None
    made: Callable[[Parsed[M]], M] | None = None


@dataclass(frozen=True)
class Look:
    """What one prompt, or a pair of them, tells of how places move answers.

    Attributes:
        named: Listwise: the places in the prompt of the candidates that were named, first the one put first.
        shown: Listwise: how many there were.
        turned: Pairwise: whether the answer turned with the order.
        firsts: Pairwise: how often, of the two answers, that won which stood first.
    """

    named: tuple[int, ...] = ()
    shown: int = 0
    turned: bool | None = None
    firsts: int = 0


@dataclass
class Ranked:
    """An order.

    Attributes:
        order: Places of the candidates, the best first; each of them once.
        scores: Of each candidate, larger is better; comparable within the request alone. NaN where nothing was said of it.
        prompts: Questions that were asked.
        failed: Those without an answer.
        missing: Candidates that an answer did not name; they stand behind the others, in their old order.
        doubled: Names that came again.
        unknown: Numbers that were not shown.
        looks: How places moved the answers.
    """

    order: list[int]
    scores: list[float]
    prompts: int = 0
    failed: int = 0
    missing: int = 0
    doubled: int = 0
    unknown: int = 0
    looks: list[Look] = field(default_factory=list, repr=False)

    @property
    def answered(self) -> bool:
        """Whether the model had a say at all; else the order is the old one."""
        return self.failed < self.prompts
