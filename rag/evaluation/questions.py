"""Questions with what is known of their answers, as JSON lines.

A question names the chunks that answer it by what they say, never by their numbers: documents that are ingested anew, or cut
otherwise, don't orphan it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from easyrec.durable import write_text
from easyrec.errors import DataError
from feature_generator.config import StrictModel

LINE, LINES = 1 << 20, 200_000
"""Letters of a line, and lines, at most."""
SIGNS = re.compile(r"[\W_]+")
Q = TypeVar("Q", bound="Question")
Kind = Literal["single", "multi_hop", "dialogue", "unanswerable"]


@lru_cache(maxsize=1 << 14)
def bare(text: str) -> str:
    """Letters and digits alone, in one case and width: what a model quotes has other blanks and quotation marks."""
    return SIGNS.sub("", unicodedata.normalize("NFKC", text).casefold())


def digest_of(text: str) -> str:
    """Tells what texts say apart, whatever their blanks and signs."""
    return hashlib.sha256(bare(text).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Reference(StrictModel):
    """A place that answers a question. With neither digest nor quote: anything in its document."""

    source: str = Field(min_length=1, max_length=4096)
    """The document."""
    digest: str = Field("", pattern=r"^([0-9a-f]{32})?$")
    """Of what the chunk says, as `digest_of` gives it."""
    quote: str = Field("", max_length=10_000)
    """Words of it that say the answer: a chunk that holds them counts, however the document was cut."""

    def is_in(self, source: str, *texts: str) -> bool:
        """Whether a chunk of a document says it."""
        if source != self.source:
            return False
        if self.digest and any(digest_of(text) == self.digest for text in texts):
            return True
        quote = bare(self.quote)
        return any(quote in bare(text) for text in texts) if quote else not self.digest


class Turn(StrictModel):
    """What was said before."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=20_000)


class Question(StrictModel):
    """A line of a file of questions."""

    question: str = Field(min_length=1, max_length=20_000, pattern=r"\S")
    id: str = Field("", max_length=200)
    """What it is called in reports; default: a digest of it."""
    kind: Kind = "single"
    """`single`: one chunk answers it; `multi_hop`: it takes several; `dialogue`: it goes on from `history`; `unanswerable`: no
    document answers it."""
    history: tuple[Turn, ...] = Field((), max_length=100)
    answer: str = Field("", max_length=20_000)
    """The right answer, where it is known."""
    references: tuple[Reference, ...] = Field((), max_length=100)
    """The places that answer it, where they are known."""

    @property
    def key(self) -> str:
        """What it is called."""
        if self.id:
            return self.id
        told = json.dumps([[turn.model_dump() for turn in self.history], self.question], ensure_ascii=False)
        return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_questions(path: str | os.PathLike[str]) -> list[Question]:
    """The questions of a file.

    Raises:
        DataError: It cannot be read, a line is no question, or two are called the same.
    """
    return read_lines(path, Question)


def read_lines(path: str | os.PathLike[str], kind: type[Q]) -> list[Q]:
    """Questions, or what has more fields, of a file.

    Raises:
        DataError: It cannot be read, a line is none, or two are called the same.
    """
    found: list[Q] = []
    lines: dict[str, int] = {}
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE + 1), ""), 1):
                if len(line) > LINE:
                    raise DataError(f"{path}, line {number}: is longer than {LINE:,} letters")
                if number > LINES:
                    raise DataError(f"{path}: has more than {LINES:,} lines")
                if not line.strip():
                    continue
                question = _question(line, kind, f"{path}, line {number}")
                if question.key in lines:
                    same = lines[question.key]
                    raise DataError(f"{path}, line {number}: is called '{question.key}' as that of line {same}")
                lines[question.key] = number
                found.append(question)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not in UTF-8") from None
    if not found:
        raise DataError(f"{path}: has no questions")
    return found


def _question(line: str, kind: type[Q], place: str) -> Q:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, one['loc'])) or 'the line'}: {one['msg']}" for one in error.errors(include_url=False)
        ]
        raise DataError(f"{place}: {'; '.join(told[:5])}") from None


def write_questions(path: str | os.PathLike[str], questions: Iterable[Question]) -> None:
    """Write a file, all of it or nothing.

    Raises:
        RunError: The disk refuses.
    """
    lines = [json.dumps(_lean(one), ensure_ascii=False) + "\n" for one in questions]
    write_text(Path(path), whole("".join(lines)))


def whole(text: str) -> str:
    """A text that can be written: models answer with halves of letters now and then."""
    return text.encode("utf-8", "replace").decode()


def _lean(question: Question) -> dict[str, object]:
    """What it says, without what it does not, and always with its name."""
    told = question.model_dump(mode="json", exclude_defaults=True)
    return {"id": question.key, "kind": question.kind, **told}
