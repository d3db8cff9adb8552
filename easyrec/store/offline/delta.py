"""`delta`: a Delta Lake table; files whose statistics exclude the wanted rows are not read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from easyrec.errors import DataError, MissingExtra, StoreError
from easyrec.store.offline import ALL, OfflineConfig, Options, Wanted, without_secrets


class Config(OfflineConfig):
    """Config of `delta`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold secrets

    type: Literal["delta"] = "delta"
    path: str = Field(min_length=1)
    """Folder of the table: local, or a URL of an object store such as `s3://bucket/table`."""
    version: int | None = Field(None, ge=0)
    """Default: the newest one."""
    storage_options: Options = Field({}, repr=False)
    """Options of the object store, as deltalake takes them. Write secrets as `${NAME}`."""

    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """See the family's contract."""
        del wanted  # duckdb hands columns and bounds on
        try:
            from deltalake import DeltaTable  # noqa: PLC0415 (an extra)
            from deltalake.exceptions import DeltaError  # noqa: PLC0415
        except ImportError:
            raise MissingExtra("deltalake", "delta") from None
        try:
            table = DeltaTable(self.path, version=self.version, storage_options=self.storage_options or None)
            db.register(name, table.to_pyarrow_dataset())
        except (DeltaError, OSError, ValueError) as error:
            told = without_secrets(error, self.storage_options)
            raise DataError(f"cannot be read: {told}", file=self.path) from None

    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """Refused: Spark needs packages of its own for it.

        Raises:
            StoreError: Always.
        """
        del spark, wanted
        raise StoreError(f"{self.path} is a Delta table: for Spark name it as one of its catalogue, type: hive")
