"""`Asked`: evaluations that are to be made, a file each, so that none is lost when the server ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from easyrec.durable import write_text
from feature_generator.config import StrictModel
from rag.evaluation.questions import Question, whole
from rag.server.events import tell

ENDING = ".asked"


class Asked(StrictModel):
    """An evaluation that is to be made.

    Attributes:
        id: Its number.
        base: The knowledge base that is asked.
        name: What the evaluation is called.
        user: Who wants it.
        created: Seconds since 1970.
        base_settings: How the knowledge base was set then.
        settings: What takes the place of that.
        metrics: What is measured; none: what the server's config says.
        answers: Whether the model is asked too.
        questions: What is asked.
        ended: How often the server died while it was being made.
    """

    id: str
    base: str
    name: str
    user: str
    created: float
    base_settings: dict[str, Any]
    settings: dict[str, Any]
    metrics: list[str]
    answers: bool
    questions: list[Question]
    ended: int = 0


def path_of(folder: Path, asked: Asked) -> Path:
    """Where one lies."""
    return folder / asked.base / f"{asked.id}{ENDING}"


def write(folder: Path, asked: Asked) -> None:
    """Keep one.

    Raises:
        RunError: The disk refuses.
    """
    path = path_of(folder, asked)
    path.parent.mkdir(exist_ok=True)
    write_text(path, whole(json.dumps(asked.model_dump(mode="json", exclude_unset=True), ensure_ascii=False)))


def kept(folder: Path) -> Iterator[Asked]:
    """All that are kept, the first one first; what is none is told and removed."""
    found = [_read(folder, path) for path in folder.glob(f"*/*{ENDING}")]
    yield from sorted((one for one in found if one is not None), key=lambda one: one.created)


def _read(folder: Path, path: Path) -> Asked | None:
    try:
        asked = Asked.model_validate_json(path.read_bytes())
        if path != path_of(folder, asked):
            raise ValueError(f"it lies as {path.name}")
    except (OSError, ValueError, ValidationError) as error:
        tell(logging.ERROR, "an evaluation cannot be read", error)
        path.unlink(missing_ok=True)
        return None
    return asked
