"""The generator in plain Python, one row and one value at a time: the specification of the native plan.

Slow and obvious on purpose. The same golden cases test both, and random rows must give the same features in both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from feature_generator._reference_hashes import HASHES
from feature_generator.discretizer import UNBOUNDED, Discretizer, SparseConfig
from feature_generator.expressions import compile_expression, evaluate
from feature_generator.features import MULTIVAL, Numbers, Reading
from feature_generator.planning import Input, Node, readings
from feature_generator.program import beside, together
from feature_generator.sinks import default_texts
from feature_generator.values import LARGEST, BadValueError, as_integer, as_number, as_text

# -------------------------------------------------------------------------------------------------- reading

Value = tuple[Any, Any]
"""A value and its weight; the weight is None where it is bad."""


def plain(cell: Any, reading: Reading, separator: str) -> list[Value]:
    """The values of one element: empty ones are no values; text splits, the items of a list do not.

    Args:
        cell: Text, number, list, list of pairs (a map), or None.
        reading: How the input is read.
        separator: What "" in a reading stands for.
    """
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        between = MULTIVAL if reading.either and MULTIVAL in cell else reading.separator or separator
        parts = [cell] if reading.separator is None else cell.split(between)
        return [_value(part, reading, separator) for part in parts if part]
    if isinstance(cell, list) and cell and isinstance(cell[0], tuple):  # a map
        if reading.pairs is not None:
            return [((key, _rest(rest, reading.pairs, separator)), np.float32(1)) for key, rest in cell if key != ""]
        return [(key, _float32(weight)) for key, weight in cell if key != ""]
    if isinstance(cell, list):
        return [_value(item, reading, separator) for item in cell if item is not None and item != ""]
    return [_value(cell, reading, separator)]


def _value(value: Any, reading: Reading, separator: str) -> Value:
    if reading.pairs is not None:
        if not isinstance(value, str):
            return (value, []), np.float32(1)
        key, sign, rest = value.rpartition(reading.assign) if reading.assign_last else value.partition(reading.assign)
        if not sign:
            key, rest = value, ""
        return (key, _rest(rest, reading.pairs, separator)), np.float32(1)
    if not reading.weighted or not isinstance(value, str) or ":" not in value:
        return value, np.float32(1)
    key, _, weight = value.rpartition(":")
    return key, _float32(weight)


def _rest(cell: Any, reading: Reading, separator: str) -> list[Any]:
    return [value for value, _ in plain(cell, reading, separator)]


def _float32(value: Any) -> np.float32 | None:
    if value is None:
        return np.float32(1)
    try:
        number = as_number(value)
    except BadValueError:
        return None
    return np.float32(number) if abs(number) <= LARGEST else None


def steps(cell: Any, delim: str, reading: Reading, separator: str) -> list[list[Value]]:
    """The elements of one sequence."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        return [plain(part, reading, separator) for part in cell.split(delim)]
    if isinstance(cell, list):
        return [plain(item, reading, separator) for item in cell]
    return [plain(cell, reading, separator)]


def shape(elements: list[Any], node: Node, length: int, missing: Any) -> list[Any]:
    """What the sequence's rule leaves: `missing` is the element of a padded empty sequence."""
    rule = node.rule
    elements = elements[:length]
    if rule.order == "newest_first" and not (node.encoded or node.inner):  # what came out is oldest first
        elements = elements[::-1]
    most = rule.sequence_length
    if most is not None and len(elements) > most:
        elements = elements[-most:] if rule.truncate == "newest" else elements[:most]
    return elements or ([missing] if node.pads else [])


# -------------------------------------------------------------------------------------------------- features


@dataclass
class Made:
    """One feature of all rows.

    Attributes:
        rows: Per row: ids with weights, or a vector; of a sequence, a list of those.
        bad: Rows with a bad value.
        passed: Per row what other features read.
    """

    rows: list[Any] = field(default_factory=list)
    bad: set[int] = field(default_factory=set)
    passed: list[Any] = field(default_factory=list)


def transform(
    nodes: Sequence[Node], columns: Mapping[str, list[Any]], hash_name: str, folder: Path | None = None
) -> dict[str, Made]:
    """All features of all rows.

    Args:
        nodes: Resolved features; those that others read stand first.
        columns: Cells of each column: text, numbers (np.float32 where they are), None, lists, or lists of pairs for maps.
        hash_name: The generator's hash.
        folder: Where vocabulary files are looked up.
    """
    rows = max((len(cells) for cells in columns.values()), default=0)
    made: dict[str, Made] = {}
    for level in together(nodes):
        # Plain features have nothing in common but their level.
        for members in [level] if level[0].sequence else [[node] for node in level]:
            for node in members:
                made[node.name] = Made()
            ghosts = beside(members, nodes)
            for row in range(rows):
                _row(members, ghosts, row, rows, columns, made, hash_name, folder)
    return made


def _row(
    members: list[Node],
    ghosts: list[Input],
    row: int,
    rows: int,
    columns: Mapping[str, list[Any]],
    made: dict[str, Made],
    hash_name: str,
    folder: Path | None,
) -> None:
    read: dict[tuple[str, int], Any] = {}
    lengths: list[int] = []
    for node in members:
        separator = node.config.fg_encoded_multival_sep if node.encoded else node.config.separator
        for i, (source, reading) in enumerate(zip(node.inputs, readings(node), strict=True)):
            if source.side == "const":
                cell = source.name
            elif source.side == "feature":
                cell = made[source.name].passed[row]
            else:
                cells = columns[source.name]
                cell = cells[0 if len(cells) == 1 and rows > 1 else row]
            if source.sequence:
                split = steps(cell, node.rule.sequence_delim, reading, separator)
                lengths.append(len(split))
                read[node.name, i] = split
            else:
                read[node.name, i] = plain(cell, reading, separator)
    for source in ghosts:
        if source.side == "feature":
            cell = made[source.name].passed[row]
        else:
            cell = columns[source.name][0 if len(columns[source.name]) == 1 and rows > 1 else row]
        lengths.append(len(steps(cell, members[0].rule.sequence_delim, Reading(separator=None), "")))
    length = min(lengths, default=0)
    if len(set(lengths)) > 1 and members[0].rule.lengths == "equal":
        made[members[0].name].bad.add(row)
    for node in members:
        out = made[node.name]
        sink = _Sink(node, hash_name, folder)
        inputs = [read[node.name, i] for i in range(len(node.inputs))]
        if node.sequence:
            shaped: list[Any] = [
                shape(v, node, length, []) if s.sequence else v for v, s in zip(inputs, node.inputs, strict=True)
            ]
            count = next(len(v) for v, s in zip(shaped, node.inputs, strict=True) if s.sequence)
            elements: list[Any] = [
                [v[k] if s.sequence else v for v, s in zip(shaped, node.inputs, strict=True)] for k in range(count)
            ]
        else:
            elements = [inputs]
        results = [sink.element(element, out.bad, row) for element in elements]
        if node.exploded:
            out.rows.append([([i], [w]) for i, w in zip(*results[0], strict=True)])
        else:
            out.rows.append(results if node.sequence else results[0])
        passed = [sink.passed(result) for result in results]
        out.passed.append(passed if node.sequence else passed[0])


class _Sink:
    """How one feature turns an element into ids or a vector."""

    def __init__(self, node: Node, hash_name: str, folder: Path | None) -> None:
        self.node, self.config, self.hash_name = node, node.config, hash_name
        operator = node.config.compile(node.default, node.sequence, folder)
        self.single = operator.name == "copy" or node.encoded
        self.operator = operator
        self.numbers: Numbers | None = operator.numbers
        self.discretizer = Discretizer("text")
        if isinstance(node.config, SparseConfig):
            self.discretizer = node.config.discretizer(hash_name, node.raw_default, folder)
        if node.encoded:
            edges = None if self.numbers is None else self.numbers.boundaries
            size = self.discretizer.size if self.numbers is None else len(edges or ()) + 1
            if self.numbers is not None and edges is None:
                self.numbers = Numbers(self.numbers.value_dim)
            else:
                self.numbers = None
                self.discretizer = Discretizer(
                    "range", size or UNBOUNDED, out_of_range=getattr(node.config, "out_of_range", "default")
                )
        self.first_only = (
            not node.encoded and isinstance(node.config, SparseConfig) and node.config.first_only(node.sequence)
        )

    def element(self, inputs: list[list[Value]], bad: set[int], row: int) -> Any:
        """(ids, weights), or a vector."""
        values = inputs[0]
        if not self.single:
            try:
                made = self.config.reference([[value for value, _ in values] for values in inputs])
            except BadValueError:
                bad.add(row)
                made = []
            values = [(value, np.float32(1)) for value in made]
        if self.numbers is not None:
            return self._vector(values, bad, row) if self.numbers.value_dim else self._buckets(values, bad, row)
        if self.first_only:
            values = values[:1]
        if not values:
            return self._default()
        ids: list[Any] = []
        weights: list[Any] = []
        for value, weight in values:
            one_ids, one_weights = self._one(value, weight, bad, row)
            ids += one_ids
            weights += one_weights
        return ids, weights

    def _one(self, value: Any, weight: Any, bad: set[int], row: int) -> tuple[list[Any], list[Any]]:
        try:
            if weight is None:
                raise BadValueError("its weight")
            return [self._id(value)], [weight]
        except BadValueError as error:
            if str(error):
                bad.add(row)
            return self._default()

    def _id(self, value: Any) -> Any:
        rule = self.discretizer
        if rule.kind == "range":
            number = as_integer(value)
            if 0 <= number < rule.size:
                return number
            if rule.out_of_range == "clip":
                return 0 if number < 0 else rule.size - 1
            raise BadValueError(f"{number} is out of range" if rule.out_of_range == "error" else "")
        text = as_text(value)
        if rule.kind == "hash":
            return HASHES[rule.hash](text.encode()) % rule.size
        return text if rule.kind == "text" else rule.words.get(text, rule.unknown)

    def _default(self) -> tuple[list[Any], list[Any]]:
        parts = default_texts(self.node, self.operator)
        ids = [self._id(part) for part in (parts[:1] if self.first_only else parts)]
        return ids, [np.float32(1)] * len(ids)

    def _vector(self, values: list[Value], bad: set[int], row: int) -> Any:
        assert self.numbers is not None
        config: Any = self.config
        default = config.default_numbers(self.node.default, self.node.encoded)
        vector: Any = None
        try:
            numbers = [self._normalize(as_number(value)) for value, _ in values]
            if None not in numbers:
                vector = self._checked(numbers) or None
        except BadValueError:
            bad.add(row)
        if vector is None:
            vector = [np.float32(number) for number in default] or None
        if self.numbers.boundaries is None:
            return vector or [np.float32(0)] * self.numbers.value_dim
        if vector is None:
            return [], []
        ids = [self._bucket(number) for number in vector]
        return ids, [np.float32(1)] * len(ids)

    def _buckets(self, values: list[Value], bad: set[int], row: int) -> Any:
        """Any number of buckets: a bad number takes the default's, nothing at all too."""
        config: Any = self.config
        default = [self._bucket(np.float32(number)) for number in config.default_numbers(self.node.default)]
        ids: list[int] = [] if values else list(default)
        for value, _ in values:
            try:
                number = self._normalize(as_number(value))
                if number is not None and not abs(number) <= LARGEST:
                    raise BadValueError("too large")
            except BadValueError:
                bad.add(row)
                number = None
            ids += default if number is None else [self._bucket(np.float32(number))]
        return ids, [np.float32(1)] * len(ids)

    def _checked(self, numbers: list[Any]) -> list[Any]:
        assert self.numbers is not None
        if numbers and len(numbers) != self.numbers.value_dim:
            raise BadValueError("wrong length")
        if any(not abs(number) <= LARGEST for number in numbers):
            raise BadValueError("too large")
        return [np.float32(number) for number in numbers]

    def _bucket(self, number: Any) -> int:
        assert self.numbers is not None
        assert self.numbers.boundaries is not None
        return int(sum(np.float32(edge) <= number for edge in self.numbers.boundaries))

    def _normalize(self, number: float) -> float | None:
        """The normalised number; None where the default stands for it."""
        assert self.numbers is not None
        rule = self.numbers.normalizer
        if rule["method"] == "log10":
            return math.log10(number) if number > rule["threshold"] else float(rule["default"])
        if rule["method"] == "expression":
            made = evaluate(compile_expression(rule["text"], ["x"]), [[number]])
            return None if made is None else made[0]
        return (number - rule["shift"]) / rule["scale"] if rule["method"] == "affine" else number

    def passed(self, result: Any) -> Any:
        """What another feature reads: the ids or words, or the number or vector."""
        if isinstance(result, tuple):
            return result[0]
        return result[0] if len(result) == 1 else result
