"""The generator in plain Python, one row and one value at a time: the specification of the native plan.

Slow and obvious on purpose. The same golden cases test both, and random rows must give the same features in both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from feature_generator.discretizer import UNBOUNDED, Discretizer, IdConfig
from feature_generator.features import Numbers
from feature_generator.planning import Node

MASK = 2**64 - 1
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
SPACE = " \t\n\v\f\r"


class Bad(Exception):
    """A value broke a rule."""


# --------------------------------------------------------------------------------------------------- hashes


def murmur64a(text: bytes, seed: int = 0xC70F6907) -> int:
    """MurmurHash64A (Appleby): 8-byte blocks, then the rest, then a final mix."""
    m = 0xC6A4A7935BD1E995
    h = seed ^ (len(text) * m & MASK)
    whole = len(text) // 8 * 8
    for at in range(0, whole, 8):
        k = int.from_bytes(text[at : at + 8], "little") * m & MASK
        k = (k ^ k >> 47) * m & MASK
        h = (h ^ k) * m & MASK
    if len(text) > whole:
        h = (h ^ int.from_bytes(text[whole:], "little")) * m & MASK
    h = (h ^ h >> 47) * m & MASK
    return h ^ h >> 47


K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _rotate(v: int, by: int) -> int:
    return (v >> by | v << (64 - by)) & MASK


def _mix(u: int, v: int, mul: int) -> int:
    a = (u ^ v) * mul & MASK
    b = (v ^ a ^ a >> 47) * mul & MASK
    return (b ^ b >> 47) * mul & MASK


def farmhash(text: bytes) -> int:
    """FarmHash Fingerprint64 (Pike and Alakuijala): one rule per range of lengths."""
    n = len(text)

    def word(at: int, size: int = 8) -> int:
        return int.from_bytes(text[at : at + size], "little")

    mul = (K2 + 2 * n) & MASK
    if n == 0:
        return K2
    if n < 4:
        y = (text[0] + (text[n >> 1] << 8)) & 0xFFFFFFFF
        z = (n + (text[n - 1] << 2)) & 0xFFFFFFFF
        mixed = (y * K2 ^ z * K0) & MASK
        return (mixed ^ mixed >> 47) * K2 & MASK
    if n < 8:
        return _mix(n + (word(0, 4) << 3), word(n - 4, 4), mul)
    if n <= 16:
        a, b = (word(0) + K2) & MASK, word(n - 8)
        return _mix((_rotate(b, 37) * mul + a) & MASK, (_rotate(a, 25) + b) * mul & MASK, mul)
    k = K1 if n <= 32 else K2
    a, b, c, d = word(0) * k & MASK, word(8), word(n - 8) * mul & MASK, word(n - 16) * K2 & MASK
    y = (_rotate((a + b) & MASK, 43) + _rotate(c, 30) + d) & MASK
    z = (a + _rotate((b + K2) & MASK, 18) + c) & MASK
    if n <= 32:
        return _mix(y, z, mul)
    if n <= 64:
        z = _mix(y, z, mul)
        e, f = word(16) * mul & MASK, word(24)
        g, h = (y + word(n - 32)) * mul & MASK, (z + word(n - 24)) * mul & MASK
        first = (_rotate((e + f) & MASK, 43) + _rotate(g, 30) + h) & MASK
        return _mix(first, (e + _rotate((f + a) & MASK, 18) + g) & MASK, mul)
    return _long_farmhash(text)


def _long_farmhash(text: bytes) -> int:
    n = len(text)

    def word(at: int) -> int:
        return int.from_bytes(text[at : at + 8], "little")

    def absorb(at: int, a: int, b: int) -> tuple[int, int]:
        a = (a + word(at)) & MASK
        b = _rotate((b + a + word(at + 24)) & MASK, 21)
        total = (a + word(at + 8) + word(at + 16)) & MASK
        return (total + word(at + 24)) & MASK, (b + _rotate(total, 44) + a) & MASK

    y = (81 * K1 + 113) & MASK
    z = (y * K2 + 113) & MASK
    z = (z ^ z >> 47) * K2 & MASK
    x = (81 * K2 + word(0)) & MASK
    v, w, mul, weight = (0, 0), (0, 0), K1, 1
    starts = [*range(0, (n - 1) // 64 * 64, 64), n - 64]
    for at in starts:
        if at == starts[-1] and len(starts) == (n - 1) // 64 + 1:
            mul, weight = (K1 + ((z & 0xFF) << 1)) & MASK, 9
            low = (w[0] + ((n - 1) & 63)) & MASK
            v = ((v[0] + low) & MASK, v[1])
            w = ((low + v[0]) & MASK, w[1])
        x = _rotate((x + y + v[0] + word(at + 8)) & MASK, 37) * mul & MASK
        y = _rotate((y + v[1] + word(at + 48)) & MASK, 42) * mul & MASK
        x ^= w[1] * weight & MASK
        y = (y + v[0] * weight + word(at + 40)) & MASK
        z = _rotate((z + w[0]) & MASK, 33) * mul & MASK
        v = absorb(at, v[1] * mul & MASK, (x + w[0]) & MASK)
        w = absorb(at + 32, (z + w[1]) & MASK, (y + word(at + 16)) & MASK)
        x, z = z, x
    first = (_mix(v[0], w[0], mul) + (y ^ y >> 47) * K0 + z) & MASK
    return _mix(first, (_mix(v[1], w[1], mul) + x) & MASK, mul)


HASHES = {"murmur64a": murmur64a, "farmhash": farmhash}


# -------------------------------------------------------------------------------------------------- reading


def as_text(value: Any) -> str:
    """A plain value as text: numbers in their shortest form, whole ones of 64 bits without a point."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | np.integer | np.bool_):
        return str(int(value))
    if not math.isfinite(value):
        raise Bad(f"{value} is not finite")
    if float(value).is_integer() and abs(value) < 2**63:
        return str(int(value))
    return str(value) if isinstance(value, np.float32) else repr(float(value))


def as_number(value: Any) -> float:
    """A plain value as a finite number."""
    if isinstance(value, str):
        text = value.strip(SPACE)
        number = float(text) if NUMBER.fullmatch(text) else math.nan
    else:
        number = float(value)
    if not math.isfinite(number):
        raise Bad(f"{value!r} is not a finite number")
    return number


def as_integer(value: Any) -> int:
    """A plain value as a whole number of 64 bits."""
    if isinstance(value, str):
        text = value.strip(SPACE)
        if not re.fullmatch(r"[+-]?[0-9]+", text):
            raise Bad(f"{value!r} is not a whole number")
        number = int(text)
    elif isinstance(value, float | np.floating):
        if not math.isfinite(value) or not float(value).is_integer() or abs(value) >= 2**63:
            raise Bad(f"{value} is not a whole number")
        number = int(value)
    else:
        number = int(value)
    if not -(2**63) <= number < 2**63:
        raise Bad(f"{number} has more than 64 bits")
    return number


Value = tuple[Any, Any]
"""A value and its weight; the weight is None where it is bad."""


def plain(cell: Any, separator: str, weighted: bool) -> list[Value]:
    """The values of one element: empty ones are no values; text splits, the items of a list do not."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        return [_weigh(part, weighted) for part in cell.split(separator) if part]
    if isinstance(cell, list) and cell and isinstance(cell[0], tuple):  # a map
        return [(key, _float32(weight)) for key, weight in cell if key != ""]
    if isinstance(cell, list):
        return [_weigh(item, weighted) for item in cell if item is not None and item != ""]
    return [(cell, np.float32(1))]


def _weigh(value: Any, weighted: bool) -> Value:
    if not weighted or not isinstance(value, str) or ":" not in value:
        return value, np.float32(1)
    key, _, weight = value.rpartition(":")
    return key, _float32(weight)


def _float32(value: Any) -> np.float32 | None:
    if value is None:
        return np.float32(1)
    try:
        number = as_number(value)
    except Bad:
        return None
    return np.float32(number) if abs(number) <= float(np.finfo(np.float32).max) else None


def steps(cell: Any, delim: str, separator: str, weighted: bool) -> list[list[Value]]:
    """The elements of one sequence."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        return [plain(part, separator, weighted) for part in cell.split(delim)]
    if isinstance(cell, list):
        return [plain(item, separator, weighted) for item in cell]
    return [plain(cell, separator, weighted)]


def shape(elements: list[Any], node: Node, length: int, missing: Any) -> list[Any]:
    """What the sequence's rule leaves: `missing` is the element of a padded empty sequence."""
    rule = node.rule
    elements = elements[:length]
    if rule.order == "newest_first":
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


def transform(nodes: Sequence[Node], columns: Mapping[str, list[Any]], hash_name: str, folder: Path | None = None) -> dict[str, Made]:
    """All features of all rows.

    Args:
        nodes: Resolved features; those that others read stand first.
        columns: Cells of each column: text, numbers (np.float32 where they are), None, lists, or lists of pairs for maps.
        hash_name: The generator's hash.
        folder: Where vocabulary files are looked up.
    """
    rows = max((len(cells) for cells in columns.values()), default=0)
    made: dict[str, Made] = {}
    for members in _together(nodes):
        for node in members:
            made[node.name] = Made()
        for row in range(rows):
            _row(members, row, rows, columns, made, hash_name, folder)
    return made


def _together(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    done: set[int] = set()
    for node in sorted(nodes, key=lambda n: n.level):
        if id(node) in done:
            continue
        members = [n for n in nodes if node.group is not None and n.group is node.group and not (n.encoded and n.pads != node.pads)]
        members = members or [node]
        done |= {id(n) for n in members}
        yield members


def _row(members: list[Node], row: int, rows: int, columns: Mapping[str, list[Any]], made: dict[str, Made], hash_name: str, folder: Path | None) -> None:
    read: dict[tuple[str, int], Any] = {}
    lengths: list[int] = []
    for node in members:
        separator = node.config.fg_encoded_multival_sep if node.encoded else node.config.separator
        weighted = bool(getattr(node.config, "weighted", False))
        for i, source in enumerate(node.inputs):
            if source.side == "const":
                cell = source.name
            elif source.side == "feature":
                cell = made[source.name].passed[row]
            else:
                cells = columns[source.name]
                cell = cells[0 if len(cells) == 1 and rows > 1 else row]
            if source.sequence:
                elements = steps(cell, node.rule.sequence_delim, separator, weighted)
                lengths.append(len(elements))
                read[node.name, i] = elements
            else:
                read[node.name, i] = plain(cell, separator, weighted)
    length = min(lengths, default=0)
    if len(set(lengths)) > 1 and members[0].rule.lengths == "equal":
        made[members[0].name].bad.add(row)
    for node in members:
        out = made[node.name]
        sink = _Sink(node, hash_name, folder)
        inputs = [read[node.name, i] for i in range(len(node.inputs))]
        if node.sequence:
            shaped = [shape(v, node, length, []) if s.sequence else v for v, s in zip(inputs, node.inputs, strict=True)]
            count = next(len(v) for v, s in zip(shaped, node.inputs, strict=True) if s.sequence)
            elements = [[v[k] if s.sequence else v for v, s in zip(shaped, node.inputs, strict=True)] for k in range(count)]
        else:
            elements = [inputs]
        results = [sink.element(element, out.bad, row) for element in elements]
        out.rows.append(results if node.sequence else results[0])
        passed = [sink.passed(result) for result in results]
        out.passed.append(passed if node.sequence else passed[0])


class _Sink:
    """How one feature turns an element into ids or a vector."""

    def __init__(self, node: Node, hash_name: str, folder: Path | None) -> None:
        self.node, self.config, self.hash_name = node, node.config, hash_name
        operator = node.config.compile(node.default, node.sequence)
        self.single = operator.name == "copy" or node.encoded
        self.numbers: Numbers | None = operator.numbers
        self.discretizer = Discretizer("text")
        if isinstance(node.config, IdConfig):
            self.discretizer = node.config.discretizer(hash_name, node.default, folder)
        if node.encoded:
            edges = None if self.numbers is None else self.numbers.boundaries
            size = self.discretizer.size if self.numbers is None else len(edges or ()) + 1
            if self.numbers is not None and edges is None:
                self.numbers = Numbers(self.numbers.value_dim)
            else:
                self.numbers = None
                self.discretizer = Discretizer("range", size or UNBOUNDED, out_of_range=getattr(node.config, "out_of_range", "default"))
        self.first_only = not node.encoded and (node.config.value_dim == 1 or (node.config.value_dim is None and node.sequence))

    def element(self, inputs: list[list[Value]], bad: set[int], row: int) -> Any:
        """(ids, weights), or a vector."""
        if self.numbers is not None:
            return self._vector(inputs[0], bad, row)
        if self.single:
            values = inputs[0]
        else:
            try:
                texts = [[as_text(value) for value, _ in values] for values in inputs]
            except Bad:
                bad.add(row)
                texts = [[] for _ in inputs]
            values = [(text, np.float32(1)) for text in (self.config.reference(texts) if all(texts) else [])]
        if self.first_only:
            values = values[:1]
        if not values:
            return self._default()
        ids: list[Any] = []
        weights: list[Any] = []
        for value, weight in values:
            try:
                if weight is None:
                    raise Bad("its weight")
                ids.append(self._id(value))
                weights.append(weight)
            except Bad as error:
                if str(error):
                    bad.add(row)
                default_ids, default_weights = self._default()
                ids += default_ids
                weights += default_weights
        return ids, weights

    def _id(self, value: Any) -> Any:
        rule = self.discretizer
        if rule.kind == "range":
            number = as_integer(value)
            if 0 <= number < rule.size:
                return number
            if rule.out_of_range == "clip":
                return 0 if number < 0 else rule.size - 1
            raise Bad(f"{number} is out of range" if rule.out_of_range == "error" else "")
        text = as_text(value)
        if rule.kind == "hash":
            return HASHES[rule.hash](text.encode()) % rule.size
        return text if rule.kind == "text" else rule.words.get(text, rule.unknown)

    def _default(self) -> tuple[list[Any], list[Any]]:
        text = self.node.default
        separator = self.config.fg_encoded_multival_sep if self.node.encoded else self.config.separator
        parts = [part for part in text.split(separator) if part] if self.single else [text] if text else []
        ids = [self._id(part) for part in (parts[:1] if self.first_only else parts)]
        return ids, [np.float32(1)] * len(ids)

    def _vector(self, values: list[Value], bad: set[int], row: int) -> Any:
        assert self.numbers is not None
        config: Any = self.config
        default = config.default_numbers(self.node.default, self.node.encoded)
        vector: Any = None
        try:
            numbers = [self._normalize(as_number(value)) for value, _ in values]
            if numbers and len(numbers) != self.numbers.value_dim:
                raise Bad("wrong length")
            if any(not abs(number) <= float(np.finfo(np.float32).max) for number in numbers):
                raise Bad("too large")
            vector = [np.float32(number) for number in numbers] or None
        except Bad:
            bad.add(row)
        if vector is None:
            vector = [np.float32(number) for number in default] or None
        if self.numbers.boundaries is None:
            return vector or [np.float32(0)] * self.numbers.value_dim
        if vector is None:
            return [], []
        ids = [sum(np.float32(edge) <= number for edge in self.numbers.boundaries) for number in vector]
        return [int(i) for i in ids], [np.float32(1)] * len(ids)

    def _normalize(self, number: float) -> float:
        assert self.numbers is not None
        rule = self.numbers.normalizer
        if rule["method"] == "log10":
            return math.log10(number) if number > rule["threshold"] else float(rule["default"])
        return (number - rule["shift"]) / rule["scale"] if rule["method"] == "affine" else number

    def passed(self, result: Any) -> Any:
        """What another feature reads: the ids or words, or the number or vector."""
        if isinstance(result, tuple):
            return result[0]
        return result[0] if len(result) == 1 else result
