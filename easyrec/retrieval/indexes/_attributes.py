"""What is known of the vectors of an index beside their ids: columns to filter by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import nearest


@dataclass(frozen=True)
class _Lookup:
    """The places of each value of some rows: those of `values[v]` are `places[bounds[v] : bounds[v + 1]]`."""

    values: Mapping[Any, int]
    places: np.ndarray
    bounds: np.ndarray
    rows: int


class Attributes:
    """Columns by place: integers, texts or booleans, one in a row or a list of them.

    Args:
        table: The columns.
    """

    def __init__(self, table: pa.Table) -> None:
        for name, kind in zip(table.column_names, table.schema.types, strict=True):
            if (text := unfit(name, kind)) is not None:
                raise ValueError(text)
        self.table = table
        self._lookups: dict[str, list[_Lookup]] = {}

    @staticmethod
    def of(given: Mapping[str, Any] | pa.Table | None, rows: int) -> Attributes:
        """The columns of some rows.

        Raises:
            ValueError: They are not as many, or hold something else.
        """
        found = given if isinstance(given, pa.Table) else pa.table({k: _array(v) for k, v in (given or {}).items()})
        if found.num_columns and found.num_rows != rows:
            raise ValueError(f"{rows} vectors need as many attributes, but here are {found.num_rows}")
        return Attributes(found)

    def joined(self, more: Attributes) -> Attributes:
        """These, and others behind them.

        Raises:
            ValueError: Those have other columns.
        """
        mine, theirs = set(self.table.column_names), set(more.table.column_names)
        if mine != theirs:
            raise ValueError(f"the index keeps the attributes {sorted(mine)}, but here are {sorted(theirs)}")
        if not mine:
            return self
        try:
            found = Attributes(
                pa.concat_tables([self.table, more.table.select(self.table.column_names).cast(self.table.schema)])
            )
        except pa.ArrowInvalid as error:
            raise ValueError(f"attributes are of another type than those of the index: {error}") from error
        found._lookups = {
            name: list(lookups) for name, lookups in self._lookups.items()
        }  # what is known of the first rows
        return found

    def taken(self, places: np.ndarray) -> Attributes:
        """Those of some places."""
        return Attributes(self.table.take(pa.array(places))) if self.table.num_columns else self

    def allowed(self, filter: Mapping[str, Any], count: int) -> np.ndarray:
        """(count,) bool, the places whose every named attribute is, or holds, one of the values.

        Texts are read as numbers and booleans where an attribute is of these.

        Raises:
            ValueError: There is no such attribute, or it has values of another type.
        """
        found = np.ones(count, bool)
        for name, wanted in filter.items():
            if name not in self.table.column_names:
                kept = self.table.column_names
                raise ValueError(
                    f"no attribute is called '{name}'{nearest(name, kept)}; the index keeps {', '.join(kept) or 'none'}"
                )
            found &= self._holding(
                name, wanted if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted], count
            )
        return found

    def _holding(self, name: str, wanted: Any, count: int) -> np.ndarray:
        kind = self.table.schema.field(name).type
        kind = kind.value_type if _listed(kind) else kind
        values = [_read(name, value, kind) for value in wanted]
        found = np.zeros(count, bool)
        for lookup in self._looked_up(name):
            for value in values:
                number = lookup.values.get(value)
                if number is not None:
                    found[lookup.places[lookup.bounds[number] : lookup.bounds[number + 1]]] = True
        return found

    def _looked_up(self, name: str) -> list[_Lookup]:
        """The lookups of a column, each of more rows than all behind it: so a few new rows cost little, and there are few."""
        lookups, rows = list(self._lookups.get(name, [])), self.table.num_rows
        known = sum(lookup.rows for lookup in lookups)
        if known < rows:
            while lookups and lookups[-1].rows <= rows - known:
                known -= lookups.pop().rows
            lookups.append(_lookup(self.table.column(name).slice(known), known))
            self._lookups[name] = lookups
        return lookups


def _read(name: str, value: Any, kind: pa.DataType) -> Any:
    """A value as an attribute of a type holds it."""
    plain = value.item() if isinstance(value, np.generic) else value
    if _text(kind):
        fits = isinstance(plain, str)
    elif pa.types.is_boolean(kind):
        plain = {"true": True, "false": False}.get(plain.lower(), plain) if isinstance(plain, str) else plain
        fits = isinstance(plain, bool)
    else:
        plain = int(plain) if isinstance(plain, str) and re.fullmatch(r"-?[0-9]{1,20}", plain) else plain
        fits = isinstance(plain, int) and not isinstance(plain, bool)
    if not fits:
        raise ValueError(f"attribute '{name}' is of {kind}, so none is {value!r}")
    return plain


def _array(values: Any) -> Any:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)


def _listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def unfit(name: str, kind: pa.DataType) -> str | None:
    """What is wrong with an attribute of a type."""
    single = kind.value_type if _listed(kind) else kind
    if pa.types.is_integer(single) or pa.types.is_boolean(single) or _text(single):
        return None
    return f"attribute '{name}' is {kind}: it must be of integers, texts or booleans, or lists of them"


def _lookup(column: pa.ChunkedArray, first: int) -> _Lookup:
    """The lookup of some rows, of which the first has this place."""
    whole = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    rows = len(whole)
    places = np.arange(first, first + rows)
    if _listed(whole.type):
        places, whole = np.repeat(places, whole.value_lengths().fill_null(0).to_numpy()), whole.flatten()
    encoded = whole.dictionary_encode()
    codes = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    values = {value: number for number, value in enumerate(encoded.dictionary.to_pylist())}
    return _Lookup(values, places[order], np.searchsorted(codes[order], np.arange(len(values) + 1)), rows)
