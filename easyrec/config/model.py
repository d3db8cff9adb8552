"""The `model` section: what every model's config has. The models themselves are in `easyrec.models`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from feature_generator.config import Choice, StrictModel

NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class SequenceEntry(StrictModel):
    """A sequence in a group, and how it becomes a vector."""

    sequence: str
    query: dict[str, str] | None = None
    """Child -> candidate feature. Default: the feature of the group that shares the child's `embedding_name`."""
    encoder: Annotated[Any, Choice("easyrec.modules.sequence")] | None = None
    """Default: what the model's docs say, else mean pooling."""


class GroupConfig(StrictModel):
    """Features that a model reads together."""

    features: list[str] = []
    sequences: list[SequenceEntry] = []


class GroupUse(StrictModel):
    """What a model reads of a group.

    Attributes:
        fields: Embeddings of the group's features, side by side.
        first_order: One weight per id of every feature (dim 1).
        equal_dims: All embeddings must be equally wide.
        like: Group to take the features of where the config does not name this one.
    """

    fields: bool = True
    first_order: bool = False
    equal_dims: bool = False
    like: str | None = None


class TaskConfig(StrictModel):
    """One thing to predict."""

    name: str
    label: str
    type: Literal["binary", "regression", "multiclass", "ziln"] = "binary"
    loss: Annotated[Any, Choice("easyrec.losses")] | None = None
    weight: float = Field(1.0, ge=0.0)
    mask: str | None = None
    """Rows that count for this task: an expression over labels, e.g. `click == 1`."""
    num_classes: int | None = Field(None, ge=2)
    metrics: list[Annotated[Any, Choice("easyrec.metrics")]] | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError(f"must be a plain name of letters, digits and '_', but is '{value}'")
        return value


class NormalInit(StrictModel):
    """Normal distribution around 0."""

    type: Literal["normal"] = "normal"
    std: float = Field(1e-4, ge=0.0)


class UniformInit(StrictModel):
    """Uniform distribution in [-bound, bound]."""

    type: Literal["uniform"] = "uniform"
    bound: float = Field(0.01, ge=0.0)


class XavierInit(StrictModel):
    """Normal distribution with variance 2 / (rows + dim)."""

    type: Literal["xavier"] = "xavier"


Init = Annotated[NormalInit | UniformInit | XavierInit, Field(discriminator="type")]


class ModelConfig(StrictModel):
    """What every model's config has; a model's own `Config` derives from it.

    A group may be written as a plain list of features.
    """

    type: str
    groups: dict[str, GroupConfig] | None = None
    """Omitted: one group `deep` of all features that are no sequences."""
    tasks: list[TaskConfig] | None = Field(None, min_length=1)
    """Omitted: one binary task on the first label, called like it."""
    embedding_dim: int | None = Field(None, gt=0)
    """Dim of features that set none."""
    embedding_init: Init = NormalInit()

    @field_validator("groups", mode="before")
    @classmethod
    def _lists_are_groups(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: {"features": v} if isinstance(v, list) else v for k, v in value.items()}
        return value

    @model_validator(mode="before")
    @classmethod
    def _tasks_differ(cls, value: Any) -> Any:
        tasks = value.get("tasks") if isinstance(value, dict) else None
        names = [t.get("name") for t in tasks if isinstance(t, dict)] if isinstance(tasks, list) else []
        repeated = sorted({str(n) for n in names if n is not None and names.count(n) > 1})
        if repeated:
            raise ValueError(f"tasks must have different names, but '{repeated[0]}' is given twice")
        return value

    def uses(self) -> dict[str, GroupUse]:
        """Groups that the model reads, and what of each."""
        return {name: GroupUse() for name in self.groups or ["deep"]}

    def default_encoder(self) -> str | None:
        """Sequence encoder of entries that name none; None: mean pooling."""
        return None
