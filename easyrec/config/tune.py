"""The `tune` section: what is optimised, how, and for how long."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from feature_generator.config import StrictModel

COSTS = ("latency_ms", "parameters", "bundle_mb")
"""Objectives that are no metrics; less is better."""

# -------------------------------------------------------------------------------------------- samplers


class TPE(StrictModel):
    """Tree-structured Parzen estimator: draws where good trials were denser than others."""

    type: Literal["tpe"] = "tpe"
    startup: int = Field(10, ge=1)
    """Random trials before it begins."""


class GaussianProcess(StrictModel):
    """A Gaussian process over the trials, and the point of the greatest expected gain."""

    type: Literal["gp"] = "gp"
    startup: int = Field(10, ge=1)


class CmaEs(StrictModel):
    """An evolution strategy over the numbers of the space; choices are drawn at random."""

    type: Literal["cmaes"] = "cmaes"
    startup: int = Field(10, ge=1)


class Random(StrictModel):
    """Independent draws."""

    type: Literal["random"] = "random"


class Grid(StrictModel):
    """Every point once; all spaces must be choices, whole numbers or have a `step`."""

    type: Literal["grid"] = "grid"


Sampler = Annotated[TPE | GaussianProcess | CmaEs | Random | Grid, Field(discriminator="type")]
SamplerType = Literal["tpe", "gp", "cmaes", "random", "grid"]

# --------------------------------------------------------------------------------------------- pruners


class Median(StrictModel):
    """Ends a trial that is worse at an evaluation than the median of the others were."""

    type: Literal["median"] = "median"
    startup: int = Field(3, ge=0)
    """Trials that run to their end first."""
    warmup: int = Field(2, ge=0)
    """Evaluations of a trial before it may be ended: slow rates that end best begin worst."""


class Hyperband(StrictModel):
    """Successive halving in several brackets: the best 1/`reduction` of the trials go on."""

    type: Literal["hyperband"] = "hyperband"
    least: int = Field(1, ge=1)
    """Evaluations that every trial has."""
    reduction: int = Field(3, ge=2)


class NoPruner(StrictModel):
    """Every trial runs to its end."""

    type: Literal["none"] = "none"


class Halving(StrictModel):
    """Successive halving: the best 1/`reduction` go on from evaluation 1, `reduction`, ..., with `rows` from each share."""

    type: Literal["halving"] = "halving"
    reduction: int = Field(3, ge=2)


Pruner = Annotated[Median | Hyperband | Halving | NoPruner, Field(discriminator="type")]
PrunerType = Literal["median", "hyperband", "halving", "none"]

# ---------------------------------------------------------------------------------------------- section


class Budget(StrictModel):
    """When the search ends: whichever comes first. Interruptions do not count anew."""

    trials: int | None = Field(None, gt=0)
    """Default: 20, or no bound where `minutes` is given; with a grid all of its points."""
    minutes: float | None = Field(None, gt=0)
    seconds_per_trial: float | None = Field(None, gt=0)
    """A trial that takes longer ends, and counts by its best evaluation so far."""


class StudyConfig(StrictModel):
    """Where the trials are recorded. A text stands for its `url`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    url: str
    """`postgresql://user:${PASSWORD}@host/database`, which machines may share."""
    name: str | None = None
    """Default: the experiment's."""

    @field_validator("url")
    @classmethod
    def _a_database(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://; leave it out for a file in the folder of the study")
        return value


class RowsConfig(StrictModel):
    """Shares of the training rows that a trial is trained on one after another. A list stands for its `shares`."""

    shares: list[float] = Field([1 / 9, 1 / 3, 1.0], min_length=2)
    """Ascending, the last one 1; the rows of a share are among those of the next."""
    by: Literal["hash", "time"] = "hash"
    """`hash`: rows are drawn; `time`: the newest are taken."""
    column: str | None = None
    """Time of a row."""

    @field_validator("shares")
    @classmethod
    def _ascend(cls, value: list[float]) -> list[float]:
        if any(low >= high for low, high in pairwise(value)) or value[0] <= 0 or value[-1] != 1:
            raise ValueError(f"must ascend from above 0 to 1, but are {', '.join(f'{share:g}' for share in value)}")
        return value

    @model_validator(mode="after")
    def _time_has_a_column(self) -> Self:
        if (self.by == "time") != (self.column is not None):
            raise ValueError("'by: time' goes with a 'column' that tells it")
        return self


class TuneConfig(StrictModel):
    """The `tune` section."""

    objectives: list[str] = Field([], max_length=3)
    """Metrics, as an evaluation of `valid` reports them, and `latency_ms`, `parameters`, `bundle_mb`; a text stands for
    a list. Default: the metric that training watches."""
    sampler: Sampler = TPE()
    pruner: Pruner | None = None
    """Default: median with one objective, none with several, halving with `rows`."""
    rows: RowsConfig | None = None
    """Train trials on a share of the rows first, and the best of them on more. Default: on all."""
    budget: Budget = Budget()
    study: StudyConfig | None = None
    """Default: a SQLite file in the folder of the study."""
    workers: int = Field(1, gt=0)
    """Processes that run trials side by side."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the draws."""
    seeds: int = Field(1, gt=0)
    """Each trial is trained so often, with `train.seed` and those after it, and counts by the mean."""
    warm_start: list[str] = []
    """Folders of earlier studies: their trials inform the sampler, and their best point is tried first."""
    cache: bool = True
    """Make features once for all trials, where no space changes them."""

    @field_validator("objectives", mode="before", json_schema_input_type=list[str] | str)
    @classmethod
    def _a_text_is_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("objectives")
    @classmethod
    def _differ(cls, value: list[str]) -> list[str]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"'{name}' is listed twice")
        return value

    @field_validator("sampler", mode="before", json_schema_input_type=Sampler | SamplerType)
    @classmethod
    def _a_name_is_a_sampler(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("pruner", mode="before", json_schema_input_type=Pruner | PrunerType | None)
    @classmethod
    def _a_name_is_a_pruner(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("rows", mode="before", json_schema_input_type=RowsConfig | list[float] | None)
    @classmethod
    def _a_list_is_of_shares(cls, value: Any) -> Any:
        return {"shares": value} if isinstance(value, list) else value

    @field_validator("study", mode="before", json_schema_input_type=StudyConfig | str | None)
    @classmethod
    def _a_text_is_a_url(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @property
    def pruned(self) -> Pruner:
        """The pruner, resolved."""
        if self.pruner is not None:
            return self.pruner
        if self.rows is not None:
            return Halving()
        return Median() if len(self.objectives) <= 1 else NoPruner()

    def with_objectives(self, names: list[str]) -> Self:
        """The same with objectives."""
        return self.model_copy(update={"objectives": names})
