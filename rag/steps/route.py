"""`route`: rules or a model choose one of several branches, each a pipeline of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, create_model, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from feature_generator.config import Choice, StrictModel, faults
from rag.pipeline.ports import History, Images
from rag.pipeline.trace import Note
from rag.steps import Kind, Step
from rag.steps._asking import SayingConfig, about, value

if TYPE_CHECKING:
    from rag.pipeline.tools import Tools

RULES = """You are given the turns of a talk, if there were some, and a question. Choose which of these branches shall answer it:
{branches}"""


class Branch(StrictModel):
    """A branch."""

    description: str = Field("", max_length=1000)
    """What belongs there, as a model is told."""
    words: list[str] = []
    """It is taken where the question has one of these, in whatever case."""
    pattern: str | None = None
    """Likewise, a regular expression of RE2."""
    images: bool | None = None
    """Whether the question must have pictures, or none."""
    steps: list[Annotated[Any, Choice("rag.steps")]] = Field([], max_length=64)
    """What is done there; one that answers ends the pipeline."""

    def holds(self, question: str, images: Images) -> bool:
        """Whether its rules hold: pictures as they must be, and a word or the pattern, where there are some."""
        if self.images is not None and self.images != bool(images):
            return False
        folded = question.casefold()
        named = any(word.casefold() in folded for word in self.words)
        return named or (self.pattern is not None and _matches(self.pattern, question)) or not self.has_texts()

    def has_texts(self) -> bool:
        """Whether it has rules for the question's words."""
        return bool(self.words) or self.pattern is not None


class Config(SayingConfig):
    """Config of `route`."""

    type: Literal["route"] = "route"
    by: Literal["rules", "model"] = "rules"
    """Who chooses: the first branch whose rules hold, or a model by the descriptions."""
    branches: dict[str, Branch] = Field(min_length=1, max_length=32)
    """They, by name."""
    history_tokens: int = Field(512, ge=0)
    """Of the turns before the question that the model is shown; the last ones."""
    default: str
    """The one that is taken where no rule holds, or the model fails."""

    @classmethod
    def step_of(cls) -> Kind:
        """The class."""
        return Route

    def asks(self) -> bool:
        """Whether it needs a model that the config of the whole must name."""
        return self.by == "model" and super().asks()

    @model_validator(mode="after")
    def _can_choose(self) -> Self:
        found: list[tuple[str, tuple[str | int, ...]]] = []
        if self.default not in self.branches:
            known = list(self.branches)
            found.append(
                (
                    f"unknown branch '{self.default}'{nearest(self.default, known)}\nknown: {', '.join(known)}",
                    ("default",),
                )
            )
        for name, branch in self.branches.items():
            where = ("branches", name)
            if self.by == "model" and not branch.description:
                found.append(("a model chooses, and needs a 'description'", where))
            if self.by == "rules" and name != self.default and not branch.has_texts() and branch.images is None:
                found.append(("rules choose, and it has none: 'words', 'pattern' or 'images'", where))
            if branch.pattern is not None:
                try:
                    _matches(branch.pattern, "")
                except pa.ArrowInvalid as error:
                    found.append((f"is no pattern of RE2: {error}", (*where, "pattern")))
        if found:
            raise faults(found)
        return self


class Chosen(NamedTuple):
    """The branch that is taken."""

    branch: str


class Route(Step[Config]):
    """Chooses a branch."""

    def __init__(self, config: Config, tools: Tools) -> None:
        super().__init__(config, tools)
        names = tuple(config.branches)
        self._schema: type[BaseModel] = create_model("Chosen", branch=(cast("Any", Literal[names]), ...))
        told = "\n".join(f"- {name}: {branch.description}" for name, branch in config.branches.items())
        self._rules = RULES.format(branches=told)

    def run(self, note: Note, question: str, history: History = (), images: Images = ()) -> Chosen:
        """The branch."""
        if self.config.by == "model":
            client = self.tools.client(self.config.llm)
            told = about(question, history, self.config.history_tokens)
            made = value(note, client, self._rules, told, self._schema, self.config)
            return Chosen(self.config.default if made is None else str(getattr(made, "branch")))  # noqa: B009 (its type is made)
        holding = [
            name
            for name, branch in self.config.branches.items()
            if (branch.has_texts() or branch.images is not None) and branch.holds(question, images)
        ]
        return Chosen(next(iter(holding), self.config.default))


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found, in time that grows with the text alone."""
    return bool(pc.match_substring_regex(pa.array([text]), pattern)[0].as_py())
