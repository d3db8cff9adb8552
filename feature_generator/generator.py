"""`FeatureGenerator`: raw columns into model inputs, in one compiled call per batch."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from feature_generator.columns import Table, value_lists
from feature_generator.config import Choice, Document, Path_, StrictModel, problems_of, read_yaml, repeat_names
from feature_generator.errors import ConfigError, DataError, Problem
from feature_generator.fitting.learned import is_fitted, settle
from feature_generator.incoming import record
from feature_generator.native import Plan
from feature_generator.planning import Node, check_names, flatten, resolve
from feature_generator.program import BITS, Assembly, Program
from feature_generator.request import ItemTable, Request, Stages, precompute
from feature_generator.sinks import OutputSpec, finish
from feature_generator.stage import Stage

Mode: TypeAlias = Literal["raw", "encoded"]
BadRows: TypeAlias = Literal["fail", "skip", "default"]


class GeneratorConfig(StrictModel):
    """What a features file holds."""

    features: list[Annotated[Any, Choice("feature_generator.features")]] = Field(min_length=1)
    """The features, in any order."""
    hash: Literal["murmur64a", "farmhash"] = "murmur64a"
    """Hash of all features with hash_bucket_size."""


class FeatureGenerator:
    """Computes features. Immutable once built; any number of threads may use one at a time.

    Args:
        config: The features.
        mode: `raw` columns, or `encoded` ones: named like the outputs, holding what would have come out.
        folder: Where relative vocabulary files are looked up first.
        document: What the config was read from, for lines in errors.

    Raises:
        ConfigError: The features do not fit together.
    """

    def __init__(
        self, config: GeneratorConfig, mode: Mode = "raw", folder: Path | None = None, document: Document | None = None
    ) -> None:
        self.config, self.mode, self.folder = config, mode, folder
        self.features = tuple(config.features)
        document = document or Document.of(
            {"features": [f.model_dump(mode="json", exclude_unset=True) for f in config.features]}
        )
        problems: list[Problem] = []

        def report(path: Path_, message: str) -> None:
            problems.append(document.problem(path, message))

        encoded = mode == "encoded"
        nodes = flatten(config.features, encoded, report)
        check_names(config.features, nodes, report)
        if is_fitted(config.features):
            report(
                ("features",), "features with 'fit' learn first: FeatureGenerator.load takes in what they have learned"
            )
        for node in nodes:
            for key, message in node.config.problems(encoded):
                report((*node.path, *key.split(".")) if key else node.path, message)
        if not problems:
            resolve(nodes, report)
        if not problems:
            finished = {node.name: finish(node, config.hash, folder, report) for node in nodes}
        if problems:
            raise ConfigError(sorted(problems, key=lambda p: (p.file, p.line)), document.file)
        self._resolved, self._finished = nodes, finished
        self._specs = {name: one.spec for name, one in finished.items()}
        self.outputs: dict[str, OutputSpec] = {n: s for n, s in self._specs.items() if not s.config.stub_type}
        self._folded = self._fold()
        self._whole = self.stage()
        columns = self._whole.program.columns
        self.inputs: dict[str, str] = {name: side for name, side in columns if side not in ("const", "folded")}
        self._names = list(self.inputs)

    # ---------------------------------------------------------------------------------------------- building

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | Mapping[str, Any] | Document,
        mode: Mode | None = None,
        *,
        fitted: str | os.PathLike[str] | None = None,
        blanks: bool = False,
    ) -> FeatureGenerator:
        """A generator from a YAML file, its content as a dict, or the directory of a saved generator.

        A whole experiment's config will do: its `features` and `hash` are read.

        Args:
            source: Path, dict or document.
            mode: `raw` or `encoded`; by default what the saved generator says, else `raw`.
            fitted: Folder with what features with `fit` have learned; by default `<config>.fitted` beside the file.
            blanks: Give such features stand-ins for what they learn: to look at features before they are fitted.

        Raises:
            ConfigError: All that is wrong with the features, with lines.
        """
        if isinstance(source, str | os.PathLike) and Path(source).is_dir():
            from feature_generator.saved import load  # noqa: PLC0415 (it builds on this module)

            return load(Path(source), mode)
        config, document, folder = read_features(source)
        if is_fitted(config.features):
            config = settle(config, document, folder, Path(fitted) if fitted is not None else None, blanks)
        return cls(config, mode or "raw", folder, document)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the generator and its vocabularies to a new directory, whole or not at all.

        Raises:
            FileExistsError: The directory exists.
        """
        from feature_generator.saved import save  # noqa: PLC0415

        save(self, Path(path))

    @property
    def fingerprint(self) -> str:
        """Hex digest of everything that decides the outputs: configs, hash, mode, vocabularies."""
        from feature_generator.saved import fingerprint  # noqa: PLC0415

        return fingerprint(self)

    def only(self, names: Collection[str]) -> FeatureGenerator:
        """A generator of some outputs: of the features that make them, sequences whole, and of those that these read.

        Args:
            names: Outputs.

        Raises:
            KeyError: There is no such output.
        """
        nodes = {node.name: node for node in self._resolved}
        wanted = {nodes[name].path[1] for name in names}
        while True:
            read = {
                i.name for node in nodes.values() if node.path[1] in wanted for i in node.inputs if i.side == "feature"
            }
            more = {nodes[name].path[1] for name in read} - wanted
            if not more:
                break
            wanted |= more
        chosen = [feature for index, feature in enumerate(self.config.features) if index in wanted]
        return FeatureGenerator(self.config.model_copy(update={"features": chosen}), self.mode, self.folder)

    @property
    def nodes(self) -> Sequence[Node]:
        """All features, intermediates and the children of sequences too, with what each of them reads."""
        return tuple(self._resolved)

    # ------------------------------------------------------------------------------------------------ running

    def values(self, data: Any, *, threads: int = 1) -> dict[str, pa.Array]:
        """What the operators make of some rows, before anything is normalised or becomes an id.

        Missing values are absent, defaults are not filled in, and bad values are left out.

        Args:
            data: As in `transform`.
            threads: Threads to compute on.

        Returns:
            By feature, stubs among them: an array with one entry per row, a list of texts (`list<string>`) or of numbers
            (`list<double>`) where the feature is numeric; of a sequence a list of such lists, one per element.

        Raises:
            DataError: A column is missing or unreadable.
        """
        plan, program = self._bare
        batch = record(data, self._names)
        texts = program.constants
        sources = [(7, batch)]
        if texts:
            sources.append((BITS["const"], pa.RecordBatch.from_arrays([pa.array([text]) for text in texts], texts)))
        try:
            outputs, _, _ = plan.run(sources, batch.num_rows, threads)
        except (KeyError, ValueError) as error:
            raise self._whole.data_error(error, batch.schema.names) from None
        made = {n.name: o for n, o in zip(program.nodes, outputs, strict=True) if n is not None and o is not None}
        return {node.name: value_lists(*made[node.name]) for node in self._resolved}

    @cached_property
    def _bare(self) -> tuple[Any, Program]:
        program = Assembly(self._resolved, self._finished, values=True).program()
        return Plan(program.sides, program.units), program

    def stage(self, only: Collection[str] | None = None, handed: Collection[str] = ()) -> Stage:
        """Some of the features as a plan of their own; what they read of others comes as columns."""
        folded = () if self._folded is None else self._folded.schema.names
        program = Assembly(self._resolved, self._finished, only, handed, folded=folded).program()
        return Stage(program, self._specs, handed, self._folded)

    def _fold(self) -> pa.RecordBatch | None:
        """The features that depend on no column, computed: one row for all."""
        names = {n.name for n in self._resolved if n.sides <= {"const"} and not self._specs[n.name].weighted}
        names = {name for name in names if not self._specs[name].kind.endswith("sequence")}
        if not names:
            return None
        program = Assembly(self._resolved, self._finished, names, names).program()
        return Stage(program, self._specs, names).run([], 1)[1]

    @cached_property
    def stages(self) -> Stages:
        """The features by what they depend on."""
        return Stages(self)

    def needs(self, side: str) -> list[str]:
        """Columns of a side that features read."""
        return [name for name, own in self.inputs.items() if own == side]

    def transform(self, data: Any, *, threads: int = 1, bad_rows: BadRows = "fail") -> Table:
        """The features of some rows.

        Args:
            data: A RecordBatch, pa.Table, DataFrame, dict of arrays, or list of rows.
            threads: Threads to compute on; the result does not depend on it.
            bad_rows: `fail` at the first bad value; `skip` its row; or take the feature's `default`.

        Raises:
            DataError: A column is missing or unreadable, or a value is bad; names row and column.
        """
        batch = data if type(data) is pa.RecordBatch else record(data, self._names)
        try:
            table, _ = self._whole.run([(7, batch)], batch.num_rows, threads)
        except (KeyError, ValueError) as error:
            table = self._again(data, batch, error, threads)
        return self._judge(table, bad_rows) if table.bad else table

    def _again(self, data: Any, batch: pa.RecordBatch, error: Exception, threads: int) -> Table:
        """A batch taken as it was may have columns that need a cast, or fields of objects."""
        if type(data) is pa.RecordBatch:
            try:
                return self._whole.run([(7, record(data, self._names))], batch.num_rows, threads)[0]
            except (KeyError, ValueError) as again:
                error = again
        raise self._whole.data_error(error, batch.schema.names) from None

    def request(self, user: Any = None, context: Any = None, *, bad_rows: BadRows = "default") -> Request:
        """The first step of a request: what depends on no item, computed once. Its `score_items` is the second.

        Args:
            user: One row: a mapping, or anything that `transform` takes, of one row. None where no feature reads a user.
            context: One row, or None where no feature reads a context.
            bad_rows: `fail` at the first bad value, or take the feature's `default`; `skip` is not possible here.

        Raises:
            DataError: A column is missing or unreadable, a value is bad under `fail`, or there is not one row.
        """
        return Request(self, user, context, bad_rows)

    def items(
        self, data: Any, *, threads: int = 1, bad_rows: BadRows = "default", asked: Collection[str] = ()
    ) -> ItemTable:
        """Items computed ahead, for `score_items` of any request.

        Args:
            data: Rows of items, as in `transform`.
            threads: Threads to compute on.
            bad_rows: `fail` at the first bad value, or take the feature's `default`.
            asked: Item columns that `data` lacks, as they come with each request: `ItemTable.beside` takes them.

        Raises:
            DataError: A column is missing or unreadable, or a value is bad under `fail`.
        """
        return precompute(self, data, threads, bad_rows, asked)

    def _judge(self, table: Table, bad_rows: BadRows) -> Table:
        if bad_rows == "fail":
            first = table.bad[0]
            raise DataError(first.reason, row=first.row, column=first.column)
        return table if bad_rows == "default" else table.drop(np.unique([b.row for b in table.bad]))


def read_features(
    source: str | os.PathLike[str] | Mapping[str, Any] | Document,
) -> tuple[GeneratorConfig, Document, Path | None]:
    """The features of a YAML file, or of its content.

    Returns:
        The config, what it was read from, and where relative files are looked up first.

    Raises:
        ConfigError: What is wrong with single features, with lines.
    """
    document = read_yaml(source) if isinstance(source, str | os.PathLike) else Document.of(source)
    folder = Path(document.file).parent if document.file else None
    document = _features_document(document)
    try:
        return GeneratorConfig.model_validate(document.data), document, folder
    except ValidationError as error:
        problems = sorted(problems_of(error, document), key=lambda p: (p.file, p.line))
        raise ConfigError(problems, document.file) from None


_SECTIONS = {"name", "data", "model", "train", "eval", "export", "tune", "cross", "store", "serving"}


def _features_document(document: Document) -> Document:
    """The `features` and `hash` of a document, ranges of names repeated."""
    data = document.data
    if not isinstance(data, dict) or "features" not in data:
        raise ConfigError("needs a list 'features'", document.file)
    if isinstance(data["features"], str):
        folder = Path(document.file).parent if document.file else Path()
        return _features_document(read_yaml(folder / data["features"]))
    rest = {k: v for k, v in data.items() if k not in _SECTIONS and k != "features"}
    listed = _repeat(document.at(("features",)))
    places = {path: place for path, place in document.places.items() if path[:1] != ("features",)}
    places |= {("features", *path): place for path, place in listed.places.items()}
    return Document({"features": listed.data, **rest}, {"features": listed.raw, **rest}, places, document.file)


def _repeat(document: Document) -> Document:
    """Features with `names` repeated, children of sequences too."""
    document = repeat_names(document)
    if not isinstance(document.data, list):
        return document
    for i, entry in enumerate(document.data):
        if isinstance(entry, dict) and isinstance(entry.get("features"), list):
            children = repeat_names(document.at((i, "features")))
            document.data[i] = {**entry, "features": children.data}
            document.raw[i] = {**document.raw[i], "features": children.raw}
            places = {p: v for p, v in document.places.items() if p[:2] != (i, "features") or len(p) == 2}
            document.places = places | {(i, "features", *p): v for p, v in children.places.items()}
    return document
