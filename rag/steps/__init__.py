"""Steps of a pipeline: what is done with a question, with what was found, and with an answer.

One file per kind, with a `Config` and the class that its `step` names. Its `run` takes a `Note` and ports by their names, and
returns ports; `rag.pipeline.ports` has them. One that answers piece by piece has `speak` instead, a generator of words that
returns ports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import Field

from easyrec.llm.client import Endpoint
from feature_generator.config import StrictModel

if TYPE_CHECKING:
    from rag.pipeline.tools import Tools

FAMILY = "rag.steps"
Kind: TypeAlias = "type[Step[Any]]"


class StepConfig(StrictModel):
    """What configs of steps share."""

    name: str | None = Field(None, min_length=1, max_length=64, pattern=r"^[\w -]+$")
    """What traces and pictures call it; default: its type."""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or str(getattr(self, "type", ""))

    def asks(self) -> bool:
        """Whether it needs a model that the config of the whole must name."""
        return False

    @classmethod
    def step_of(cls) -> Kind:
        """What it configures."""
        raise TypeError(f"{cls.__module__} names no class")

    def open(self, tools: Tools) -> Step[Any]:
        """The step.

        Raises:
            EasyRecError: It cannot be had.
        """
        return self.step_of()(self, tools)


class AskingConfig(StepConfig):
    """What configs of steps that ask a model share."""

    llm: Endpoint | None = None
    """Who is asked; default: who answers."""

    def asks(self) -> bool:
        """Whether it needs a model that the config of the whole must name."""
        return self.llm is None


C = TypeVar("C", bound=StepConfig)


class Step(Generic[C]):
    """Does one thing with a question or with what was found. Any number of threads may run it.

    Args:
        config: How.
        tools: With what.
    """

    def __init__(self, config: C, tools: Tools) -> None:
        self.config, self.tools = config, tools
