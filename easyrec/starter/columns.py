"""The columns of a file as features: ids, numbers, and lists as sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from easyrec.data.feed import source_of
from easyrec.data.sample import read_sample
from easyrec.data.split import Part
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.starter.keys import flow
from easyrec.starter.rows import Rows, Side

LABELS = ("click", "clicked", "is_click", "label", "target", "y", "buy", "bought", "is_buy", "purchase", "conversion")
"""Names of columns that are labels unless told otherwise, the most frequent event first."""
CONTEXT = ("hour", "weekday", "day_of_week", "scene", "device", "os", "channel", "position", "page")
PERSONAL = ("age", "gender", "sex", "occupation")
"""What is a user's, beside columns whose names say so."""
TIMES, FIRST_TIME = re.compile(r"(^|_)(timestamp|ts|time|datetime|date|dt|day|at)$"), 19_700_101
"""Names of columns of whole numbers that are times, and the least of these: a day as a number, or unix seconds."""
PARTS = (0.8, 0.9)
"""Where valid and test begin, as shares of the rows in their order of time."""
DOMAIN = ("domain", "scene", "scenario", "market", "country", "channel", "tab")
SAMPLED = 20_000
LENGTH = 50
SIGNS, SHARE, DELIMITER = (";", "|", "\x1d", ","), 0.2, ";"
"""What may part texts that are lists, the share of values that must hold it, and what sequences are split by anyway."""
FEW = 50
"""Domains that are told one by one; buckets of a hash would mostly be empty."""


def columns_of(path: str, labels: list[str] | None, *, needed: bool = True) -> Rows:
    """What the columns of a parquet or csv file become.

    Args:
        path: The file.
        labels: Its labels; None: 0/1 columns that are called like ones.
        needed: Whether there must be one.

    Raises:
        ConfigError: No column is a label, or the named ones are not there.
        DataError: The file cannot be read.
    """
    config = source_of(path, ())
    source = config.open()
    try:
        sample = read_sample(Part(source), SAMPLED, list(source.columns))
    finally:
        source.close()
    rows = Rows([f"  train: {{type: {config.type}, path: {path!r}}}"], _labels(sample, labels, needed=needed))
    rows.about = [
        f"Guessed from the first rows of {path}: look at sides (user, item, context), ids and lengths.",
    ]
    names = [name for name in sample.column_names if name not in rows.labels]
    times = [name for name in names if _is_time(sample[name], name)]
    rows.sources += _parts(sample, times, config.type)
    names = [name for name in names if name not in times or not pa.types.is_integer(sample[name].type)]
    sample, separators = _split(sample, names)
    groups = _sequences(sample, names)
    skipped: list[str] = []
    for name in names:
        if not any(name in children for children in groups.values()):
            feature = _feature(sample[name], name, rows, separators.get(name))
            skipped += [] if feature else [f"{name} ({sample[name].type})"]
            rows.features += [feature] if feature else []
    for group, children in groups.items():
        _add_sequence(group, children, sample, rows)
        used = {separators[child] for child in children if child in separators}
        rows.features[-1] |= {"sequence_delim": used.pop()} if used and used != {DELIMITER} else {}
    if separators:
        told = ", ".join(f"{name} ({sign!r})" for name, sign in separators.items())
        rows.about.append(f"Texts that look like lists are split: {told}.")
    if skipped:
        rows.about.append(f"Left out, as neither ids nor numbers nor lists of them: {', '.join(skipped)}.")
    if numbers := [name for name in times if name not in names]:
        rows.about.append(f"Left out, as times of rows that are gone: {', '.join(numbers)}.")
    if not rows.sides:
        raise ConfigError([Problem("no column can be a feature: there are neither ids nor numbers", "--data")])
    rows.domain = [name for name in DOMAIN if name in rows.sides and name not in rows.numbers][:1]
    steps = {child.partition("__")[2] for children in groups.values() for child in children}  # read the same table
    for feature in rows.features:
        if feature["name"] in rows.domain and feature["name"] not in steps and (words := _few(sample[feature["name"]])):
            del feature["hash_bucket_size"]
            feature["vocab_list"] = words
    rows.user = next((name for name in ("user_id", "uid", "user", "member_id") if name in names), None)
    rows.reserved = [rows.user] if rows.user else []
    return rows


def _labels(sample: pa.Table, given: list[str] | None, *, needed: bool) -> list[str]:
    columns = sample.column_names
    absent = [name for name in given or [] if name not in columns]
    if absent:
        text = f"there is no column '{absent[0]}'{nearest(absent[0], columns)}\nthere are: {', '.join(columns)}"
        raise ConfigError([Problem(text, "--labels")])
    found = given or [name for name in LABELS if name in columns and _is_flag(sample[name])]
    if not found and needed:
        text = f"say which columns are labels; there are: {', '.join(columns)}"
        raise ConfigError([Problem(text, "--labels")])
    return found


def _is_flag(column: pa.ChunkedArray) -> bool:
    """Whether a column holds 0 and 1 alone."""
    if pa.types.is_boolean(column.type):
        return True
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return False
    return set(pc.unique(column.drop_null()).to_pylist()) <= {0, 1}


def _is_time(column: pa.ChunkedArray, name: str) -> bool:
    """Whether a column tells when its rows were."""
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        return True
    known = column.drop_null()
    return bool(
        TIMES.search(name) and pa.types.is_integer(column.type) and len(known) and pc.min(known).as_py() >= FIRST_TIME
    )


def _parts(sample: pa.Table, times: list[str], kind: str) -> list[str]:
    """Lines of the `data` section about rows to evaluate on: the latest ones, where a column tells the time."""
    for name in times:
        known = sample[name].drop_null().sort()
        if not len(known):
            continue
        first, valid, test = (known[int(share * len(known))].as_py() for share in (0.0, *PARTS))
        if first < valid < test:
            bounds = [at if isinstance(at, int) else at.isoformat() for at in (valid, test)]
            split = {"by": "time", "column": name, "valid_from": bounds[0], "test_from": bounds[1]}
            text = "The latest tenths of the rows are valid and test; or leave this out and name sources for them."
            return [f"  # {text}", f"  split: {flow(split)}"]
    return [
        "  # Nothing is measured without rows to evaluate on; `split` takes them from those of train.",
        f"  # valid: {{type: {kind}, path: ...}}",
    ]


def _split(sample: pa.Table, names: list[str]) -> tuple[pa.Table, dict[str, str]]:
    """The sample with texts such as `a;b;a` as lists, and what parts them by column.

    A sign parts a column where a fifth of the values hold it, and parts recur: they are hardly more different words than
    the values are.
    """
    found: dict[str, str] = {}
    for name in names:
        column = sample[name]
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        known = column.drop_null()
        for sign in SIGNS:
            holding = pc.sum(pc.match_substring(known, sign)).as_py() or 0
            if not len(known) or holding < SHARE * len(known):
                continue
            lists = pc.split_pattern(column, sign)
            if len(pc.unique(pc.list_flatten(lists))) < 1.5 * len(pc.unique(known)) + 2:
                found[name] = sign
                sample = sample.set_column(sample.schema.get_field_index(name), name, lists)
                break
    return sample, found


def _sequences(sample: pa.Table, names: list[str]) -> dict[str, list[str]]:
    """Lists whose names share what stands before `__`: children of one sequence."""
    found: dict[str, list[str]] = {}
    for name in names:
        group, sign, child = name.partition("__")
        if sign and group and child and _element(sample[name].type) is not None:
            found.setdefault(group, []).append(name)
    return found


def _element(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements; None where it is no list of plain values."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return None
    inner = kind.value_type
    plain = pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_string(inner)
    return inner if plain or pa.types.is_large_string(inner) else None


def _feature(column: pa.ChunkedArray, name: str, rows: Rows, separator: str | None) -> dict[str, Any] | None:
    """The feature of one column; None where there is none for its type."""
    kind = column.type
    if separator is not None:
        rows.sides[name] = _side(name, False)
        one = {"name": name, "expression": f"{rows.sides[name]}:{name}", "separator": separator}
        return {"type": "id", **one, "hash_bucket_size": _buckets(column)}
    element = _element(kind)
    side = _side(name, element is not None)
    one = {"name": name, "expression": f"{side}:{name}"}
    if element is not None:
        rows.sequences[name] = []
        if pa.types.is_floating(element):
            return {"type": "raw", **one, "sequence_length": LENGTH, "boundaries": _boundaries(column)}
        return {"type": "id", **one, "hash_bucket_size": _buckets(column), "sequence_length": LENGTH}
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        rows.sides[name] = side
        rows.numbers.add(name)
        return {"type": "raw", **one}
    if (
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
    ):
        rows.sides[name] = side
        return {"type": "id", **one, "hash_bucket_size": _buckets(column)}
    return None


def _add_sequence(group: str, children: list[str], sample: pa.Table, rows: Rows) -> None:
    """A grouped sequence; a child that is called like a field shares its table, so that steps and candidate compare."""
    features: list[dict[str, Any]] = []
    candidates: list[str] = []
    fields = {f["name"]: f for f in rows.features if f["type"] == "id" and f["name"] in rows.sides}
    for column in children:
        child = column.removeprefix(f"{group}__")
        if pa.types.is_floating(_element(sample[column].type)):
            features.append(
                {"type": "raw", "name": child, "expression": f"user:{child}", "boundaries": _boundaries(sample[column])}
            )
            continue
        buckets = _buckets(sample[column])
        if child in fields:
            buckets = fields[child]["hash_bucket_size"] = max(buckets, fields[child]["hash_bucket_size"])
            candidates.append(child)
        shared = {"embedding_name": child} if child in fields else {}
        features.append(
            {"type": "id", "name": child, "expression": f"item:{child}", "hash_bucket_size": buckets, **shared}
        )
    rows.features.append({"type": "sequence", "name": group, "sequence_length": LENGTH, "features": features})
    rows.sequences[group] = candidates
    rows.longest[group] = max(pc.max(pc.list_value_length(sample[column])).as_py() or 0 for column in children)


def _side(name: str, is_list: bool) -> Side:
    if name.startswith(("user", "u_", "uid", "member")) or name in PERSONAL or is_list:
        return "user"
    return "context" if name.startswith(CONTEXT) else "item"


def _buckets(column: pa.ChunkedArray) -> int:
    """Room for ten times the values that were seen, in round numbers."""
    values = pc.list_flatten(column) if _element(column.type) is not None else column
    seen: int = max(len(pc.unique(values)), 1)
    sizes: Iterator[int] = (
        size for power in range(12) for size in (10**power, 2 * 10**power, 5 * 10**power) if size >= 10 * seen
    )
    return next(sizes)


def _few(column: pa.ChunkedArray) -> list[str]:
    """The values of a column that has few, as the FeatureGenerator writes them."""
    column = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    words = sorted(pc.unique(column.drop_null().cast(pa.string())).to_pylist())
    return words if len(words) <= FEW else []


def _boundaries(column: pa.ChunkedArray) -> list[float]:
    """Deciles of the values that were seen."""
    values = pc.list_flatten(column).drop_null()
    if not len(values):
        return [0.0]
    deciles = pc.quantile(values, q=[q / 10 for q in range(1, 10)]).to_pylist()
    return sorted({float(f"{value:.3g}") for value in deciles})
