"""`iceberg`: an Apache Iceberg table; files that hold no wanted row are not read, and rows lie in duckdb while they are joined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from easyrec.errors import DataError, MissingExtra, StoreError
from easyrec.store.duck import quoted
from easyrec.store.offline import ALL, OfflineConfig, Options, Wanted, without_secrets
from feature_generator.config import worded

START = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Config(OfflineConfig):
    """Config of `iceberg`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # properties may hold secrets

    type: Literal["iceberg"] = "iceberg"
    table: Annotated[str, worded(r"^([^.\s]+\.)+[^.\s]+$", "must be namespace.table")]
    """`namespace.table` in the catalogue."""
    catalog: str = "default"
    """Name of the catalogue: one of `.pyiceberg.yaml`, or any that `properties` describe."""
    properties: Options = Field({}, repr=False)
    """Of the catalogue and of its files, as pyiceberg takes them: `{type: rest, uri: ...}`. Write secrets as `${NAME}`."""
    snapshot: int | None = None
    """Id of the snapshot; default: the current one."""

    def scan(self, db: Any, name: str, wanted: Wanted = ALL) -> None:
        """See the family's contract."""
        with self._asked() as load_catalog:
            catalog = load_catalog(self.catalog, **{key: str(value) for key, value in self.properties.items()})
            try:
                table = catalog.load_table(self.table)
                known = {field.name: str(field.field_type) for field in table.schema().fields}
                columns = tuple(column for column in wanted.columns or known if column in known)
                rows = table.scan(
                    row_filter=_filter(wanted, known), selected_fields=columns or ("*",), snapshot_id=self.snapshot
                ).to_arrow_batch_reader()
                db.register(f"{name} as read", rows)
                db.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS SELECT * FROM {quoted(f'{name} as read')}")  # noqa: S608 (quoted)
                db.unregister(f"{name} as read")
            finally:
                catalog.close()

    @contextmanager
    def _asked(self) -> Iterator[Any]:
        """What pyiceberg says of a failure is an error of ours, without secrets."""
        try:
            from pyiceberg import exceptions  # noqa: PLC0415 (an extra)
            from pyiceberg.catalog import load_catalog  # noqa: PLC0415
        except ImportError as error:
            raise MissingExtra((error.name or "pyiceberg").partition(".")[0], "iceberg") from None
        named = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)]
        kinds: tuple[type[Exception], ...] = (*named, OSError, ValueError)
        try:
            yield load_catalog
        except kinds as error:
            told = without_secrets(error, self.properties)
            raise DataError(f"cannot be read: {told}", file=f"table {self.table}") from None

    def frame(self, spark: Any, wanted: Wanted = ALL) -> Any:
        """Refused: Spark needs packages of its own for it.

        Raises:
            StoreError: Always.
        """
        del spark, wanted
        raise StoreError(f"{self.table} is an Iceberg table: for Spark name it as one of its catalogue, type: hive")


def _filter(wanted: Wanted, known: dict[str, str]) -> Any:
    """The rows whose times are wanted, as pyiceberg understands it."""
    from pyiceberg.expressions import AlwaysTrue, And, GreaterThanOrEqual, LessThanOrEqual  # noqa: PLC0415 (an extra)

    made: Any = AlwaysTrue()
    if wanted.time is None or wanted.time not in known:
        return made
    tests: list[tuple[Any, int | None]] = [(GreaterThanOrEqual, wanted.low), (LessThanOrEqual, wanted.high)]
    for test, micros in tests:
        if micros is not None:
            made = And(made, test(wanted.time, _literal(known[wanted.time], micros)))
    return made


def _literal(kind: str, micros: int) -> Any:
    moment = START + timedelta(microseconds=micros)
    if kind in ("long", "int"):
        return micros // 1_000_000
    if kind == "date":
        return moment.date().isoformat()
    return moment.isoformat() if kind.startswith("timestamptz") else moment.replace(tzinfo=None).isoformat()
