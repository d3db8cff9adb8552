"""`parquet`: files of parquet, of which folders such as `ds=20260101` are columns too; local or on any fsspec storage."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, field_validator

from easyrec.errors import DataError, MissingExtra
from easyrec.store.duck import quoted, text, told
from easyrec.store.offline import ALL, OfflineConfig, Options, Wanted, without_secrets
from feature_generator.config import StrictModel, worded

CODES = ("*", "?", "[")
FORMAT = r"^%Y[-_/.]?(%m([-_/.]?%d([-_/. T]?%H)?)?)?$"


class TimePartition(StrictModel):
    """A column of folders that tells when the rows below happened."""

    column: str
    """Such as `ds`."""
    format: Annotated[str, worded(FORMAT, "must be %Y, %m, %d and %H in this order, such as %Y-%m-%d")] = "%Y%m%d"
    """How folders tell the time; of the texts the later one is the greater one."""
    zone: str = "UTC"
    """Where their days begin."""

    @field_validator("zone", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"unknown time zone '{value}'; such as Asia/Shanghai") from None
        return value

    def folder(self, micros: int) -> str:
        """The folder of a time in microseconds since 1970."""
        moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(microseconds=micros)
        return moment.astimezone(ZoneInfo(self.zone)).strftime(self.format)

    def bounds(self, wanted: Wanted) -> list[tuple[str, str]]:
        """Signs and texts that bound the folders which can hold wanted rows; none where there is no time."""
        ends = [(">=", wanted.low), ("<=", wanted.high)]
        return [(sign, self.folder(micros)) for sign, micros in ends if wanted.time is not None and micros is not None]

    def holds(self, file: str, bounds: list[tuple[str, str]]) -> bool:
        """Whether a file lies in a folder inside of bounds; one that lies in no folder of the column may hold anything."""
        found = re.search(f"(?:^|/){re.escape(self.column)}=([^/]*)/", file)
        if found is None:
            return True
        value = unquote(found[1])
        return all(value >= end if sign == ">=" else value <= end for sign, end in bounds)

    def filtered(self, frame: Any, wanted: Wanted) -> Any:
        """A frame of Spark without the folders that hold no wanted row."""
        from pyspark.sql import functions as F  # noqa: PLC0415 (an extra)

        column = F.col(f"`{self.column}`").cast("string")
        for sign, end in self.bounds(wanted):
            frame = frame.filter(column >= end if sign == ">=" else column <= end)
        return frame


class Config(OfflineConfig):
    """Config of `parquet`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # options may hold secrets

    type: Literal["parquet"] = "parquet"
    path: str = Field(min_length=1)
    """A file, a folder or a glob; with a scheme such as `s3://` on a storage."""
    partition: TimePartition | None = None
    """Folders by time: those that hold no row of the wanted times are not read."""
    storage_options: Options = Field({}, repr=False)
    """Options of the storage, as fsspec takes them. Write secrets as `${NAME}`."""

    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """See the family's contract."""
        self.register(db)
        with told("cannot be read", self.path):
            files, none = text(self.pattern), ""
            if self.partition is not None and (bounds := self.partition.bounds(wanted)):
                found = [row[0] for row in db.execute(f"SELECT file FROM glob({files}) ORDER BY file").fetchall()]  # noqa: S608 (quoted)
                # listed here, as duckdb opens all files to know their columns, also those that it will not read
                kept = [file for file in found if self.partition.holds(file, bounds)]
                none = " WHERE false" if found and not kept else ""
                files = f"[{', '.join(map(text, kept or found[-1:]))}]" if found else files
            read = f"read_parquet({files}, hive_partitioning = true, union_by_name = true)"
            db.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT * FROM {read}{none}")  # noqa: S608 (quoted)

    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """See the family's contract; storages are those that Spark itself is set up for."""
        from pyspark.errors import PySparkException  # noqa: PLC0415 (an extra)

        try:
            reader = spark.read.option("mergeSchema", "true")
            reader = reader if self.is_folder else reader.option("basePath", self.base)
            found = reader.parquet(self.path)
            return found if self.partition is None else self.partition.filtered(found, wanted)
        except PySparkException as error:
            raise DataError(f"cannot be read: {str(error).splitlines()[0][:300]}", file=self.path) from None

    def register(self, db: Any) -> None:
        """Let duckdb know the storage of the path.

        Raises:
            DataError: The package that knows the storage is not installed.
            MissingExtra: fsspec is not installed.
        """
        if not self.scheme:
            return
        try:
            import fsspec  # noqa: PLC0415 (an extra)
        except ModuleNotFoundError:
            raise MissingExtra("fsspec", "store") from None
        try:
            system = fsspec.filesystem(self.scheme, **self.storage_options)
        except (ImportError, ValueError) as error:
            raise DataError(f"cannot be read: {without_secrets(error, self.storage_options)}", file=self.path) from None
        name = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
        if db.filesystem_is_registered(name):
            db.unregister_filesystem(name)
        db.register_filesystem(system)

    @property
    def scheme(self) -> str:
        """Such as `s3`; empty for local files."""
        scheme, found, _ = self.path.partition("://")
        return scheme if found else ""

    @property
    def is_folder(self) -> bool:
        """Whether the path is neither a file nor a glob."""
        return not (self.path.endswith(".parquet") or any(code in self.path for code in CODES))

    @property
    def pattern(self) -> str:
        """Glob of the files."""
        return f"{self.path.rstrip('/')}/**/*.parquet" if self.is_folder else self.path

    @property
    def base(self) -> str:
        """The folder above all folders that are columns, or that are matched."""
        parts = self.path.split("/")[:-1]
        end = next((i for i, part in enumerate(parts) if "=" in part or any(c in part for c in CODES)), len(parts))
        return "/".join(parts[:end]) or ("/" if self.path.startswith("/") else ".")
