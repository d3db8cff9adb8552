"""`hive`: a table of Spark's catalogue, such as a Hive metastore; read by Spark alone."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from easyrec.errors import DataError, StoreError
from easyrec.store.offline import ALL, OfflineConfig, Wanted
from easyrec.store.offline.parquet import TimePartition


class Config(OfflineConfig):
    """Config of `hive`."""

    type: Literal["hive"] = "hive"
    table: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}$")
    """Such as `shop.clicks`."""
    partition: TimePartition | None = None
    """A partition by time: those that hold no row of the wanted times are not read."""

    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """Refused: what reads the table lives in a JVM.

        Raises:
            StoreError: Always.
        """
        del db, name, wanted
        raise StoreError(f"table '{self.table}' is read by Spark: take --engine spark hive=true")

    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """See the family's contract."""
        from pyspark.errors import PySparkException  # noqa: PLC0415 (an extra)

        try:
            found = spark.table(self.table)
            return found if self.partition is None else self.partition.filtered(found, wanted)
        except PySparkException as error:
            told = str(error).strip().splitlines()[0][:300]
            raise DataError(f"cannot be read: {told}", file=f"table {self.table}") from None
