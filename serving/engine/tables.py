"""`Table`: a parquet file or folder that is read again when it was written anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from easyrec.errors import DataError, nearest


class Table:
    """A file, or the files of a folder.

    Args:
        path: Where it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._read = self.state()

    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Sizes and times of its files; another state means that it was written anew."""
        place = Path(self.path)
        try:
            paths = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
            stats = [(path, path.stat()) for path in paths]
        except OSError:
            return ()
        return tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats)

    def changed(self) -> bool:
        """Whether it was written anew since it was read."""
        state = self.state()
        return bool(state) and state != self._read

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Columns of it.

        Raises:
            DataError: It cannot be read, or lacks one.
        """
        self._read = self.state()
        try:
            held = ds.dataset(self.path, format="parquet")
            for name in columns:
                if name not in held.schema.names:
                    told = f"the column is missing{nearest(name, held.schema.names)}"
                    raise DataError(told, file=self.path, column=name)
            found: pa.Table = held.to_table(columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"cannot be read: {str(error).splitlines()[0][:300]}", file=self.path) from None
        return found
