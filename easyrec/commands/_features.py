"""Options of the tools that need features and rows, but no model: a config, or a file of features alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easyrec.commands._options import plug_all
from easyrec.config import Experiment, load_experiment
from easyrec.data import PARTS, Part, open_sources
from easyrec.data.feed import feed_of, source_of
from easyrec.data.sources import SourceConfig
from easyrec.errors import ConfigError, Problem
from feature_generator import FeatureGenerator
from feature_generator.config import Document, override, read_yaml
from feature_generator.feed import Feed
from feature_generator.generator import BadRows


@dataclass(frozen=True)
class Features:
    """What a config says of features.

    Attributes:
        generator: Reads raw columns, whatever `data.fg` says.
        experiment: The whole config; None where the file holds features alone.
        document: What the features were read from; None for a saved generator.
    """

    generator: FeatureGenerator
    experiment: Experiment | None = None
    document: Document | None = None

    @property
    def bad_rows(self) -> BadRows:
        """What becomes of bad rows if nobody says."""
        return "fail" if self.experiment is None else self.experiment.data.bad_rows

    def passed(self, part: str) -> list[str]:
        """Raw columns that training needs beside the features, of rows that it learns (`train`) or is measured by."""
        if self.experiment is None:
            return []
        data, tasks = self.experiment.data, self.experiment.tasks
        names = [*data.labels, *([data.sample_weight] if data.sample_weight else []), *data.reserved]
        names += [*self.experiment.eval.columns(tasks), *([data.split.column] if data.split else [])]
        names += [data.leakage.time, *data.leakage.sequences] if data.leakage else []
        if part == "train":
            shuffle = self.experiment.shuffle
            names += [*self.experiment.training_columns, *([data.event_time] if data.event_time else [])]
            names += [shuffle.together] if shuffle is not None and shuffle.together is not None else []
        return list(dict.fromkeys(names))

    def feed(self, inputs: Sequence[str] | None, part: str, bad_rows: BadRows) -> Feed:
        """The rows of files, with the config's options of such files; without files those of a part of the config.

        Raises:
            ConfigError: There are neither.
        """
        return feed_of(self.part(inputs, part, bad_rows).source)

    def source(self, inputs: Sequence[str] | None, part: str) -> SourceConfig:
        """Where the same rows are; of a source that is split the whole.

        Raises:
            ConfigError: There are neither files nor such a part.
        """
        experiment = self.experiment
        if inputs:
            known = () if experiment is None else [getattr(experiment.data, name) for name in PARTS]
            return source_of(list(inputs), known)
        if experiment is None:
            raise ConfigError("the config names no data: --input says which rows to read")
        found: SourceConfig | None = getattr(experiment.data, part if experiment.data.split is None else "train")
        if found is None:
            raise self._lacks(experiment, part)
        return found

    def part(self, inputs: Sequence[str] | None, part: str, bad_rows: BadRows) -> Part:
        """The same as a part of the data, which of a source that is split has only its own rows.

        Raises:
            ConfigError: There are neither files nor such a part.
        """
        if inputs or self.experiment is None:
            return Part(self.source(inputs, part).open(bad_rows))
        opened: Part | None = getattr(open_sources(self.experiment), part)
        if opened is None:
            raise self._lacks(self.experiment, part)
        return opened

    @staticmethod
    def _lacks(experiment: Experiment, part: str) -> ConfigError:
        return ConfigError([Problem(f"the config names no data.{part}", "data", file=experiment.document.file)])


def add_rows(parser: argparse.ArgumentParser) -> None:
    """Add `--input` and `--part`."""
    parser.add_argument(
        "--input",
        "--data",
        nargs="+",
        metavar="PATH",
        help="parquet, csv or jsonl files, folders or globs; default: the config's data",
    )
    parser.add_argument(
        "--part", default="train", choices=list(PARTS), help="part of the config's data; of a split the whole [train]"
    )


def features(args: argparse.Namespace, blanks: bool = False) -> Features:
    """The features that `-c`, `-o` and `--plugin` name; `blanks` as in `FeatureGenerator.load`."""
    plug_all(args)
    return load_features(args.config, args.override, blanks)


def load_features(config: str, overrides: Sequence[str] = (), blanks: bool = False) -> Features:
    """The features of an experiment, of a run's folder, of a saved generator, or of a file of features alone."""
    path = Path(config)
    if path.is_dir() and not (path / "config.yaml").is_file():
        return Features(FeatureGenerator.load(path, mode="raw"))
    if not path.is_dir():
        document = override(read_yaml(path), overrides)
        if isinstance(document.data, dict) and "data" not in document.data and "model" not in document.data:
            return Features(FeatureGenerator.load(document, mode="raw", blanks=blanks), document=document)
    experiment = load_experiment(config, overrides, blanks=blanks)
    generator = experiment.generator
    if generator.mode != "raw":
        generator = FeatureGenerator.load(experiment.features, mode="raw", blanks=blanks)
    return Features(generator, experiment, experiment.features)
