"""The `train` section: optimizers, schedules, evaluation and checkpoint rhythm."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from easyrec.config.distributed import Distributed
from easyrec.config.evaluation import different_keys
from easyrec.config.init_from import InitFrom
from easyrec.errors import Problem
from feature_generator.config import Choice, StrictModel

if TYPE_CHECKING:
    from easyrec.config.model import TaskConfig

# ------------------------------------------------------------------------------------------- schedules


class _Schedule(StrictModel):
    warmup_steps: int = Field(0, ge=0)
    """The k-th of the first so many steps, counted from 1, runs at k / warmup_steps of the scheduled rate."""


class Constant(_Schedule):
    """The rate stays as it is."""

    type: Literal["constant"] = "constant"


class Exponential(_Schedule):
    """lr * rate ** (step / steps); `staircase` rounds the exponent down."""

    type: Literal["exponential"] = "exponential"
    rate: float = Field(gt=0.0, le=1.0)
    steps: int = Field(gt=0)
    staircase: bool = False
    minimum: float = Field(0.0, ge=0.0)


class Cosine(_Schedule):
    """Half a cosine from lr to `minimum` over `steps`, or over the whole training where none are given."""

    type: Literal["cosine"] = "cosine"
    steps: int | None = Field(None, gt=0)
    minimum: float = Field(0.0, ge=0.0)


class Steps(_Schedule):
    """lr * factors[i] from step boundaries[i] on."""

    type: Literal["steps"] = "steps"
    boundaries: list[int] = Field(min_length=1)
    factors: list[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.boundaries) != len(self.factors):
            raise ValueError(
                f"{len(self.boundaries)} boundaries need as many factors, but there are {len(self.factors)}"
            )
        if any(b <= a for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError("boundaries must ascend")
        return self


class Plateau(_Schedule):
    """lr * factor after `patience` evaluations without a better `early_stop.metric`."""

    type: Literal["plateau"] = "plateau"
    factor: float = Field(0.1, gt=0.0, lt=1.0)
    patience: int = Field(1, ge=1)
    minimum: float = Field(1e-6, ge=0.0)


Schedule = Annotated[Constant | Exponential | Cosine | Steps | Plateau, Field(discriminator="type")]

# ------------------------------------------------------------------------------------------ optimizers


class _Optimizer(StrictModel):
    lr: float = Field(1e-3, gt=0.0)
    schedule: Schedule = Constant()


Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Adam(_Optimizer):
    """Adam, exact: for tables every row moves at every step (dense), so it fits small tables."""

    type: Literal["adam"] = "adam"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0.0)


class LazyAdam(_Optimizer):
    """Adam on the rows of the batch alone; bias correction by the global step."""

    type: Literal["lazy_adam"] = "lazy_adam"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0.0)


class RowwiseAdagrad(_Optimizer):
    """Adagrad with one accumulator per row: the mean of the squared gradient."""

    type: Literal["rowwise_adagrad"] = "rowwise_adagrad"
    eps: float = Field(1e-8, gt=0.0)
    initial_accumulator: float = Field(0.0, ge=0.0)


class Adagrad(_Optimizer):
    """Adagrad with one accumulator per weight."""

    type: Literal["adagrad"] = "adagrad"
    eps: float = Field(1e-10, gt=0.0)
    initial_accumulator: float = Field(0.0, ge=0.0)


class SGD(_Optimizer):
    """Stochastic gradient descent; momentum for dense parameters alone."""

    type: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0.0, lt=1.0)


class FTRL(_Optimizer):
    """FTRL-proximal (McMahan et al., KDD 2013)."""

    type: Literal["ftrl"] = "ftrl"
    l1: float = Field(0.0, ge=0.0)
    l2: float = Field(0.0, ge=0.0)
    beta: float = Field(1.0, ge=0.0)


class AdamW(_Optimizer):
    """Adam with decoupled weight decay."""

    type: Literal["adamw"] = "adamw"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0.0)
    weight_decay: float = Field(0.01, ge=0.0)


SparseOptimizer = Annotated[Adam | LazyAdam | RowwiseAdagrad | Adagrad | SGD | FTRL, Field(discriminator="type")]
DenseOptimizer = Annotated[Adam | AdamW | Adagrad | SGD, Field(discriminator="type")]

# ------------------------------------------------------------------------------------- several tasks


class Fixed(StrictModel):
    """The losses are added up, each times the `weight` of its task."""

    type: Literal["fixed"] = "fixed"


class Uncertainty(StrictModel):
    """A noise per task is learned, and a noisy task weighs less (Kendall et al., CVPR 2018)."""

    type: Literal["uncertainty"] = "uncertainty"


class GradNorm(StrictModel):
    """Weights that let all tasks learn at one pace (Chen et al., ICML 2018)."""

    type: Literal["gradnorm"] = "gradnorm"
    alpha: float = Field(1.5, ge=0.0)
    """How strongly a task that lags behind is pulled along."""
    lr: float = Field(0.025, gt=0.0)
    """Learning rate of the weights."""


class PCGrad(StrictModel):
    """What a task's gradient has against another one's is taken off (Yu et al., NeurIPS 2020)."""

    type: Literal["pcgrad"] = "pcgrad"


class MGDA(StrictModel):
    """The shortest mixture of the tasks' gradients, along which no task loses (Sener and Koltun, NeurIPS 2018)."""

    type: Literal["mgda"] = "mgda"
    normalize: Literal["none", "norm", "loss", "loss_norm"] = "none"
    """What each gradient is divided by before the mixture is sought: its norm, its loss, or both."""


WeightingType = Literal["fixed", "uncertainty", "gradnorm", "pcgrad", "mgda"]
TaskWeighting = Annotated[Fixed | Uncertainty | GradNorm | PCGrad | MGDA, Field(discriminator="type")]

# ---------------------------------------------------------------------------------------------- rhythm


class Every(StrictModel):
    """A rhythm: exactly one of its units."""

    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(v is not None for v in (self.epochs, self.steps, self.seconds)) != 1:
            raise ValueError("give exactly one of 'epochs', 'steps', 'seconds'")
        return self


class EarlyStop(StrictModel):
    """Stop after `patience` evaluations in a row without a better `metric` on valid."""

    metric: str = "auc"
    """`auc`, or `task/metric` with several tasks."""
    patience: int = Field(2, ge=1)
    min_delta: float = Field(0.0, ge=0.0)


class CheckpointConfig(StrictModel):
    """When checkpoints are written and which are kept."""

    every: Every = Every(epochs=1)
    keep: int = Field(2, ge=1)
    """How many of the newest are kept, the best apart."""
    best: bool = True


class GradClip(StrictModel):
    """Bounds on the gradient of all parameters together, tables included."""

    norm: float | None = Field(None, gt=0.0)
    value: float | None = Field(None, gt=0.0)
    """Bound per element, for dense parameters."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.norm is None and self.value is None:
            raise ValueError("give 'norm', 'value' or both")
        return self


class EMA(StrictModel):
    """Exponential moving average of the dense parameters, used for evaluation and export."""

    decay: float = Field(0.999, gt=0.0, lt=1.0)


class TrainMetrics(StrictModel):
    """Metrics of the rows that were learned lately, measured at every log. A list stands for its `metrics`."""

    metrics: list[Annotated[Any, Choice("easyrec.metrics")]] = []
    """Each task gets those that fit its type. Default: those that are evaluated."""
    decay: float = Field(0.9, ge=0.0, lt=1.0)
    """Rows of k logs ago weigh decay^k, and below 0.05 nothing."""
    rows: int = Field(20_000, gt=0)
    """Rows of each log that are measured: some of its batches, evenly spaced."""

    @field_validator("metrics")
    @classmethod
    def _keys_differ(cls, value: list[Any]) -> list[Any]:
        return different_keys(value)


class Storage(StrictModel):
    """How much memory embedding tables take; rows for which there is none are on disk."""

    memory_mb: int = Field(gt=0)
    """Of the tables with their optimizer's state, in MiB."""
    disk: str | None = None
    """Folder of the rows that are not in memory; default: the run's. Its files have no names and end with the process."""


class TrainConfig(StrictModel):
    """The `train` section."""

    foreign: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("learning_rate", "lr"),
        "it is a key of the optimizers, e.g. dense_optimizer: {type: adam, lr: 0.001}, and sparse_optimizer for tables",
    )

    epochs: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    """Stop after this many steps; with `epochs` too, whichever comes first. Default: one epoch."""
    seed: int = Field(2026, ge=0, lt=2**31)
    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16`: autocast of the dense part; weights, tables and losses stay fp32."""
    device: str = "cpu"
    """Where training computes: `cpu`, `cuda` or `cuda:<n>`."""
    tables: Literal["auto", "processor", "device"] = "auto"
    """Where embedding tables are while they are trained; `auto`: on the device, where it has room and can do it."""
    compile: bool = False
    """torch.compile of the dense part."""
    threads: int | None = Field(None, gt=0)
    """Threads of the training step; default: `OMP_NUM_THREADS`, else the processors that this process may use."""
    embedding_regularizer: float = Field(0.0, ge=0.0)
    """lambda of lambda/2 * ||E||^2 over whole tables (dense gradient)."""
    net_regularizer: float = Field(0.0, ge=0.0)
    """lambda of lambda/2 * ||W||^2 over all dense parameters, biases included."""
    sparse_optimizer: SparseOptimizer = LazyAdam()
    dense_optimizer: DenseOptimizer = Adam()
    task_weighting: TaskWeighting = Fixed()
    """How the losses of several tasks become one step."""
    grad_clip: GradClip | None = None
    ema: EMA | None = None
    early_stop: EarlyStop | None = None
    evaluate_every: Every = Every(epochs=1)
    checkpoint: CheckpointConfig = CheckpointConfig()
    init_from: InitFrom | None = None
    """Another run whose parameters are taken over; a text stands for its `path`."""
    freeze: list[str] = []
    """Names of parameters and tables that do not learn; `*` stands for anything."""
    storage: Storage | None = None
    """Bounds the memory of embedding tables; default: all rows are in memory."""
    distributed: Distributed | None = None
    """How several workers share the tables; torchrun starts them."""
    log_every: int = Field(100, gt=0)
    """Steps between lines in the log and points in TensorBoard."""
    metrics: TrainMetrics | None = None
    """Metrics in these lines and points; default: none."""

    @field_validator("init_from", mode="before", json_schema_input_type=InitFrom | str | None)
    @classmethod
    def _a_text_is_a_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("metrics", mode="before", json_schema_input_type=TrainMetrics | list[Any] | None)
    @classmethod
    def _a_list_is_of_metrics(cls, value: Any) -> Any:
        return {"metrics": value} if isinstance(value, list) else value

    @field_validator("device")
    @classmethod
    def _a_device_is_known(cls, value: str) -> str:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
            raise ValueError(f"must be 'cpu', 'cuda' or 'cuda:<number>', but is {value!r}")
        return value

    @field_validator("task_weighting", mode="before", json_schema_input_type=TaskWeighting | WeightingType)
    @classmethod
    def _a_name_is_a_type(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @field_validator("grad_clip", mode="before", json_schema_input_type=GradClip | float | None)
    @classmethod
    def _a_number_is_a_norm(cls, value: Any) -> Any:
        return {"norm": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("sparse_optimizer")
    @classmethod
    def _tables_have_no_momentum(cls, value: SparseOptimizer) -> SparseOptimizer:
        if isinstance(value, SGD) and value.momentum:
            raise ValueError("momentum is for dense parameters alone: tables take plain sgd")
        return value

    @model_validator(mode="after")
    def _tables_are_on_a_device_that_is_named(self) -> Self:
        if self.tables == "device" and self.device == "cpu":
            raise ValueError("'tables: device' needs a device: set 'device', e.g. cuda, or leave 'tables' out")
        return self

    @model_validator(mode="after")
    def _a_compiled_graph_goes_back_once(self) -> Self:
        kind = self.task_weighting.type
        if self.compile and kind in ("gradnorm", "pcgrad", "mgda"):
            text = f"task_weighting '{kind}' takes a backward pass per task, and a compiled graph bears one: leave"
            raise ValueError(f"{text} 'compile' out, or take 'fixed' or 'uncertainty'")
        return self

    def unweighable(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against weighing these tasks, by dotted path."""
        learned = [task.name for task in tasks if task.weight]
        if not isinstance(self.task_weighting, Fixed) and len(learned) < 2:
            text = f"'{self.task_weighting.type}' weighs the losses of several tasks, but there is one: "
            yield Problem(f"{text}{', '.join(learned) or 'none'}\nleave task_weighting out", "train.task_weighting")
        below = {part.type for task in tasks if task.weight for part in task.loss_config.parts if part.below_zero}
        chosen = self.task_weighting
        of_losses = (
            chosen.normalize in ("loss", "loss_norm")
            if isinstance(chosen, MGDA)
            else not isinstance(chosen, Fixed | PCGrad)
        )
        if below and of_losses:
            text = f"'{chosen.type}' takes losses for no less than 0, but '{', '.join(sorted(below))}' falls below"
            yield Problem(
                f"{text}\ntake fixed, pcgrad, or mgda that is not normalized by losses", "train.task_weighting"
            )

    @model_validator(mode="after")
    def _who_watches_keeps_the_best(self) -> Self:
        plateau = any(isinstance(o.schedule, Plateau) for o in (self.sparse_optimizer, self.dense_optimizer))
        if not self.checkpoint.best and (self.early_stop is not None or plateau):
            what = "'early_stop'" if self.early_stop is not None else "a 'plateau' schedule"
            raise ValueError(f"{what} watches for the best evaluation: leave 'checkpoint.best' true")
        return self
