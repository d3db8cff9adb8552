"""`spark`: slices as partitions of a Spark frame, or the partitions of a table, done in `mapInArrow`.

Spark keeps its Python workers, so a task is opened once in each. A task that fails or loses its process is tried again;
a part has one name, so that a second attempt replaces the first.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

import pyarrow as pa

from easyrec.data.engines import Engine, EngineConfig, Progress, Table, Task, Told
from easyrec.data.engines._worker import told_of, worker_of
from easyrec.errors import ConfigError, EngineError, MissingExtra
from easyrec.processors import num_processors

logger = logging.getLogger("easyrec.data")

ATTEMPTS = 5
"""Of a slice before Spark gives up; one more than a worker may die of it, so that the last one tells."""

JAVA = 17
"""Oldest Java that Spark 4 runs on."""

WATCHED_SECONDS = 0.5

NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){0,2}")


class Config(EngineConfig):
    """Config of `spark`.

    Attributes:
        conf: Spark's own settings, such as `spark.executor.memory`.
        hive: Whether tables are those of a Hive metastore, as `hive-site.xml` or `conf` names it.
    """

    type: Literal["spark"] = "spark"
    conf: dict[str, str] = {}
    hive: bool = False

    def open(self) -> Engine:
        """A session with the master of `address` or of `spark-submit`; else with one in this process."""
        return SparkEngine(self)


@dataclass(frozen=True)
class SparkTable(Table):
    """A table, or some rows of one.

    Attributes:
        frame: Spark's own.
    """

    frame: Any


class SparkEngine(Engine):
    """A Spark session.

    Args:
        config: Where it is.
    """

    def __init__(self, config: Config) -> None:
        # Of versions of pandas, which has no part in what runs here.
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        try:
            from pyspark.sql import SparkSession  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise MissingExtra((error.name or "pyspark").partition(".")[0], "spark") from None
        if (config.address or "").startswith("sc://"):
            raise EngineError(
                f"{config.address} is Spark Connect, which carries no tasks of ours: name the master, spark://HOST:7077"
            )
        submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # `spark-submit` has started the JVM, and knows the master
        if not submitted:
            check_java()
        self.config, self._ours = config, SparkSession.getActiveSession() is None
        local = config.address is None and not submitted
        self.shown = f"spark ({'this machine' if local else config.address or 'spark-submit'})"
        self._spark = self._session(SparkSession.builder.appName("easyrec"), local)
        self.shown = f"spark ({self._spark.sparkContext.master})"

    def _session(self, builder: Any, local: bool) -> Any:
        config = self.config
        settings = {
            "spark.log.level": "ERROR",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.session.timeZone": "UTC",
            "spark.task.cpus": str(config.cpus),
            "spark.task.maxFailures": str(ATTEMPTS),
        }
        if local:
            workers = config.workers or max(1, num_processors() // config.cpus)
            builder = builder.master(f"local[{workers * config.cpus},{ATTEMPTS}]")
            settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
            settings |= {"spark.ui.enabled": "false"}
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # whatever `python3` may be
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        else:
            builder = builder.master(config.address) if config.address else builder
            settings |= {"spark.cores.max": str(config.workers * config.cpus)} if config.workers else {}
        for name, value in {**settings, **config.conf}.items():
            builder = builder.config(name, value)
        try:
            session = (builder.enableHiveSupport() if config.hive else builder).getOrCreate()
        except Exception as error:
            raise EngineError(f"{self.shown} cannot be started: {_cause(error)}") from error
        return session

    @property
    def session(self) -> Any:
        """Spark's own, for what is not shared out in slices."""
        return self._spark

    def run(self, task: Task, numbers: Sequence[int], progress: Progress) -> Generator[Told]:
        """A frame of as many partitions as there are slices."""
        logger.info("%s: %d slices for %d workers", self.shown, len(numbers), self._workers)
        frame = self._spark.range(0, len(numbers), 1, numPartitions=len(numbers))
        return self._collected(frame.mapInArrow(_Slices(task, tuple(numbers)), "told string"), len(numbers), progress)

    def table(self, name: str, where: str | None = None) -> Table:
        """A table of the catalogue, with its partition columns."""
        _check_name(name)
        from pyspark.errors import PySparkException  # noqa: PLC0415 (an extra)
        from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415

        try:
            frame = self._spark.table(name)
            frame = frame if where is None else frame.filter(where)
            schema = to_arrow_schema(frame.schema)
            return SparkTable(name, schema, frame.rdd.getNumPartitions(), frame)
        except PySparkException as error:
            hint = "" if self.config.hive else "; tables of a Hive metastore need --engine spark hive=true"
            raise ConfigError(f"{self.shown} cannot read the table '{name}': {_cause(error)}{hint}") from None

    def run_table(self, task: Task, table: Table, columns: Sequence[str], progress: Progress) -> Generator[Told]:
        """The table's own partitions; only `columns` are read."""
        assert isinstance(table, SparkTable)
        logger.info("%s: %d partitions for %d workers", self.shown, table.partitions, self._workers)
        frame = table.frame.select(*[f"`{name}`" for name in columns])
        schema = pa.schema([table.schema.field(name) for name in columns])
        mapped = frame.mapInArrow(_Partition(task, table.name, schema), "told string")
        return self._collected(mapped, table.partitions, progress)

    def registrable(self, table: str) -> None:
        """A name that is free, in a catalogue that outlives the session."""
        _check_name(table)
        if table.count(".") < 2 and self._spark.conf.get("spark.sql.catalogImplementation") == "in-memory":
            text = (
                f"'{table}' would be forgotten with this session, which has no metastore: take --engine spark hive=true"
            )
            raise ConfigError(text)
        if self._spark.catalog.tableExists(table):
            raise ConfigError(f"there is a table '{table}' already: name another one, or drop it")

    def register(self, table: str, folder: str) -> None:
        """An external table over the folder: no row is copied."""
        from pyspark.errors import PySparkException  # noqa: PLC0415 (an extra)

        try:
            self._spark.catalog.createTable(table, path=folder, source="parquet")
        except PySparkException as error:
            raise EngineError(
                f"the parts are in {folder}, but '{table}' was not made of them: {_cause(error)}"
            ) from None

    def close(self) -> None:
        """End a session that was started here."""
        if self._ours:
            self._spark.stop()

    @property
    def _workers(self) -> int:
        return max(1, int(self._spark.sparkContext.defaultParallelism) // self.config.cpus)

    def _collected(self, frame: Any, total: int, progress: Progress) -> Generator[Told]:
        """What all workers told; while they work, a look at how many are done."""
        from pyspark import InheritableThread  # noqa: PLC0415 (an extra)

        context, found, ended = self._spark.sparkContext, list[Any](), Event()

        def collect() -> None:
            try:
                found.append(frame.collect())
            except Exception as error:  # noqa: BLE001 (it is raised in the thread that waits)
                found.append(error)
            finally:
                ended.set()

        thread = InheritableThread(target=collect, name="spark", daemon=True)
        thread.start()
        tracker, least = context.statusTracker(), 0
        try:
            while not ended.wait(WATCHED_SECONDS):
                stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                least = max(least, *(stage.numCompletedTasks for stage in stages if stage), 0)
                progress(min(least, total))
        except BaseException:  # Ctrl-C: the workers must not go on
            context.cancelAllJobs()
            raise
        thread.join()
        if isinstance(found[0], Exception):
            raise EngineError(f"{self.shown} gave up: {_cause(found[0])}") from found[0]
        progress(total)
        for row in found[0]:
            yield told_of(row["told"])


@dataclass(frozen=True)
class _Slices:
    """Does the slices whose places a partition holds."""

    task: Task
    numbers: tuple[int, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        worker = worker_of(self.task)
        for batch in batches:
            told = [worker.slice(self.numbers[place]) for place in batch.column(0).to_pylist()]
            yield pa.record_batch({"told": pa.array(told, pa.string())})


@dataclass(frozen=True)
class _Partition:
    """Does the rows of a partition."""

    task: Task
    table: str
    schema: pa.Schema

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext  # noqa: PLC0415 (an extra)

        context = TaskContext.get()
        assert context is not None
        number = context.partitionId()
        told = worker_of(self.task).batches(number, self.schema, batches, f"{self.table}, partition {number}")
        yield pa.record_batch({"told": pa.array([told], pa.string())})


def _check_name(table: str) -> None:
    if not NAME.fullmatch(table):
        raise ConfigError(f"'{table}' is no name of a table: write table, db.table or catalog.db.table")


def check_java() -> None:
    """Look for the Java that Spark runs on.

    Raises:
        EngineError: There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    remedy = "apt-get install default-jre-headless, or set JAVA_HOME"
    if java is None or not Path(java).exists():
        place = f"none in JAVA_HOME ({home})" if home else "none on the PATH"
        raise EngineError(f"spark needs Java {JAVA} or newer, and there is {place}: {remedy}")
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603 (as Spark does)
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    if found is not None and int(found[1]) < JAVA:
        raise EngineError(f"spark needs Java {JAVA} or newer, and {java} is {found[1]}: {remedy}")


def _cause(error: BaseException) -> str:
    """What Spark says, in one line, without the JVM's stack."""
    lines = [line.strip(" \t:") for line in str(error).splitlines() if line.strip(" \t:")]
    telling = [line for line in lines if "Python worker exited" in line or "Error" in line or "Exception:" in line]
    return (telling or lines or [type(error).__name__])[0][:500]
