"""What is written of rewrites: those that are taken, and those that are not with their reasons."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.durable import write_bytes
from easyrec.errors import DataError, RunError
from easyrec.llm.rewriting.rewrites import Ask, Made, Reason, Rejected, Rewrite

_OF_QUERY = [("query", pa.string()), ("category", pa.string()), ("brand", pa.string()), ("count", pa.float64())]
_OF_REWRITE = [
    ("rewrite", pa.string()),
    ("bid_word", pa.string()),
    ("match", pa.string()),
    ("similarity", pa.float32()),
]
KEPT = pa.schema([*_OF_QUERY, *_OF_REWRITE, ("score", pa.float32()), ("rank", pa.int32())])
REJECTED = pa.schema([*_OF_QUERY, *_OF_REWRITE, ("reason", pa.string())])
NO_ANSWER = "no_answer"
"""The reason of a row without a rewrite: of this query the model said nothing that can be used."""
NONE = "none"
"""The reason of a row without a rewrite: the model wrote none."""


def rejected_path(output: Path) -> Path:
    """Where the rewrites lie that were not taken."""
    return output.with_name(f"{output.stem}.rejected{output.suffix}")


def write(output: Path, made: Sequence[Made]) -> None:
    """Write both files, each whole or not at all.

    Raises:
        RunError: The disk refuses.
    """
    kept = [
        {**_query(one.ask), **_rewrite(rewrite), "score": rewrite.score, "rank": rank}
        for one in made
        for rank, rewrite in enumerate(one.kept)
    ]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror or error}") from None
    _put(rejected_path(output), [row for one in made for row in _left_out(one)], REJECTED)
    _put(output, kept, KEPT)


def read(output: Path) -> list[Made]:
    """What was written, a value for each query.

    Raises:
        DataError: There is no such file, or it is another one.
    """
    found: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
    for path, schema in ((output, KEPT), (rejected_path(output), REJECTED)):
        for row in _rows(path, schema):
            own = found.setdefault(
                (row["query"], row["category"], row["brand"]),
                {"row": row, "kept": [], "rejected": [], "answered": True},
            )
            if schema is KEPT:
                own["kept"].append(
                    Rewrite(row["rewrite"], row["score"], row["bid_word"], row["match"], row["similarity"])
                )
            elif row["rewrite"] is None:
                own["answered"] = row["reason"] != NO_ANSWER
            else:
                reason: Reason = row["reason"]
                own["rejected"].append(
                    Rejected(row["rewrite"], reason, row["bid_word"], row["match"], row["similarity"])
                )
    return [
        Made(
            Ask(query, category, brand, own["row"]["count"]),
            tuple(own["kept"]),
            tuple(own["rejected"]),
            own["answered"],
        )
        for (query, category, brand), own in found.items()
    ]


def _query(ask: Ask) -> dict[str, Any]:
    return {"query": ask.query, "category": ask.category, "brand": ask.brand, "count": ask.count}


def _rewrite(one: Rewrite | Rejected) -> dict[str, Any]:
    told = {"bid_word": one.bid_word, "match": one.match, "similarity": one.similarity}
    return {"rewrite": one.text, **told}


def _left_out(one: Made) -> Iterable[Mapping[str, Any]]:
    for rejected in one.rejected:
        yield {**_query(one.ask), **_rewrite(rejected), "reason": rejected.reason}
    if not one.kept and not one.rejected:
        yield {**_query(one.ask), "reason": NONE if one.answered else NO_ANSWER}


def _put(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), written, compression="zstd")
    write_bytes(path, written.getvalue())


def _rows(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read, `easyrec llm rewrite` writes it: {error}") from None
    if table.schema.names != schema.names:
        raise DataError(f"{path}: holds no rewrites: its columns are {', '.join(table.schema.names)}")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
