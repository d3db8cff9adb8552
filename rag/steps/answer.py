"""`answer`: a model says what was found, and names the places."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Literal

from rag.answer import Answered, Answerer
from rag.pipeline.ports import History, Hits, Images, Said
from rag.pipeline.trace import Note
from rag.steps import AskingConfig, Kind, Step


class Config(AskingConfig):
    """Config of `answer`. How it is asked `answer` of the whole config says."""

    type: Literal["answer"] = "answer"
    question: Literal["question", "asked"] = "question"
    """Whether the question is answered as it stands, or as it was asked first."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Answer


class Answer(Step[Config]):
    """Asks a model, and passes its words on as they come."""

    _lock = threading.Lock()

    def speak(
        self, note: Note, question: str, asked: str, hits: Hits, history: History = (), images: Images = ()
    ) -> Generator[str, None, Said]:
        """The answer's words."""
        client = self.tools.client(self.config.llm)
        answerer = Answerer(client, self.tools.config.answer, self.tools.base)
        text = question if self.config.question == "question" else asked
        for piece in answerer.stream(text, hits, history, images=images):
            if isinstance(piece, Answered):
                note.used(piece.usage, client.endpoint.price)
                return Said(piece)
            yield piece
        raise AssertionError("a stream ends with its answer")
