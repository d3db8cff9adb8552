"""The commands as Python functions: `easyrec.train`, `easyrec.evaluate`, `easyrec.predict`, `easyrec.export`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import pyarrow as pa

from easyrec import metrics
from easyrec.config import DataConfig, Experiment, load_experiment
from easyrec.config.distributed import Distributed
from easyrec.config.experiment import unfit_exclusion
from easyrec.config.parts import NO_ITEMS
from easyrec.config.statistic import StatisticConfig
from easyrec.data import Part, Report, Source, make_loader, open_sources
from easyrec.data.engines import EngineConfig, engine_config
from easyrec.data.feed import source_of
from easyrec.data.queues import QueueConfig, queue_config
from easyrec.data.sources import SourceConfig
from easyrec.data.sources.frame import FrameSource
from easyrec.data.spread import Spread, folder_of
from easyrec.errors import ConfigError, Problem
from easyrec.processors import this_worker
from easyrec.retrieval.indexes import IndexConfig
from easyrec.retrieval.items import Items
from easyrec.retrieval.tuning import Point
from easyrec.train.bundling import export_run
from easyrec.train.choose_index import apply as apply_index
from easyrec.train.choose_index import chosen_index, user_vectors, write
from easyrec.train.embed import digest_of, embed_items
from easyrec.train.matching import Matching
from easyrec.train.memory import kept_memory
from easyrec.train.predict import predictions, write_predictions
from easyrec.train.predict_parts import predict_parts
from easyrec.train.predict_spread import Trained, predict_spread
from easyrec.train.restore import restore
from easyrec.train.retrieve import Searched, retrieved
from easyrec.train.run import Run
from easyrec.train.run_folder import run_path
from easyrec.train.statistics import (
    evaluate_statistic,
    export_statistic,
    restore_statistic,
    retrieved_by_statistic,
    train_statistic,
)
from easyrec.train.taught import evaluated, teach
from easyrec.train.trainer import Trainer
from easyrec.workers import Workers
from feature_generator.config import Choice, Document, StrictModel, validate

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("easyrec.train")

AnyPath: TypeAlias = str | os.PathLike[str]
Config: TypeAlias = AnyPath | Mapping[str, Any] | Experiment
"""A YAML file, the folder of a run, the content of a config as a dict, or a loaded experiment."""
Overrides: TypeAlias = Sequence[str] | Mapping[str, Any]
Plugins: TypeAlias = Sequence[AnyPath]


def train(
    config: Config,
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool | None = None,
    export: bool = True,
    profile: int = 0,
) -> Run:
    """Train, evaluate, export, report; under torchrun as one of several workers, of which the first one writes.

    Args:
        config: What to train.
        data: Rows by part (`train`, `valid`, `test`) that stand in for the config's: DataFrames, Arrow tables, dicts
            of arrays, or sources as a config writes them.
        overrides: Settings laid over the config: `{"train.epochs": 1}`, or texts as `-o` takes them.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        resume: Go on from the newest checkpoint in the folder, if there is one.
        overwrite: Remove what is in the folder.
        progress: Whether to draw a progress bar; default: whether stderr is a terminal.
        export: Whether the trained model becomes a bundle.
        profile: Steps whose time is told by parts, in `profile/` of the run's folder; 0: none.

    Raises:
        ConfigError: The config, or config and data together, cannot work.
        DataError: A row cannot be used.
        RunError: The folder is taken, or a signal came (`Interrupted`; the state is saved then).
        CheckpointError: A checkpoint cannot be written or read.
    """
    options: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "bar": progress, "export": export}
    with Workers(*this_worker()).speaking_once() as workers:
        experiment, folder = _experiment(config, overrides, plugins, run_dir)
        if workers.several:
            experiment.require_distributed()
            chosen = experiment.train.distributed or Distributed()
            workers.join(chosen.timeout, chosen.backend, chosen.transport)
        if isinstance(experiment.model, StatisticConfig):
            return train_statistic(experiment, folder, data=data, **options)
        return Trainer(experiment, folder, data=data, profile=profile, workers=workers, **options).fit()


def evaluate(
    config: Config,
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
) -> Run:
    """Evaluate a trained run's best checkpoint on `valid` and `test`; the run's files stay as they are.

    Args:
        config: What was trained; the folder of the run will do.
        data: Rows by part, as for `train`; with it only these parts are evaluated.
        overrides: Settings laid over the config, e.g. other metrics or slices.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.

    Returns:
        A run with the metrics of this evaluation: `{"valid": {...}, "test": {...}}`.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    if isinstance(experiment.model, StatisticConfig):
        return evaluate_statistic(experiment, folder, data, checkpoint)
    scorer = restore(experiment, folder, checkpoint)
    sources = open_sources(experiment, data)
    names = [part for part in data or () if part != "items"] or ["valid", "test"]
    taught = teach(experiment, sources, folder, evaluated(experiment, names))
    if taught is not None:
        taught.prepare()
        experiment, sources = taught.experiment, taught.sources
    found: dict[str, dict[str, float]] = {}
    matching = Matching(experiment, sources) if experiment.eval.retrieval is not None else None
    with kept_memory(), scorer.averaged():
        for name in names:
            part = getattr(sources, name)
            if part is None:
                continue
            if matching is not None:
                loader = matching.asked(part)
                found[name] = matching.measure(scorer, loader)
            else:
                loader = make_loader(experiment, part, training=False)
                found[name] = metrics.evaluate(scorer.predict, loader, experiment.tasks, experiment.eval)
            if loader.report.num_bad:
                logger.warning("%s: %s", name, loader.report.summary())
    if not found:
        raise ConfigError([Problem("there is neither data.valid nor data.test to evaluate on", "data")])
    return Run(found, folder)


def predict(
    config: Config,
    input: Any = None,
    output: AnyPath | None = None,
    *,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
    queue: str | Mapping[str, Any] | QueueConfig | None = None,
    wait: bool = True,
    progress: bool | None = None,
    engine: str | Mapping[str, Any] | EngineConfig | None = None,
    table: str | None = None,
    where: str | None = None,
    output_table: str | None = None,
    overwrite: bool = False,
    told: Callable[[Report, Spread], None] | None = None,
) -> Path | pd.DataFrame:
    """Score rows with a trained run's best checkpoint.

    Args:
        config: What was trained; the folder of the run will do.
        input: A parquet, csv or jsonl file (or folder, or glob), a DataFrame or Arrow table, or a source as a config writes
            it; default: `data.test`.
        output: Parquet file to write; with a queue or an engine a folder of them.
        overrides: Settings laid over the config, e.g. `data.reserved`.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.
        queue: Share the rows among all who make the same call: a folder, an address such as `redis://host/0`, or a
            config, see `easyrec.data.queues`. Called again, what is missing is done.
        wait: With a queue: stay until all rows are done, also by others; else leave where there is nothing to take.
        progress: With a queue or an engine: whether to draw a progress bar; default: whether stderr is a terminal.
        engine: Share the rows among the workers of `ray` or `spark`: its name, or a config, see `easyrec.data.engines`.
        table: With Spark: a table of its catalogue in the place of `input`.
        where: Which of its rows, in SQL.
        output_table: With Spark: a table to make of the output.
        overwrite: With an engine: replace an output that is there.
        told: With an engine: gets what was read and how the work was shared.

    Returns:
        `output`, or without it a DataFrame: `data.reserved` columns, and one column per task. Integers of which
        some are missing stay Python's, in a column of objects.

    Raises:
        QueueError: With a queue: slices of the rows have failed, or the queue cannot be used.
        EngineError: With an engine: it cannot be started or reached, or gave up.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    _has_a_program(experiment, "predicts no labels: `easyrec retrieve` gives the items of users")
    if engine is not None:
        if queue is not None:
            raise ConfigError([Problem("an engine shares the rows out itself: leave the queue away", "queue")])
        if output is None:
            raise ConfigError([Problem("with an engine it is a folder: name one", "output")])
        target, shared_by = folder_of(output), engine_config(engine)
        rows = None if table is not None else _where(experiment, input)
        scorer = restore(experiment, folder, checkpoint)
        trained = Trained.of(experiment, folder, checkpoint)
        with shared_by.open() as opened:
            if output_table is not None:
                opened.registrable(output_table)
            found = predict_spread(
                experiment,
                scorer,
                trained,
                rows or opened.table(str(table), where),
                target,
                shared_by,
                opened,
                overwrite=overwrite,
                bar=sys.stderr.isatty() if progress is None else progress,
            )
            if output_table is not None:
                opened.register(output_table, str(target.absolute()))
        if told is not None:
            told(*found)
        return target
    if queue is not None:
        if output is None or Path(output).suffix.lower() in (".csv", ".parquet"):
            raise ConfigError([Problem("with a queue it is a folder, of one parquet file per slice", "output")])
        shared, bar = queue_config(queue), sys.stderr.isatty() if progress is None else progress
        scorer, part = restore(experiment, folder, checkpoint), _input(experiment, input)
        with kept_memory():
            predict_parts(experiment, scorer, part, Path(output), shared, wait=wait, bar=bar)
        return Path(output)
    tables = predictions(experiment, restore(experiment, folder, checkpoint), _input(experiment, input))
    with kept_memory():
        return _written(tables, output)


def export(
    config: Config,
    *,
    data: Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
    output: AnyPath | None = None,
    overwrite: bool = False,
) -> Run:
    """Write the bundle of a trained run's best checkpoint.

    Args:
        config: What was trained; the folder of the run will do.
        data: Rows by part for warming up that stand in for the config's.
        overrides: Settings laid over the config, e.g. of `export`.
        plugins: Files and packages with more models, losses, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.
        output: Where the bundle goes; default `bundle` in the folder of the run.
        overwrite: Replace a bundle that is there.

    Returns:
        The run, with the new bundle.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    if isinstance(experiment.model, StatisticConfig):
        return export_statistic(experiment, folder, checkpoint=checkpoint, output=output, overwrite=overwrite)
    return export_run(experiment, folder, checkpoint=checkpoint, output=output, data=data, overwrite=overwrite)


def embed(
    config: Config,
    items: Any = None,
    output: AnyPath | None = None,
    *,
    index: Mapping[str, Any] | str = "hnsw",
    attributes: Sequence[str] = (),
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Make the vectors of a catalogue, and an index over them. Stopped at any moment, the same call goes on.

    Args:
        config: What was trained; the folder of the run will do.
        items: The catalogue: a parquet or csv file (or folder, or glob), a DataFrame or Arrow table, or a source as a
            config writes it; default: `data.items`.
        output: Folder to write; default `items` in the folder of the run.
        index: Type of the index, or its config.
        attributes: Columns of the catalogue that `retrieve` may filter by.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.
        overwrite: Replace vectors of other items or by another model.
        progress: Whether to draw a progress bar; default: whether stderr is a terminal.

    Returns:
        The folder.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    _has_vectors(experiment)
    source = _source(experiment, items, experiment.data.items, NO_ITEMS)
    chosen = indexed(index)
    target = folder / "items" if output is None else Path(output)
    bar = sys.stderr.isatty() if progress is None else progress
    scorer = restore(experiment, folder, checkpoint)
    options: dict[str, Any] = {"attributes": attributes, "overwrite": overwrite, "bar": bar}
    with kept_memory(), scorer.averaged():
        return embed_items(experiment, scorer, source, target, chosen, **options)


def retrieve(
    config: Config,
    users: Any = None,
    output: AnyPath | None = None,
    *,
    k: int = 100,
    items: AnyPath | None = None,
    exclude: str | None = None,
    filter: Mapping[str, Any] | None = None,
    any_model: bool = False,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
) -> Path | pd.DataFrame:
    """Find the nearest items of users, among those that `embed` made vectors of.

    A model that searches for items finds those of `data.items`, and needs no vectors of them.

    Args:
        config: What was trained; the folder of the run will do.
        users: Rows of users, as `embed` takes items; default: `data.test`.
        output: Parquet file to write.
        k: How many items a user gets.
        items: Folder that `embed` wrote; default `items` in the folder of the run. Statistics hold their own.
        exclude: Feature with ids of items that a user does not get, such as those of the history.
        filter: Values by attribute that `embed` kept: found are items that have one of them in each.
        any_model: Take items whose vectors another model made; whether these can be compared is yours to know.
        overrides: Settings laid over the config, e.g. `data.reserved`.
        plugins: Files and packages with more models, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.

    Returns:
        `output`, or without it a DataFrame: `data.reserved` columns, `items` and `scores`.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    _compares(experiment)
    problems = [Problem(f"a user gets at least one item, not {k}", "k")] if k < 1 else []
    counted = isinstance(experiment.model, StatisticConfig)
    if items is not None and experiment.model.searches:
        text = f"'{experiment.model.type}' needs no vectors of items: it finds those of data.items"
        problems.append(Problem(text, "items"))
    if items is not None and counted:
        text = "holds its items itself: name the folder of a statistic or its bundle as the checkpoint"
        problems.append(Problem(f"'{experiment.model.type}' {text}", "items"))
    if filter and (experiment.model.searches or counted):
        problems.append(Problem(f"'{experiment.model.type}' keeps no attributes of items", "filter"))
    if exclude is not None:
        problems += unfit_exclusion(experiment.generator, experiment.data.item_id, exclude, "exclude")
    if problems:
        raise ConfigError(problems)
    source = _source(experiment, users, experiment.data.test, Problem("name the rows of users", "data.test"))
    if counted:
        statistic = restore_statistic(experiment, folder, checkpoint)
        with kept_memory():
            return _written(retrieved_by_statistic(experiment, statistic, source, k, exclude), output)
    scorer = restore(experiment, folder, checkpoint)
    with kept_memory(), scorer.averaged():
        found: Items | Searched
        if experiment.model.searches:
            found = Searched(experiment, scorer)
        else:
            model = None if any_model else digest_of(experiment, scorer)
            found = Items(folder / "items" if items is None else Path(items), model)
            _check_filter(found, filter)
        return _written(retrieved(experiment, scorer, source, found, k, exclude, filter), output)


def _written(tables: Iterator[pa.Table], output: AnyPath | None) -> Path | pd.DataFrame:
    """The tables in a file; without one as a DataFrame."""
    if output is not None:
        write_predictions(tables, output)
        return Path(output)
    # Without it one null makes floats of integers, and other ids of those beyond 2**53.
    frame: pd.DataFrame = pa.concat_tables(tables).to_pandas(integer_object_nulls=True)
    return frame


def choose_index(
    config: Config,
    users: Any = None,
    *,
    k: int = 100,
    recall: float = 0.95,
    indexes: Sequence[Mapping[str, Any] | str] = (),
    items: AnyPath | None = None,
    queries: int = 1000,
    seconds: float = 5.0,
    apply: bool = False,
    told: Callable[[Point], None] = lambda _: None,
    overrides: Overrides = (),
    plugins: Plugins = (),
    run_dir: AnyPath | None = None,
    checkpoint: AnyPath | None = None,
) -> dict[str, Any]:
    """Measure what the index of embedded items finds in how much time, at every setting of its searches.

    Writes `tuning/tuning.json` and `tuning/report.html`, with the plot, into the folder of the items.

    Args:
        config: What was trained; the folder of the run will do.
        users: Rows of users, as `embed` takes items; default: `data.test`.
        k: How many items each looks for.
        recall: Share of its nearest that it must find.
        indexes: Others to build and measure beside, by type or config.
        items: Folder that `embed` wrote; default `items` in the folder of the run.
        queries: Users that are taken, spread over the rows.
        seconds: How long searches are timed at each setting.
        apply: Let the items have the index and the setting that are suggested.
        told: Is told each setting that was measured.
        overrides: Settings laid over the config.
        plugins: Files and packages with more models, features, ..., see `feature_generator.config.plug`.
        run_dir: Folder of the run; default `runs/<name>`.
        checkpoint: Folder of another checkpoint than the best one.

    Returns:
        What stands in `tuning.json`: `points`, each with `config`, `recall`, `p50_ms`, `p95_ms`, `processor_ms` and
        `bytes`, and `suggested`, the one of the least processor time that reaches `recall`, or None; and where the
        `report` is.
    """
    experiment, folder = _experiment(config, overrides, plugins, run_dir)
    _has_vectors(experiment)
    wrong = {"k": k < 1, "queries": queries < 1, "recall": not 0 < recall <= 1, "seconds": seconds <= 0}
    problems = [
        Problem("must be above 0" + (", and at most 1" * (key == "recall")), key) for key in wrong if wrong[key]
    ]
    if problems:
        raise ConfigError(problems)
    more = [indexed(index) for index in indexes]
    source = _source(experiment, users, experiment.data.test, Problem("name the rows of users", "data.test"))
    scorer = restore(experiment, folder, checkpoint)
    with kept_memory(), scorer.averaged():
        found = Items(folder / "items" if items is None else Path(items), digest_of(experiment, scorer))
        vectors = user_vectors(experiment, scorer, source, queries)
    result, best = chosen_index(found, vectors, k, recall, more=more, seconds=seconds, told=told)
    report = write(result, found.folder / "tuning")
    if apply and best is not None:
        apply_index(found, best)
    return {**result, "report": str(report)}


def indexed(index: Mapping[str, Any] | str) -> IndexConfig:
    """The config of an index from its type or its content."""
    made = dict(index) if isinstance(index, Mapping) else {"type": index}
    found: IndexConfig = validate(_Indexed, Document.of({"index": made})).index
    return found


def _has_vectors(experiment: Experiment) -> None:
    _has_a_program(
        experiment,
        "makes no vectors: `easyrec retrieve` finds the items of users without these, and the nearest items of each stand "
        "in neighbours.parquet of the bundle",
    )
    _compares(experiment)
    if experiment.model.searches:
        what = {"codes": "writes the codes of items", "tree": "searches a tree of items"}[experiment.model.searches]
        text = f"'{experiment.model.type}' {what} and has no vectors: easyrec retrieve finds its items"
        raise experiment.placed(ConfigError([Problem(text, "model.type")]))


def _check_filter(items: Items, filter: Mapping[str, Any] | None) -> None:
    try:
        left = items.index.findable(filter)
    except ValueError as error:
        unkept = set(filter or {}) - set(items.attributes)
        remedy = "; `easyrec embed --attributes` keeps more" if unkept else ""
        raise ConfigError([Problem(f"{error}{remedy}", "filter")]) from error
    if filter and not left:
        logger.warning("no item passes the filter %s: no user gets any", dict(filter))


class _Indexed(StrictModel):
    """An index as a call names it."""

    index: Annotated[Any, Choice("easyrec.retrieval.indexes")]


def _has_a_program(experiment: Experiment, lacking: str) -> None:
    if isinstance(experiment.model, StatisticConfig):
        raise experiment.placed(ConfigError([Problem(f"'{experiment.model.type}' {lacking}", "model.type")]))


def _compares(experiment: Experiment) -> None:
    if not experiment.model.item_groups:
        text = f"'{experiment.model.type}' makes no vectors of items that users could be compared with"
        raise experiment.placed(ConfigError([Problem(text, "model.type")]))
    key = experiment.generator.outputs.get(experiment.data.item_id)
    if key is None or key.kind != "sparse":
        text = f"'{experiment.data.item_id}' is no feature of ids: name the one that tells items apart"
        raise experiment.placed(ConfigError([Problem(text, "data.item_id")]))


def _source(experiment: Experiment, given: Any, default: Any, lacking: Problem) -> Source:
    """The source of what a call names, or of the config."""
    if given is None and default is None:
        raise experiment.placed(ConfigError([lacking]))
    if given is None:
        opened: Source = default.open(experiment.data.bad_rows)
        return opened
    found = _input(experiment, given, default)
    return found.source if isinstance(found, Part) else found


def _experiment(
    config: Config, overrides: Overrides, plugins: Plugins, run_dir: AnyPath | None
) -> tuple[Experiment, Path]:
    """The experiment and the folder of its run."""
    folder = None if run_dir is None else Path(run_dir)
    if not isinstance(config, Experiment):
        if not isinstance(config, Mapping) and Path(config).is_dir():
            folder = folder or Path(config)
        config = load_experiment(config, overrides, plugins=plugins)
    elif overrides:
        raise ConfigError("overrides are laid over a file or a dict; this experiment is loaded already")
    return config, folder or run_path(config.name)


def _input(experiment: Experiment, given: Any, like: SourceConfig | None = None) -> Part | Source:
    """The rows that a call names; a path is read with the options of the first source of its type, `like` before others."""
    if given is None:
        part = open_sources(experiment).test
        if part is None:
            raise ConfigError([Problem("there is no data.test: name the rows to predict", "data")])
        return part
    if isinstance(given, Source):
        return given
    named = _named(experiment, given, like)
    return FrameSource(given, "input") if named is None else named.open(experiment.data.bad_rows)


def _where(experiment: Experiment, given: Any) -> SourceConfig | Literal["test"]:
    """Where the rows are that a call names, for others to read them; as `_input`."""
    if given is None:
        _input(experiment, None)
        return "test"
    named = _named(experiment, given)
    if named is None:
        text = "rows in memory cannot be given to an engine's workers: write them as parquet, or take no engine"
        raise ConfigError([Problem(text, "input")])
    return named


def _named(experiment: Experiment, given: Any, like: SourceConfig | None = None) -> SourceConfig | None:
    """The config of what a call names; None for rows in memory."""
    if isinstance(given, str | os.PathLike):
        data = experiment.data
        given = source_of(os.fspath(given), (like, data.test, data.valid, data.train, data.items))
    if isinstance(given, Mapping) and isinstance(given.get("type"), str):
        labels = experiment.data.labels or ["-"]
        given = validate(DataConfig, Document.of({"labels": labels, "test": dict(given)})).test
    return given if isinstance(given, SourceConfig) else None
