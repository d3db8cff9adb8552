"""`FeatureGenerator`: raw columns into model inputs, in one compiled call per batch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from feature_generator.columns import BadValue, Ragged, Table, value_lists
from feature_generator.config import Choice, Document, Path_, StrictModel, problems_of, read_yaml, repeat_names
from feature_generator.errors import ConfigError, DataError, Problem
from feature_generator.incoming import missing, record
from feature_generator.native import Plan
from feature_generator.planning import BITS, OutputSpec, Program, check_names, compile_plan, flatten, resolve

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
        for node in nodes:
            for key, message in node.config.problems(encoded):
                report((*node.path, key) if key else node.path, message)
        if not problems:
            resolve(nodes, report)
        if not problems:
            program = compile_plan(nodes, config.hash, folder, report)
        if problems:
            raise ConfigError(sorted(problems, key=lambda p: (p.file, p.line)), document.file)
        self._nodes, self._resolved = program.nodes, nodes
        self._values_plan: tuple[Any, Program] | None = None
        self.outputs: dict[str, OutputSpec] = program.outputs
        self.inputs: dict[str, str] = {name: side for name, side in program.columns if side != "const"}
        self._columns = program.columns
        self._by_side = {side: [n for n, s in program.columns if s == side] for side in ("user", "item", "context")}
        self._names = list(self.inputs)
        self._constants = _constants(program.columns)
        self._plan = Plan([(name, BITS[side]) for name, side in program.columns], program.units)
        self._emitted = [
            (i, n.name)
            for i, n in enumerate(self._nodes)
            if n.name in self.outputs and self.outputs[n.name].kind != "dense"
        ]
        self._dense = [
            self.outputs[n.name] for n in self._nodes if n.name in self.outputs and self.outputs[n.name].kind == "dense"
        ]
        self._slices = _slices(self._dense)
        self._side_slices = [_slices([s for s in self._dense if s.side == side]) for side in ("user", "item")]

    # ---------------------------------------------------------------------------------------------- building

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | Mapping[str, Any] | Document, mode: Mode | None = None
    ) -> FeatureGenerator:
        """A generator from a YAML file, its content as a dict, or the directory of a saved generator.

        A whole experiment's config will do: its `features` and `hash` are read.

        Args:
            source: Path, dict or document.
            mode: `raw` or `encoded`; by default what the saved generator says, else `raw`.

        Raises:
            ConfigError: All that is wrong with the features, with lines.
        """
        if isinstance(source, str | os.PathLike):
            if Path(source).is_dir():
                from feature_generator.saved import load  # noqa: PLC0415 (it builds on this module)

                return load(Path(source), mode)
            source = read_yaml(source)
        document = source if isinstance(source, Document) else Document.of(source)
        folder = Path(document.file).parent if document.file else None
        document = _features_document(document)
        try:
            config = GeneratorConfig.model_validate(document.data)
        except ValidationError as error:
            problems = sorted(problems_of(error, document), key=lambda p: (p.file, p.line))
            raise ConfigError(problems, document.file) from None
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
        if self._values_plan is None:
            program = compile_plan(self._resolved, self.config.hash, self.folder, lambda path, message: None, True)
            columns = [(name, BITS[side]) for name, side in program.columns]
            self._values_plan = Plan(columns, program.units), program
        plan, program = self._values_plan
        batch = record(data, self._names)
        sources = [(7, batch)]
        constants = _constants(program.columns)
        if constants is not None:
            sources.append((8, constants))
        try:
            outputs, _, _ = plan.run(sources, batch.num_rows, batch.num_rows, False, threads)
        except (KeyError, ValueError) as error:
            raise self._data_error(error, batch.schema.names) from None
        made = {n.name: o for n, o in zip(program.nodes, outputs, strict=True) if o is not None}
        return {node.name: value_lists(*made[node.name]) for node in self._resolved}

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
        rows = batch.num_rows
        sources = [(7, batch)]
        if self._constants is not None:
            sources.append((8, self._constants))
        try:
            outputs, dense, bad = self._plan.run(sources, rows, rows, False, threads)
        except (KeyError, ValueError) as error:
            if type(data) is pa.RecordBatch:  # columns that need a cast, or fields of objects
                try:
                    sources[0] = (7, record(data, self._names))
                    outputs, dense, bad = self._plan.run(sources, rows, rows, False, threads)
                except (KeyError, ValueError) as again:
                    raise self._data_error(again, batch.schema.names) from None
            else:
                raise self._data_error(error, batch.schema.names) from None
        table = self._table(rows, outputs, dense[0], self._slices, self._emitted)
        return self._judge(table, bad, bad_rows) if bad else table

    def request(
        self, user: Any, items: Any, context: Any = None, *, tile: bool = True, bad_rows: BadRows = "default"
    ) -> Any:
        """The features of one user and K candidates; what depends on no item is computed once.

        Args:
            user: One row: a mapping, or anything that `transform` takes, of one row.
            items: K rows.
            context: One row, or None where no feature reads a context.
            tile: Repeat the user side for every candidate.
            bad_rows: As in `transform`; `skip` is not possible for a request.

        Returns:
            A table of K rows; with `tile=False` the user side's table of one row and the items' table of K rows.

        Raises:
            DataError: A column is missing or unreadable, a value is bad under `fail`, or user has not one row.
        """
        batches = [self._side(1, user, "user"), self._side(2, items, "item"), self._side(4, context, "context")]
        sources = [source for source in batches if source is not None]
        if self._constants is not None:
            sources.append((8, self._constants))
        rows = batches[1][1].num_rows if batches[1] is not None else len(items)
        try:
            outputs, dense, bad = self._plan.run(sources, 1, rows, not tile, 1)
        except (KeyError, ValueError) as error:
            raise self._data_error(error, [n for _, b in sources for n in b.schema.names]) from None
        judged = self._bad_values(bad) if bad else []
        if judged and bad_rows == "fail":
            raise DataError(judged[0].reason, row=judged[0].row, column=judged[0].column)
        if tile:
            table = self._table(rows, outputs, dense[0], self._slices, self._emitted)
            table.bad = judged
            return table
        tables = []
        for at, side in enumerate(("user", "item")):
            emitted = [(i, name) for i, name in self._emitted if self.outputs[name].side == side]
            table = self._table(1 if side == "user" else rows, outputs, dense[at], self._side_slices[at], emitted)
            table.bad = [b for b in judged if self.outputs[b.feature].side == side] if judged else []
            tables.append(table)
        return tables[0], tables[1]

    def _side(self, bit: int, data: Any, side: str) -> tuple[int, pa.RecordBatch] | None:
        columns = self._by_side[side]
        if not columns:
            return None
        if data is None:
            raise DataError(f"features read {side} columns, but the request has no {side}", column=columns[0])
        batch = data if type(data) is pa.RecordBatch else record(data, columns)
        if side != "item" and batch.num_rows != 1:
            raise DataError(f"the {side} of a request is one row, but has {batch.num_rows}")
        return bit, batch

    def _table(
        self, rows: int, outputs: Any, dense: Any, slices: Mapping[str, slice], emitted: Sequence[tuple[int, str]]
    ) -> Table:
        ragged = {name: Ragged(*outputs[i]) for i, name in emitted}
        names = [n for n in self.outputs if n in ragged or n in slices]
        return Table(rows, ragged, dense, slices, names=names)

    def _bad_values(self, bad: Sequence[Any]) -> list[BadValue]:
        values = []
        for row, feature, column, reason, _ in bad:
            name = self._columns[column][0] if column >= 0 else self._nodes[feature].name
            values.append(BadValue(row, name, reason, self._nodes[feature].name))
        return values

    def _judge(self, table: Table, bad: Sequence[Any], bad_rows: BadRows) -> Table:
        table.bad = self._bad_values(bad)
        if bad_rows == "fail":
            first = table.bad[0]
            raise DataError(first.reason, row=first.row, column=first.column)
        return table if bad_rows == "default" else table.drop(np.unique([b.row for b in table.bad]))

    def _data_error(self, error: Exception, known: Sequence[str]) -> DataError:
        if isinstance(error, KeyError):
            return missing(str(error.args[0]), known)
        return DataError(str(error))


def _constants(columns: Sequence[tuple[str, str]]) -> pa.RecordBatch | None:
    names = [name for name, side in columns if side == "const"]
    return pa.RecordBatch.from_arrays([pa.array([name]) for name in names], names) if names else None


def _slices(specs: Sequence[OutputSpec]) -> dict[str, slice]:
    slices, start = {}, 0
    for spec in specs:
        slices[spec.name] = slice(start, start + spec.value_dim)
        start += spec.value_dim
    return slices


_SECTIONS = {"name", "data", "model", "train", "eval", "export", "tune", "store", "serving"}


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
