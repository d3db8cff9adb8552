"""`loop.yaml`: where logs are, what becomes of them, and when a model is served."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError, nearest
from easyrec.store.duration import Duration
from easyrec.store.streams import KEYS, Condition
from feature_generator.config import StrictModel, fault, read_config, validate

OWN = {
    "event_id": "string",
    "request_id": "string",
    "scene": "string",
    "user_id": "string",
    "item_id": "string",
    "time": "int64",
    "position": "int32",
    "score": "double",
    "propensity": "double",
}
"""Columns of every exposure, and their types unless a model reads them as others."""
EVENT = {
    "event_id": "string",
    "type": "string",
    "request_id": "string",
    "user_id": "string",
    "item_id": "string",
    "time": "int64",
    "value": "double",
}
"""Columns of every event."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,79}$")]


class LogsConfig(StrictModel):
    """Folders that an engine records into."""

    exposures: str = Field(min_length=1)
    """Folder of `exposures-*.jsonl`."""
    events: str | None = Field(None, min_length=1)
    """Folder of `events-*.jsonl`. Default: that of the exposures."""


class LabelConfig(StrictModel):
    """Events that make a sample positive."""

    name: Name
    """The sample's column: 1 where there is such an event, else 0."""
    type: str | None = None
    """The `type` of the events. Default: the label's name."""
    where: dict[str, Condition] = {}
    """What other columns of the events must hold."""
    of: str | None = None
    """The label whose events these follow. Default: they follow exposures."""
    keys: list[str] | None = Field(None, min_length=1)
    """Columns that these events share with those that they follow. Default: `join.keys`."""
    window: Annotated[Duration, Field(gt=0.0)]
    """How long after what it follows an event counts."""

    @field_validator("where", mode="after")
    @classmethod
    def _known(cls, value: dict[str, Condition]) -> dict[str, Condition]:
        for name in value:
            if name not in EVENT:
                raise fault(f"'{name}' is no column of events{nearest(name, EVENT)}; known: {', '.join(EVENT)}", name)
        return value


class JoinConfig(StrictModel):
    """How exposures become samples."""

    keys: list[str] = Field(["request_id", "item_id"], min_length=1)
    """Columns that an exposure and what follows it share."""
    labels: list[LabelConfig] = Field(min_length=1)
    wait: Annotated[Duration, Field(gt=0.0)] | None = None
    """How long after its exposure, in event time, a sample is made. Default: until nothing may follow any more."""
    late: Literal["drop", "correct"] = "drop"
    """What becomes of what follows a sample that was made already."""
    lateness: Annotated[Duration, Field(ge=0.0)] = 60.0
    """How long after a later event one may come."""
    skew: Annotated[Duration, Field(ge=0.0)] = 300.0
    """How far ahead of its arrival an event's time may be."""
    idle: Annotated[Duration, Field(gt=0.0)] = 60.0
    """After how long a writer, or a kind of events, of which nothing is heard does not hold up the others."""
    columns: dict[str, str] = {}
    """Types of columns of the exposures. Default: as the model that the loop starts from was trained on them."""
    malformed: Literal["fail", "skip", "dead_letters"] = "dead_letters"
    """What becomes of lines that cannot be read; dead letters are in `dead_letters.jsonl` of `state`."""
    partition: Literal["day", "hour"] = "hour"
    """Folders of the samples, by the time of the exposure."""
    batch_rows: int = Field(50_000, gt=0)
    """Events that are taken at once, at most."""
    every: Annotated[Duration, Field(gt=0.0)] = 1.0
    """How often, in seconds of the clock, it is told how far the logs were read."""


class ReplayConfig(StrictModel):
    """Older samples that are learned again beside the new ones, so that less is forgotten."""

    share: float = Field(gt=0.0, le=10.0)
    """How many, beside the number of new ones."""
    age: Annotated[Duration, Field(gt=0.0)] = 604_800.0
    """How old they may be, in event time."""


class TrainConfig(StrictModel):
    """When a version is trained, and on what."""

    every: Annotated[Duration, Field(gt=0.0)] | None = 900.0
    """Event time of new samples after which a version is trained."""
    every_rows: int | None = Field(None, gt=0)
    """Or the number of them, whichever comes first."""
    min_rows: int = Field(1000, ge=2)
    """Fewer new samples than this wait for more."""
    max_rows: int = Field(2_000_000, ge=2)
    """More than this are learned by several versions, the oldest first."""
    where: Literal["all", "positive"] = "all"
    """`positive`: rows whose first label is 0 are left out, as a model with a `sampler` wants it."""
    label: str | None = None
    """The column that says which rows are positive. Default: the first label of the experiment, else of `join`."""
    replay: ReplayConfig | None = None
    overrides: dict[str, Any] = {}
    """Settings laid over the experiment when the loop trains, such as `train.dense_optimizer.lr: 0.0005`."""

    @model_validator(mode="after")
    def _due(self) -> Self:
        if self.every is None and self.every_rows is None:
            raise fault("needs 'every', 'every_rows', or both", "every")
        if self.max_rows < self.min_rows:
            raise fault(f"is less than min_rows, {self.min_rows:,}", "max_rows")
        return self

    @field_validator("overrides", mode="after")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name.partition(".")[0] not in ("train", "eval", "export", "data", "model") or name.startswith(
                ("data.train", "data.valid", "data.test", "train.init_from")
            ):
                raise fault("is what the loop sets; lay over train, eval, export, model or other keys of data", name)
        return value


class GateConfig(StrictModel):
    """When a version may be served: measured on the newest samples, before any version has learned them."""

    metric: str = Field("auc", min_length=1)
    """As training tells it: `auc`, or `click/auc` of one task among several, `recall@100` of a model of two towers."""
    higher: bool | None = None
    """Whether more is better. Default: as the metric is known to be."""
    min: float | None = None
    """What it must reach; where less is better, the most that it may be."""
    max_drop: float | None = Field(None, ge=0.0)
    """By how much it may be worse than that of the version that is served, on the same samples: it is refused where it is
    surely worse by more, so that chance alone refuses none."""
    level: float = Field(0.95, gt=0.5, lt=1.0)
    """How sure: of the interval of the difference."""
    unsure: Literal["pass", "refuse"] = "pass"
    """What becomes of a version where `max_drop` lies inside of the interval."""
    share: float = Field(0.2, gt=0.0, le=0.9)
    """Share of the new samples, the newest ones, that are held out. The next version learns them."""
    refused: Literal["skip", "again"] = "skip"
    """Whether samples of a version that was refused are passed over, or learned again with those to come."""

    @property
    def more_is_better(self) -> bool:
        """Which way is better."""
        if self.higher is not None:
            return self.higher
        name = self.metric.rpartition("/")[2].partition("@")[0].partition("[")[0]
        return name not in LESS


LESS = ("logloss", "mae", "mse", "rmse", "ece", "normalized_entropy")
"""Metrics of which less is better."""


class PublishConfig(StrictModel):
    """The folder that a server watches."""

    to: str = Field(min_length=1)
    """`current` in it is the bundle, `deltas` the folder of deltas."""
    delta: bool = True
    """Whether what changed is written as a delta too."""
    full_every: int = Field(1, ge=1)
    """`current` becomes the newest bundle with every so many versions; those between come as deltas alone."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.delta and self.full_every > 1:
            raise fault("without deltas every version is published whole", "full_every")
        return self


class VectorsConfig(StrictModel):
    """Vectors of items, for a model of two towers."""

    source: dict[str, Any] | None = None
    """The catalogue, as `data.items` of an experiment has it. Default: that."""
    index: dict[str, Any] | str = "hnsw"
    """What finds the nearest ones, see `easyrec embed`."""
    attributes: list[str] = []
    """Columns that searches may filter by."""
    every: Annotated[Duration, Field(gt=0.0)] = 60.0
    """How often, in seconds of the clock, it is looked whether the catalogue has changed."""


class TableConfig(StrictModel):
    """A table that is counted anew from the newest positive samples."""

    name: Name
    experiment: str = Field(min_length=1)
    """A statistic: `popularity`, `item_cf`, `swing` ..."""
    to: str = Field(min_length=1)
    """The parquet file: `item, neighbour, score` of neighbours, `<item id>, score` of popular items."""
    age: Annotated[Duration, Field(gt=0.0)] = 604_800.0
    """How old samples may be that are counted, in event time."""
    every: Annotated[Duration, Field(gt=0.0)] = 3600.0
    """How often, in event time."""
    label: str | None = None
    """The label of the samples that are counted. Default: the first one."""


class StatusConfig(StrictModel):
    """Where figures and the dashboard are."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(9464, ge=0, le=65535)
    """0 takes a free one."""


class LoopConfig(StrictModel):
    """`loop.yaml`."""

    experiment: str = Field(min_length=1)
    """What is trained."""
    state: str = Field("loop", min_length=1)
    """The folder of all that the loop remembers: manifests, runs, offsets, locks."""
    start: str | None = Field(None, min_length=1)
    """The folder of a run that the first version is. Default: the first version is trained from nothing."""
    logs: LogsConfig | None = None
    """Without logs, samples are those that another loop, or job, makes."""
    join: JoinConfig | None = None
    samples: str = Field("samples", min_length=1)
    """The folder of the samples."""
    train: TrainConfig = TrainConfig()
    gate: GateConfig = GateConfig()
    publish: PublishConfig
    vectors: VectorsConfig | None = None
    tables: list[TableConfig] = []
    keep: int = Field(5, ge=2)
    """Versions that are kept, beside the one that is served: so far back a rollback can go."""
    keep_samples: Annotated[Duration, Field(gt=0.0)] | None = None
    """How old samples may be, in event time, that stay in their folder once they were learned. Default: all stay."""
    poll: Annotated[Duration, Field(gt=0.0)] = 1.0
    """How often, in seconds of the clock, it is looked whether there is something to do."""
    status: StatusConfig | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.logs is None) != (self.join is None):
            lacking, given = ("join", "logs") if self.join is None else ("logs", "join")
            raise fault(f"'{given}' needs it: logs are joined into samples", lacking)
        seen: set[str] = set()
        for place, table in enumerate(self.tables):
            if table.name in seen:
                raise fault(f"two are called '{table.name}'", "tables", place, "name")
            seen.add(table.name)
        if self.join is not None:
            for place, label in enumerate(self.join.labels):
                for column, kind in self.join.columns.items():
                    if column in (label.keys or self.join.keys) and kind not in KEYS:
                        raise fault(f"is a key, so it is {', '.join(KEYS)}", "join", "columns", column)
                if label.name in OWN:
                    raise fault(f"an exposure has a column '{label.name}' already", "join", "labels", place, "name")
        return self

    @property
    def folder(self) -> Path:
        """The state's folder."""
        return Path(self.state)


def load_loop(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> LoopConfig:
    """The config of a loop; its paths are relative to the folder of the process.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    return validate(LoopConfig, read_config(source, overrides))


def require(path: Path, where: str) -> None:
    """Look whether something that a config names is there.

    Raises:
        ConfigError: It is not.
    """
    if not path.exists():
        raise ConfigError(f"{where}: there is no '{path}'")
