"""`ray`: slices as rows of a Ray dataset, done by a pool of actors in `map_batches`.

An actor is a process that opens the task once. Ray restarts one that dies and gives its slice to the next.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from easyrec.data.engines import Engine, EngineConfig, Progress, Task, Told
from easyrec.data.engines._worker import told_of, worker_of
from easyrec.errors import EngineError, MissingExtra
from easyrec.processors import num_processors

logger = logging.getLogger("easyrec.data")


class Config(EngineConfig):
    """Config of `ray`.

    Attributes:
        memory_mb: Memory that Ray sets aside for each worker; default: none, and the machine's is shared.
        runtime_env: What workers need installed or set, as `ray.init` takes it.
    """

    type: Literal["ray"] = "ray"
    memory_mb: int | None = Field(None, ge=1)
    runtime_env: dict[str, Any] = {}

    def open(self) -> Engine:
        """A connection to the cluster of `address` or of the job that this is part of; else a cluster of this process."""
        return RayEngine(self)


class RayEngine(Engine):
    """A Ray cluster.

    Args:
        config: Where it is.
    """

    def __init__(self, config: Config) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray  # noqa: PLC0415 (an extra)
            import ray.data  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra((error.name or "ray").partition(".")[0], "ray") from None
        self._ray, self.config = ray, config
        self.shown = f"ray ({config.address or 'this machine'})"
        self._ours = not ray.is_initialized()
        if self._ours:
            self._connect()

    def _connect(self) -> None:
        config = self.config
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if config.runtime_env:
            options["runtime_env"] = config.runtime_env
        if config.address is not None:
            options["address"] = config.address
        elif "RAY_ADDRESS" not in os.environ:  # which `ray job submit` sets
            options |= {"address": "local", "include_dashboard": False}
            options |= {"num_cpus": max(num_processors(), (config.workers or 1) * config.cpus)}
        try:
            self._ray.init(**options)
        except Exception as error:  # Ray raises plain ones, as where a node is slow to start
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise EngineError(f"{self.shown} cannot be reached: {told[0]}") from error

    def run(self, task: Task, numbers: Sequence[int], progress: Progress) -> Generator[Told]:
        """A dataset of the slices' numbers, run by this process, or by an actor of the cluster for a client."""
        ray, config = self._ray, self.config
        room = max(1, int(ray.cluster_resources().get("CPU", 1)) // config.cpus)
        size = min(config.workers or room, len(numbers))
        logger.info("%s: %d slices for %d workers", self.shown, len(numbers), size)
        try:
            with closing(self._texts(task, numbers, size)) as texts:
                for done, text in enumerate(texts, 1):
                    progress(done)
                    yield told_of(text)
        except ray.exceptions.RayError as error:
            raise EngineError(f"{self.shown} gave up: {_cause(error)}") from error

    def _texts(self, task: Task, numbers: Sequence[int], size: int) -> Generator[str]:
        """What workers tell."""
        if not (self.config.address or "").startswith("ray://"):
            yield from told_texts(task, numbers, size, self.config)
            return
        ray = self._ray  # a client runs no datasets
        driver = ray.remote(num_cpus=0)(Driver).remote(task, numbers, size, self.config)
        try:
            while (text := ray.get(driver.next.remote())) is not None:
                yield text
        finally:
            ray.kill(driver)

    def close(self) -> None:
        """Disconnect, which ends a cluster of this process."""
        if self._ours:
            self._ray.shutdown()


def told_texts(task: Task, numbers: Sequence[int], size: int, config: Config) -> Generator[str]:
    """What the workers tell of slices: a dataset of the slices' numbers, each a block of its own.

    Args:
        task: What they do.
        numbers: The slices.
        size: How many workers there are.
        config: Of the engine.
    """
    import ray.data  # noqa: PLC0415 (an extra)

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    table = pa.table({"number": pa.array(numbers, pa.int64())})
    dataset = ray.data.from_arrow([table.slice(index, 1) for index in range(len(numbers))]).map_batches(
        Actor,
        fn_constructor_kwargs={"task": task},
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=size),
        num_cpus=config.cpus,
        memory=config.memory_mb << 20 if config.memory_mb else None,
    )
    with closing(iter(dataset.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0))) as batches:
        for batch in batches:
            yield from batch.column("told").to_pylist()


class Driver:
    """Runs the dataset on the cluster, for a client outside.

    Args:
        task: As all arguments, that of `told_texts`.
        numbers: The slices.
        size: How many workers there are.
        config: Of the engine.
    """

    def __init__(self, task: Task, numbers: Sequence[int], size: int, config: Config) -> None:
        self._texts = told_texts(task, numbers, size, config)

    def next(self) -> str | None:
        """What the next slice became; None behind the last one."""
        return next(self._texts, None)


class Actor:
    """One worker.

    Args:
        task: What it does.
    """

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, batch: pa.Table) -> pa.Table:
        """What became of the slices whose numbers the batch holds."""
        worker = worker_of(self.task)
        return pa.table({"told": [worker.slice(number) for number in batch.column("number").to_pylist()]})


def _cause(error: BaseException) -> str:
    """What Ray says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "Error" in line), lines[0] if lines else type(error).__name__)
