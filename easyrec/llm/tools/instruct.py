"""`instruct`: what users did as instructions and answers, from which others' trainers teach a model to recommend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from easyrec.llm.behaviour import BehaviourConfig
from easyrec.llm.config import LlmConfig
from easyrec.llm.events import Column
from easyrec.llm.texts import TextsConfig
from feature_generator.config import StrictModel, fault


class NextItem(StrictModel):
    """Which of several items a user took next. The prompt is that of `rerank` with `how: {type: listwise, named: 1}`."""

    type: Literal["next"] = "next"
    candidates: int = Field(10, ge=2, le=100)
    """Items that are shown, the one that was taken among them, anywhere."""
    negatives: Literal["popular", "uniform"] = "popular"
    """How the others are drawn of what had been taken before that moment: as often as it was, or each alike."""
    per_user: int = Field(3, ge=1, le=1000)
    """Moments of a user that are asked about, in each part; they are drawn."""


class Rating(StrictModel):
    """How a user rated an item; needs `value` of `events`."""

    type: Literal["rating"] = "rating"
    per_user: int = Field(3, ge=1, le=1000)


class Explanations(StrictModel):
    """Why an item is recommended: what `easyrec llm explain` has written, or people."""

    type: Literal["explanation"] = "explanation"
    path: str = Field(min_length=1)
    """A table with `text` and `cites`, the numbers of the events that it rests on, and the columns below."""
    user: Column = "user_id"
    item: Column = "item_id"
    time: Column = "timestamp"
    """When it was recommended: only events strictly before are told, as they were then."""
    state: Column | None = "state"
    """Only rows count that say `model` here; null: all."""


Task = Annotated[NextItem | Rating | Explanations, Field(discriminator="type")]


class Config(StrictModel):
    """Section `instruct` of `llm.yaml`."""

    items: TextsConfig
    """The items, and what is told of each."""
    events: BehaviourConfig
    """What users did."""
    tasks: list[Task] = Field(min_length=1, max_length=3)
    valid_from: int | float | datetime | date | None = None
    """What happened from this moment on is for `valid.jsonl`, what happened before for `train.jsonl`; needed unless all is for training."""
    least: int = Field(3, ge=1, le=1000)
    """Events that a user has before a moment that is asked about."""
    about: str | None = Field(None, max_length=500)
    """What the items are; the same as in the section that asks the trained model."""
    tokenizer: str | None = Field(None, min_length=1)
    """The `tokenizer.json` of the model that is trained, which counts; else tokens are estimated, rather too many."""
    most_tokens: int = Field(4096, ge=64)
    """Longer ones are left out."""
    limit: int | None = Field(None, ge=1)
    """Only so many of each task and part, which are drawn."""
    output: str = Field(min_length=1)
    """A folder: `train.jsonl`, `valid.jsonl`, `dataset_info.json`; `<output>.report.json` lies beside it."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        kinds = [one.type for one in self.tasks]
        for place, kind in enumerate(kinds):
            if kind in kinds[:place]:
                raise fault(f"two tasks are '{kind}'", "tasks", place, "type")
            if kind == "rating" and self.events.value is None:
                raise fault("this key is required, for the task 'rating' asks for it", "events", "value")
        return self


@dataclass(frozen=True)
class Instructed:
    """What came of it.

    Attributes:
        counts: By part and task, how many there are.
        tokens: By part, of all of them.
        exact: Whether the model's own tokenizer has counted.
        long: How many were left out, for they are too long.
        output: The folder.
        report: The content of the report.
    """

    counts: Mapping[str, Mapping[str, int]]
    tokens: Mapping[str, int]
    exact: bool
    long: int
    output: str
    report: Mapping[str, Any] = field(repr=False)


def instruct(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Instructed:
    """Write what users did as instructions and answers. No model is asked.

    Args:
        config: Not looked at.
        own: The section.
        progress: Is told how many more are written.

    Raises:
        ConfigError: A table lacks a column.
        DataError: A table cannot be read, or nothing comes of it.
        RunError: The disk refuses.
    """
    del config
    from easyrec.llm.tools._instruct.run import run  # noqa: PLC0415 (a config must not wait for it)

    return run(own, progress=progress)
