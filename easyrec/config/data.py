"""The `data` section: where rows come from and how they become batches."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from feature_generator.config import Choice, StrictModel, fault

Source = Annotated[Any, Choice("easyrec.data.sources")]


class Shuffle(StrictModel):
    """How training rows are mixed; `shuffle: false` reads them in order."""

    buffer_rows: int = Field(1_000_000, gt=0)
    """Rows that are permuted together: whole row groups in random order until this many are in memory."""
    buffer_mb: int = Field(512, gt=0)
    """Most memory of those rows after the generator, in MB: long sequences fill it with fewer rows."""
    together: str | None = None
    """Column of sessions: adjacent rows of equal value stay together, in one batch. Default: the `by` of the first
    loss that has one."""


class NegativeSampling(StrictModel):
    """Down-sampling of negatives in training, undone in the logit: odds are multiplied by `keep_rate`."""

    keep_rate: float = Field(gt=0.0, le=1.0)
    """Probability of keeping a training row whose first label is 0."""

    @property
    def logit_shift(self) -> float:
        """What is added to the logit of a model trained on the sample, to get the one of all rows.

        Of p's odds `p / (1 - p)` the sample multiplies the denominator by `keep_rate`, so with p_s learned on the
        sample `p = p_s / (p_s + (1 - p_s) / keep_rate)`, which is `logit(p) = logit(p_s) + log(keep_rate)`.
        """
        return math.log(self.keep_rate)


class SplitByColumn(StrictModel):
    """Rows of one source divided by the value of a column."""

    by: Literal["column"] = "column"
    column: str
    train: list[str | int] = Field(["train"], min_length=1)
    valid: list[str | int] = ["valid"]
    test: list[str | int] = ["test"]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        groups = {"train": self.train, "valid": self.valid, "test": self.test}
        seen: dict[str, str] = {}
        for name, values in groups.items():
            for value in map(str, values):
                if value in seen:
                    raise ValueError(f"the value '{value}' belongs to both '{seen[value]}' and '{name}'")
                seen[value] = name
        return self


class SplitByTime(StrictModel):
    """Rows of one source divided by time: train < `valid_from` <= valid < `test_from` <= test."""

    by: Literal["time"] = "time"
    column: str
    valid_from: float | str
    """First moment of valid: a number in the column's unit, or an ISO date where the column is a timestamp."""
    test_from: float | str | None = None
    """First moment of test; without it valid is all that remains."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.test_from is not None:
            if isinstance(self.valid_from, str) != isinstance(self.test_from, str):
                raise ValueError("'valid_from' and 'test_from' must both be numbers or both be dates")
            if self.valid_from > self.test_from:  # type: ignore[operator]  # equal types by the check above
                raise ValueError(f"'valid_from' {self.valid_from} lies after 'test_from' {self.test_from}")
        return self


class BatchCost(StrictModel):
    """A bound on the steps of sequences in a training batch: where histories are long, batches have fewer rows."""

    sequences: list[str] = Field(min_length=1)
    """Names of sequences whose steps are counted together."""
    most: int = Field(gt=0)
    """Steps of a batch; a row that has more is a batch of its own."""


class Leakage(StrictModel):
    """The check that no behaviour sequence reaches into its own exposure or beyond."""

    time: str
    """Column with the time of the exposure."""
    sequences: list[str] = Field(min_length=1)
    """Columns with the times of the steps, in the unit of `time`: lists, or texts with `separator` between times."""
    separator: str = Field(";", min_length=1)
    action: Literal["fail", "warn"] = "fail"


class DataConfig(StrictModel):
    """The `data` section."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["sampler"]},
                {"required": ["items"]},
                {"required": ["labels"], "properties": {"labels": {"minItems": 1}}},
            ]
        }
    )

    train: Source | None = None
    valid: Source | None = None
    test: Source | None = None
    items: Source | None = None
    """The catalogue: one row per item that can be recommended. With `sampler` and `eval.retrieval`."""
    item_id: str = "item_id"
    """Feature that tells items apart."""
    sampler: Annotated[Any, Choice("easyrec.data.samplers")] | None = None
    """Rows are what users took: they are compared with other items of the catalogue, and labels are not needed."""
    labels: list[str] = []
    """Columns that are predicted. Rows of a `sampler`, and those that a statistic counts, need none."""
    sample_weight: str | None = None
    event_time: str | None = None
    """Column with the time of a row's event: records and checkpoints tell the newest one that was learned."""
    reserved: list[str] = []
    """Columns that `predict` copies to its output and metrics may group by."""
    batch_size: int = Field(4096, gt=0)
    eval_batch_size: int | None = Field(None, gt=0)
    """Rows per batch of evaluation and prediction; default: four times `batch_size`."""
    batch_cost: BatchCost | None = None
    """Bounds training batches beside `batch_size`."""
    remainder: Literal["keep", "drop"] = "keep"
    """What becomes of rows at the end of a training epoch that are too few for a batch."""
    shuffle: Shuffle | Literal[False] = Shuffle()
    fg: Literal["raw", "encoded"] = "raw"
    """`encoded`: columns are named like the features and hold what the generator would have made."""
    bad_rows: Literal["fail", "skip", "default"] = "fail"
    negative_sampling: NegativeSampling | None = None
    split: Annotated[SplitByColumn | SplitByTime, Field(discriminator="by")] | None = None
    leakage: Leakage | None = None
    prefetch: int = Field(4, gt=0)
    """Batches that the background thread prepares ahead."""
    threads: int = Field(1, gt=0)
    """Threads of the FeatureGenerator inside the background thread."""

    @model_validator(mode="after")
    def _a_remainder_is_counted(self) -> Self:
        if self.remainder == "drop" and self.batch_cost is not None:
            raise ValueError(
                "'remainder: drop' goes by 'batch_size', and 'batch_cost' lets batches differ: leave one out"
            )
        return self

    @field_validator("shuffle", mode="before", json_schema_input_type=Shuffle | bool)
    @classmethod
    def _default_shuffle(cls, value: Any) -> Any:
        return {} if value is True else value

    @field_validator("labels", "reserved")
    @classmethod
    def _no_repeats(cls, value: list[str]) -> list[str]:
        repeated = sorted({v for v in value if value.count(v) > 1})
        if repeated:
            raise ValueError(f"named twice: {', '.join(repeated)}")
        return value

    @model_validator(mode="after")
    def _a_weight_is_no_label(self) -> Self:
        if self.sample_weight is not None and self.sample_weight in self.labels:
            told = f"'{self.sample_weight}' is a label: rows would be weighted by what is to be predicted"
            raise fault(f"{told}\nname a column of weights, or leave it out", "sample_weight")
        return self

    @model_validator(mode="after")
    def _one_way_to_split(self) -> Self:
        if self.split is not None and (self.valid is not None or self.test is not None):
            raise ValueError("'split' divides 'train' alone: leave out 'valid' and 'test', or leave out 'split'")
        return self

    @model_validator(mode="after")
    def _samples_items(self) -> Self:
        if self.sampler is not None and self.negative_sampling is not None:
            raise ValueError("'negative_sampling' thins out rows of label 0; with a 'sampler' there are none")
        return self

    @property
    def rows_per_eval_batch(self) -> int:
        """Rows per batch of evaluation and prediction."""
        return self.eval_batch_size or 4 * self.batch_size
