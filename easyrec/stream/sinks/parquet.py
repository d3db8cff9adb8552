"""`parquet`: files in a folder, by day or hour of the exposures; what is read is whole and committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.durable import sync
from easyrec.errors import StoreError
from easyrec.stream.sinks import Sink, SinkConfig

HIDDEN = ".writing"
"""End of a file's name that nobody reads."""


class Config(SinkConfig):
    """Config of `parquet`."""

    type: Literal["parquet"] = "parquet"
    path: str
    """The folder, on a disk of this machine."""
    partition: Literal["day", "hour", "none"] = "day"
    """Folders by the time of the exposure, UTC: `ds=20260101`, `ds=20260101/hour=07`."""

    def open(self, writer: str, keys: Sequence[str]) -> ParquetSink:
        """See the family's contract."""
        return ParquetSink(self, writer)


class ParquetSink(Sink):
    """Files that are named by their writer and step, so that a step that comes again makes the same names.

    Args:
        config: Where they lie.
        writer: Who writes.
    """

    def __init__(self, config: Config, writer: str) -> None:
        self._writer = writer
        self.shown, self._config, self._root = config.path, config, Path(config.path)

    def prepare(self, step: int, rows: pa.Table, times: np.ndarray) -> bytes:
        """See the family's contract."""
        folders, which = self._folders(times)
        names = []
        try:
            for place, folder in enumerate(folders):
                name = Path(folder, f"part-{self._writer}-{step:012d}.parquet")
                hidden = self._hidden(name)
                hidden.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(rows.filter(pa.array(which == place)), hidden, compression="zstd")
                sync(hidden)
                names.append(str(name))
        except OSError as error:
            raise StoreError(f"samples cannot be written to {self.shown}: {error.strerror or error}") from error
        return json.dumps(names).encode()

    def publish(self, note: bytes, *, again: bool = False) -> None:
        """See the family's contract."""
        try:
            for name in json.loads(note):
                hidden = self._hidden(Path(name))
                if hidden.exists() or not again:
                    hidden.replace(self._root / name)
                    sync((self._root / name).parent)
        except OSError as error:
            raise StoreError(f"samples cannot be written to {self.shown}: {error.strerror or error}") from error

    def forget(self) -> None:
        """See the family's contract."""
        for path in self._root.rglob(f".part-{self._writer}-*{HIDDEN}"):
            path.unlink()

    def close(self) -> None:
        """Nothing is open."""

    def _hidden(self, name: Path) -> Path:
        return self._root / name.with_name(f".{name.name}{HIDDEN}")

    def _folders(self, times: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Folders, and which of them each row belongs into."""
        if self._config.partition == "none":
            return [""], np.zeros(len(times), np.int64)
        unit = {"day": "D", "hour": "h"}[self._config.partition]
        starts, which = np.unique(times.astype("datetime64[us]").astype(f"datetime64[{unit}]"), return_inverse=True)
        texts = [str(start) for start in starts]  # 2026-01-01, 2026-01-01T07
        days = [f"ds={text[:10].replace('-', '')}" for text in texts]
        return [
            day if unit == "D" else f"{day}/hour={text[11:13]}" for day, text in zip(days, texts, strict=True)
        ], which
