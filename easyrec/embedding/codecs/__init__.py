"""Codecs: what makes finished embedding tables smaller, `export.compress`.

The contract of the family: `easyrec/embedding/codecs/<type>.py` holds the codec's `Config` over `CodecConfig`, and one
class over `Codec`. Codecs know no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from easyrec.config.compress import CODECS, CodecConfig
from easyrec.config.family import implementation
from easyrec.embedding.codecs._codec import Codec
from easyrec.embedding.encoded import Draft, Encoded
from easyrec.embedding.packing import Precision, worthwhile
from easyrec.embedding.reader import compressible
from easyrec.embedding.served import ServedTables

__all__ = ["Codec", "CodecConfig", "encode", "encoded_tables"]


def encoded_tables(
    tables: ServedTables,
    counts: Mapping[str, np.ndarray],
    codecs: Sequence[CodecConfig],
    precisions: Mapping[str, Precision],
) -> dict[str, Encoded]:
    """Those of some tables that codecs make smaller, by name.

    Args:
        tables: The tables.
        counts: How often each row was met, by table.
        codecs: One after another.
        precisions: Of rows that are no codes, by table.

    Raises:
        ValueError: A precision cannot hold a number; names the table.
    """
    found = {}
    for name in compressible(tables.plan):
        try:
            encoded = encode(name, tables.weights[name], counts[name], codecs, precisions.get(name, "fp32"))
        except ValueError as error:
            raise ValueError(f"table '{name}': {error}") from None
        if encoded is not None:
            found[name] = encoded
    return found


def encode(
    table: str, numbers: np.ndarray, counts: np.ndarray, codecs: Sequence[CodecConfig], precision: Precision
) -> Encoded | None:
    """A table as some codecs leave it, each where it makes the table smaller; None where none does.

    Args:
        table: Its name.
        numbers: (ids, dim) float32.
        counts: (ids,) how often each id was met.
        codecs: One after another.
        precision: Of rows that are no codes.

    Raises:
        ValueError: The precision cannot hold a number.
    """
    draft = Draft(len(numbers), np.ascontiguousarray(numbers, np.float32), counts.astype(np.float64))
    for config in codecs:
        if not config.takes(table) or not draft.ids:
            continue
        made = implementation(CODECS, config.type, Codec)(config)(draft)
        if made.size(_fitting(made, precision)) < draft.size(_fitting(draft, precision)):
            draft = made
    return None if draft.plain else draft.encoded(_fitting(draft, precision))


def _fitting(draft: Draft, precision: Precision) -> Precision:
    """The precision, or fp16 where the rows are too short for it."""
    return worthwhile(precision, draft.numbers.shape[1])
