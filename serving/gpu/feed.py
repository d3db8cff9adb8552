"""The inputs of a program as arrays that know how they are padded: a graph is captured for sizes that repeat.

Rows are padded to a power of two, and what comes out for the padding is cut off. The steps of candidates' sequences are
padded too, and belong to the last row, which is padding. A sequence that a request has once has no row to spare: its
steps are padded with zeros where the program does not notice, which is tried when it is loaded (`scorer.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from easyrec.embedding.device_bags import DeviceCall
from easyrec.embedding.served_on_device import Bound, DeviceTables, looked_up
from easyrec.embedding.sides import ITEM, USER

ROWS = "rows"
"""The size that counts candidates, or rows."""
Kind: TypeAlias = Literal["flat", "rows", "offsets", "ids", "ends", "values"]
Sizes: TypeAlias = Mapping[str, int]
Key: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class Part:
    """An array, and how it is padded.

    Attributes:
        array: What there is.
        size: Name of the size that its length follows; empty: none, it is as long as it is.
        kind: `flat`: zeros follow; `rows`: the last row's number follows; `offsets`: of the steps of rows, where the
            last row takes what is left; `ids`: of `bags` one after another, where `spare` follows each;
            `ends`: of the ids of `bags`, where empty sums follow each; `values`: (bags, length, ...), where zeros follow each.
        steps: Of `offsets`, the size that they divide.
        bags: How many.
        spare: A row of zeros.
    """

    array: np.ndarray
    size: str = ""
    kind: Kind = "flat"
    steps: str = ""
    bags: int = 1
    spare: int = 0

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """Of the padded array."""
        if not self.size:
            return self.array.shape
        if self.kind == "values":
            return (len(self.array), sizes[self.size], *self.array.shape[2:])
        more = self.kind in ("offsets", "ends")
        return (self.bags * sizes[self.size] + more, *self.array.shape[1:])

    def fill(self, out: np.ndarray, actual: Sizes, sizes: Sizes) -> None:
        """Write the padded array into `out`."""
        array, count = self.array, len(self.array)
        if self.kind == "values":
            rows = array.shape[1]
            out[:, :rows], out[:, rows:] = array, 0
        elif not self.size or len(out) == count:
            out[...] = array
        elif self.kind == "flat":
            out[:count], out[count:] = array, 0
        elif self.kind == "rows":
            out[:count], out[count:] = array, sizes[ROWS] - 1
        elif self.kind == "offsets":
            out[:count], out[count:], out[-1] = array, array[-1], sizes[self.steps]
        elif self.kind == "ids":
            rows = actual[self.size]
            wide = out.reshape(self.bags, -1)
            wide[:, :rows], wide[:, rows:] = array.reshape(self.bags, -1), self.spare
        else:
            rows, wide = actual[self.size], out[1:].reshape(self.bags, -1)
            ends = array[1:].reshape(self.bags, -1)
            out[0] = 0
            wide[:, :rows] = ends
            wide[:, rows:] = ends[:, -1:] if rows else array[0]


@dataclass
class Feed:
    """What a program is given for a request.

    Attributes:
        parts: By name; those of a call have names of their own.
        direct: Names of the parts that are inputs of the program.
        actual: Sizes by name.
        spared: Sizes whose padding belongs to the last row, which must be padding then.
        calls: What looks up in tables on the device, by input of the program, with the size that its rows follow.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    direct: list[str] = field(default_factory=list)
    actual: dict[str, int] = field(default_factory=dict)
    spared: set[str] = field(default_factory=set)
    calls: dict[str, tuple[DeviceCall, str]] = field(default_factory=dict)

    def add(self, name: str, array: np.ndarray) -> None:
        """Add an input of the program."""
        size, kind, steps = _place(name)
        if size:
            self._sized(size, len(array) - (kind == "offsets"))
        self.parts[name] = Part(array, size, kind, steps)
        self.direct.append(name)

    def add_call(self, name: str, call: DeviceCall, tables: DeviceTables) -> None:
        """Add an input that is looked up on the device."""
        size = _place(name)[0]
        if size:
            self._sized(size, call.num_rows)
        self.calls[name] = call, size
        for number, ids in enumerate(call.ids):
            rows, key, spare = ids.rows.numpy(), f"{name}#{number}", tables.spare[ids.block]
            if ids.ends is None:
                self.parts[key] = Part(rows, size, "ids", bags=ids.bags, spare=spare)
                continue
            self.actual[key] = len(rows)
            self.parts[key] = Part(rows, key, "ids", spare=spare)
            self.parts[f"{key}.ends"] = Part(ids.ends.numpy(), size, "ends", bags=ids.bags)
            if ids.factors is not None:
                self.parts[f"{key}.factors"] = Part(ids.factors.numpy(), key)
        for number, values in enumerate(call.values):
            self.parts[f"{name}={number}"] = Part(values.values.numpy(), size, "values")

    def _sized(self, size: str, count: int) -> None:
        self.actual[size] = count
        if size != ROWS and not size.startswith(USER):
            self.spared.add(size)

    def padded(self, exact: Collection[str]) -> dict[str, int]:
        """Sizes that repeat.

        Args:
            exact: Those that stay as they are, as padding would change what comes out.
        """
        exact = {*exact, *(self.spared if ROWS in exact else ())}
        sizes = {name: count if name in exact else bucket(count) for name, count in self.actual.items()}
        if ROWS in sizes and any(sizes[name] > self.actual[name] for name in self.spared):
            sizes[ROWS] = bucket(self.actual[ROWS] + 1)
        return sizes

    def key(self, sizes: Sizes) -> Key:
        """What two feeds share whose work one graph does."""
        shapes = tuple((name, part.array.dtype.str, part.shape(sizes)) for name, part in self.parts.items())
        return (
            shapes,
            tuple(
                (name, *((i.block, i.bags, tuple(i.runs)) for i in call.ids), *((v.block, v.dim, tuple(v.runs)) for v in call.values))
                for name, (call, _) in self.calls.items()
            ),
        )  # fmt: skip

    def inputs(self, tensors: Mapping[str, Tensor], sizes: Sizes, tables: DeviceTables | None) -> dict[str, Tensor]:
        """The inputs of the program.

        Args:
            tensors: The padded parts, on the device.
            sizes: Of the padding.
            tables: There.
        """
        given = {name: tensors[name] for name in self.direct}
        calls = {}
        for name, (call, size) in self.calls.items():
            ids = [
                replace(
                    of_block,
                    rows=tensors[f"{name}#{n}"],
                    ends=tensors.get(f"{name}#{n}.ends"),
                    factors=tensors.get(f"{name}#{n}.factors"),
                )
                for n, of_block in enumerate(call.ids)
            ]
            values = [replace(one, values=tensors[f"{name}={n}"]) for n, one in enumerate(call.values)]
            rows = sizes[size] if size else call.num_rows
            calls[name] = replace(call, num_rows=rows, ids=ids, values=values)
        if calls:
            assert tables is not None
            given |= looked_up(calls, tables)
        return given


def bucket(count: int) -> int:
    """The power of two that holds so many."""
    return 1 << max(0, count - 1).bit_length()


def feed_of(inputs: Mapping[str, np.ndarray], wanted: Collection[str]) -> Feed:
    """Looked-up inputs as a feed.

    Args:
        inputs: By name, as a program's inputs are called.
        wanted: Those that it reads.

    Raises:
        KeyError: One is missing.
    """
    feed = Feed()
    for name in wanted:
        feed.add(name, inputs[name])
    return feed


def feed_on_device(bound: Mapping[str, Bound], wanted: Collection[str], tables: DeviceTables) -> Feed:
    """What is looked up on the device as a feed.

    Args:
        bound: By prefix of the names, which tells the side.
        wanted: The inputs that the program reads.
        tables: There.
    """
    feed = Feed()
    for prefix, (calls, others) in bound.items():
        for key, array in others.items():
            if prefix + key in wanted:
                feed.add(prefix + key, array)
        for key, call in calls.items():
            if prefix + key in wanted:
                feed.add_call(prefix + key, call, tables)
    return feed


def _place(name: str) -> tuple[str, Kind, str]:
    """The size that an input's length follows, how it is padded, and the size of the steps that it divides."""
    kind, _, rest = name.partition(":")
    side, kind = (USER, kind.removeprefix(USER)) if kind.startswith(USER) else ("", kind.removeprefix(ITEM))
    steps = f"{side}{rest}:steps"
    if kind == "seq":
        return steps, "flat", ""
    if kind == "rows":
        return steps, "flat" if side else "rows", ""
    if kind == "offsets":
        return ("", "flat", "") if side else (ROWS, "offsets", steps)
    return ("" if side else ROWS), "flat", ""


def torch_type(array: np.ndarray) -> torch.dtype:
    """Of tensors with the numbers of an array."""
    return torch.from_numpy(np.empty(0, array.dtype)).dtype
