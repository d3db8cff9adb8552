"""`fit`: features learn from rows, out of core; the work of several shards merges."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_generator.ahead import ahead
from feature_generator.config import Document, Path_
from feature_generator.errors import ConfigError, DataError, Problem, nearest
from feature_generator.fitting import partial
from feature_generator.fitting.gathering import Elements, Gatherer, Numbers, Texts, Words
from feature_generator.fitting.learned import Learned, differences, settle
from feature_generator.fitting.normalizing import normalization
from feature_generator.fitting.outcome import outcome
from feature_generator.fitting.subject import Subject, blank, replaced, subjects, words_of_titles
from feature_generator.generator import FeatureGenerator, GeneratorConfig, read_features
from feature_generator.offline import DEPTH, Inputs, as_feed, processors, raw_columns

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
MEMORY_MB = 512


class Fitting:
    """What features have gathered from rows so far.

    Args:
        config: Features, some with the key `fit`: a path, the content as a dict, or a document.
        label: Column that trees learn from.
        memory_mb: Memory for the words of all features together; beyond it they go to temporary files.

    Attributes:
        rows: Rows that were read.

    Raises:
        ConfigError: No feature has the key `fit`, or one that cannot be.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Document,
        label: str | None = None,
        memory_mb: float = MEMORY_MB,
    ) -> None:
        features, document, folder = read_features(config)
        problems: list[Problem] = []

        def report(path: Path_, message: str) -> None:
            problems.append(document.problem(path, message))

        self.subjects = subjects(features.features, report)
        if not problems and not self.subjects:
            report(("features",), "no feature has the key 'fit': there is nothing to learn")
        for subject in self.subjects:
            if _by_tree(subject) and label is None:
                report((*subject.node.path, "fit", "boundaries"), "a tree needs a label: name its column")
        if problems:
            raise ConfigError(sorted(problems, key=lambda p: (p.file, p.line)), document.file)
        # All else that is wrong with the features is told with its lines, before hours of reading.
        FeatureGenerator(settle(features, document, folder, blanks=True), "raw", folder, document)
        self.label = label if any(_by_tree(subject) for subject in self.subjects) else None
        self.settings = {s.name: s.settings(features.hash, folder) for s in self.subjects}
        self.rows = 0
        self.generator = _source_of_values(features, self.subjects, folder)
        share = int(memory_mb * (1 << 20)) // max(1, sum(_counts_words(s) for s in self.subjects))
        self.gatherers: dict[str, Gatherer] = {s.name: _gatherer(s, share) for s in self.subjects}

    def add(self, batch: pa.RecordBatch, threads: int = 1) -> None:
        """Gather from some rows.

        Raises:
            DataError: A column is missing or unreadable, or the label is no number.
        """
        labels = None if self.label is None else _labels(batch, self.label)
        values = self.generator.values(batch, threads=threads)
        for name, gatherer in self.gatherers.items():
            gatherer.add(Elements.of(values[name]), labels)
        self.rows += batch.num_rows

    def merge(self, other: Fitting) -> None:
        """Take in what `other` has gathered, which may be used up by that.

        Raises:
            ConfigError: It gathered for other settings.
        """
        self._check(other.settings, other.label, "the other one")
        for name, gatherer in self.gatherers.items():
            gatherer.merge(other.gatherers[name])
        self.rows += other.rows

    def learned(self) -> Learned:
        """What the features learn from all this.

        Raises:
            DataError: One has nothing to learn from.
        """
        made = {s.name: outcome(s, self.gatherers[s.name]) for s in self.subjects}
        return Learned(self.rows, made, self.settings)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the state to a new folder, whole or not at all.

        Raises:
            OutputError: The folder exists, or the disk refuses.
        """
        head = {"rows": self.rows, "label": self.label, "settings": self.settings}
        partial.save(Path(folder), head, self.gatherers)

    def add_saved(self, folder: str | os.PathLike[str]) -> None:
        """Take in a state that `save` wrote; the folder must stay until all is learned.

        Raises:
            ConfigError: It gathered for other settings, or is damaged.
        """
        head = partial.read(Path(folder))
        self._check(head["settings"], head["label"], str(folder))
        partial.load(Path(folder), head, self.gatherers)
        self.rows += head["rows"]

    def _check(self, settings: Mapping[str, Any], label: str | None, whose: str) -> None:
        told = differences({"label": label, **settings}, {"label": self.label, **partial.plain(self.settings)})
        if told:
            told = [line.replace("when it was fitted", f"in {whose}").removesuffix(" now") + " here" for line in told]
            raise ConfigError("\n".join([f"{whose} was gathered for other settings, and cannot be merged", *told]))


def fit(
    config: str | os.PathLike[str] | Mapping[str, Any] | Document,
    inputs: Inputs,
    *,
    label: str | None = None,
    memory_mb: float = MEMORY_MB,
    threads: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Fitting:
    """Gather from all rows what the features of a config want to learn.

    Args:
        config: Features, some with the key `fit`: a path, the content as a dict, or a document.
        inputs: Parquet files, folders or globs; record batches; or a `Feed`.
        label: Column that trees learn from.
        memory_mb: Memory for the words of all features together; beyond it they go to temporary files.
        threads: Threads that compute values; the result does not depend on it.
        progress: Told the rows that were read, and the share of all rows.

    Raises:
        ConfigError: Something is wrong with the features.
        DataError: A column is missing or unreadable.
    """
    fitting, feed = Fitting(config, label, memory_mb), as_feed(inputs)
    columns = raw_columns(fitting.generator, feed.schema)
    if fitting.label is not None:
        if fitting.label not in feed.schema.names:
            raise DataError(f"the label is missing{nearest(fitting.label, feed.schema.names)}", column=fitting.label)
        columns = list(dict.fromkeys([*columns, fitting.label]))
    with closing(ahead(feed.blocks(columns), DEPTH)) as blocks:
        for block in blocks:
            try:
                fitting.add(block.batch, threads or processors())
            except DataError as error:
                place = block.locate(error.row or 0)
                row, line = (None, None) if error.row is None else (place.row, place.line)
                raise DataError(error.reason, column=error.column, row=row, line=line, file=place.file) from error
            if progress is not None:
                progress(fitting.rows, block.done)
    return fitting


def _by_tree(subject: Subject) -> bool:
    return subject.fit.boundaries is not None and subject.fit.boundaries.method == "tree"


def _counts_words(subject: Subject) -> bool:
    return bool({"vocabulary", "doc_freq"} & set(subject.parts))


def _gatherer(subject: Subject, memory_bytes: int) -> Gatherer:
    if "vocabulary" in subject.parts:
        return Words(subject, memory_bytes, None)
    if "doc_freq" in subject.parts:
        return Texts(memory_bytes, None)
    wanted = "boundaries" in subject.parts and subject.config.normalizer
    return Numbers(subject, normalization(subject.config.normalizer) if wanted else None)


def _source_of_values(config: GeneratorConfig, found: list[Subject], folder: Path | None) -> FeatureGenerator:
    """A generator whose `values` are those that the features learn from, and of nothing that they do not need."""
    configs: dict[str, Any] = {}
    outside: list[Any] = []
    needed: set[str] = set()
    for subject in found:
        needed.update(other.name for other in subject.reads)
        if "doc_freq" not in subject.parts:
            configs[subject.name] = blank(subject)
            continue
        plain, inside = words_of_titles(subject)
        words = GeneratorConfig.model_validate({"features": [plain]}).features[0]
        if inside:
            configs[subject.name] = words
        else:
            outside.append(words)
    features = replaced(config.features, configs, needed | configs.keys())
    whole = config.model_copy(update={"features": [*features, *outside]})
    return FeatureGenerator(whole, "raw", folder)


def _labels(batch: pa.RecordBatch, name: str) -> Array:
    """(rows,) float64, nan where there is none."""
    column = batch.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        numbers: Array = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        raise DataError(f"a label must be a number, but the column holds {column.type}", column=name) from None
    return numbers
