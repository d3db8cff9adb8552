"""The `select` section: how the worth of features is measured, and which of them go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from feature_generator.config import Choice, StrictModel, member

METHODS = "easyrec.tune.select.methods"


class SelectBudget(StrictModel):
    """What must fit beside noise and repetition being gone: one of these, or none."""

    top: int | None = Field(None, gt=0)
    """So many features stay at most."""
    auc_drop: float | None = Field(None, ge=0.0)
    """As many features go as cost no more than this of the metric that training watches, AUC as a rule."""
    memory_mb: float | None = Field(None, gt=0.0)
    """The tables and the dense part take no more in fp32."""
    latency_ms: float | None = Field(None, gt=0.0)
    """A request of `export.request.items` candidates takes no more, by the parts that were measured."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) > 1:
            raise ValueError(f"takes one bound, but has {' and '.join(given)}")
        return self


class SelectNoise(StrictModel):
    """What noise looks like: shuffled copies of features that are trained beside them. A number stands for `copies`."""

    copies: int = Field(50, ge=0)
    """Copies, spread over the features, at most five of each; 0: none, and nothing is called noise."""
    quantile: float = Field(0.99, gt=0.0, le=1.0)
    """The share of noise that is to be known as such."""


class SelectConfig(StrictModel):
    """The `select` section."""

    method: Annotated[Any, Choice(METHODS)] | None = None
    """What decides. Default: `permutation`."""
    beside: list[Annotated[Any, Choice(METHODS)]] = []
    """Methods that are measured too, to be compared with it."""
    noise: SelectNoise = SelectNoise()
    second_look: bool = True
    """Measure what seems to be noise once more, without most of it and without what tells the same."""
    redundant: float | None = Field(0.95, gt=0.0, le=1.0)
    """Of features that tell each other as well as this, one stays; null: all do."""
    groups: dict[str, list[str]] = {}
    """Features that stay or go together, by a name of theirs."""
    keep: list[str] = []
    """Features that stay whatever is measured."""
    budget: SelectBudget = SelectBudget()
    cost: Literal["latency", "memory", "none"] | None = None
    """What a feature's worth is divided by where a budget decides. Default: what the budget bounds, else `none`."""
    embedding_dims: Literal["keep", "propose", "apply"] = "keep"
    """Whether the gates of single numbers say how wide embeddings need to be, and the config takes it over."""
    verify: bool = True
    """Train the config before and after, and tell the difference."""
    rows: int = Field(100_000, gt=0)
    """Rows of `valid` that are measured on at most."""

    @field_validator("noise", mode="before", json_schema_input_type=SelectNoise | int)
    @classmethod
    def _a_number_counts(cls, value: Any) -> Any:
        return {"copies": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def methods(self) -> list[Any]:
        """The method that decides, and those beside it."""
        first = self.method or member(METHODS, "permutation").Config()
        return [first, *(other for other in self.beside if other.type != first.type)]

    @property
    def costs(self) -> Literal["latency", "memory", "none"]:
        """What a feature costs, resolved."""
        if self.cost is not None:
            return self.cost
        if self.budget.latency_ms is not None:
            return "latency"
        return "memory" if self.budget.memory_mb is not None else "none"
