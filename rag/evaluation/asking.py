"""Questions put to a system: what it finds and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from easyrec.errors import AnswerError, ModelError
from easyrec.llm.client import Message
from rag.answer import Answered
from rag.evaluation.case import Case
from rag.evaluation.questions import Question
from rag.knowledge import Hit, KnowledgeBase


class System(Protocol):
    """What is measured. Any number of threads may ask it."""

    def find(self, question: str, history: Sequence[Message], k: int | None) -> Sequence[Hit]:
        """The chunks that it finds; k: so many, where not its own number is wanted."""
        ...

    def answer(self, question: str, history: Sequence[Message]) -> Answered:
        """What it answers."""
        ...


def asked(
    system: System,
    base: KnowledgeBase,
    questions: Sequence[Question],
    *,
    answers: bool,
    k: int | None = None,
    threads: int = 4,
    progress: object = None,
) -> list[Case]:
    """Ask all questions.

    A question that a server refuses is a case that failed, unless it refuses all; whatever else goes wrong ends it.

    Args:
        system: Who is asked.
        base: What it knows, to see which questions are stale.
        questions: What is asked.
        answers: Whether answers are wanted, beside what is found.
        k: How many chunks are looked for, where not the system's own number.
        threads: Questions at a time.
        progress: Is called with each question that is done.

    Raises:
        EasyRecError: The system cannot be asked.
    """

    def one(question: Question) -> Case:
        history = [Message(turn.role, turn.content) for turn in question.history]
        known = all(_is_known(base, question, number) for number in range(len(question.references)))
        hits: tuple[Hit, ...] = ()
        searched, answered, failed = False, None, ""
        try:
            hits = tuple(system.find(question.question, history, k))
            searched = True
            answered = system.answer(question.question, history) if answers else None
        except ModelError as error:
            if not _is_of_the_question(error):
                raise
            failed = str(error)
        if callable(progress):
            progress(question)
        return Case(question, hits, answered, known, failed, searched)

    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(one, question) for question in questions]
        try:
            cases = [each.result() for each in waiting]
        except BaseException:
            for each in waiting:
                each.cancel()
            raise
    if cases and all(case.failed for case in cases):
        raise ModelError(f"no question could be asked, the first: {cases[0].failed}")
    return cases


def _is_of_the_question(error: ModelError) -> bool:
    """Whether another question might be answered: this one was refused, or is too long."""
    return isinstance(error, AnswerError) or error.status in (400, 413, 422)


def _is_known(base: KnowledgeBase, question: Question, number: int) -> bool:
    """Whether some chunk still says what a question rests on."""
    reference = question.references[number]
    document = base.records.document(reference.source)
    if document is None:
        return False
    parts = base.records.parts_of(document.id)
    return any(reference.is_in(p.source, p.chunk.text, p.chunk.context or "") for p in parts)
