"""The errors of the library, one hierarchy with the generator's.

FeatureGeneratorError
├── ConfigError       what is configured cannot work                 (exit code 2)
├── DataError         what was read is not what was said             (exit code 3)
├── MissingExtra      an optional package is not installed           (exit code 1)
└── EasyRecError      everything else a user can mend                (exit code 1)
    ├── RunError          a run's folder or its state does not allow the command
    ├── CheckpointError   a checkpoint is damaged, incomplete or of another model
    ├── BundleError       a bundle is damaged, too new, or does not score as trained  (exit code 3)
    │   └── Unusable          a runtime of it cannot be used here; another one may be
    ├── DeadlineError     a call's deadline passed before it was answered
    ├── StoreError        a feature store cannot be reached, is damaged, or another one writes to it
    ├── TuneError         a search cannot go on, or none of its trials gave a result
    ├── EngineError       an engine such as Ray or Spark cannot be reached, or its work failed
    ├── ModelError        a model's server cannot be reached, refuses, or answers what cannot be used
    │   ├── AnswerError       what a model said is not what was asked for, also when it was asked again
    │   └── BudgetError       a call would cost more than is left of what may be spent
    └── QueueError        a work queue cannot be reached, is damaged, or its work failed
        ├── QueueGone         there is no such queue, or no longer
        └── LeaseLost         a slice was given to another worker
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as metadata_version

from feature_generator.errors import (
    ConfigError,
    DataError,
    FeatureGeneratorError,
    MissingExtra,
    Problem,
    distribution,
    nearest,
)

__all__ = [
    "AnswerError",
    "BudgetError",
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DeadlineError",
    "EasyRecError",
    "EngineError",
    "LeaseLost",
    "MissingExtra",
    "ModelError",
    "Problem",
    "QueueError",
    "QueueGone",
    "RunError",
    "StoreError",
    "TuneError",
    "Unusable",
    "distribution",
    "nearest",
]


class EasyRecError(FeatureGeneratorError):
    """Base of the library's own errors."""


class RunError(EasyRecError):
    """A run's folder or its state does not allow the command."""


class CheckpointError(EasyRecError):
    """A checkpoint is damaged, incomplete or of another model."""


class BundleError(EasyRecError):
    """A bundle is damaged, too new, or does not score as it did when it was trained: bad data."""

    exit_code = 3


class Unusable(BundleError):  # noqa: N818 (it says what the runtime is)
    """A runtime of a bundle cannot be used here; another one of the bundle may be."""


class DeadlineError(EasyRecError):
    """A call's deadline passed before it was answered.

    Args:
        text: What is said.
        stage: The stage in which it passed.
    """

    def __init__(self, text: str, stage: str) -> None:
        super().__init__(text)
        self.stage = stage


class StoreError(EasyRecError):
    """A feature store cannot be reached, is damaged, or another one writes to it."""


class TuneError(EasyRecError):
    """A search of settings cannot go on: its study is another one's or cannot be reached, or no trial gave a result."""


class EngineError(EasyRecError):
    """An engine that shares work out, such as Ray or Spark, cannot be started or reached, or its work failed."""


class ModelError(EasyRecError):
    """A model's server cannot be reached, refuses, or answers what cannot be used.

    Args:
        text: What is said; never what was asked.
        status: The server's HTTP status, if it answered.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class AnswerError(ModelError):
    """What a model said is not what was asked for, also when it was asked again.

    Args:
        text: What is wrong with it.
        said: The model's last words. They may hold what users wrote, so they are kept out of the text.
        kind: `unparsed`, `refused` or `cut`, which callers count apart.
        tokens: That were sent and received for it.
    """

    def __init__(self, text: str, said: str, kind: str, tokens: tuple[int, int] = (0, 0)) -> None:
        super().__init__(text)
        self.said, self.kind, self.tokens = said, kind, tokens


class BudgetError(ModelError):
    """A call would cost more than is left of what may be spent. It was not sent."""


class QueueError(EasyRecError):
    """A work queue cannot be reached, is damaged, holds other work, or its work failed."""


class QueueGone(QueueError):  # noqa: N818 (it says what became of the queue)
    """There is no such queue: it was never made, was removed, or its store lost it."""


class LeaseLost(QueueError):  # noqa: N818 (it says what became of the lease)
    """The slice is no longer this worker's: its lease ran out and another worker took it, or it is done."""


def version() -> str:
    """Version of this library as it is installed."""
    try:
        return metadata_version(distribution())
    except PackageNotFoundError:
        return "not installed"
