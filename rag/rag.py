"""`Rag`: asks a knowledge base by a pipeline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from typing_extensions import Self, Unpack

from easyrec.errors import ConfigError, DataError
from easyrec.llm.client import Message
from rag.answer import Answered
from rag.chat import Chats
from rag.config import RagConfig
from rag.knowledge import Hit, KnowledgeBase
from rag.pipeline.pipeline import Pipeline, Values
from rag.pipeline.ports import Given
from rag.pipeline.tools import Tools
from rag.pipeline.trace import Trace, Traced
from rag.telling import words_of

LONGEST = 20_000
"""Letters of a question, and of a turn before it."""
TURNS = 200
"""Turns before a question."""


class How(TypedDict, total=False):
    """Whatever goes with a question.

    Attributes:
        history: The turns before it, the oldest first.
        filter: What must hold of what is found.
        access: Names of which a document must have one; None, or not said: a trusted caller, who sees everything.
        images: Pictures that belong to the question, as PNG, JPEG, GIF or WebP; only where `answer.images` allows some.
        k: How many chunks are wanted.
    """

    history: Sequence[Message]
    filter: Mapping[str, Any] | None
    access: Collection[str] | None
    images: Sequence[bytes]
    k: int | None


@dataclass(frozen=True)
class Searched:
    """What was found.

    Attributes:
        hits: The best first, unless a step orders them otherwise.
        trace: What ran.
    """

    hits: list[Hit]
    trace: Trace = field(repr=False)


class Rag:
    """A knowledge base that answers. Any number of threads may ask it; close it, or use it as `with`.

    Args:
        config: How it is searched, and who answers.
        base: The knowledge base; default: the one that the config names, which is closed with it.

    Attributes:
        base: What is searched.
        chats: What was talked about, where that is remembered.

    Raises:
        EasyRecError: A model or the knowledge base cannot be opened.
    """

    def __init__(self, config: RagConfig, *, base: KnowledgeBase | None = None) -> None:
        self.config = config
        self._own = base is None
        self.base = base if base is not None else KnowledgeBase(config.knowledge)
        self.tools = Tools(config, self.base)
        self.chats: Chats | None = None
        try:
            self.chats = None if config.chat is None else Chats(config.chat)
            self._pipeline = Pipeline(config.steps(), self.tools)
        except BaseException:
            self.close()
            raise

    def search(self, question: str, **how: Unpack[How]) -> Searched:
        """What an answer would be made of.

        Args:
            question: What is asked.
            how: As `How` says.

        Raises:
            EasyRecError: The filter is none, or a model or a store cannot be reached.
        """
        values, traced = _given(question, **how), list[Traced]()
        for _ in self._pipeline.run(values, traced, until_answer=True):
            pass
        hits, k = list(values.get("hits", ())), how.get("k")
        return Searched(hits if k is None else hits[:k], Trace(tuple(traced)))

    def ask(self, question: str, **how: Unpack[How]) -> Answered:
        """The answer.

        Args:
            question: What is asked.
            how: As `How` says.

        Raises:
            EasyRecError: As of `search`.
        """
        *_, last = self.stream(question, **how)
        assert isinstance(last, Answered)
        return last

    def stream(self, question: str, **how: Unpack[How]) -> Iterator[str | Answered]:
        """The answer's words as they come, and at last the whole answer; the words joined are its text.

        Where a step behind `answer` may change it, its words come when that is done.

        Args:
            question: What is asked.
            how: As `How` says.

        Raises:
            EasyRecError: As of `search`; also in the midst of it.
        """
        values, traced = _given(question, **how), list[Traced]()
        said = False
        for piece in self._pipeline.run(values, traced):
            said = True
            yield piece
        answer: Answered = values["answer"]
        if not said and answer.text:
            yield answer.text
        yield replace(answer, trace=Trace(tuple(traced)))

    def chat(self, question: str, *, user: str, session: str, **how: Unpack[How]) -> Iterator[str | Answered]:
        """As `stream`, after what this user said in this session before; the answer is remembered when it is complete.

        Args:
            question: What is asked.
            user: By whom.
            session: In which talk of theirs.
            how: As `How` says; what was said before takes the place of `history`.

        Raises:
            ConfigError: `chat` is not configured.
            EasyRecError: As of `search`; also in the midst of it.
        """
        if self.chats is None:
            raise ConfigError("'chat' is missing: it says where talks are remembered")
        how["history"] = self.chats.history(user, session)
        for piece in self.stream(question, **how):
            if isinstance(piece, Answered):
                client = self.tools.client() if self.config.llm is not None else None
                self.chats.add(user, session, question, piece.text, client)
            yield piece

    def close(self) -> None:
        """Let go of models, and of the knowledge base where it is its own."""
        self.tools.close()
        if self.chats is not None:
            self.chats.close()
        if self._own:
            self.base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _given(
    question: str,
    history: Sequence[Message] = (),
    filter: Mapping[str, Any] | None = None,
    access: Collection[str] | None = None,
    images: Sequence[bytes] = (),
    k: int | None = None,
) -> Values:
    """What a run begins with.

    Raises:
        DataError: There is too much of it, or nothing, or a turn is of nobody who talks.
    """
    if not question.strip() and not images:
        raise DataError("the question is empty")
    if len(question) > LONGEST or any(len(words_of(turn)) > LONGEST for turn in history):
        raise DataError(f"a question, and a turn before it, may have {LONGEST} letters")
    if len(history) > TURNS:
        raise DataError(f"{len(history)} turns are too many before a question; {TURNS} may be")
    strange = [turn.role for turn in history if turn.role not in ("user", "assistant")]
    if strange:
        raise DataError(f"a turn of '{strange[0]}' is none of a talk: 'user' and 'assistant' speak")
    given = Given(question, question, tuple(history), filter, access, tuple(images), k)
    return given._asdict()
