"""`parquet`: files of parquet, of which folders such as `ds=20260101` are columns too; local or on any fsspec storage."""

from __future__ import annotations

from typing import Any, Literal

from easyrec.errors import DataError, MissingExtra
from easyrec.store.offline import OfflineConfig, quoted, text

CODES = ("*", "?", "[")


class Config(OfflineConfig):
    """Config of `parquet`."""

    type: Literal["parquet"] = "parquet"
    path: str
    """A file, a folder or a glob; with a scheme such as `s3://` on a storage."""

    def scan(self, db: Any, name: str) -> None:
        """See the family's contract."""
        scheme, found, _ = self.path.partition("://")
        if found:
            try:
                import fsspec  # noqa: PLC0415 (an extra)
            except ModuleNotFoundError:
                raise MissingExtra("fsspec", "store") from None
            db.register_filesystem(fsspec.filesystem(scheme))
        whole = self.path.endswith(".parquet") or any(code in self.path for code in CODES)
        place = self.path if whole else f"{self.path.rstrip('/')}/**/*.parquet"
        read = f"read_parquet({text(place)}, hive_partitioning = true, union_by_name = true)"
        try:
            db.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {read}")  # noqa: S608 (quoted)
        except Exception as error:
            if not type(error).__module__.startswith(("duckdb", "_duckdb")):
                raise
            raise DataError(f"cannot be read: {str(error).splitlines()[0][:300]}", file=self.path) from None
